"""Finds the pairs of a tree by the names of its folders and files, in whatever order the folders are nested.

1. The innermost folder whose name means blurred or sharp decides for a picture; weak words count only where nothing
   else does, and only if both sides stand beside each other and have the same file names.
2. Where no folder names a side, file names do: `0_blur.png` beside `0_sharp.png`, or `0/blur.png` and `0/sharp.png`.
3. A blurred and a sharp picture are a pair if their paths agree once the words for the side are taken out: of folders,
   and of file names where these do not agree as they are (`blur_1.png` and `gt_1.png`).
4. Where a sharp folder stands beside folders for splits with pictures that nothing names, these are the blurred side if
   each has a sharp picture of its name (HIDE).
"""

import collections
import unicodedata
from pathlib import PurePath
from typing import NamedTuple

from unet_deblur_tf.data.trees.layouts import BLURRED_ENDINGS, LAYOUTS, SHARP_ENDINGS, Names, read_name, words_of
from unet_deblur_tf.data.trees.splits import Splits
from unet_deblur_tf.errors import InputError


class Side(NamedTuple):
    """Which side of a pair a picture is on, and what it must share with the other side.

    Attributes:
        side: "blurred", "sharp", "on request" (blurred, but only by `--blur NAME`), or None where nothing names it.
        word: str, the name that said so.
        folders: tuple of the path's folders below the root, without those that name the side or the split.
        split: "train", "val", "test" or "".
        path: `PurePath`.
    """

    side: str | None
    word: str
    folders: tuple
    split: str
    path: PurePath

    @property
    def place(self):
        """What the two sides of a pair have in common besides the file's name."""
        return self.split, tuple(unicodedata.normalize("NFC", folder).lower() for folder in self.folders)

    @property
    def stem(self):
        """The file's name without its ending, composed as one system or another writes it."""
        return unicodedata.normalize("NFC", self.path.stem)


class Twins(NamedTuple):
    """A pair of a tree.

    Attributes:
        split: "train", "val", "test" or "".
        sequence: str, the folders that say neither side nor split, "" if there are none.
        blurred, sharp: `PurePath`.
    """

    split: str
    sequence: str
    blurred: PurePath
    sharp: PurePath


class Match(NamedTuple):
    """A tree that holds pairs.

    Attributes:
        name: str, the layout's.
        pairs: list of `Twins`, by place and name.
        unused: list of `PurePath` of pictures that belong to no pair, such as those on request.
    """

    name: str
    pairs: list
    unused: list


def match_tree(paths, root, blur=None, sharp=None):
    """Finds the pairs of a tree.

    Args:
        paths: list of `PurePath` of all pictures below `root`; they need not be on disk.
        root: `PurePath`.
        blur, sharp: the user's names for the two sides, see `layouts.Names`.

    Returns:
        A `Match`; None if no folder and no file name means blurred or sharp.

    Raises:
        InputError: if a picture has no twin, two could be meant, or one side is missing.
    """
    names = Names(blur, sharp)
    splits = Splits(paths, root, (names.blur, names.sharp))
    sides = find_sides(paths, names, splits)
    blurred, sharp_ones = (of_side(sides, side) for side in ("blurred", "sharp"))
    if not blurred and not sharp_ones:
        require_names(sides, names, root)
        return None
    require_both_sides(blurred, sharp_ones, sides, names, root)
    pairs = pair_up(blurred, sharp_ones, names)
    used = {path for pair in pairs for path in (pair.blurred, pair.sharp)}
    return Match(layout_name(blurred, sharp_ones), pairs, [path for path in paths if path not in used])


def of_side(sides, side):
    """Those of a list of `Side` that are on one side."""
    return [each for each in sides if each.side == side]


def find_sides(paths, names, splits):
    """The `Side` of each picture."""
    sides = sides_by_folders(paths, names, splits)
    if not of_side(sides, "blurred") or not of_side(sides, "sharp"):
        # Such as A/ and B/ below a folder that happens to be called "input".
        weak_names = Names(names.blur, names.sharp, weak_only=True)
        weak = sides_by_folders(paths, weak_names, splits)
        if of_side(weak, "blurred") and of_side(weak, "sharp"):
            return weak
    if not of_side(sides, "blurred") and not of_side(sides, "sharp"):
        by_name = [side_by_file_name(path, names, splits) for path in paths]
        if tells(by_name):
            return by_name
        by_whole_name = [side_by_file_name(path, names, splits, whole=True) for path in paths]
        if {side.side for side in by_whole_name} == {"blurred", "sharp"}:
            return by_whole_name
    if names.blur is None and not of_side(sides, "blurred"):
        return with_unnamed_blurred(sides)
    return sides


def sides_by_folders(paths, names, splits):
    """The `Side` of each picture by the folders that it lies in, and that the others lie in."""
    sides = [side_by_folders(path, names, splits) for path in paths]
    return without_lonely_weak_words(without_raw(sides, splits.root), names)


def without_raw(sides, root):
    """The sides, without the pictures in Raw/ where there are others: BSD has RGB/ and Raw/ below each side."""

    def is_raw(side):
        inner_first = side.path.relative_to(root).parent.parts[::-1]
        return "raw" in map(str.lower, inner_first[: inner_first.index(side.word)])

    raw = {id(side): is_raw(side) for side in sides if side.side in ("blurred", "sharp")}
    others = {side.side for side in sides if raw.get(id(side)) is False}
    instead = {"blurred": "on request", "sharp": None}
    return [
        side._replace(side=instead[side.side]) if raw.get(id(side)) and side.side in others else side for side in sides
    ]


def side_by_folders(path, names, splits):
    """The `Side` of a picture by the folders that it lies in."""
    parts = path.relative_to(splits.root).parent.parts
    found = [(part, *names.side(part)) for part in parts]
    telling = [each for each in found if each[1]]
    strong = [each for each in telling if not each[2]]
    word, side, weak = (strong or telling or [("", None, False)])[-1]
    same = {number for number, each in enumerate(found) if side and each[1:] == (side, weak)}
    folders = tuple(part for number, part in splits.without(path) if number not in same)
    return Side(side, word, folders, splits.of(path), path)


def side_by_file_name(path, names, splits, whole=False):
    """The `Side` of a picture by its own name: a word for a side at its beginning or end.

    With `whole`, it may be the whole name, too. That counts only where it says the side of all pictures, such as of
    SCENE/blur.png and SCENE/sharp.png.
    """
    folders = tuple(part for _, part in splits.without(path))
    words = [word for word in words_of(path.stem) if not word.isdigit()]
    numbered = any(word.isdigit() for word in words_of(path.stem))
    for word in dict.fromkeys((words[0], words[-1])) if words and (len(words) > 1 or numbered or whole) else ():
        side, weak = names.side(word)
        if side in ("blurred", "sharp") and not weak:
            return Side(side, word, folders, splits.of(path), path)
    return Side(None, "", folders, splits.of(path), path)


def tells(by_name):
    """Whether file names say that there are pairs: a photo may be called "clear lake", but hardly "lake blurred"."""
    found = {side.side for side in by_name}
    return {"blurred", "sharp"} <= found or any("blur" in side.word for side in by_name)


def without_lonely_weak_words(sides, names):
    """The sides, with weak words taken for nothing where they do not make two sides.

    A/ and B/ are two sides if no other folder of pictures stands beside them, and they have the same file names for the
    most part: else they may be albums.
    """
    places = collections.defaultdict(lambda: {"blurred": set(), "sharp": set(), None: set()})
    weak = {id(side) for side in sides if side.side and names.side(side.word)[1]}
    for side in sides:
        if id(side) in weak:
            places[side.place][side.side].add(side.stem)
    beside = {(side.split, side.place[1][:-1]) for side in sides if id(side) not in weak and side.place[1]}

    def lonely(side):
        stems = places[side.place]
        common = 2 * len(stems["blurred"] & stems["sharp"])
        few = min(len(stems["blurred"]), len(stems["sharp"]))
        return not few or common < few or side.place in beside

    return [side._replace(side=None) if id(side) in weak and lonely(side) else side for side in sides]


def with_unnamed_blurred(sides):
    """The sides; unnamed pictures in folders for splits are the blurred ones if each has a sharp one of its name."""
    sharp = collections.Counter(side.stem for side in sides if side.side == "sharp")
    split_of_sharp = {side.stem: side.split for side in sides if side.side == "sharp"}
    unnamed = [side for side in sides if side.side is None]
    stems = collections.Counter(side.stem for side in unnamed)
    matched = unnamed and all(
        side.split and sharp[side.stem] == stems[side.stem] == 1 and split_of_sharp[side.stem] in ("", side.split)
        for side in unnamed
    )
    if not matched:
        return sides
    split = {side.stem: side.split for side in unnamed}
    found = []
    for side in sides:
        if side.side is None:
            found.append(side._replace(side="blurred", folders=()))
        elif side.side == "sharp" and side.stem in split:
            found.append(side._replace(folders=(), split=split[side.stem]))
        else:
            found.append(side._replace(side=None))
    return found


def require_names(sides, names, root):
    """Raises an InputError if a tree without sides has pictures on request, or not the folders that a user named."""
    if requested := sorted({side.word for side in sides if side.side}):
        raise InputError(f"{root} has blurred pictures in {', '.join(requested)}: --blur {requested[0]} takes them")
    if names.blur or names.sharp:
        flags = " ".join(f"--{flag} {name}" for flag, name in (("blur", names.blur), ("sharp", names.sharp)) if name)
        raise InputError(f"No folder below {root} is called as {flags} says")


def require_both_sides(blurred, sharp, sides, names, root):
    """Raises an InputError if one side of the pairs is missing everywhere."""
    if blurred and sharp:
        return
    here, missing, called = ("blurred", "sharp", names.sharp) if blurred else ("sharp", "blurred", names.blur)
    first = (blurred or sharp)[0]
    where = f"in a folder {called!r}" if called else f"below {root}"
    hint = f"--{'sharp' if blurred else 'blur'} NAME says what their folder is called"
    if blurred:
        hint += "; --as photos takes all pictures for sharp ones"
    elif requested := sorted({side.word for side in sides if side.side == "on request"}):
        hint = f"--blur {requested[0]} takes those in {', '.join(requested)}"
    elif not called:
        hint += "; --as photos takes all pictures for sharp ones, to be blurred by synthesis"
    raise InputError(
        f"There are {here} pictures in {first.path.parent} ({first.word!r} means that), "
        f"but no {missing} ones {where}: {hint}"
    )


def pair_up(blurred, sharp, names):
    """The pairs, see `Match`: by place and file name, or by bare file name where that does not agree.

    A split for which no sharp picture was published is left out.

    Raises:
        InputError: if a picture has no twin, or several could be meant.
    """
    with_sharp = {side.split for side in sharp}
    places = {}
    for number, some in enumerate((blurred, sharp)):
        for side in some:
            if side.split in with_sharp or not side.split:
                places.setdefault(side.place, ([], []))[number].append(side)
    pairs = []
    for (split, _), (some, others) in sorted(places.items()):
        key = key_of(some, others, names)
        ours, theirs = by_key(some, key), by_key(others, key)
        require_twins(ours, theirs, "sharp")
        require_twins(theirs, ours, "blurred")
        sequence = "/".join(some[0].folders)
        pairs += [Twins(split, sequence, ours[name].path, theirs[name].path) for name in sorted(ours)]
    return pairs


def key_of(blurred, sharp, names):
    """The function from a `Side` to what twins of one place have in common."""
    if {side.stem for side in blurred} == {side.stem for side in sharp}:
        return lambda side: side.stem
    last = [{words_of(side.stem)[-1:][0] if words_of(side.stem) else "" for side in some} for some in (blurred, sharp)]
    endings = last[0] <= {*BLURRED_ENDINGS} and last[1] <= {*SHARP_ENDINGS}
    return lambda side: names.bare_stem(side.stem, endings)


def require_twins(mine, theirs, kind):
    """Raises an InputError for the first picture without a twin on the side `kind`."""
    missing = sorted(mine.keys() - theirs.keys())
    if not missing:
        return
    first = mine[missing[0]].path
    if not theirs:
        raise InputError(
            f"{first.parent} has {len(missing)} pictures, but no {kind} twins beside it: move it elsewhere, or "
            "name the folders by --blur NAME --sharp NAME"
        )
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    raise InputError(f"{first} has no {kind} twin in {next(iter(theirs.values())).path.parent}{more}")


def by_key(sides, key):
    """A dict from what `key` gives to the `Side`.

    Raises:
        InputError: if two are the same.
    """
    found = {}
    for side in sides:
        name = key(side)
        if name in found:
            other = found[name].path
            advice = "remove one of them"
            if other.parent != side.path.parent:
                advice = "--blur NAME and --sharp NAME say which folders to take"
            raise InputError(f"{other} and {side.path} have the same name: which is meant? {advice}")
        found[name] = side
    return found


def layout_name(blurred, sharp):
    """The name of the first of `LAYOUTS` whose words these are, or the words."""
    readings = [[read_name(side.word) for side in some] for some in (blurred, sharp)]
    words = [{reading.rest or reading.full for reading in some} - {""} for some in readings]
    for layout in LAYOUTS:
        if words[0] <= set(layout.blurred) and words[1] <= set(layout.sharp) and (words[0] or not layout.blurred):
            return layout.name
    return " and ".join("/".join(sorted(some)) for some in words)
