"""What a folder of pictures is: pairs in some layout, or sharp photos. One line says it, or it is refused: no guesses.

Photos are what nothing in the tree speaks against: no folder and no file name that means blurred, no two folders with
the same file names, no pictures that show one scene twice, side by side.
"""

import collections
import itertools
import re
from typing import NamedTuple

from unet_deblur_tf.data.pairs import Pair, evenly_spaced
from unet_deblur_tf.data.pictures import (
    PICTURE_SUFFIXES,
    HalfPicture,
    each_once,
    find_files,
    is_picture,
    picture_size,
)
from unet_deblur_tf.data.trees.layouts import Names, words_of
from unet_deblur_tf.data.trees.lists import read_lists
from unet_deblur_tf.data.trees.lmdb_pictures import find_lmdb_pictures
from unet_deblur_tf.data.trees.looks import doubts, first_of_two_halves
from unet_deblur_tf.data.trees.matching import Twins, match_tree
from unet_deblur_tf.data.trees.splits import Splits
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.formats import PHOTOS

SPLIT_ORDER = ("train", "val", "test", "")
MOST_FOLDERS = 3  # that a line names
# Pictures that data sets are not read from, and archives.
NOT_READ = ({*PHOTOS, ".ppm", ".pgm"} - PICTURE_SUFFIXES) | {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"}
GIVEN = 3  # of the folders in the given path, how many are looked at
MANY = 20  # folders with the same file name
BLURRED_WITHOUT_THE_WORD = {"lq", "out_of_focus"}


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
        lists = ", ".join(path.relative_to(root).as_posix() for path in found.files)
        return pair_tree(root, f"pairs of the lists {lists}", found.pairs, {}, unused, found.notes)
    inside = find_lmdb_pictures(files)
    match = match_tree([*paths, *inside], root, blur, sharp)
    if match:
        require_lists_understood(root, found, match.pairs)
        notes = [*found.notes, *not_read(files)]
        return pair_tree(root, match.name, match.pairs, inside, match.unused, notes)
    if not paths:
        refuse_without_pictures(root)
    if kind == "pairs":
        refuse(root, paths, "no folder and no file name in it means blurred or sharp")
    refuse_what_could_be_pairs(root, paths)
    return photo_tree(root, paths, notes=not_read(files))


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
        InputError: if some pairs name a split and others do not, or it is not clear whether they do.
    """
    found, twins = twins, each_once(twins, root, lambda pair: (pair.split, pair.blurred, pair.sharp))
    splits = by_split(twins, pictures)
    require_clear_splits(root, [pair.blurred for pair in twins if not pair.split])
    require_split_of_all(root, splits, next((pair.blurred for pair in twins if not pair.split), None))
    require_pairs_of_all_splits(root, layout, splits, unused)
    first = twins[0]
    parts = [
        f"{root}: {layout}; {counts(splits)}",
        f"blurred in {folders(root, (pair.blurred for pair in twins))}",
        f"sharp in {folders(root, (pair.sharp for pair in twins))}",
        f"such as {relative(root, first.blurred)} with {relative(root, first.sharp)}",
    ]
    if unused:
        parts.append(f"not used: {len(unused)} other, such as {relative(root, unused[0])}")
    parts += [*notes, *linked_again(found, twins), *doubts([pair for each in splits.values() for pair in each])]
    return Tree(splits, False, "; ".join(parts))


def require_split_of_all(root, splits, first):
    """Raises an InputError if some pairs are in a split and others are not; `first` is the path of one of these."""
    if splits.get("") and len(splits) > 1:
        others = " and ".join(split for split in SPLIT_ORDER if split and split in splits)
        raise InputError(
            f"{root} has {counts(splits)}: those without a split, such as {relative(root, first)}, could be of any. "
            f"Move them below a folder train/, val/ or test/, or elsewhere; others are in {others}"
        )


def require_lists_understood(root, lists, pairs):
    """Raises an InputError if nothing says which pairs are of which split but `Lists` that were not understood."""
    reasons = [f"{path.relative_to(root).as_posix()} is not understood" for path in lists.unread] + lists.notes
    if reasons and not any(pair.split for pair in pairs):
        raise InputError(
            f"{root} has {len(pairs)} pairs, and a list that may say which of them are of which split, but "
            f"{reasons[0]}. A line should name a blurred and a sharp picture, such as blur/1.png sharp/1.png. "
            "Or move it elsewhere"
        )


def not_read(files):
    """What to say of pictures in formats that data sets are not read from, and of archives: a list of str."""
    endings = collections.Counter(path.suffix.lower() for path in files if not path.name.startswith("."))
    passed = [f"{count} {ending}" for ending, count in endings.most_common() if ending in NOT_READ]
    return [f"not read: {', '.join(passed)}"] if passed else []


def require_clear_splits(root, paths):
    """Raises an InputError if names have words for splits in a way that does not tell whether they mean them.

    Args:
        root: `Path`.
        paths: list of `PurePath` of pictures of which no folder names a split.
    """
    if unclear := Splits(paths, root).unclear(paths):
        raise InputError(
            f"It is not clear what is for training in {root}: {' and '.join(unclear)} name splits, but not as folders "
            "that are called alike but for the split. Move the pictures to folders such as train/ and test/"
        )


def require_pairs_of_all_splits(root, layout, splits, unused):
    """Raises an InputError if a split has pictures, but no pairs; it may have blurred pictures alone, as in REDS."""
    finder = Splits(unused, root)
    for path in unused:
        split = finder.of(path)
        alone = any(Names().side(part)[0] in ("blurred", "on request") for part in path.relative_to(root).parent.parts)
        if split and splits and split not in splits and not alone:
            raise InputError(
                f"{root} has {counts(splits)} ({layout}), and {split} pictures that are in no pair, such as "
                f"{relative(root, path)}. Name them as the others are, in folders or lists, or move them elsewhere"
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
        require_clear_splits(root, splits.get("", ()))
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
    require_clear_splits(root, [pair.blur.path for pair in splits.get("", ())])
    require_split_of_all(root, splits, next((pair.blur.path for pair in splits.get("", ())), None))
    parts = [f"{root}: blurred (left) and sharp (right) side by side", counts(splits), *linked_again(paths, pictures)]
    parts += doubts([pair for each in splits.values() for pair in each])
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
    if twins := names_but_for_a_word(paths):
        one, other = (relative(root, path) for path in twins)
        refuse(root, paths, f"{one} and {other} are called the same but for a word, as pairs are")
    if half := first_of_two_halves(paths):
        refuse(root, paths, f"{relative(root, half)} shows one scene twice, side by side: --as side-by-side takes that")


def means_blurred(name):
    """Whether a name has a word such as blur, blurry or defocused anywhere in it; deblurred is none."""
    words = words_of(name)
    blurred = any(("blur" in word or "defocus" in word) and "deblur" not in word for word in words)
    return blurred or "_".join(words) in BLURRED_WITHOUT_THE_WORD


def without_word(stem, place):
    """The words of a file's name as a tuple, without the first (0) or the last one (-1), if others are left."""
    words = words_of(stem)
    if len(words) > 1 and not words[place].isdigit():
        del words[place]
    return tuple(words)


def names_but_for_a_word(paths):
    """Two pictures of one folder that are called the same but for a word at one end, if half of all are; or None."""
    for place in (-1, 0):
        groups = collections.defaultdict(list)
        for path in paths:
            groups[path.parent, without_word(path.stem, place)].append(path)
        twins = [group for group in groups.values() if len(group) > 1]
        if twins and 2 * sum(map(len, twins)) >= len(paths):
            return twins[0][:2]
    return None


def parallel_folders(root, paths):
    """Two folders of which one has at least half of its file names in common with the other, or None.

    Where names do not agree as they are, they do without a word at one end that all in their folder have: 1_A.jpg.
    """
    finder = Splits(paths, root)
    bare = {path.parent: tuple(part for _, part in finder.without(path)) for path in paths}
    return next(filter(None, (_parallel(bare, names) for names in _namings(paths))), None)


def _namings(paths):
    """Yields dicts from folders to the names of their pictures: as they are, without the first, and the last word."""
    yield _by_folder((path.parent, path.stem) for path in paths)
    for place in (0, -1):
        ends = _by_folder((path.parent, (words_of(path.stem) or [""])[place]) for path in paths)
        alike = {folder for folder, words in ends.items() if len(words) == 1}
        yield _by_folder((path.parent, without_word(path.stem, place)) for path in paths if path.parent in alike)


def _by_folder(items):
    """A dict from folders to sets of what (folder, item) pairs them with."""
    found = collections.defaultdict(dict)
    for folder, item in items:
        found[folder][item] = None
    return {folder: found[folder].keys() for folder in found}


def _parallel(bare, names):
    """Two folders with names in common, see `parallel_folders`; `bare` has the folders' own names without a split."""
    places = collections.defaultdict(list)
    for folder, some in names.items():
        for name in some:
            places[name].append(folder)
    for folders in places.values():
        # A name that many albums have says little, and comparing all of these with each other takes long.
        pairs = itertools.combinations(folders, 2) if len(folders) <= MANY else itertools.pairwise(folders)
        for one, other in pairs:
            common = 2 * len(names[one] & names[other])
            if common >= min(len(names[one]), len(names[other])) and bare[one] != bare[other]:
                return one, other
    return None


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
