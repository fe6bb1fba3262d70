"""Renders blurred windows without end, for training that is faster than a fixed set of pairs is large.

python experiments/stream.py runs/stream --photos PHOTOS --pairs GOPRO REDS --video FRAMES

It writes runs/stream/GROUP/NUMBER.npy, uint8 `(pairs, 2, 320, 320, 3)`, blurred and sharp, until it is interrupted or
`--pairs-at-most` are made: what `train_on_jax.py` reads while more come. GROUPS says what is in them. Of folders that
have a part `train/`, that part alone is taken, and of the photos every tenth is left out, as in gather.py.
"""

import argparse
import dataclasses
import io
import itertools
import multiprocessing
import os
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from gather import training_photos
from PIL import Image

from unet_deblur_tf import cli
from unet_deblur_tf.data.pairs import find_pairs, find_pictures, read_picture
from unet_deblur_tf.data.scenes import scene
from unet_deblur_tf.data.synthesis import DIFFICULTIES, blurred_pair, canvas_size
from unet_deblur_tf.files import write_by_rename

SIDE = 320
PER_FILE = 16


class Group(NamedTuple):
    """Windows of one kind.

    Attributes:
        share: of the windows that are rendered, and of those that are trained on.
        changes: what differs from the difficulty `mixed`; a gamma of None is 1 or 2.2, at random.
        zoom: smallest and largest number of a photo's pixels per pixel, log-uniform; below 1 is enlarged, as
            cameras' pictures are often softer than reduced photos. None for scenes made in code.
    """

    share: float
    changes: dict
    zoom: tuple | None


GROUPS = {
    "small": Group(0.22, dict(blur=(2, 12), rotation=0.6, gamma=2.2), (0.8, 4)),
    "mixed": Group(0.16, dict(blur=(2, 24), rotation=0.5, gamma=None), (0.7, 4)),
    "large": Group(0.34, dict(blur=(8, 50), rotation=0.4, gamma=1.0), (0.6, 2)),
    "forward": Group(0.08, dict(blur=(2, 16), rotation=0.8, gamma=None, forward=0.08), (0.7, 3)),
    "scenes": Group(0.08, dict(blur=(2, 24), gamma=None), None),
}
# Of the windows that are trained on; they are not rendered.
REAL = {"pairs": 0.1, "video": 0.02}
JPEG_SHARE, JPEG_QUALITIES = 0.15, (80, 98)  # of the blurred windows, since photos come as JPEG files


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--photos", type=Path, required=True, help="sharp photos")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="folders of real pairs")
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="folders of consecutive sharp frames")
    parser.add_argument("--workers", type=cli.positive_int, default=os.cpu_count())
    parser.add_argument("--pairs-at-most", type=cli.positive_int, default=100_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main(arguments):
    for name in [*GROUPS, *REAL]:
        (arguments.output / name).mkdir(parents=True, exist_ok=True)
    photos = [path for index, path in enumerate(training_photos(arguments.photos)) if index % 10]
    each = -(-arguments.pairs_at_most // arguments.workers)
    workers = [
        multiprocessing.Process(target=render, args=(arguments.output, photos, (arguments.seed, number), each))
        for number in range(arguments.workers)
    ]
    for worker in workers:
        worker.start()
    save(arguments.output / "pairs", "real", real_windows(arguments.pairs))
    save(arguments.output / "video", "real", list(averaged(arguments.video)))
    for worker in workers:
        worker.join()


def render(output, photos, seed, count):
    """Writes `count` pairs, of the groups by their shares."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    photos = [read_picture(path) for path in photos]
    waiting = {name: [] for name in GROUPS}
    shares = np.array([group.share for group in GROUPS.values()])
    for number in range(count):
        name = rng.choice(list(GROUPS), p=shares / shares.sum())
        waiting[name].append(window(rng, photos, GROUPS[name]))
        if len(waiting[name]) == PER_FILE:
            save(output / name, f"{'-'.join(map(str, seed))}-{number:06d}", waiting[name])
            waiting[name] = []
    for name, rest in waiting.items():
        save(output / name, f"{'-'.join(map(str, seed))}-rest", rest)


def window(rng, photos, group):
    """(blurred, sharp), uint8 `(SIDE, SIDE, 3)`."""
    difficulty = dataclasses.replace(DIFFICULTIES["mixed"], width=SIDE, height=SIDE, **group.changes)
    if difficulty.gamma is None:
        difficulty = dataclasses.replace(difficulty, gamma=float(rng.choice([1.0, 2.2])))
    size = canvas_size(difficulty)
    if group.zoom:
        backdrop, fill = (region(rng, photos[rng.integers(len(photos))], size, group.zoom) for _ in range(2))
    else:
        backdrop, fill = scene(rng, *size), scene(rng, *size)
    blurred, sharp = blurred_pair(rng, backdrop, fill, difficulty, moving=rng.random() >= difficulty.unblurred)
    if rng.random() < JPEG_SHARE:
        file = io.BytesIO()
        Image.fromarray(blurred).save(file, "JPEG", quality=int(rng.integers(*JPEG_QUALITIES)))
        blurred = np.asarray(Image.open(file))
    return blurred, sharp


def region(rng, photo, size, zoom):
    """A random region of a photo at a random scale, float32 in 0..1."""
    height, width = size
    largest = min(photo.shape[0] / height, photo.shape[1] / width)
    scale = min(largest, np.exp(rng.uniform(*np.log(zoom))))
    tall, wide = int(height * scale), int(width * scale)
    top = rng.integers(photo.shape[0] - tall + 1)
    left = rng.integers(photo.shape[1] - wide + 1)
    photo = photo[top : top + tall, left : left + wide]
    photo = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC)
    return photo.astype(np.float32) / 255


def real_windows(folders):
    """Windows of the real pairs, as many of each folder; those of pictures that are smaller are mirrored."""
    windows = []
    for folder in folders:
        found = find_pairs(folder)
        pairs = found.get("train") or found[""]
        windows.append(
            [window for pair in pairs for window in tiles(read_picture(pair.blur), read_picture(pair.sharp))]
        )
    most = max(map(len, windows), default=0)
    return [window for some in windows for window in itertools.islice(itertools.cycle(some), most)]


def averaged(folders):
    """Windows of what GoPro's own recipe makes of frames: the mean of 7 to 13, and their middle one as the truth."""
    rng = np.random.default_rng(0)
    for folder in folders:
        frames = [read_picture(path) for path in find_pictures(folder)]
        for start in range(0, len(frames) - 12, 2):
            taken = frames[start : start + int(rng.choice([7, 9, 11, 13]))]
            blurred = np.round(np.mean(taken, axis=0, dtype=np.float32)).astype(np.uint8)
            yield from tiles(blurred, taken[len(taken) // 2])


def tiles(*pictures):
    """The windows that cover pictures of one size."""
    missing = [(0, max(0, SIDE - side)) for side in pictures[0].shape[:2]]
    pictures = [np.pad(picture, (*missing, (0, 0)), mode="symmetric") for picture in pictures]
    starts = [
        np.linspace(0, side - SIDE, -(-side // SIDE) + (side > SIDE)).astype(int) for side in pictures[0].shape[:2]
    ]
    for top, left in itertools.product(*starts):
        yield tuple(picture[top : top + SIDE, left : left + SIDE] for picture in pictures)


def save(folder, name, pairs):
    """Writes pairs; none, no file."""
    if pairs:
        with write_by_rename(folder / f"{name}.npy") as partial, open(partial, "wb") as file:
            np.save(file, np.array(pairs))


if __name__ == "__main__":
    cli.run(main, parse_arguments())
