"""Decides which files are restored, and where each result goes, without a network and without TensorFlow.

jobs = find_jobs("holiday/", "restored", recursive=True)
jobs.targets                               # {holiday/a.jpg: restored/a.jpg, ...}
"""

import errno
import glob
import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.files import make_folder, remove_partial
from unet_deblur_tf.utils.formats import PHOTOS, VIDEOS, is_to_restore, output_name


class Jobs(NamedTuple):
    """What is to be done with each file.

    Attributes:
        targets: dict from input `Path` to the output `Path` that is to be written.
        kept: dict from input `Path` to the output `Path` that exists already.
        failed: dict from input `Path` to the reason why it cannot be restored, a sentence.
    """

    targets: dict[Path, Path]
    kept: dict[Path, Path]
    failed: dict[Path, str]


def find_jobs(
    inputs: str | Path | Iterable[str | Path],
    output: str | Path = "restored",
    recursive: bool = False,
    overwrite: bool = False,
    compare: bool = False,
) -> Jobs:
    """Finds the files, and makes the output folder.

    Args:
        inputs, output, recursive, overwrite, compare: see `deblur.deblur`.

    Raises:
        InputError: if there are no inputs, or the output folder cannot be used.
    """
    inputs = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    targets, failed = _plan(inputs, Path(output), recursive, compare)
    if not targets and not failed:
        known = sorted(PHOTOS | VIDEOS)
        raise InputError(f"No pictures in {', '.join(map(str, inputs)) or 'no inputs'}: known are {', '.join(known)}")
    make_folder(output)
    for folder in {target.parent for target in targets.values()}:
        remove_partial(folder)
    kept = {} if overwrite else {source: target for source, target in targets.items() if target.exists()}
    return Jobs({source: target for source, target in targets.items() if source not in kept}, kept, failed)


def comparison_name(target: Path) -> Path:
    """The file of the comparison that belongs to a result."""
    return target.with_name(f"{target.name}_compare.png")


def _plan(inputs, output, recursive, compare):
    """Decides where the result of each input goes, and refuses results that would replace an original or each other.

    Returns:
        (dict from input `Path` to output `Path`, dict from `Path` of a refused input to the reason).
    """
    jobs, failed, known = {}, {}, set()
    for argument in inputs:
        try:
            files = _find(argument, output, recursive)
        except OSError as error:
            failed[Path(argument)] = f"cannot be looked at: {error.strerror}"
            continue
        if files is None:
            failed[Path(argument)] = "there is no such file"
            continue
        new = {path: output / output_name(name) for path, name in files if _real(path) not in known}
        jobs.update(new)
        known.update(map(_real, new))
    taken, originals = {}, {_identity(source) for source in jobs} - {None}
    for source, target in list(jobs.items()):
        to_write = [target, comparison_name(target)] if compare else [target]
        clash = next((path for path in to_write if _real(path) in taken or _identity(path) in originals), None)
        if clash:
            owner = taken.get(_real(clash), "an original")
            failed[source] = f"its result {clash} would replace {owner}: restore it with another --output"
            del jobs[source]
        else:
            taken.update({_real(path): f"the result of {source}" for path in to_write})
    return jobs, failed


def _real(path):
    """A path without links, as str. Unlike `Path.resolve`, it takes a link to itself, which is no file."""
    return os.path.realpath(path)


def _identity(path):
    """The same for all names of a file, such as a.jpg and A.JPG where case is ignored. None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _find(argument, output, recursive):
    """Finds the files that an argument (a file, a folder or a pattern) stands for.

    Returns:
        List of (`Path` of a file, its name below the output folder), or None if there is no such file.
    """
    path = Path(argument)
    if str(argument) and path.is_dir():
        entries = path.rglob("*") if recursive else path.glob("*")
        files = _without_results(filter(_is_known, entries), path, output)
        return [(file, file.relative_to(path)) for file in files]
    if str(argument) and path.exists():
        if not path.is_file():
            raise OSError(errno.EINVAL, "it is no file")  # but a pipe, for which reading would wait
        return [(path, Path(path.name))]
    matches = [Path(match) for match in glob.glob(str(argument), recursive=True) if Path(match).is_file()]
    root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    return [(file, Path(file.name)) for file in _without_results(matches, root, output)] or None


def _without_results(files, root, output):
    """Sorts files, and drops the results of earlier calls if the output folder is inside `root`."""
    results = Path(_real(output))
    inside = Path(_real(root)) in results.parents
    return sorted(file for file in files if not (inside and results in Path(_real(file)).parents))


def _is_known(path):
    """Whether a path is a picture or a video by its ending, and not hidden."""
    return path.is_file() and is_to_restore(path)
