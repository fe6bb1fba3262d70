"""Files that are local, in a bucket or in HDFS, through the file systems of Apache Beam.

Paths are strings, such as "/photos/a.jpg" or "gs://bucket/a.jpg". A result is written under a temporary name in the
folder `.unfinished` of the output, and gets its name when it is complete.
"""

import contextlib
import glob
import hashlib
import io
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import filelock
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from unet_deblur_tf.errors import InputError, first_line
from unet_deblur_tf.utils.files import make_folder

UNFINISHED = ".unfinished"
ATTEMPTS = 3  # of which each ended the process that restored the file


def is_local(path: str) -> bool:
    """Whether a path names a local file, and not one of another file system."""
    return FileSystems.get_scheme(path) is None


def absolute(path: str, folder: str) -> str:
    """A path that is the same from any working directory: a local one is taken relative to `folder`."""
    return os.path.normpath(os.path.join(folder, path)) if is_local(path) else path


def is_local_folder(path: str) -> bool:
    """Whether a path is a local folder."""
    return is_local(path) and os.path.isdir(path)


def identity(path: str) -> str:
    """The same string for all paths of a file: of a local one, links are followed."""
    return os.path.realpath(path) if is_local(path) else path


def exists(path: str) -> bool:
    """Whether there is such a file."""
    return FileSystems.exists(path)


def readable(path: str) -> str:
    """A path in valid UTF-8. Beam passes on no other; a path that differs from what this returns is none."""
    return path.encode(errors="backslashreplace").decode()


def files_in(folder: str, recursive: bool) -> list[str]:
    """The files of a folder; with `recursive`, also those of its subfolders. A folder that is not there has none."""
    return matching(f"{glob.escape(folder.rstrip('/'))}/{'**' if recursive else '*'}")


def matching(pattern: str) -> list[str]:
    """The files that a pattern stands for: `*` stops at a slash, `**` does not.

    Raises:
        OSError: if the file system cannot tell.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Beam's regular expression, where a name has a bracket
        (match,) = FileSystems.match([pattern])
    return [file.path for file in match.metadata_list]


def check_file_systems(paths: list[str]) -> None:
    """Checks that there is a file system for each path, and that each path is valid UTF-8.

    Raises:
        InputError: for the first path without.
    """
    for path in paths:
        if readable(path) != path:
            raise InputError(f"The path {readable(path)} is not valid UTF-8: rename it")
        try:
            FileSystems.get_filesystem(path)
        except ValueError as error:
            raise InputError(
                f'There is no file system for {path}: pip install "apache-beam[gcp]" brings gs://, [aws] s3://, '
                "[azure] azfs:// and [hadoop] hdfs://"
            ) from error


@contextlib.contextmanager
def reserved(output: str) -> Iterator[None]:
    """Within the block, no other command of this machine writes to a local output folder, which is made.

    Raises:
        InputError: if another one does, or the folder cannot be written to.
    """
    if not is_local(output):
        _check_writable(output)
        yield
        return
    make_folder(output)
    try:
        with filelock.FileLock(os.path.join(output, ".deblur-many.lock"), timeout=0):
            yield
    except filelock.Timeout as error:
        raise InputError(
            f"Another deblur-many is writing to {output}: wait for it, or take another --output"
        ) from error


def _check_writable(output):
    """Writes and removes a file, so that long work does not fail at its end."""
    probe = FileSystems.join(output, UNFINISHED, f".probe-{uuid.uuid4().hex}")
    try:
        _write(probe, b"probe")
        remove(probe)
    except Exception as error:  # each file system raises its own
        raise InputError(f"Cannot write to {output}: {first_line(error)}") from error


@contextlib.contextmanager
def reading(path: str) -> Iterator[Path]:
    """Yields the `Path` of a local file with the content of a file: itself, or a temporary copy."""
    if is_local(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, f"original{PurePosixPath(path).suffix}")
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as source, copy.open("wb") as file:
            shutil.copyfileobj(source, file)
        yield copy


@contextlib.contextmanager
def writing(target: str, output: str) -> Iterator[Path]:
    """Within the block, a result is written to a temporary file, which gets its name if the block ends without error.

    The temporary file is there from the start, and its name tells the target. So a file whose restoration ends the
    process, again and again, is known by what it leaves.

    Args:
        target: path of the result.
        output: the output folder that contains it.

    Yields:
        Local `Path` to write to, with the ending of the target.

    Raises:
        InputError: if `ATTEMPTS` earlier attempts ended their process.
    """
    suffix = PurePosixPath(target).suffix
    prefix = f".{hashlib.sha256(target.encode()).hexdigest()[:16]}-"
    if len(_unfinished(output, prefix)) >= ATTEMPTS:
        raise InputError(f"{target}: {ATTEMPTS} attempts ended the process that made it; too little memory?")
    temporary = FileSystems.join(output, UNFINISHED, f"{prefix}{uuid.uuid4().hex}{suffix}")
    _write(temporary, target.encode())
    try:
        if is_local(target):
            yield Path(temporary)
        else:
            with tempfile.TemporaryDirectory() as folder:
                result = Path(folder, f"result{suffix}")
                yield result
                with result.open("rb") as file:
                    _write(temporary, file)
        with contextlib.suppress(OSError):  # it is there already
            FileSystems.mkdirs(FileSystems.split(target)[0])
        FileSystems.rename([temporary], [target])
    except Exception:
        remove(temporary)
        raise


def _unfinished(output, prefix):
    """The temporary files in an output folder whose names begin with a prefix."""
    folder = FileSystems.join(output, UNFINISHED)
    if not is_local(output):
        return matching(f"{glob.escape(FileSystems.join(folder, prefix))}*")
    # Beam would look through all folders below the first one with a bracket or another special character in its name.
    with contextlib.suppress(OSError):
        return [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(prefix)]
    return []


def write_text(path: str, text: str) -> None:
    """Writes a text file of the output folder, which it replaces in one step."""
    with writing(path, FileSystems.split(path)[0]) as result:
        result.write_text(text, encoding="utf-8")


def remove(path: str) -> None:
    """Removes a file, if it is there."""
    if is_local(path):
        Path(path).unlink(missing_ok=True)
    elif exists(path):
        FileSystems.delete([path])


def remove_unfinished(output: str) -> None:
    """Removes the temporary files that killed processes left in an output folder."""
    folder = FileSystems.join(output, UNFINISHED)
    for path in _unfinished(output, "."):
        remove(path)
    if is_local(output):
        with contextlib.suppress(OSError):  # there is none, or something else is in it
            os.rmdir(folder)


def _write(path, content):
    """Writes bytes, or what an open file has. Never nothing: Beam cannot write an empty file to S3."""
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as destination:
        shutil.copyfileobj(io.BytesIO(content) if isinstance(content, bytes) else content, destination)
