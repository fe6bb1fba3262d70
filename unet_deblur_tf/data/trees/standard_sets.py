"""The test sets of the field by name: where each lies, which part of it is scored, and by which protocol."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from unet_deblur_tf.data.pictures import is_passed_over
from unet_deblur_tf.data.trees.lists import read_lines
from unet_deblur_tf.data.trees.tree import read_tree
from unet_deblur_tf.errors import InputError

DEPTH = 3  # folders below --data-dir that are looked at


class StandardSet(NamedTuple):
    """A published test set.

    Attributes:
        title: str, for tables.
        folders: names of its folder in lower case, letters and digits alone.
        split: which part is scored.
        images: int, how many pictures the published part has.
        protocol: str, one of `configs.PROTOCOLS`.
        lists: regular expression of its list files' names, "" if it has none.
    """

    title: str
    folders: tuple
    split: str
    images: int
    protocol: str = "full"
    lists: str = ""


SETS = {
    # Nah, Kim, Lee, "Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring", CVPR 2017: PSNR and
    # SSIM of whole RGB pictures, then the mean.
    "gopro": StandardSet("GoPro", ("gopro", "goprolarge"), "test", 1111),
    # Shen et al., "Human-Aware Motion Deblurring", ICCV 2019: as GoPro.
    "hide": StandardSet("HIDE", ("hide", "hidedataset"), "test", 2025),
    # Rim et al., "Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms", ECCV 2020: aligned
    # with the sharp picture before scoring, see `evaluation/alignment.py`.
    "realblur_j": StandardSet(
        "RealBlur-J", ("realblurj", "realblurjeccimcorrcentroiditensityref"), "test", 980, "aligned", "realblur_?j_.*"
    ),
    "realblur_r": StandardSet(
        "RealBlur-R",
        ("realblurr", "realblurrbm3deccimcorrcentroiditensityref"),
        "test",
        980,
        "aligned",
        "realblur_?r_.*",
    ),
    # Nah et al., "NTIRE 2019 Challenge on Video Deblurring and Super-Resolution", CVPRW 2019: as GoPro, of the
    # validation part, whose sharp pictures are public.
    "reds": StandardSet("REDS", ("reds",), "val", 3000),
}


def open_standard_set(name, data_dir, blur=None, sharp=None):
    """Finds a set below a folder.

    Args:
        name: key of `SETS`.
        data_dir: the set's own folder, or one above it; one that holds several sets, each in a folder of its name.
        blur, sharp: names of the folders of blurred and sharp pictures; None for the usual ones.

    Returns:
        (dict from splits to lists of `Pair`, one line that says what was found).

    Raises:
        InputError: if it is not there, or has nothing to score.
    """
    known = SETS[name]
    if data_dir is None:
        raise InputError(f"--data {name} needs --data-dir DIR, the folder that {known.title} lies in")
    root = Path(data_dir)
    if not root.is_dir():
        raise InputError(f"No such folder: {str(data_dir)!r}, for --data-dir")
    folder = root
    if not has_lists(root, known):
        folder = find_folder(root, known)
        above = folder.absolute().parent
        folder = above if not has_lists(folder, known) and has_lists(above, known) else folder
    tree = read_tree(folder, "pairs", blur, sharp, known.lists or None)
    splits = tree.splits
    if known.split not in splits and set(splits) == {""}:
        require_test_set_alone(folder, known, len(splits[""]))
        splits = {known.split: splits[""]}  # a folder of that part alone, such as test/HIDE/{input,target}
    if not splits.get(known.split):
        raise InputError(f"{folder} has no {known.split} part of {known.title}: {tree.summary}")
    found = len(splits[known.split])
    published = f"; the published {known.split} set has {known.images} pictures, not {found}"
    return splits, f"{known.title}: {tree.summary}{published if found != known.images else ''}"


def has_lists(folder, known):
    """Whether a folder has lists of the pairs of a set."""
    files = folder.glob("*.txt") if known.lists else ()
    return any(re.match(known.lists, path.stem.lower()) and read_lines(path) for path in files)


def require_test_set_alone(folder, known, count):
    """Raises an InputError if so many pairs without a split are more than those that the set is scored on."""
    if count > known.images:
        what = "the list files that come with it" if known.lists else f"a folder {known.split}/"
        raise InputError(
            f"{folder} has {count} pairs, and nothing says which of them are the {known.images} of {known.title}'s "
            f"{known.split} set: it needs {what}, or name the folder of that part"
        )


def find_folder(root, known):
    """The folder of a set: the given one, or the only one below it that is called like the set."""
    if _plain(root.resolve().name) in known.folders:
        return root
    found, level = [], [root]
    for _ in range(DEPTH):
        level = [path for parent in level for path in folders_in(parent)]
        found = [path for path in level if _plain(path.name) in known.folders]
        if found:
            break
    if len(found) > 1:
        raise InputError(f"{known.title} could be {found[0]} or {found[1]}: name one of them by --data-dir")
    if not found:
        raise InputError(
            f"No folder of {known.title} in {root}: it, or a folder up to {DEPTH} levels below, should be called "
            f"such as {known.folders[0]!r}; --data takes a folder of any name"
        )
    return found[0]


def folders_in(parent):
    """The folders in a folder, sorted, without those that `pictures.find_files` ignores; none if it cannot be read."""
    try:
        paths = sorted(parent.iterdir())
    except OSError:
        return []
    return [path for path in paths if os.path.isdir(path) and not is_passed_over(path.name)]


def _plain(name):
    return re.sub(r"[^a-z0-9]", "", name.lower())
