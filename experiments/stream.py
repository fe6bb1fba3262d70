"""Renders blurred crops, and goes on while `train_on_jax.py` trains on those that are there.

python experiments/stream.py runs/stream --photos PHOTOS --pairs GOPRO REDS --video FRAMES

It writes runs/stream/GROUP/NUMBER.npy, uint8 `(pairs, 2, 320, 320, 3)`, blurred and sharp, until `--pairs-at-most` are
made (0.6 MB each) or it is interrupted. GROUPS says what is in them. Of photos and pairs with a part `train/`, that
part alone is taken, and of the photos every tenth is left out, as in gather.py; of each folder of pairs at most 100,
evenly spaced. FRAMES has consecutive sharp frames of a fast camera.
"""

import argparse
import dataclasses
import io
import itertools
import multiprocessing
import os
import signal
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from gather import averages, pairs_to, training_photos
from PIL import Image

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.pairs import evenly_spaced
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.generated import largest_scale, region
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils import scripts
from unet_deblur_tf.utils.files import write_by_rename

SIDE = 320
PER_FILE = 16
REAL_PAIRS = 100  # of a folder


class Group(NamedTuple):
    """Crops of one kind.

    Attributes:
        share: of the crops that are rendered, and of those that are trained on.
        changes: what differs from the difficulty `mixed`; a gamma of None is 1 or 2.2, at random.
        zoom: smallest and largest number of a photo's pixels per pixel, log-uniform; below 1 is enlarged, as
            cameras' pictures are often softer than reduced photos. None for scenes made in code.
    """

    share: float
    changes: dict
    zoom: tuple | None


GROUPS = {
    "small": Group(0.18, dict(blur=(2, 12), rotation=0.6, gamma=2.2), (0.8, 4)),
    "mixed": Group(0.11, dict(blur=(2, 24), rotation=0.5, gamma=None), (0.7, 4)),
    "large": Group(0.19, dict(blur=(8, 50), rotation=0.4, gamma=1.0), (0.6, 2)),
    "forward": Group(0.06, dict(blur=(2, 16), rotation=0.8, gamma=None, forward=0.08), (0.7, 3)),
    "scenes": Group(0.04, dict(blur=(2, 24), gamma=None), None),
    # GoPro's kind of blur: separate, sharpened, compressed frames.
    "frames": Group(0.32, dict(blur=(4, 50), rotation=0.4, frames=(7, 9, 11, 13)), (0.7, 2)),
}
# Of the crops that are trained on; they are not rendered.
REAL = {"pairs": 0.09, "video": 0.01}
# Of the blurred crops, since photos are taken in little light and come as JPEG files.
NOISY_SHARE, LARGEST_NOISE = 0.3, 12.0  # levels of 255 at mid-grey
JPEG_SHARE, JPEG_QUALITIES = 0.2, (60, 98)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--photos", type=Path, required=True, help="sharp photos")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="folders of real pairs")
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="folders of consecutive sharp frames")
    parser.add_argument("--workers", type=flags.positive_int, default=os.cpu_count(), help="default: %(default)s")
    parser.add_argument("--pairs-at-most", type=flags.positive_int, default=16_000, metavar="N", help="default: 16000")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main(arguments):
    if arguments.output.exists():
        raise InputError(f"{arguments.output} is there already")
    paths = [path for index, path in enumerate(training_photos(arguments.photos)) if index % 10]
    photos = [read_picture(path) for path in paths]
    pairs = [evenly_spaced(pairs_to("train", folder), REAL_PAIRS) for folder in arguments.pairs]
    for name in [*GROUPS, *REAL]:
        (arguments.output / name).mkdir(parents=True)
    each = -(-arguments.pairs_at_most // arguments.workers)
    context = multiprocessing.get_context("fork")  # they share the photos
    workers = [
        context.Process(target=render, args=(arguments.output, photos, (arguments.seed, number), each), daemon=True)
        for number in range(arguments.workers)
    ]
    for worker in workers:
        worker.start()
    save_real(arguments.output / "pairs", [real_crops(some) for some in pairs])
    save_real(arguments.output / "video", [averaged(folder) for folder in arguments.video])
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise InputError(f"A worker ended with status {worker.exitcode}")


def render(output, photos, seed, count):
    """Writes `count` pairs: one of each group, the others of the groups by their shares."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an error in the main process ends this one without a word
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    waiting = {name: [] for name in GROUPS}
    shares = np.array([group.share for group in GROUPS.values()])
    for number in range(count):
        name = rng.choice(list(GROUPS), p=shares / shares.sum()) if number >= len(GROUPS) else list(GROUPS)[number]
        waiting[name].append(crop(rng, photos, GROUPS[name]))
        if len(waiting[name]) == PER_FILE:
            save(output / name, f"{seed[1]}-{number:06d}", waiting[name])
            waiting[name] = []
    for name, rest in waiting.items():
        if rest:
            save(output / name, f"{seed[1]}-rest", rest)


def crop(rng, photos, group):
    """(blurred, sharp), uint8 `(SIDE, SIDE, 3)`."""
    difficulty = dataclasses.replace(DIFFICULTIES["mixed"], width=SIDE, height=SIDE, **group.changes)
    if difficulty.gamma is None:
        difficulty = dataclasses.replace(difficulty, gamma=float(rng.choice([1.0, 2.2])))
    if rng.random() < NOISY_SHARE:
        difficulty = dataclasses.replace(difficulty, noise=LARGEST_NOISE)
    size = canvas_size(difficulty)
    if group.zoom:
        backdrop, fill = (zoomed(rng, photos[rng.integers(len(photos))], size, group.zoom) for _ in range(2))
    else:
        backdrop, fill = scene(rng, *size), scene(rng, *size)
    blurred, sharp = blurred_pair(rng, backdrop, fill, difficulty, moving=rng.random() >= difficulty.unblurred)
    if rng.random() < JPEG_SHARE:
        file = io.BytesIO()
        Image.fromarray(blurred).save(file, "JPEG", quality=int(rng.integers(*JPEG_QUALITIES)))
        blurred = np.asarray(Image.open(file))
    return blurred, sharp


def zoomed(rng, photo, size, zoom):
    """A random region of a photo at a scale within `zoom`."""
    return region(rng, photo, size, min(largest_scale(photo, size), np.exp(rng.uniform(*np.log(zoom)))))


def real_crops(pairs):
    """Crops of real pairs; those of pictures that are smaller are mirrored at the edges."""
    return [each for pair in pairs for each in tiles(read_picture(pair.blur), read_picture(pair.sharp))]


def averaged(frames):
    """Crops of what GoPro's own recipe makes of frames."""
    return [each for _, *pictures in averages(frames, 2) for each in tiles(*pictures)]


def tiles(*pictures):
    """The crops that cover pictures of one size."""
    missing = [(0, max(0, SIDE - side)) for side in pictures[0].shape[:2]]
    pictures = [np.pad(picture, (*missing, (0, 0)), mode="symmetric") for picture in pictures]
    starts = [
        np.linspace(0, side - SIDE, -(-side // SIDE) + (side > SIDE)).astype(int) for side in pictures[0].shape[:2]
    ]
    for top, left in itertools.product(*starts):
        yield tuple(picture[top : top + SIDE, left : left + SIDE] for picture in pictures)


def save_real(folder, sources):
    """Writes crops of several sources, as many of each, in random order: not all may be taken."""
    most = max(map(len, sources), default=0)
    crops = [each for source in sources for each in itertools.islice(itertools.cycle(source), most)]
    np.random.default_rng(0).shuffle(crops)
    if crops:
        save(folder, "real", crops)


def save(folder, name, pairs):
    with write_by_rename(folder / f"{name}.npy") as partial, open(partial, "wb") as file:
        np.save(file, np.array(pairs))


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
