"""Finds the pictures that another program restored, by the names of the pairs that they belong to."""

import collections
import functools
import os
from pathlib import Path

from unet_deblur_tf.data.pictures import find_pictures, read_picture
from unet_deblur_tf.data.trees.layouts import Names
from unet_deblur_tf.errors import InputError


class RestoredFolder:
    """A folder of pictures that another program restored, named like the blurred or sharp pictures.

    The restored picture of `test/GOPR0384_11_00/blur/000001.png` can have the same path below the folder, or be
    `GOPR0384_11_00/000001.png` or `GOPR0384_11_00-000001.png`.

    Args:
        folder: path of the folder.

    Raises:
        InputError: if there is no such folder, or it contains no pictures.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"No such folder: {str(folder)!r}, for --restored")
        self._by_stem = collections.defaultdict(list)
        for path in find_pictures(self.folder, recursive=True):
            self._by_stem[path.stem.lower()].append(path)
        if not self._by_stem:
            raise InputError(f"No pictures in {str(folder)!r}, nor below")

    def path_for(self, pair):
        """Finds the restored picture of a `Pair`.

        Returns:
            `Path`.

        Raises:
            InputError: if there is no such picture, or several match equally well.
        """
        sequence = pair.sequence.replace("/", "-")
        stems = dict.fromkeys(
            name.lower()
            for name in (Path(str(pair.blur)).stem, pair.name, f"{sequence}-{pair.name}", f"{sequence}_{pair.name}")
        )
        candidates = [path for stem in stems for path in self._by_stem.get(stem, ())]
        if not candidates:
            raise InputError(f"{self.folder} has no picture for {pair.blur}: it should be called {pair.name}.png")
        agreement = {path: self.agreement(path, pair) for path in candidates}
        best = max(agreement.values())
        matches = [path for path in agreement if agreement[path] == best]
        if len(matches) > 1 and all(map(self._has_side, matches)):  # such as blur/ and blur_gamma/
            whole = {path: self.agreement(path, pair, with_sides=True) for path in matches}
            matches = [path for path in matches if whole[path] == max(whole.values())]
        if len(matches) > 1:
            raise InputError(f"{matches[0]} and {matches[1]} could both be {pair.blur} restored: which is meant?")
        return matches[0]

    def agreement(self, path, pair, with_sides=False):
        """In how many parts of its path, from its end, a restored picture is called as a `Pair` is.

        Folders that are called blur, sharp and the like do not count, unless `with_sides`: a copy of the pairs may lie
        beside the results.
        """
        places = [Path(str(picture)).parts for picture in (pair.blur, pair.sharp)]
        places.append((*pair.sequence.split("/"), pair.name))
        parts = tuple if with_sides else without_sides
        found = parts(path.relative_to(self.folder).parts)
        return max(common_end(found, parts(place)) for place in places)

    def _has_side(self, path):
        parts = path.relative_to(self.folder).parts
        return len(without_sides(parts)) < len(parts)

    def read(self, pair, shape):
        """Reads the restored picture of a `Pair`.

        Args:
            pair: `Pair`.
            shape: (height, width, 3) of the pair.

        Returns:
            uint8 `(height, width, 3)`.

        Raises:
            InputError: as `path_for`, or if the picture differs from the pair in size.
        """
        path = self.path_for(pair)
        picture = read_picture(path)
        if picture.shape != shape:
            sizes = [f"{width}x{height}" for height, width, _ in (picture.shape, shape)]
            raise InputError(f"{path} is {sizes[0]}, but the pair that it belongs to is {sizes[1]}: {pair.blur}")
        return picture


def without_sides(parts):
    """The parts of a path without folders whose names mean blurred or sharp; A/ and B/ may be sequences."""
    return [*(part for part in parts[:-1] if not _is_side(part)), parts[-1]]


@functools.lru_cache(maxsize=4096)
def _is_side(part):
    side, weak = Names().side(part)
    return bool(side) and not weak


def common_end(one, other):
    """Counts the last parts in which two paths agree, apart from file endings and upper case.

    Args:
        one, other: sequences of str, the parts of the paths.
    """
    first, second = ([os.path.splitext(part)[0].lower() for part in parts] for parts in (one, other))
    count = 0
    while count < min(len(first), len(second)) and first[-1 - count] == second[-1 - count]:
        count += 1
    return count
