"""Pairs of pictures on disk: blurred ones and, under the same names, their sharp twins.

A folder `sharp/` with a folder `blur/` beside it is a sequence. Any tree of them will
do, GoPro's official layout ({train,test}/SEQUENCE/{blur,sharp}/FRAME.png) and a plain
{blur,sharp}/ among them; a folder named train, val or test gives the split.
"""

import collections
import hashlib
from pathlib import Path
from typing import NamedTuple

from unet_deblur_tf.data.pictures import find_pictures, picture_size
from unet_deblur_tf.errors import InputError

SPLITS = ("train", "val", "test")
HELD_OUT = 0.1  # share of the pairs held out for a split that the folder does not name


class Pair(NamedTuple):
    """A blurred picture and its sharp twin.

    Attributes:
        sequence: str, the folder they come from, "" for a plain {blur,sharp}/.
        name: str, the file's name without its ending.
        blur, sharp: `Path` or `StoredPicture`.
        size: (width, height) of both, None before `measure_pairs`.
    """

    sequence: str
    name: str
    blur: Path
    sharp: Path
    size: tuple | None = None


def find_pairs(root, blur="blur"):
    """All pairs below a folder, by split, as `match_pairs` finds them."""
    return match_pairs(find_pictures(root, recursive=True), root, blur)


def match_pairs(paths, root, blur="blur"):
    """Pairs pictures by where they are and what they are called, whatever their endings.

    Args:
        paths: `PurePath` of all pictures below `root`; they need not be on disk.
        root: `PurePath`.
        blur: name of the folder of blurred pictures, such as GoPro's "blur_gamma".

    Returns:
        dict from "train", "val", "test" or "" to a list of `Pair`, by the outermost
        folder below `root` that has such a name ("" where none has); empty if there are
        no pictures in a folder `sharp` nor in one named as `blur`.

    Raises:
        InputError: if a picture has no twin, or one of the two folders stands alone.
    """
    sequences = {}
    for path in paths:
        if path.parent.name in (blur, "sharp") and path.parent != root:
            kinds = sequences.setdefault(path.parent.parent, {})
            named = kinds.setdefault(path.parent.name, {})
            if path.stem in named:
                raise InputError(f"{named[path.stem]} and {path} have the same name: which is meant?")
            named[path.stem] = path
    splits = {}
    for folder, kinds in sorted(sequences.items()):
        for kind, other in ((blur, "sharp"), ("sharp", blur)):
            if kind not in kinds:
                raise InputError(f"There are pictures in {folder / other} but none in a folder {kind!r} beside it")
        for kind, other in ((blur, "sharp"), ("sharp", blur)):
            alone = sorted(kinds[kind].keys() - kinds[other].keys())
            if alone:
                more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
                raise InputError(f"{kinds[kind][alone[0]]} has no twin in {folder / other}{more}")
        sequence = list(folder.relative_to(root).parts)
        split = next((part for part in sequence if part in SPLITS), "")
        if split:
            sequence.remove(split)  # the first of that name
        splits.setdefault(split, []).extend(
            Pair("/".join(sequence), name, kinds[blur][name], kinds["sharp"][name]) for name in sorted(kinds[blur])
        )
    return splits


def choose_split(splits, split, grouping, root):
    """One split of what a data set holds, held out of the training part where the set does not name it.

    Args:
        splits: dict from "train", "val", "test" or "" (no split named) to a list of items.
        split: "train", "val", "test" or "all".
        grouping: function from the items of the training part to a function from an
            item to the name of what must not be divided.
        root: the folder or the set's name, for messages.

    Returns:
        A list of items, never empty.

    Raises:
        InputError: if the split is empty.
    """
    if split == "all":
        return [item for items in splits.values() for item in items]
    splits = dict(splits)
    rest = splits.pop("", []) + splits.pop("train", [])
    for name in ("test", "val"):
        if name not in splits and rest:
            rest, splits[name] = hold_out(rest, grouping(rest))
    splits["train"] = rest
    if not splits.get(split):
        present = ", ".join(f"{len(items)} for {name}" for name, items in splits.items() if items)
        raise InputError(f"{root} has nothing for the {split} split; it has {present}")
    return splits[split]


def hold_out(items, group, share=HELD_OUT):
    """Sets a share of the items aside, whole groups at a time.

    Which ones depends on the groups' names alone, so it is the same on every machine.

    Returns:
        (kept, held out), two lists in the order given; nothing is held out of a single group.
    """
    sizes = collections.Counter(map(group, items))
    names = sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest())
    held, missing = set(), max(1, round(share * len(items)))
    for name in names[:-1]:
        if missing <= 0:
            break
        held.add(name)
        missing -= sizes[name]
    return [item for item in items if group(item) not in held], [item for item in items if group(item) in held]


def by_sequence(pairs):
    """Groups pairs by sequence, since frames of one video are alike; under three sequences, by picture."""
    if len({pair.sequence for pair in pairs}) >= 3:
        return lambda pair: pair.sequence
    return lambda pair: f"{pair.sequence}/{pair.name}"


def measure_pairs(pairs):
    """The same pairs with their sizes, from the headers of their files.

    Args:
        pairs: list of `Pair`.

    Returns:
        A list of `Pair`.

    Raises:
        InputError: naming the file, if one cannot be read or the twins differ in size.
    """
    return [pair if pair.size else pair._replace(size=_common_size(pair)) for pair in pairs]


def _common_size(pair):
    size, twin = picture_size(pair.blur), picture_size(pair.sharp)
    if size != twin:
        raise InputError(f"{pair.blur} is {_by(size)} but its twin {pair.sharp} is {_by(twin)}")
    return size


def require_size(pairs, smallest, reason):
    """Makes sure that no picture is too small.

    Args:
        pairs: list of `Pair`, measured.
        smallest: least height and width in pixels.
        reason: who needs that, for the message.

    Raises:
        InputError: naming the file.
    """
    for pair in pairs:
        if min(pair.size) < smallest:
            raise InputError(f"{pair.blur} is {_by(pair.size)}: at least {smallest}x{smallest} is needed {reason}")


def evenly_spaced(items, limit):
    """At most `limit` of the items, evenly spaced; all of them if `limit` is None."""
    if limit is None or len(items) <= limit:
        return items
    return [items[index * len(items) // limit] for index in range(limit)]


def _by(size):
    return f"{size[0]}x{size[1]}"
