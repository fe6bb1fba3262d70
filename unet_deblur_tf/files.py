"""Writing files so that a reader never meets half of one."""

import contextlib
import os
from pathlib import Path

from unet_deblur_tf.errors import InputError


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


@contextlib.contextmanager
def write_by_rename(path):
    """Yields a temporary path beside `path`; renames it to `path` when the block ends well, removes it otherwise.

    Raises:
        OSError: as the file system gives it.
    """
    path = Path(path)
    # The ending stays last, ".weights.h5" whole: some writers choose the format by it.
    ending = "".join(path.suffixes[-2:]) if path.name.endswith(".weights.h5") else path.suffix
    partial = path.with_name(f".{path.name.removesuffix(ending)}.partial-{os.getpid()}{ending}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
