"""Writes files and folders safely: a reader never sees an incomplete file."""

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from unet_deblur_tf.errors import InputError, first_line


def make_folder(path: str | Path) -> None:
    """Creates a folder and its parents, and checks that it is writable, so that long work does not fail at its end.

    Raises:
        InputError: if the folder cannot be created or written to.
    """
    path = Path(path)
    probe = path / f".probe-{uuid.uuid4().hex}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"Cannot write to {path}: {error.strerror}") from error


DAY = 24 * 3600  # seconds


def remove_stale(folder: str | Path, pattern: str, seconds: float = DAY) -> None:
    """Removes files and folders that are unchanged for some time, such as what a killed process left behind.

    Args:
        folder: path of the folder that contains them.
        pattern: str, glob pattern of their names.
        seconds: float, for how long they are unchanged.
    """
    for path in Path(folder).glob(pattern):
        try:
            newest = max(entry.stat().st_mtime for entry in (path, *path.rglob("*")))
        except OSError:
            continue  # another process is removing it
        if time.time() - newest <= seconds:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_partial(folder: str | Path) -> None:
    """Removes what killed processes left in a folder of files that `write_by_rename` wrote, if it is a day old."""
    remove_stale(folder, f".*.partial-{32 * '[0-9a-f]'}*")


@contextlib.contextmanager
def write_by_rename(path: str | Path) -> Iterator[Path]:
    """Within the block, a file is written under a temporary name.

    The file gets its name if the block ends without an error, and is removed otherwise.

    Args:
        path: path of the file; an existing file is replaced.

    Yields:
        `Path` to write to, in the same folder and with the same ending.

    Raises:
        OSError: from the file system.
    """
    path = Path(path)
    # Its own for each thread, and short enough for the longest name. Some writers choose the format by the ending.
    partial = path.with_name(f".{path.stem[:40]}.partial-{uuid.uuid4().hex}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def rename_once(partial: Path, folder: Path) -> None:
    """Renames a complete folder, unless another process has made the same one meanwhile.

    Args:
        partial: `Path` of the folder under its temporary name; it stays if `folder` is there.
        folder: `Path`, its name.
    """
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


@contextlib.contextmanager
def writing_explained(folder: str | Path, advice: Callable[[], str]) -> Iterator[None]:
    """Within the block, errors of writing, such as a full disk, become an `InputError`.

    Args:
        folder: path of the folder that the block writes to.
        advice: function without arguments that returns a sentence, what the user can do.

    Raises:
        InputError: with the folder, the cause and the advice.
    """
    try:
        yield
    except Exception as error:
        # TensorFlow and HDF5 raise their own exceptions when the disk is full.
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            reason = full
        elif isinstance(error, OSError):
            reason = error.strerror or first_line(error)
        else:
            raise
        raise InputError(f"Cannot write to {folder}: {reason}. {advice()}") from error


def default_cache() -> Path:
    """The folder of this package in the user's cache folder."""
    return Path(platformdirs.user_cache_dir("unet_deblur_tf"))
