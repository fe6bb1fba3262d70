"""Finds the pictures of a data set and reads them as 8-bit RGB.

A picture can be a file, a part of a larger file, or half of a file. `photos.read_photo` reads the files and turns them
upright by their EXIF data.
"""

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from unet_deblur_tf.data.photos import photo_size, read_photo, to_8_bit
from unet_deblur_tf.utils.formats import JPEG, TIFF

# Of file systems and programs: waste bins, thumbnails, what macOS puts into archives.
SYSTEM_FOLDERS = {"$RECYCLE.BIN", "@eaDir", "__MACOSX"}
PICTURE_SUFFIXES = JPEG | TIFF | {".png", ".webp", ".bmp"}


class StoredPicture(NamedTuple):
    """A picture file inside a larger file. `read_picture` and `picture_size` accept it like a path.

    Attributes:
        label: str, its name in messages.
        path: str, path of the larger file.
        start, length: int, position and number of its bytes in the larger file.
        size: (width, height).
    """

    label: str
    path: str
    start: int
    length: int
    size: tuple[int, int]

    def __str__(self):
        return self.label

    def open(self, mode: str = "rb") -> io.BytesIO:
        """Reads the bytes of the picture file."""
        with open(self.path, mode) as file:
            file.seek(self.start)
            return io.BytesIO(file.read(self.length))


class HalfPicture(NamedTuple):
    """One half of a picture file that shows the blurred and the sharp picture side by side.

    Attributes:
        path: `Path` of the file.
        start: "left" or "right", the half.
        size: (width, height) of the half.
    """

    path: Path
    start: str
    size: tuple[int, int]

    def __str__(self):
        return f"the {self.start} half of {self.path}"

    def read(self) -> np.ndarray:
        """Reads the half: uint8 `(height, width, 3)`."""
        whole = read_picture(self.path)
        middle = whole.shape[1] // 2
        return whole[:, :middle] if self.start == "left" else whole[:, middle:]


def is_picture(path: PurePath) -> bool:
    """Whether a path has the file ending of a picture and is not a hidden file."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def find_pictures(folder: str | Path, recursive: bool = False) -> list[Path]:
    """Finds the picture files in a folder, hidden ones aside; see `find_files`."""
    return list(filter(is_picture, find_files(folder, recursive)))


def find_files(folder: str | Path, recursive: bool = False) -> list[Path]:
    """Finds the files in a folder.

    Hidden folders and those of file systems are ignored. Links to folders are followed, unless they lead to a folder
    that they lie in. A folder that several links lead to is read at each of them: they may stand for different splits.
    `each_once` leaves out what then counts twice.

    Args:
        folder: the folder.
        recursive: bool, whether to search the folders below, too.

    Returns:
        List of `Path`, sorted.
    """
    paths: list[Path] = []
    above = {os.fspath(folder): _with_parents(os.path.realpath(folder))}
    for parent, folders, files in os.walk(folder, followlinks=True):
        paths += [Path(parent, name) for name in files]
        passed, entered = above.pop(parent), []
        for name in folders if recursive else ():
            path = os.path.join(parent, name)
            real = os.path.realpath(path)
            if not is_passed_over(name) and real not in passed:
                above[path] = passed | _with_parents(real)
                entered.append(name)
        folders[:] = entered
    return sorted(paths)


def is_passed_over(name: str) -> bool:
    """Whether a folder of this name is hidden, or belongs to a file system or a program."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


def _with_parents(path):
    """A set of a path and of all folders above it, each a str."""
    return {path, *map(str, PurePath(path).parents)}


def each_once(items: list, root: Path, place: Callable[[Any], tuple]) -> list:
    """Leaves out what links lead to again within the same split, so that it does not count twice.

    Args:
        items: list of items, such as pairs.
        root: `Path` of the folder that all files lie in.
        place: function from an item to (its split, `Path`, ...) with all its files.

    Returns:
        List of items. Of several with the same files the one that is reached without a link stays, else the first.
    """
    real_folder = functools.cache(os.path.realpath)

    def real(path):
        return os.path.realpath(path) if os.path.islink(path) else os.path.join(real_folder(path.parent), path.name)

    chosen: dict[tuple, int] = {}
    for number, item in enumerate(items):
        split, *paths = place(item)
        files = tuple(map(real, paths))
        if files == tuple(os.path.join(real_folder(root), path.relative_to(root)) for path in paths):
            chosen[split, files] = number
        chosen.setdefault((split, files), number)
    return [items[number] for number in sorted(chosen.values())]


def read_picture(path) -> np.ndarray:
    """Reads a picture upright, as 8-bit RGB. 16-bit values are rounded, grey is repeated, and alpha is dropped.

    Args:
        path: `Path`; or an object with a method `open`, such as `StoredPicture`, or with a method `read`, such as
            `HalfPicture`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        InputError: if the file is missing, damaged or not a picture; it names the file.
    """
    return path.read() if hasattr(path, "read") else to_8_bit(read_photo(path).pixels)


def picture_size(path) -> tuple[int, int]:
    """Reads the size of the upright picture from the header of its file.

    Args:
        path: see `read_picture`.

    Returns:
        (width, height).

    Raises:
        InputError: if the file is missing or not a picture; it names the file.
    """
    return photo_size(path) if isinstance(path, Path) else path.size
