"""Decides which files are restored, and where each result goes, by the rules of `restoring.jobs`.

`jobs.find_jobs` keeps all files in one dict. Here they are Beam collections, so that there can be millions.
"""

import glob
import itertools
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from unet_deblur_tf.errors import first_line
from unet_deblur_tf.restoring.many import storage
from unet_deblur_tf.utils.formats import is_photo, is_to_restore, is_video, output_name

REFUSED = "refused"
ORIGINAL = (-1, "", "")  # a claim of `_settle`, before all others


class FindJobs(beam.PTransform):
    """From arguments to what is to be done.

    Arguments are (number, string): files, folders or patterns. If two of them clash, the one with the lower number
    counts. The result has two collections: `jobs` of (source, target), and `refused` of (source, reason).

    Args:
        output: path of the output folder.
        recursive: bool, whether to include the subfolders of folders.
    """

    def __init__(self, output: str, recursive: bool):
        super().__init__()
        self.output, self.recursive = output, recursive

    def expand(self, arguments):
        found = arguments | "Find" >> beam.FlatMap(_find, self.output, self.recursive).with_outputs(
            REFUSED, main="files"
        )
        files = (
            found.files
            | "By source" >> beam.Map(lambda file: (storage.identity(file[1]), file))
            | "Each file once" >> beam.CombinePerKey(min)
            | beam.Values()
        )
        settled = (
            files
            | "Claim paths" >> beam.FlatMap(_claims)
            | "By path" >> beam.GroupByKey()
            | "Settle" >> beam.FlatMap(_settle).with_outputs(REFUSED, main="jobs")
        )
        refused = (found[REFUSED], settled[REFUSED]) | "All refused" >> beam.Flatten()
        # What follows is long work: it is spread over all workers, whichever found the file.
        return {"jobs": settled.jobs | beam.Reshuffle(), REFUSED: refused}


def _find(numbered: tuple[int, str], output: str, recursive: bool) -> Iterator:
    """Yields (number, source, target) of each file that an argument stands for; a refusal if there is none."""
    number, argument = numbered
    try:
        files = _named(argument, output, recursive)
    except (OSError, ValueError) as error:
        yield TaggedOutput(REFUSED, (argument, f"cannot be looked at: {first_line(error)}"))
        return
    if files is None:
        yield TaggedOutput(REFUSED, (argument, "there is no such file"))
        return
    for path, name in files:
        if storage.readable(path) == path:
            yield number, path, f"{output.rstrip('/')}/{output_name(PurePosixPath(name))}"
        else:
            yield TaggedOutput(REFUSED, (storage.readable(path), "its name is not valid UTF-8: rename it"))


def _named(argument, output, recursive):
    """The files of an argument: list of (path, name below the output folder), or None if there is no such file."""
    if _is_folder(argument):
        root = argument.rstrip("/")
        files = [path for path in storage.files_in(root, recursive) if is_to_restore(PurePosixPath(path))]
        if not files and not storage.is_local(root):  # where there are no empty folders
            return None
        return [(path, path.removeprefix(root).lstrip("/")) for path in files if not _is_result(path, root, output)]
    if storage.exists(argument):
        return [(argument, PurePosixPath(argument).name)]
    if not glob.has_magic(argument):
        return None
    root = "/".join(itertools.takewhile(lambda part: not glob.has_magic(part), argument.split("/")))
    files = [path for path in storage.matching(argument) if not (_is_hidden(path) or _is_result(path, root, output))]
    return [(path, PurePosixPath(path).name) for path in files] or None


def _is_folder(argument):
    """Whether an argument is a folder. Buckets have none: there it is what ends in a slash or has no known ending."""
    if storage.is_local(argument):
        return storage.is_local_folder(argument)
    name = PurePosixPath(argument)
    return argument.endswith("/") or not (glob.has_magic(argument) or is_photo(name) or is_video(name))


def _is_hidden(path):
    return PurePosixPath(path).name.startswith(".")


def _is_result(path, root, output):
    """Whether a file is a result of an earlier command: in the output folder, if that is inside what is searched."""
    results = storage.identity(output.rstrip("/")) + "/"
    searched = storage.identity(root or "/").rstrip("/") + "/"
    return results != searched and results.startswith(searched) and storage.identity(path).startswith(results)


def _claims(file):
    """The paths that a file needs for itself: its own, and that of its result."""
    _, source, target = file
    yield storage.identity(source), ORIGINAL
    yield storage.identity(target), file


def _settle(claimed: tuple[str, Iterable[tuple[int, str, str]]]) -> Iterator:
    """Yields the job whose result gets a path; refuses results that would replace an original or each other."""
    _, claims = claimed
    first, *others = sorted(set(claims))
    owner = "an original" if first == ORIGINAL else f"the result of {first[1]}"
    if first != ORIGINAL:
        yield first[1:]
    for _, source, target in others:
        reason = f"its result {target} would replace {owner}: restore it with another --output"
        yield TaggedOutput(REFUSED, (source, reason))
