"""Pictures that another program restored, found by name for the pairs that they belong to."""

import collections
import os
from pathlib import Path

from unet_deblur_tf.data.pictures import find_pictures, read_picture
from unet_deblur_tf.errors import InputError


class RestoredFolder:
    """A folder of restored pictures, called like the blurred ones.

    They may lie under the paths of the blurred or sharp pictures, or be called by sequence and name: of a pair
    `test/GOPR0384_11_00/blur/000001.png`, the picture may be the same path, `GOPR0384_11_00/000001.png`, or
    `GOPR0384_11_00-000001.png`.

    Args:
        folder: path.

    Raises:
        InputError: if there are no pictures in it.
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
        """The restored picture of a `Pair`.

        Raises:
            InputError: if there is none, or more than one could be meant.
        """
        sequence = pair.sequence.replace("/", "-")
        stems = dict.fromkeys(
            name.lower()
            for name in (Path(str(pair.blur)).stem, pair.name, f"{sequence}-{pair.name}", f"{sequence}_{pair.name}")
        )
        candidates = [path for stem in stems for path in self._by_stem.get(stem, ())]
        if not candidates:
            raise InputError(f"{self.folder} has no picture for {pair.blur}: it should be called {pair.name}.png")
        places = [Path(str(picture)).parts for picture in (pair.blur, pair.sharp)]
        places.append((*pair.sequence.split("/"), pair.name))
        agreement = {
            path: max(common_end(path.relative_to(self.folder), place) for place in places) for path in candidates
        }
        best = max(agreement.values())
        found = [path for path in agreement if agreement[path] == best]
        if len(found) > 1:
            raise InputError(f"{found[0]} and {found[1]} could both be {pair.blur} restored: which is meant?")
        return found[0]

    def read(self, pair, shape):
        """The restored picture of a `Pair`, uint8 `(height, width, 3)`.

        Raises:
            InputError: see `path_for`; and if it has another size than the pair.
        """
        path = self.path_for(pair)
        picture = read_picture(path)
        if picture.shape != shape:
            sizes = [f"{each[1]}x{each[0]}" for each in (picture.shape, shape)]
            raise InputError(f"{path} is {sizes[0]}, but the pair that it belongs to is {sizes[1]}: {pair.blur}")
        return picture


def common_end(path, parts):
    """How many of the last parts of two paths agree, file endings and capitals aside."""
    ours = [os.path.splitext(part)[0].lower() for part in Path(path).parts]
    theirs = [os.path.splitext(part)[0].lower() for part in parts]
    count = 0
    while count < min(len(ours), len(theirs)) and ours[-1 - count] == theirs[-1 - count]:
        count += 1
    return count
