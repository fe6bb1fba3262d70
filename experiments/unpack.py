"""Writes what `stream.py` rendered as pairs of PNG files, {blur,sharp}/NUMBER.png by group, for `train.py`.

python experiments/unpack.py runs/stream runs/pairs/train --at-most pairs=300 video=60
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils import scripts


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", type=Path, help="what stream.py wrote")
    parser.add_argument("output", type=Path, help="a folder that is not there yet")
    parser.add_argument(
        "--at-most", nargs="*", default=[], metavar="GROUP=N", type=group_and_count, help="crops of a file, by group"
    )
    return parser.parse_args()


def group_and_count(text):
    group, _, count = text.partition("=")
    return group, flags.positive_int(count)


def main(arguments):
    paths = sorted(arguments.stream.glob("*/[!.]*.npy"))
    if not paths:
        raise InputError(f"{arguments.stream} has no crops: it takes the folder that stream.py writes")
    if arguments.output.exists():
        raise InputError(f"{arguments.output} is there already")
    limits = dict(arguments.at_most)
    for path in tqdm(paths, desc="Unpacking", unit="file"):
        group = path.parent.name
        folders = [arguments.output / group / kind for kind in ("blur", "sharp")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for number, pair in enumerate(np.load(path)[: limits.get(group)]):
            for folder, picture in zip(folders, pair):
                Image.fromarray(picture).save(folder / f"{path.stem}-{number:04d}.png", compress_level=1)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
