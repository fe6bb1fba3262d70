"""Pairs of a blurred and a sharp picture: how they are split, and how a missing split is held out."""

import collections
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from unet_deblur_tf.data.pictures import picture_size
from unet_deblur_tf.errors import InputError

SPLITS = ("train", "val", "test")
FEWEST = 3  # the smallest number of items that can be divided into three splits
HELD_OUT = 0.1  # share of the items that is held out for a missing split
MOST = 2  # a larger group than this many times what is wanted is held out only where the smaller ones are too few
CROP = r"[-_]s\d{3,}$"  # at the end of the name of a crop, its number
ENOUGH = 0.25  # share of what is wanted that smaller groups must hold together


class Pair(NamedTuple):
    """A blurred picture and the sharp picture of the same scene.

    Attributes:
        sequence: str, the recording or folder that they belong to; "" for a plain {blur,sharp}/.
        name: str, the file name without its ending.
        blur, sharp: each a `Path`, or another object that `pictures.read_picture` accepts.
        size: (width, height) of both, None before `measure_pairs`.
    """

    sequence: str
    name: str
    blur: Any
    sharp: Any
    size: tuple[int, int] | None = None

    @property
    def pictures(self) -> tuple:
        """Both pictures, the blurred one first."""
        return self.blur, self.sharp


def choose_split(splits: dict[str, list], split: str, grouping: Callable, root: str | Path, advice: str = "") -> list:
    """Returns the items of one split. If the data set does not name the split, it is held out of the training part.

    Args:
        splits: dict from "train", "val", "test" or "" (no split given) to a list of items, such as pairs.
        split: "train", "val", "test" or "all".
        grouping: function from the items of the training part to a function from an item to the name of its group.
            Items of the same group stay in the same split. It is called once, before anything is held out.
        root: the folder, or the name of the set, for messages.
        advice: str, what else a user can do where there are too few items to hold some out, for messages.

    Returns:
        List of items, never empty.

    Raises:
        InputError: if the split is empty.
    """
    if split == "all":
        return [item for items in splits.values() for item in items]
    splits = dict(splits)
    rest = splits.pop("", []) + splits.pop("train", [])
    group = grouping(rest)
    missing = [name for name in ("test", "val") if name not in splits]
    while missing and rest:
        name = missing.pop(0)
        rest, splits[name] = hold_out(rest, group, others=len(missing))
    splits["train"] = rest
    if not splits.get(split):
        present = ", ".join(f"{len(items)} for {name}" for name, items in splits.items() if items)
        reason = ""
        if len(rest) < FEWEST and split != "train":
            reason = f". At least {FEWEST} are needed to hold some out" + (f"; {advice}" if advice else "")
        raise InputError(f"{root} has nothing for the {split} split; it has {present}{reason}")
    return splits[split]


def digest_of(name: str) -> bytes:
    """SHA-256 of a name, which need not be valid UTF-8: names of files are not always."""
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()


def hold_out(items: list, group: Callable[[Any], str], others: int = 0, share: float = HELD_OUT) -> tuple[list, list]:
    """Holds out a share of the items, in whole groups.

    The choice depends only on the names and sizes of the groups, so it is the same on every machine.

    Args:
        items: list of items.
        group: function from an item to the name of its group. No group of more than half of the items is held out.
        others: int, number of splits that are held out after this one; a group is left for each if there are enough.
        share: float, the share to hold out; at least one group is held out, and at least one is kept.

    Returns:
        (kept, held out), two lists in the order of `items`. If there is only one group, nothing is held out.
    """
    sizes = collections.Counter(map(group, items))
    missing = max(1, round(share * len(items)))
    # A group that is much too large stays to train on, unless the smaller ones hardly hold anything.
    largest = min(len(items) // 2, MOST * max(missing, _large_enough(sizes.values(), ENOUGH * missing)))
    names = [name for name in sorted(sizes, key=digest_of) if sizes[name] <= largest]
    free = min(len(names), len(sizes) - 1)
    held = set()
    for name in names[: max(free - others, min(free, 1))]:
        if missing <= 0:
            break
        held.add(name)
        missing -= sizes[name]
    return [item for item in items if group(item) not in held], [item for item in items if group(item) in held]


def _large_enough(sizes, total):
    """The smallest size for which the groups up to it hold `total` items together, or the largest size."""
    size = 0
    for size in sorted(sizes):
        total -= size
        if total <= 0:
            break
    return size


def by_sequence(pairs: list[Pair]) -> Callable[[Pair], str]:
    """Returns the function that groups pairs: by sequence, whose frames are alike, or by picture below 3 sequences.

    Crops of one picture stay together, since they overlap: 000047_s001.png is the first of 000047.png (MPRNet, NAFNet).
    """
    if len({pair.sequence for pair in pairs}) >= 3:
        return lambda pair: pair.sequence
    return lambda pair: f"{pair.sequence}/{re.sub(CROP, '', pair.name)}"


def measure_pairs(pairs: list) -> list:
    """Adds the sizes of the pictures, read from the headers of their files.

    Args:
        pairs: list of `Pair`, or of other named tuples with `pictures` and `size`.

    Returns:
        List of the same, with sizes.

    Raises:
        InputError: if a file cannot be read, or the pictures of a pair differ in size; it names the files.
    """
    return [pair if pair.size else pair._replace(size=common_size(pair.pictures, "its twin ")) for pair in pairs]


def common_size(pictures: Iterable, kind: str = "", why: str = "") -> tuple[int, int]:
    """Reads the size of pictures that must have the same one, from the headers of their files.

    Args:
        pictures: paths or other pictures, see `picture_size`; at least one.
        kind, why: str, what comes before the name of a picture of another size, and at the end of the message.

    Returns:
        (width, height).

    Raises:
        InputError: if a file cannot be read, or a picture has another size than the first; it names both.
    """
    pictures = iter(pictures)
    first = next(pictures)
    size = picture_size(first)
    for other in pictures:
        if (other_size := picture_size(other)) != size:
            raise InputError(f"{first} is {size_text(size)} but {kind}{other} is {size_text(other_size)}{why}")
    return size


def require_size(pairs: list, smallest: int, reason: str) -> None:
    """Checks that no picture is too small.

    Args:
        pairs: list of `Pair` with sizes.
        smallest: int, smallest allowed height and width in pixels.
        reason: str, what needs that size, such as "by --crop", for the message.

    Raises:
        InputError: if a picture is smaller; it names the file.
    """
    for pair in pairs:
        if min(pair.size) < smallest:
            raise InputError(
                f"{pair.blur} is {size_text(pair.size)}: at least {smallest}x{smallest} is needed {reason}"
            )


def evenly_spaced(items: list, limit: int | None) -> list:
    """Returns at most `limit` of the items, evenly spaced; all of them if `limit` is None."""
    if limit is None or len(items) <= limit:
        return items
    return [items[index * len(items) // limit] for index in range(limit)]


def size_text(size: tuple[int, int]) -> str:
    """A (width, height) as text, such as "1280x720"."""
    return f"{size[0]}x{size[1]}"
