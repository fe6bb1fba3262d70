"""What a folder of pictures is: pairs in some layout, or sharp photos. One line says it, or it is refused: no guesses.

Photos are what nothing in the tree speaks against: no folder and no file name that means blurred, no two folders with
the same file names, no pictures that show one scene twice, side by side.
"""

import collections
import itertools
import re
from typing import NamedTuple

import numpy as np

from unet_deblur_tf.data.pairs import Pair, evenly_spaced
from unet_deblur_tf.data.pictures import (
    PICTURE_SUFFIXES,
    HalfPicture,
    each_once,
    find_files,
    is_picture,
    picture_size,
    read_picture,
)
from unet_deblur_tf.data.trees.layouts import Names, words_of
from unet_deblur_tf.data.trees.lists import read_lists
from unet_deblur_tf.data.trees.lmdb_pictures import find_lmdb_pictures
from unet_deblur_tf.data.trees.matching import Twins, match_tree
from unet_deblur_tf.data.trees.splits import Splits
from unet_deblur_tf.errors import InputError

SPLIT_ORDER = ("train", "val", "test", "")
MOST_FOLDERS = 3  # that a line names
SAMPLE = 3  # photos looked at, for two halves of one scene
GIVEN = 3  # of the folders in the given path, how many are looked at
MANY = 20  # folders with the same file name
BLURRED_WITHOUT_THE_WORD = {"lq", "out_of_focus"}
ALIKE = 0.9  # correlation of two halves from which on they show one scene


class Tree(NamedTuple):
    """What a folder holds.

    Attributes:
        splits: dict from "train", "val", "test" or "" (no split named) to a list of `Pair`, or of `Path` for photos.
        photos: bool.
        summary: str, one line that says what was understood.
    """

    splits: dict
    photos: bool
    summary: str


def read_tree(root, kind=None, blur=None, sharp=None, lists=None):
    """Finds out what a folder holds.

    Args:
        root: `Path`.
        kind: "pairs", "photos" or "side-by-side" (the left half is blurred), as a user said; None to find out.
        blur, sharp: names of the folders of blurred and sharp pictures; None for those of `layouts.LAYOUTS`.
        lists: regular expression of the names of the list files to heed; None for all.

    Returns:
        A `Tree`.

    Raises:
        InputError: if it is not understood, showing what was found and what would do.
    """
    files = find_files(root, recursive=True)
    paths = list(filter(is_picture, files))
    if kind == "photos":
        return photo_tree(root, paths)
    if kind == "side-by-side":
        return half_tree(root, paths)
    names = Names(blur, sharp)
    found = read_lists(files, root, names, Splits(paths, root, (names.blur, names.sharp)), lists)
    if found.pairs:
        used = {path for pair in found.pairs for path in (pair.blurred, pair.sharp)}
        unused = [path for path in paths if path not in used]
        lists = ", ".join(path.relative_to(root).as_posix() for path in found.files)
        return pair_tree(root, f"pairs of the lists {lists}", found.pairs, {}, unused, found.notes)
    inside = find_lmdb_pictures(files)
    match = match_tree([*paths, *inside], root, blur, sharp)
    if match:
        return pair_tree(root, match.name, match.pairs, inside, match.unused, found.notes)
    if not paths:
        refuse_without_pictures(root)
    if kind == "pairs":
        refuse(root, paths, "no folder and no file name in it means blurred or sharp")
    refuse_what_could_be_pairs(root, paths)
    return photo_tree(root, paths)


def pair_tree(root, layout, twins, pictures, unused, notes=()):
    """The `Tree` of pairs.

    Args:
        root: `Path`.
        layout: str, its name.
        twins: list of `Twins`.
        pictures: dict from the paths that are not files to what `pictures.read_picture` takes.
        unused: list of paths of pictures that belong to no pair.
        notes: list of str, what else to say.

    Raises:
        InputError: if some pairs name a split and others do not.
    """
    found, twins = twins, each_once(twins, root, lambda pair: (pair.split, pair.blurred, pair.sharp))
    splits = by_split(twins, pictures)
    require_split_of_all(root, splits, next((pair.blurred for pair in twins if not pair.split), None))
    first = twins[0]
    parts = [
        f"{root}: {layout}; {counts(splits)}",
        f"blurred in {folders(root, (pair.blurred for pair in twins))}",
        f"sharp in {folders(root, (pair.sharp for pair in twins))}",
        f"such as {relative(root, first.blurred)} with {relative(root, first.sharp)}",
    ]
    if unused:
        parts.append(f"not used: {len(unused)} other, such as {relative(root, unused[0])}")
    parts += [*notes, *linked_again(found, twins)]
    return Tree(splits, False, "; ".join(parts))


def require_split_of_all(root, splits, first):
    """Raises an InputError if some pairs are in a split and others are not; `first` is the path of one of these."""
    if splits.get("") and len(splits) > 1:
        others = " and ".join(split for split in SPLIT_ORDER if split and split in splits)
        raise InputError(
            f"{root} has {counts(splits)}: those without a split, such as {relative(root, first)}, could be of any. "
            f"Move them below a folder train/, val/ or test/, or elsewhere; others are in {others}"
        )


def linked_again(found, kept):
    """What to say of what `each_once` left out of what was found: a list of str."""
    left_out = len(found) - len(kept)
    return [f"{left_out} that links lead to again count once"] if left_out else []


def by_split(twins, pictures=None):
    """A dict from splits to lists of `Pair`; the arguments are those of `pair_tree`."""
    pictures, splits = pictures or {}, {split: [] for split in SPLIT_ORDER}
    for pair in twins:
        blurred, sharp = (pictures.get(path, path) for path in (pair.blurred, pair.sharp))
        splits[pair.split].append(Pair(sequence_of(pair), pair.blurred.stem, blurred, sharp))
    return {split: found for split, found in splits.items() if found}


def find_pairs(root, blur=None, sharp=None):
    """All pairs below a folder that must hold pairs, by split, see `read_tree`."""
    return read_tree(root, "pairs", blur, sharp).splits


def sequence_of(pair: Twins):
    """The sequence of a pair: its folders, and what stands before the frame in a name such as GOPR0372_07_00-000047."""
    match = re.fullmatch(r"(.+?)[-_]\d{4,}([-_].*)?", pair.blurred.stem)
    return "/".join(filter(None, [pair.sequence, match and match[1]]))


def photo_tree(root, paths):
    """The `Tree` of sharp photos: those of its folders for splits, or else all under ""."""
    if not paths:
        refuse_without_pictures(root)
    finder, splits = Splits(paths, root), collections.defaultdict(list)
    photos = each_once(paths, root, lambda path: (finder.of(path), path))
    for path in photos:
        splits[finder.of(path)].append(path)
    unused = splits.pop("") if len(splits) > 1 and "" in splits else []
    first = next(iter(splits.values()))[0]
    parts = [f"{root}: {counts(splits, 'sharp photos')}, such as {relative(root, first)}"]
    if unused:
        parts.append(f"not used: {len(unused)} in no folder for a split, such as {relative(root, unused[0])}")
    return Tree(dict(splits), True, "; ".join([*parts, *linked_again(paths, photos)]))


def half_tree(root, paths):
    """The `Tree` of pictures that show blurred (left) and sharp (right) side by side.

    Raises:
        InputError: if a picture cannot be halved, some pictures name a split and others do not, or there are none.
    """
    finder, splits = Splits(paths, root), collections.defaultdict(list)
    pictures = each_once(paths, root, lambda path: (finder.of(path), path))
    for path in pictures:
        width, height = picture_size(path)
        if width % 2:
            raise InputError(f"{path} is {width} pixels wide, which cannot be halved")
        blurred, sharp = (HalfPicture(path, side, (width // 2, height)) for side in ("left", "right"))
        sequence = "/".join(part for _, part in finder.without(path))
        splits[finder.of(path)].append(Pair(sequence, path.stem, blurred, sharp, blurred.size))
    if not paths:
        refuse_without_pictures(root)
    require_split_of_all(root, splits, next((pair.blur.path for pair in splits.get("", ())), None))
    parts = [f"{root}: blurred (left) and sharp (right) side by side", counts(splits), *linked_again(paths, pictures)]
    return Tree(dict(splits), False, "; ".join(parts))


def counts(splits, what="pairs"):
    """Such as "10 train and 4 test pairs"."""
    parts = [f"{len(splits[split])} {split}".strip() for split in SPLIT_ORDER if splits.get(split)]
    return f"{' and '.join(parts)} {what}"


def folders(root, paths):
    """Where pictures lie, in words: some of their folders and how many there are."""
    found = list(dict.fromkeys(relative(root, path.parent) for path in paths))
    more = f" and {len(found) - MOST_FOLDERS} more" if len(found) > MOST_FOLDERS else ""
    return ", ".join(found[:MOST_FOLDERS]) + more


def relative(root, path):
    """A path below a folder, for people."""
    return path.relative_to(root).as_posix()


def refuse_without_pictures(root):
    """Raises an InputError that says what there is instead of pictures."""
    endings = collections.Counter(path.suffix.lower() for path in root.rglob("*") if path.is_file())
    there = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in endings.most_common(4)) or "no files"
    kinds = ", ".join(sorted(PICTURE_SUFFIXES))
    raise InputError(
        f"No pictures in {str(root)!r}, nor below; there are {there}. Pairs and photos are read from {kinds}"
    )


def refuse_what_could_be_pairs(root, paths):
    """Raises an InputError if pictures without a word for blurred or sharp still look like pairs."""
    given = root.resolve().parts[-GIVEN:]
    for part in given:
        side, weak = Names().side(part)
        if (side in ("blurred", "on request") and not weak) or (part is given[-1] and means_blurred(part)):
            refuse(root, paths, f"{part!r} in its path means blurred: name a folder above it, with the sharp pictures")
    for path in paths:
        for part in (*path.relative_to(root).parent.parts, path.stem):
            if means_blurred(part):
                refuse(root, paths, f"{part!r}, as in {relative(root, path)}, means blurred")
    if twins := parallel_folders(root, paths):
        one, other = (relative(root, folder) for folder in twins)
        if twins[0].name != twins[1].name and len({path.parent for path in paths}) == 2:
            refuse(root, paths, f"{one} and {other} hold pictures of the same names, as pairs do", *twins)
        refuse(root, paths, f"{one} and {other} hold pictures of the same names, as pairs do, and as albums may")
    if twins := names_but_for_their_ends(paths):
        one, other = (relative(root, path) for path in twins)
        refuse(root, paths, f"{one} and {other} are called the same but for their ends, as pairs are")
    if half := first_of_two_halves(paths):
        refuse(root, paths, f"{relative(root, half)} shows one scene twice, side by side: --as side-by-side takes that")


def means_blurred(name):
    """Whether a name has a word such as blur, blurry or defocused anywhere in it; deblurred is none."""
    words = words_of(name)
    blurred = any(("blur" in word or "defocus" in word) and "deblur" not in word for word in words)
    return blurred or "_".join(words) in BLURRED_WITHOUT_THE_WORD


def names_but_for_their_ends(paths):
    """Two pictures of one folder that are called the same but for a last word, if half of all pictures are; or None."""
    groups = collections.defaultdict(list)
    for path in paths:
        words = words_of(path.stem)
        bare = words[:-1] if len(words) > 1 and not words[-1].isdigit() else words
        groups[path.parent, tuple(bare)].append(path)
    twins = [group for group in groups.values() if len(group) > 1]
    return twins[0][:2] if twins and 2 * sum(map(len, twins)) >= len(paths) else None


def parallel_folders(root, paths):
    """Two folders of which one has at least half of its file names in common with the other, or None."""
    names, places = collections.defaultdict(set), collections.defaultdict(list)
    for path in paths:
        if path.stem not in names[path.parent]:
            names[path.parent].add(path.stem)
            places[path.stem].append(path.parent)
    finder = Splits(paths, root)
    bare = {folder: tuple(part for _, part in finder.without(folder / "x")) for folder in names}
    for folders in places.values():
        # A name that many albums have says little, and comparing all of these with each other takes long.
        pairs = itertools.combinations(folders, 2) if len(folders) <= MANY else itertools.pairwise(folders)
        for one, other in pairs:
            common = 2 * len(names[one] & names[other])
            if common >= min(len(names[one]), len(names[other])) and bare[one] != bare[other]:
                return one, other
    return None


def first_of_two_halves(paths):
    """The first of some pictures, if the left halves of all of them look like the right ones; else None."""
    some = evenly_spaced(paths, SAMPLE)
    return some[0] if some and all(map(has_two_halves, some)) else None


def has_two_halves(path):
    """Whether a picture's left half correlates with its right half."""
    try:
        width, height = picture_size(path)
        if width % 2 or width < 1.2 * height:
            return False
        grey = read_picture(path).mean(axis=2)
    except InputError:
        return False  # it is named when it is used
    step = max(1, height // 64)
    left, right = grey[::step, : width // 2 : step].ravel(), grey[::step, width // 2 :: step].ravel()
    size = min(len(left), len(right))
    if left.std() < 1 or right.std() < 1:
        return False
    return len(left) == len(right) and np.corrcoef(left[:size], right[:size])[0, 1] > ALIKE


def refuse(root, paths, reason, *folders):
    """Raises an InputError that shows a tree and says what would do.

    Args:
        root, paths: what was found.
        reason: str.
        folders: the two that may be the sides, for the flags; none where it is not clear which.
    """
    by_folder = collections.Counter(path.parent for path in paths)
    lines = [f"  {relative(root, folder)}/  {count} pictures" for folder, count in list(by_folder.items())[:10]]
    if len(by_folder) > 10:
        lines.append(f"  and {len(by_folder) - 10} more folders")
    lines.append(f"  such as {', '.join(relative(root, path) for path in evenly_spaced(paths, 3))}")
    blur, sharp = (folder.name for folder in folders) if folders else ("NAME", "NAME")
    raise InputError(
        f"It is not clear what {root} holds: {reason}.\n"
        + "\n".join(lines)
        + "\nFor sharp photos to be blurred by synthesis: --as photos\n"
        + f"For pairs, name the folders of the blurred and the sharp pictures: --blur {blur} --sharp {sharp} "
        "(blur/ and sharp/, input/ and target/ and the like need no flag)"
    )
