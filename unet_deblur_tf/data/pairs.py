"""Pairs of a blurred picture and its sharp twin: their splits, and what is held out where a split is missing."""

import collections
import hashlib
from pathlib import Path
from typing import NamedTuple

from unet_deblur_tf.data.pictures import picture_size
from unet_deblur_tf.errors import InputError

SPLITS = ("train", "val", "test")
FEWEST = 3  # that can be divided into three splits
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

    @property
    def pictures(self):
        """The pictures that belong together, blurred first."""
        return self.blur, self.sharp


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
        few = ""
        if len(rest) < FEWEST and split != "train":
            few = f". At least {FEWEST} are needed to hold some out; evaluate --split all scores all of them"
        raise InputError(f"{root} has nothing for the {split} split; it has {present}{few}")
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
        pairs: list of `Pair`, or of anything else with `pictures` and `size`.

    Returns:
        A list of the same.

    Raises:
        InputError: naming the file, if one cannot be read or the twins differ in size.
    """
    return [pair if pair.size else pair._replace(size=_common_size(pair.pictures)) for pair in pairs]


def _common_size(pictures):
    first, *others = pictures
    size = picture_size(first)
    for other in others:
        if (twin := picture_size(other)) != size:
            raise InputError(f"{first} is {_by(size)} but its twin {other} is {_by(twin)}")
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
