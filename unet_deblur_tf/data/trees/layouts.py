"""How data sets lay out their pairs: which folders and file names mean blurred, which sharp, which a split.

`LAYOUTS` holds the layouts of the field, an entry each; to add one, add an entry. What a tree is gets decided by the
words in it, whatever the order of its folders, in four steps:

1. A folder's name is split into words, capitals aside; "crops", "images" and the like say nothing. What is left names a
   split (`SPLITS`), or the blurred or the sharp side (the words of `LAYOUTS`), or both, as `train_blur` does. The
   innermost folder that names a side decides for a picture; `weak` words count only where no other does.
2. Where no folder names a side, file names do: `0_blur.png` beside `0_sharp.png`.
3. A blurred and a sharp picture are a pair if their paths agree once the words for the side are taken out: of folders,
   and of file names where these do not agree as they are (`blur_1.png` and `gt_1.png`).
4. Where a sharp folder stands beside pictures that nothing names, they are its blurred side if each has a sharp picture
   of its name (HIDE).
"""

import collections
import re
from pathlib import PurePath
from typing import NamedTuple

from unet_deblur_tf.errors import InputError


class Layout(NamedTuple):
    """How one kind of data set names the two sides of its pairs.

    Attributes:
        name: str, what people call it.
        blurred, sharp: tuples of names in lower case, words joined by "_".
        weak: bool, the names mean other things elsewhere: they count where both sides stand beside each other.
        on_request: names of further blurred folders, taken only by `--blur NAME`.
    """

    name: str
    blurred: tuple
    sharp: tuple
    weak: bool = False
    on_request: tuple = ()


LAYOUTS = (
    # GoPro: {train,test}/SEQUENCE/{blur,sharp}/FRAME.png; BSD: {train,valid,test}/SEQUENCE/{Blur,Sharp}/RGB/FRAME.png.
    Layout("blur and sharp, as GoPro and BSD", ("blur",), ("sharp",), on_request=("blur_gamma",)),
    # REDS: {train,val}/{train,val}_{blur,sharp}/SEQUENCE/FRAME.png.
    Layout("blur and sharp, as REDS", ("blur",), ("sharp",), on_request=("blur_comp", "blur_jpeg", "blur_bicubic")),
    # MPRNet, NAFNet, Restormer: {train,test}/{input,target}/NAME.png, for training often {input,target}_crops.
    Layout("input and target, as MPRNet and NAFNet", ("input", "inputs"), ("target", "targets")),
    # RealBlur: SCENE/{blur,gt}/{blur,gt}_N.png, with lists. RSBlur: SCENE/N/{real_blur,gt}/{real_blur,gt_sharp}.png.
    Layout("blur and gt, as RealBlur", ("blur",), ("gt",)),
    Layout("real_blur and gt, as RSBlur", ("real_blur",), ("gt",), on_request=("avg65", "avg_inter")),
    # HIDE: {train,test}/.../NAME.png and GT/NAME.png.
    Layout("split folders and GT, as HIDE", (), ("gt",)),
    # BasicSR.
    Layout("lq and gt, as BasicSR", ("lq", "low_quality"), ("gt", "hq", "ground_truth", "groundtruth")),
    # The Kaggle blur data set: {sharp,motion_blurred,defocused_blurred}/N_CAMERA_{S,M,F}.jpg.
    Layout(
        "motion_blurred and sharp, as Kaggle's blur data set",
        ("motion_blurred", "motion_blur"),
        ("sharp",),
        on_request=("defocused_blurred", "defocus_blur", "defocus"),
    ),
    Layout("blurred and sharp", ("blurred", "blurry"), ("sharp", "clean", "clear")),
    # pix2pix, CycleGAN.
    Layout("A and B, as pix2pix", ("a",), ("b",), weak=True),
)

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
SILENT = {"crop", "crops", "cropped", "image", "images", "img", "imgs", "png", "jpg", "patches", "frames", "lmdb"}
# Of file names alone, at their end: the Kaggle set's sharp, motion-blurred and defocused pictures.
FILE_ENDINGS = ("s", "m", "f")

_SIDES = {name: "blurred" for layout in LAYOUTS for name in layout.blurred}
_SIDES |= {name: "sharp" for layout in LAYOUTS for name in layout.sharp}
_WEAK = {name for layout in LAYOUTS if layout.weak for name in (*layout.blurred, *layout.sharp)}
_ON_REQUEST = {name for layout in LAYOUTS for name in layout.on_request}
_SPLIT_WORDS = {word: split for split, words in SPLITS.items() for word in words}


class Words(NamedTuple):
    """What a folder's name says.

    Attributes:
        split: "train", "val", "test" or None.
        rest: str, the other words, joined by "_": a side's name, a sequence, or "".
    """

    split: str | None
    rest: str


def read_words(name):
    """The `Words` of a folder's or a file's name."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    telling = [word for word in words if word not in SILENT]
    splits = [word for word in telling if word in _SPLIT_WORDS]
    # One split word at the beginning or the end, as in train_blur: "test" inside a sequence's name is none.
    split = splits[0] if splits and splits[0] in (telling[0], telling[-1]) else None
    rest = [word for word in telling if word != split]
    if split and rest and "_".join(rest) not in _SIDES.keys() | _ON_REQUEST:
        return Words(None, "_".join(words))  # such as a sequence called train_station
    return Words(_SPLIT_WORDS.get(split), "_".join(rest))


_PURE_SPLITS = {Words(split, "") for split in SPLITS}


def split_of(parts):
    """The split that the outermost of some folders names, or ""."""
    return next((split for part in parts if (split := read_words(part).split)), "")


class Side(NamedTuple):
    """Which side of a pair a picture is on, and what it must share with the other side.

    Attributes:
        side: "blurred", "sharp", "on request" (blurred, but only by `--blur NAME`), or None where nothing names it.
        word: str, the name that said so.
        folders: tuple of the path's folders below the root, without the one of that word.
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
        return self.split, tuple(folder.lower() for folder in self.folders)


class Names:
    """Which names mean blurred and sharp: those of `LAYOUTS`, or those that a user gave.

    Args:
        blur, sharp: str, the only name to take for that side; None for those of `LAYOUTS`.
    """

    def __init__(self, blur=None, sharp=None):
        self.blur, self.sharp = (name and read_words(name).rest for name in (blur, sharp))

    def side(self, name):
        """(side, weak) of a folder's name, see `Side`; (None, False) if it says nothing."""
        rest = read_words(name).rest
        if self.blur and rest == self.blur:
            return "blurred", False
        if self.sharp and rest == self.sharp:
            return "sharp", False
        side = "on request" if rest in _ON_REQUEST else _SIDES.get(rest)
        if side == "blurred" and self.blur:
            side = "on request"
        if side == "sharp" and self.sharp:
            side = None
        return side, rest in _WEAK

    def of_folders(self, path, root):
        """The `Side` of a picture by the folders that it lies in."""
        parts = path.relative_to(root).parent.parts
        found = [(number, *self.side(part)) for number, part in enumerate(parts)]
        found = [each for each in found if each[1]]
        strong = [each for each in found if not each[2]]
        number, side, _ = (strong or found or [(None, None, False)])[-1]
        word = parts[number] if side else ""
        folders = parts if side is None else (*parts[:number], *parts[number + 1 :])
        return Side(side, word, folders, split_of(parts), path)

    def of_file_name(self, path, root):
        """The `Side` of a picture by its own name: a word for a side at its beginning or end."""
        parts = path.relative_to(root).parent.parts
        words = re.split(r"[\W_]+", path.stem.lower())
        for word in dict.fromkeys((words[0], words[-1])) if len(words) > 1 else ():
            side, weak = self.side(word)
            if side in ("blurred", "sharp") and not weak:
                return Side(side, word, parts, split_of(parts), path)
        return Side(None, "", parts, split_of(parts), path)


def bare_stem(stem):
    """A file's stem without words for a side at its beginning and end: "blur_1" and "1_sharp" are both "1"."""
    words = [word for word in re.split(r"[\W_]+", stem.lower()) if word]
    known = (_SIDES.keys() | _ON_REQUEST | {"real", "avg"}) - _WEAK
    while words and words[0] in known:
        words.pop(0)
    while words and (words[-1] in known or (words[-1] in FILE_ENDINGS and len(words) > 1)):
        words.pop()
    return "_".join(words)


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
        blur, sharp: the user's names for the two sides, see `Names`.

    Returns:
        A `Match`; None if no folder and no file name means blurred or sharp.

    Raises:
        InputError: if a picture has no twin, two could be meant, or one side is missing.
    """
    names = Names(blur, sharp)
    sides = [names.of_folders(path, root) for path in paths]
    sides = without_lonely_weak_words(sides, names)
    if not any(side.side in ("blurred", "sharp") for side in sides):
        by_name = [names.of_file_name(path, root) for path in paths]
        if tells(by_name):
            sides = by_name
    if blur is None and not any(side.side == "blurred" for side in sides):
        sides = with_unnamed_blurred(sides)
    blurred = [side for side in sides if side.side == "blurred"]
    sharp_ones = [side for side in sides if side.side == "sharp"]
    if not blurred and not sharp_ones:
        if requested := sorted({side.word for side in sides if side.side}):
            raise InputError(f"{root} has blurred pictures in {', '.join(requested)}: --blur {requested[0]} takes them")
        if blur or sharp:
            given = " ".join(f"--{flag} {name}" for flag, name in (("blur", blur), ("sharp", sharp)) if name)
            raise InputError(f"No folder below {root} is called as {given} says")
        return None
    require_both_sides(blurred, sharp_ones, sides, names, root)
    pairs = pair_up(blurred, sharp_ones, root)
    used = {path for pair in pairs for path in (pair.blurred, pair.sharp)}
    return Match(layout_name(blurred, sharp_ones), pairs, [path for path in paths if path not in used])


def tells(by_name):
    """Whether file names say that there are pairs: a photo may be called "clear lake", but hardly "lake blurred"."""
    found = {side.side for side in by_name}
    return {"blurred", "sharp"} <= found or any("blur" in side.word for side in by_name)


def without_lonely_weak_words(sides, names):
    """The sides, with weak words taken for nothing where not both sides have one in the same place."""
    places = collections.defaultdict(set)
    for side in sides:
        if side.side and names.side(side.word)[1]:
            places[side.place].add(side.side)
    return [
        side._replace(side=None) if side.side and names.side(side.word)[1] and len(places[side.place]) < 2 else side
        for side in sides
    ]


def with_unnamed_blurred(sides):
    """The sides, with unnamed pictures as the blurred ones if each has a sharp picture of its name anywhere."""
    sharp = collections.Counter(side.path.stem for side in sides if side.side == "sharp")
    unnamed = [side for side in sides if side.side is None]
    stems = collections.Counter(side.path.stem for side in unnamed)
    matched = unnamed and all(sharp[stem] == 1 and count == 1 for stem, count in stems.items())
    if not matched:
        return sides
    split = {side.path.stem: side.split for side in unnamed}
    found = []
    for side in sides:
        if side.side is None:
            found.append(side._replace(side="blurred", folders=()))
        elif side.side == "sharp" and side.path.stem in split:
            found.append(side._replace(folders=(), split=split[side.path.stem]))
        else:
            found.append(side._replace(side=None))
    return found


def require_both_sides(blurred, sharp, sides, names, root):
    """Raises an InputError if one side of the pairs is missing everywhere."""
    if blurred and sharp:
        return
    here, missing, called = ("blurred", "sharp", names.sharp) if blurred else ("sharp", "blurred", names.blur)
    first = (blurred or sharp)[0]
    where = f"in a folder {called!r}" if called else f"below {root}"
    hint = f"--{'sharp' if blurred else 'blur'} NAME says what their folder is called"
    if not blurred:
        if requested := sorted({side.word for side in sides if side.side == "on request"}):
            hint = f"--blur {requested[0]} takes those in {', '.join(requested)}"
        elif not called:
            hint += ", --as photos blurs the sharp ones by synthesis"
    raise InputError(
        f"There are {here} pictures in {first.path.parent} ({first.word!r} means that), "
        f"but no {missing} ones {where}: {hint}"
    )


def pair_up(blurred, sharp, root):
    """The pairs, see `Match`: by key and file name, or by bare file name where that does not agree.

    Raises:
        InputError: if a picture has no twin, or several could be meant.
    """
    places = {}
    for number, some in enumerate((blurred, sharp)):
        for side in some:
            places.setdefault(side.place, ([], []))[number].append(side)
    pairs = []
    for (split, _), (some, others) in sorted(places.items()):
        exact = {side.path.stem for side in some} == {side.path.stem for side in others}

        def stem(side, exact=exact):
            return side.path.stem if exact else bare_stem(side.path.stem)

        twins = by_stem(others, stem)
        ours = by_stem(some, stem)
        for mine, theirs, kind in ((ours, twins, "sharp"), (twins, ours, "blurred")):
            if missing := sorted(mine.keys() - theirs.keys()):
                first = mine[missing[0]].path
                if not theirs:
                    raise InputError(f"{first.parent} has {len(missing)} pictures, but no {kind} twins beside it")
                more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
                raise InputError(f"{first} has no {kind} twin in {next(iter(theirs.values())).path.parent}{more}")
        sequence = "/".join(without_split((some or others)[0].folders))
        pairs += [Twins(split, sequence, ours[name].path, twins[name].path) for name in sorted(ours)]
    return pairs


def without_split(folders):
    """The folders without the outermost one that names a split and nothing else."""
    number = next((number for number, folder in enumerate(folders) if read_words(folder) in _PURE_SPLITS), None)
    return folders if number is None else (*folders[:number], *folders[number + 1 :])


def by_stem(sides, stem):
    """A dict from a picture's name to its `Side`.

    Raises:
        InputError: if two have the same name.
    """
    found = {}
    for side in sides:
        name = stem(side)
        if name in found:
            raise InputError(
                f"{found[name].path} and {side.path} have the same name: which is meant? --blur NAME and --sharp NAME "
                "say which folders to take"
            )
        found[name] = side
    return found


def layout_name(blurred, sharp):
    """The name of the first of `LAYOUTS` whose words these are, or the words."""
    words = [{read_words(side.word).rest for side in some} - {""} for some in (blurred, sharp)]
    for layout in LAYOUTS:
        if words[0] <= set(layout.blurred) and words[1] <= set(layout.sharp):
            return layout.name
    return " and ".join("/".join(sorted(some)) for some in words)
