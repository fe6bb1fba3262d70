"""What a folder of pictures is: pairs in some layout, or sharp photos. One line says it, or it is refused: no guesses.

Photos are what nothing in the tree speaks against: no folder and no file name that means blurred, no two folders with
the same file names, no pictures that show one scene twice, side by side (see `unnamed`).
"""

import collections
import re
from typing import NamedTuple

from unet_deblur_tf.data.pairs import Pair
from unet_deblur_tf.data.pictures import (
    PICTURE_SUFFIXES,
    HalfPicture,
    each_once,
    find_files,
    is_picture,
    picture_size,
)
from unet_deblur_tf.data.trees.layouts import Names
from unet_deblur_tf.data.trees.lists import read_lists
from unet_deblur_tf.data.trees.lmdb_pictures import find_lmdb_pictures
from unet_deblur_tf.data.trees.looks import doubts
from unet_deblur_tf.data.trees.matching import Twins, match_tree
from unet_deblur_tf.data.trees.refusals import (
    ARCHIVES,
    SPLIT_ORDER,
    counts,
    refuse,
    refuse_without_pictures,
    relative,
    require_clear_splits,
    require_lists_understood,
    require_pairs_of_all_splits,
    require_split_of_all,
)
from unet_deblur_tf.data.trees.splits import Splits
from unet_deblur_tf.data.trees.unnamed import refuse_what_could_be_pairs
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.formats import PHOTOS

MOST_FOLDERS = 3  # that a line names
# Pictures that data sets are not read from, and archives.
NOT_READ = ({*PHOTOS, ".ppm", ".pgm"} - PICTURE_SUFFIXES) | ARCHIVES


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
        return photo_tree(root, paths, certain=True)
    if kind == "side-by-side":
        return half_tree(root, paths)
    names = Names(blur, sharp)
    found = read_lists(files, root, names, Splits(paths, root, (names.blur, names.sharp)), lists)
    if found.pairs:
        used = {path for pair in found.pairs for path in (pair.blurred, pair.sharp)}
        unused = [path for path in paths if path not in used]
        named = f"pairs of the lists {', '.join(path.relative_to(root).as_posix() for path in found.files)}"
        # Where it is said which lists count, other data sets may lie beside.
        return pair_tree(root, named, found.pairs, {}, unused, None if lists else names, found.notes)
    inside = find_lmdb_pictures(files)
    match = match_tree([*paths, *inside], root, blur, sharp)
    if match:
        require_lists_understood(root, found, match.pairs)
        notes = [*found.notes, *not_read(files)]
        return pair_tree(root, match.name, match.pairs, inside, match.unused, names, notes)
    if not paths:
        refuse_without_pictures(root)
    if kind == "pairs":
        refuse(root, paths, "no folder and no file name in it means blurred or sharp")
    refuse_what_could_be_pairs(root, paths)
    return photo_tree(root, paths, notes=not_read(files))


def pair_tree(root, layout, twins, pictures, unused, names=None, notes=()):
    """The `Tree` of pairs.

    Args:
        root: `Path`.
        layout: str, its name.
        twins: list of `Twins`.
        pictures: dict from the paths that are not files to what `pictures.read_picture` takes.
        unused: list of paths of pictures that belong to no pair.
        names: `layouts.Names`, by which unused pictures of other splits are looked at; None to pass over them.
        notes: list of str, what else to say.

    Raises:
        InputError: if some pairs name a split and others do not, it is not clear whether they do, or a split has
            pictures, but no pairs.
    """
    found, twins = twins, each_once(twins, root, lambda pair: (pair.split, pair.blurred, pair.sharp))
    splits = by_split(twins, pictures)
    unsplit = [pair.blurred for pair in twins if not pair.split]
    require_clear_splits(root, unsplit)
    require_split_of_all(root, splits, next(iter(unsplit), None))
    if names:
        require_pairs_of_all_splits(root, layout, splits, unused, names)
    first = twins[0]
    parts = [
        f"{root}: {layout}; {counts(splits)}",
        f"blurred in {folders(root, (pair.blurred for pair in twins))}",
        f"sharp in {folders(root, (pair.sharp for pair in twins))}",
        f"such as {relative(root, first.blurred)} with {relative(root, first.sharp)}",
    ]
    if unused:
        parts.append(f"not used: {len(unused)} other, such as {relative(root, unused[0])}")
    parts += [*notes, *linked_again(found, twins), *doubts(splits)]
    return Tree(splits, False, "; ".join(parts))


def photo_tree(root, paths, certain=False, notes=()):
    """The `Tree` of sharp photos: those of its folders for splits, or else all under "".

    Args:
        root, paths: what was found.
        certain: bool, a user said that these are photos.
        notes: list of str, what else to say.
    """
    if not paths:
        refuse_without_pictures(root)
    finder, splits = Splits(paths, root), collections.defaultdict(list)
    photos = each_once(paths, root, lambda path: (finder.of(path), path))
    for path in photos:
        splits[finder.of(path)].append(path)
    if not certain:
        require_clear_splits(root, splits.get("", ()), "; --as photos takes all")
    unused = splits.pop("") if len(splits) > 1 and "" in splits else []
    first = next(iter(splits.values()))[0]
    parts = [f"{root}: {counts(splits, 'sharp photos')}, such as {relative(root, first)}"]
    if unused:
        parts.append(f"not used: {len(unused)} in no folder for a split, such as {relative(root, unused[0])}")
    return Tree(dict(splits), True, "; ".join([*parts, *notes, *linked_again(paths, photos)]))


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
    unsplit = [pair.blur.path for pair in splits.get("", ())]
    require_clear_splits(root, unsplit)
    require_split_of_all(root, splits, next(iter(unsplit), None))
    parts = [f"{root}: blurred (left) and sharp (right) side by side", counts(splits), *linked_again(paths, pictures)]
    parts += doubts(splits)
    return Tree(dict(splits), False, "; ".join(parts))


def find_pairs(root, blur=None, sharp=None):
    """All pairs below a folder that must hold pairs, by split, see `read_tree`."""
    return read_tree(root, "pairs", blur, sharp).splits


def by_split(twins, pictures=None):
    """A dict from splits to lists of `Pair`; the arguments are those of `pair_tree`."""
    pictures, splits = pictures or {}, {split: [] for split in SPLIT_ORDER}
    for pair in twins:
        blurred, sharp = (pictures.get(path, path) for path in (pair.blurred, pair.sharp))
        splits[pair.split].append(Pair(sequence_of(pair), pair.blurred.stem, blurred, sharp))
    return {split: found for split, found in splits.items() if found}


def sequence_of(pair: Twins):
    """The sequence of a pair: its folders, and what stands before the frame in a name such as GOPR0372_07_00-000047."""
    match = re.fullmatch(r"(.+?)[-_]\d{4,}([-_].*)?", pair.blurred.stem)
    return "/".join(filter(None, [pair.sequence, match and match[1]]))


def not_read(files):
    """What to say of pictures in formats that data sets are not read from, and of archives: a list of str."""
    endings = collections.Counter(path.suffix.lower() for path in files if not path.name.startswith("."))
    passed = [f"{count} {ending}" for ending, count in endings.most_common() if ending in NOT_READ]
    return [f"not read: {', '.join(passed)}"] if passed else []


def linked_again(found, kept):
    """What to say of what `each_once` left out of what was found: a list of str."""
    left_out = len(found) - len(kept)
    return [f"{left_out} that links lead to again count once"] if left_out else []


def folders(root, paths):
    """Where pictures lie, in words: some of their folders and how many there are."""
    found = list(dict.fromkeys(relative(root, path.parent) for path in paths))
    more = f" and {len(found) - MOST_FOLDERS} more" if len(found) > MOST_FOLDERS else ""
    return ", ".join(found[:MOST_FOLDERS]) + more
