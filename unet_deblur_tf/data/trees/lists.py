"""List files that say which pictures are pairs and of which split, as RealBlur and RSBlur have them.

Each line names a pair, such as "RealBlur_J/scene050/gt/gt_1.png RealBlur_J/scene050/blur/blur_1.png"; which of the two
is blurred is told from the words in its path. The file's name holds the split: RealBlur_J_train_list.txt.
"""

import re

from unet_deblur_tf.data.pictures import is_picture
from unet_deblur_tf.data.trees.layouts import SPLITS, Names, Twins
from unet_deblur_tf.errors import InputError


def read_lists(root, blur=None, sharp=None, only=None):
    """The pairs that list files in a folder name.

    Args:
        root: `Path`; its `*.txt` files and those one folder below are looked at.
        blur, sharp: the user's names for the two sides, see `layouts.Names`.
        only: regular expression that the lists' names begin with, in lower case; None for all lists.

    Returns:
        (list of `Twins`, list of the list files as `Path`); both empty if there are no lists of pictures.

    Raises:
        InputError: if a list names a picture that is not there, or does not tell blurred from sharp.
    """
    names, pairs, lists = Names(blur, sharp), [], []
    for path in sorted([*root.glob("*.txt"), *root.glob("*/*.txt")]):
        lines = _lines(path)
        if not lines or (only and not re.match(only, path.stem.lower())):
            continue
        split = _split(path.stem)
        pairs += [_twins(line, path, root, split, names) for line in lines]
        lists.append(path)
    return pairs, lists


def _lines(path):
    """The lines of a list of pairs as lists of two names; empty for any other file."""
    try:
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        return []
    named = [[word for word in line if is_picture(path.with_name(word.rpartition("/")[2]))] for line in lines]
    return named if lines and all(len(line) == 2 for line in named) else []


def _split(stem):
    words = re.split(r"[\W_]+", stem.lower())
    return next((split for split, known in SPLITS.items() for word in words if word in known), "")


def _twins(line, path, root, split, names):
    found = {}
    for name in line:
        picture = next((base / name for base in (root, path.parent) if (base / name).is_file()), None)
        if picture is None:
            raise InputError(f"{path} names {name}, which is not below {root}")
        side = names.of_folders(picture, root)
        if side.side not in ("blurred", "sharp"):
            side = names.of_file_name(picture, root)
        found[side.side] = side
    if found.keys() != {"blurred", "sharp"}:
        raise InputError(f"{path} has a line that does not tell blurred from sharp: {' '.join(line)}")
    return Twins(split, "/".join(found["blurred"].folders), found["blurred"].path, found["sharp"].path)
