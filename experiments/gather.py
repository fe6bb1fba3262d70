"""Gathers a training folder from several sources: photos and scenes blurred at several difficulties, and real pairs.

python experiments/gather.py runs/small --set small --photos PHOTOS
python experiments/gather.py runs/mixture --photos PHOTOS --pairs REDS GOPRO --repeat 4 --video FRAMES

Of folders that have a part `train/`, that part alone is taken. The output has the layout of pairs
({train,val,test}/SOURCE/{blur,sharp}/), for `train.py --data`. Pictures that exist already are linked, not copied.
`--video` takes folders of consecutive sharp frames of a fast camera, and averages 7 to 13 of them, as GoPro's pairs
were made, at every fourth frame. Every picture gives one crop a pass; `--repeat` lets the few real pairs come more
often, and averages at more frames.
"""

import argparse
import dataclasses
import itertools
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.pictures import find_pictures, read_picture
from unet_deblur_tf.data.synthesis.generated import make_split
from unet_deblur_tf.data.trees.tree import find_pairs
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils import scripts

# At this size the blur of GoPro's pictures is made in a sixth of the time, and most photos need not be enlarged.
CUT_OUT = dict(width=480, height=480)

# Entries: (difficulty, from photos, seed, pairs, what else differs from the difficulty).
# Rounds one and two of `lite`: `mixed` in three seeds, so that a photo gives many different regions.
MIXTURE = (
    ("quick", True, 0, 480),
    ("mixed", True, 0, 600),
    ("mixed", True, 1, 600),
    ("mixed", True, 2, 600),
    ("mixed", False, 0, 300),
    ("large", True, 0, 200),
)
# The third round: a third of the crops has large blur.
LARGE = (*MIXTURE, *(("large", True, seed, 400, CUT_OUT) for seed in (1, 2, 3)))
SETS = {
    # What short comparisons are trained on.
    "small": (("quick", True, 0, 480), ("quick", False, 0, 480)),
    "mixture": MIXTURE,
    "large": LARGE,
    # The fourth: as many more with small blur, averaged in linear light as REDS is.
    "balanced": (*LARGE, *(("quick", True, seed, 600, dict(blur=(2, 12))) for seed in (1, 2))),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--set", choices=SETS, default="mixture", help="of synthesised blur (default: %(default)s)")
    parser.add_argument("--photos", type=Path, required=True, help="sharp photos")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="folders of real pairs")
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="folders of consecutive sharp frames")
    parser.add_argument("--repeat", type=flags.positive_int, default=1, help="how often real pairs come in a pass")
    return parser.parse_args()


def main(arguments):
    if arguments.output.exists():
        raise InputError(f"{arguments.output} is there already")
    photos = training_photos(arguments.photos)
    partial = arguments.output.with_name(f".{arguments.output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    gather(arguments, photos, partial)
    partial.rename(arguments.output)


def training_photos(folder):
    """The photos of a folder's part `train/`, or of a folder without one."""
    part = folder / "train" if (folder / "train").is_dir() else folder
    photos = find_pictures(part, recursive=True)
    if not photos:
        raise InputError(f"No pictures in {folder}")
    return photos


def gather(arguments, photos, output):
    # A tenth of the photos is held out, to choose the best epoch by and to score at the end.
    held_out, kept = photos[::10], [photo for index, photo in enumerate(photos) if index % 10]
    for difficulty, from_photos, seed, count, *differences in SETS[arguments.set]:
        settings = dataclasses.replace(DIFFICULTIES[difficulty].with_training_pairs(count), **dict(*differences))
        made = make_split("train", settings, kept if from_photos else (), seed)
        link(made, output / "train" / f"{difficulty}_{'photos' if from_photos else 'scenes'}_{seed}")
    for split in ("val", "test"):
        for difficulty in dict.fromkeys(difficulty for difficulty, *_ in SETS[arguments.set] if difficulty != "large"):
            link(make_split(split, DIFFICULTIES[difficulty], held_out), output / split / difficulty)
    for number, folder in enumerate(arguments.pairs):
        for pair, turn in itertools.product(pairs_to("train", folder), range(arguments.repeat)):
            source = f"pairs{number}_{pair.sequence.replace('/', '_')}_{turn}"
            for kind in ("blur", "sharp"):
                target = output / "train" / source / kind
                target.mkdir(parents=True, exist_ok=True)
                (target / getattr(pair, kind).name).symlink_to(getattr(pair, kind).resolve())
    for number, folder in enumerate(arguments.video):
        average(folder, output / "train" / f"video{number}_{folder.name}", arguments.repeat)


def link(source, target):
    target.mkdir(parents=True)
    for kind in ("blur", "sharp"):
        (target / kind).symlink_to((source / kind).resolve())


def average(frames, target, repeat):
    """Writes what `averages` makes of a folder of frames."""
    for kind in ("blur", "sharp"):
        (target / kind).mkdir(parents=True)
    for start, *pictures in averages(frames, max(1, 4 // repeat)):
        for kind, picture in zip(("blur", "sharp"), pictures):
            Image.fromarray(picture).save(target / kind / f"{start:05d}.png", compress_level=1)


def averages(frames, step):
    """GoPro's own recipe: the mean of 7 to 13 consecutive frames, and their middle one as the truth.

    Yields (number of the first frame, blurred, sharp), uint8, at every `step`-th frame.
    """
    paths = find_pictures(frames)
    if len(paths) < 13:
        raise InputError(f"{frames} has {len(paths)} pictures: it takes a folder of at least 13 consecutive frames")
    rng = np.random.default_rng(0)
    for start in tqdm(range(0, len(paths) - 12, step), desc=f"Averaging {frames.name}", unit="pair"):
        count = int(rng.choice([7, 9, 11, 13]))
        pictures = [read_picture(path) for path in paths[start : start + count]]
        blurred = np.round(np.mean(pictures, axis=0, dtype=np.float32)).astype(np.uint8)
        yield start, blurred, pictures[count // 2]


def pairs_to(part, folder):
    """The pairs of a folder's part, "train" or "test", or of a folder without parts."""
    found = find_pairs(folder)
    pairs = found.get(part) or found.get("")
    if not pairs:
        raise InputError(f"{folder} has no pairs to {part} on; it has {', '.join(found) or 'none at all'}")
    return pairs


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
