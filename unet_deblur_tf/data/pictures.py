"""The pictures that pairs are made of: found in folders, read as 8-bit RGB, wherever their files lie.

`photos.read_photo` reads them, as it reads people's photos: upright by their EXIF data.
"""

import io
import os
from pathlib import Path
from typing import NamedTuple

from unet_deblur_tf.data.photos import photo_size, read_photo, to_8_bit

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


class StoredPicture(NamedTuple):
    """A picture file inside a larger file; `read_picture` and `picture_size` take it for a path.

    Attributes:
        label: str, what to call it in messages.
        path: str, the larger file.
        start, length: its bytes.
        size: (width, height).
    """

    label: str
    path: str
    start: int
    length: int
    size: tuple

    def __str__(self):
        return self.label

    def open(self, mode="rb"):
        with open(self.path, mode) as file:
            file.seek(self.start)
            return io.BytesIO(file.read(self.length))


class HalfPicture(NamedTuple):
    """The left or the right half of a picture file that shows blurred and sharp side by side.

    Attributes:
        path: `Path` of the file.
        start: "left" or "right".
        size: (width, height) of the half.
    """

    path: Path
    start: str
    size: tuple

    def __str__(self):
        return f"the {self.start} half of {self.path}"

    def read(self):
        """uint8 `(height, width, 3)`."""
        whole = read_picture(self.path)
        middle = whole.shape[1] // 2
        return whole[:, :middle] if self.start == "left" else whole[:, middle:]


def is_picture(path):
    """Whether a file's name is that of a picture; hidden files are none."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def find_pictures(folder, recursive=False):
    """The picture files of a folder, sorted by path; hidden files are passed over, linked folders are followed."""
    found = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        found += [Path(parent, name) for name in files]
        if not recursive:
            folders.clear()
    return sorted(filter(is_picture, found))


def read_picture(path):
    """Reads a picture as uint8 `(height, width, 3)` RGB: upright, rounded to 8 bits, grey repeated, alpha dropped.

    Args:
        path: `Path`; anything that is opened as one is, such as `StoredPicture`; or what reads itself, such as
            `HalfPicture`.

    Raises:
        InputError: naming the file, if it is missing, damaged or no picture.
    """
    return path.read() if hasattr(path, "read") else to_8_bit(read_photo(path).pixels)


def picture_size(path):
    """(width, height) of a picture when it is upright, from its header alone.

    Args:
        path: as `read_picture` takes it.

    Raises:
        InputError: naming the file, if it is missing or no picture.
    """
    return photo_size(path) if isinstance(path, Path) else path.size
