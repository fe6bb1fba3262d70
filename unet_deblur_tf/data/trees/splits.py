"""Which part of a data set a picture belongs to, by the folders that it lies in.

A folder names a split if its name has one split word and besides nothing, or a word for a side (`train_blur`), or if a
folder beside it is called the same but for the split (`GoPro_train` and `GoPro_test`, `train2017` and `val2017`). Where
folders of one path name different splits, the outer one counts, unless the inner one has a sibling of another split.

Where names have words for several splits in another way, such as `GoPro_train` beside `HIDE_test`, it is not clear
whether they mean them: `unclear_splits` finds these.
"""

import collections

from unet_deblur_tf.data.trees.layouts import ON_REQUEST, SIDES, read_name


class Splits:
    """The splits of a tree.

    Args:
        paths: list of `PurePath` of all pictures below `root`.
        root: `PurePath`.
        names: tuple of a user's names for the sides, as `layouts.Reading.full` has them.
    """

    def __init__(self, paths, root, names=()):
        self.root = root
        self._sides = {*filter(None, names)}
        self._known = {*SIDES, *ON_REQUEST, *self._sides}
        self._splits = {parent: self._named(children) for parent, children in _below(paths, root).items()}

    def _named(self, children):
        """A dict from those of some sibling folders that name a split to the split."""
        readings = {name: read_name(name) for name in children if name.lower() not in self._sides}
        alike = collections.defaultdict(set)
        for reading in readings.values():
            if reading.split:
                alike[_plain(reading)].add(reading.split)
        return {
            name: reading.split
            for name, reading in readings.items()
            if reading.split and (self._is_plain(reading) or len(alike[_plain(reading)]) > 1)
        }

    def _is_plain(self, reading):
        return not reading.rest or reading.rest in self._known or reading.full in self._known

    def _found(self, folders):
        """Of some folders below the root, those that name a split: a list of (number, split)."""
        named = (self._splits.get(folders[:number], {}).get(part) for number, part in enumerate(folders))
        return [(number, split) for number, split in enumerate(named) if split]

    def of(self, path):
        """The split of a picture: "train", "val", "test", or "" if no folder names one."""
        folders = path.relative_to(self.root).parent.parts
        found = self._found(folders)
        if not found:
            return ""
        for number, split in reversed(found):
            if split != found[0][1] and len({*self._splits[folders[:number]].values()}) > 1:
                return split
        return found[0][1]

    def without(self, path):
        """The folders of a picture that do not name its split: a list of (number, name)."""
        folders = path.relative_to(self.root).parent.parts
        split = self.of(path)
        named = [number for number, other in self._found(folders) if other == split][:1]
        return [(number, part) for number, part in enumerate(folders) if number not in named]


def unclear_splits(paths, root):
    """Two names with words for different splits that are not taken for them: of sibling folders, or of all files.

    Args:
        paths: list of `PurePath`, pictures below `root` of which no folder names a split.
        root: `PurePath`.

    Returns:
        List of two names, or an empty list.
    """
    stems = {path.stem for path in paths}
    for names in [*_below(paths, root).values(), stems]:
        found = {name: split for name in sorted(names) if (split := read_name(name).split)}
        first = {split: name for name, split in found.items()}
        if len(first) > 1 and (names is not stems or len(found) == len(stems)):
            return [*first.values()][:2]
    return []


def _below(paths, root):
    """A dict from each folder above some pictures, as a tuple of its parts below the root, to the folders in it."""
    below = collections.defaultdict(set)
    for folder in {path.parent for path in paths}:
        parts = folder.relative_to(root).parts
        for number, part in enumerate(parts):
            below[parts[:number]].add(part)
    return below


def _plain(reading):
    """What a name says besides the split, however its words are joined: GoPro_train is as GOPRO_test."""
    return reading.rest.replace("_", "")
