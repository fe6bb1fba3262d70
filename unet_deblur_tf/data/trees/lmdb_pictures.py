"""Pictures in LMDB files, as BasicSR and NAFNet write them; needs the package lmdb (the extra `lmdb`).

A folder NAME.lmdb holds `data.mdb`, where a picture's key is its path without ending and its value a PNG or JPEG file,
and `meta_info.txt`, with a line for each: "KEY.png (HEIGHT,WIDTH,CHANNELS) COMPRESSION".
"""

import collections
import functools
import io
import os
import re
from typing import NamedTuple

from unet_deblur_tf.data.pictures import is_picture
from unet_deblur_tf.errors import InputError, first_line

LINE = re.compile(r"(?P<name>.+)\.\w+ \((?P<height>\d+),(?P<width>\d+),\d+\) \d+")


class LmdbPicture(NamedTuple):
    """A picture file inside an LMDB file; `pictures.read_picture` and `picture_size` take it for a path.

    Attributes:
        label: str, what to call it in messages.
        path: str, the `data.mdb`.
        start: str, its key.
        size: (width, height).
    """

    label: str
    path: str
    start: str
    size: tuple

    def __str__(self):
        return self.label

    def open(self, mode="rb"):
        with _environment(os.path.dirname(self.path)).begin() as transaction:
            data = transaction.get(self.start.encode())
        if data is None:
            raise InputError(f"{self.label} is in meta_info.txt, but not in data.mdb")
        return io.BytesIO(data)


def find_lmdb_pictures(files):
    """The pictures of all LMDB files.

    Args:
        files: list of `Path`, all files of a tree.

    Returns:
        dict from `Path`, NAME.lmdb/KEY.png, to `LmdbPicture`.

    Raises:
        InputError: if the package lmdb is missing, or a file is not as BasicSR writes it; or if a folder NAME beside
            it, which it was made of, has lost some of its pictures.
    """
    data_bases = [path for path in files if path.name == "data.mdb"]
    if not data_bases:
        return {}
    found, beside = {}, collections.Counter(folder for path in files if is_picture(path) for folder in path.parents)
    for path in data_bases:
        folder, lines = path.parent.with_suffix(""), _index_lines(path.parent)
        if folder == path.parent and lines is None:
            continue  # of another program
        if folder == path.parent or beside[folder] == 0:
            found |= _read_index(path.parent, lines)
        elif beside[folder] < len(lines or ()):
            raise InputError(
                f"{path.parent} has {len(lines)} pictures, but {folder} only {beside[folder]}: "
                "move one of them elsewhere"
            )
    return found


def _index_lines(folder):
    """The lines of `meta_info.txt`; None if it cannot be read."""
    try:
        return [*filter(None, map(str.strip, (folder / "meta_info.txt").read_text().splitlines()))]
    except (OSError, UnicodeDecodeError):
        return None


def _read_index(folder, lines):
    if not _is_installed():
        raise InputError(f'{folder} is an LMDB file, which needs: pip install "unet_deblur_tf[lmdb]"')
    if lines is None:
        raise InputError(f"{folder} has no readable meta_info.txt beside data.mdb, as BasicSR writes it")
    found = {}
    for line in lines:
        match = LINE.fullmatch(line)
        if not match:
            raise InputError(
                f"{folder}/meta_info.txt has a line that is not 'NAME.png (HEIGHT,WIDTH,CHANNELS) LEVEL': {line!r}"
            )
        path = folder / f"{match['name']}.png"
        size = int(match["width"]), int(match["height"])
        found[path] = LmdbPicture(f"{match['name']} in {folder}", str(folder / "data.mdb"), match["name"], size)
    _environment(str(folder))  # whether it can be opened at all, before anything runs
    return found


def _is_installed():
    try:
        import lmdb  # noqa: F401
    except ImportError:
        return False
    return True


@functools.lru_cache(maxsize=64)
def _environment(folder):
    import lmdb

    try:
        return lmdb.open(folder, readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise InputError(f"{folder} cannot be read as an LMDB file: {first_line(error)}") from error
