"""Writing files so that a reader never meets half of one."""

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

import platformdirs

from unet_deblur_tf.errors import InputError, first_line


def make_folder(path):
    """Makes a folder with its parents, and finds out before any long work whether it can be written to.

    Raises:
        InputError: if it cannot.
    """
    path = Path(path)
    probe = path / f".probe-{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"Cannot write to {path}: {error.strerror}") from error


def remove_stale(folder, pattern):
    """Removes temporary files and folders that a killed process left behind: what nobody has written to for a day."""
    for path in Path(folder).glob(pattern):
        try:
            newest = max(each.stat().st_mtime for each in (path, *path.rglob("*")))
        except OSError:
            continue  # it is being removed by whoever made it
        if time.time() - newest <= 24 * 3600:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def write_by_rename(path):
    """Yields a temporary path beside `path`; renames it to `path` when the block ends well, removes it otherwise.

    Raises:
        OSError: as the file system gives it.
    """
    path = Path(path)
    # The ending stays last: some writers choose the format by it.
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_explained(folder, advice):
    """Within the block, a disk that is full or does not take what is written becomes an `InputError`.

    Args:
        folder: what is written to.
        advice: function to a sentence of what to do.

    Raises:
        InputError: naming the folder and the cause.
    """
    try:
        yield
    except Exception as error:
        # TensorFlow and HDF5 have errors of their own for it.
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            reason = full
        elif isinstance(error, OSError):
            reason = error.strerror or first_line(error)
        else:
            raise
        raise InputError(f"Cannot write to {folder}: {reason}. {advice()}") from error


def default_cache():
    """The user's cache folder for this package."""
    return Path(platformdirs.user_cache_dir("unet_deblur_tf"))
