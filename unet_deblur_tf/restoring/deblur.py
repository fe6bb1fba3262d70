"""Restoring people's own photos and videos: files in, files out.

from unet_deblur_tf import deblur

deblur("photo.jpg")                        # restored/photo.jpg
"""

import glob
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from unet_deblur_tf.data import photos
from unet_deblur_tf.errors import InputError, first_line
from unet_deblur_tf.models.loading import find_model
from unet_deblur_tf.restoring import video
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.utils.files import make_folder, write_by_rename
from unet_deblur_tf.utils.progress import ticking
from unet_deblur_tf.utils.sheets import comparison_sheet

DETAIL = 320  # pixels across, of the detail on a comparison


class Outcome(NamedTuple):
    """What became of each file.

    Attributes:
        written: dict from input to output `Path`.
        kept: dict from input to the output `Path` that was there already.
        failed: dict from input to a sentence.
    """

    written: dict
    kept: dict
    failed: dict


def deblur(
    inputs,
    model=None,
    output="restored",
    recursive=False,
    overwrite=False,
    compare=False,
    quality=95,
    allow_large=False,
    progress=True,
    **restoring,
):
    """Restores photos and videos; a bad file does not stop the others.

    Args:
        inputs: a path, or a list of them: files, folders, or patterns with * and **.
        model: see `loading.find_model`; None for the default network of the package.
        output: folder for the results, which are called as the inputs are.
        recursive: bool, folders with all that is below them.
        overwrite: bool, replace results that are there; inputs are never replaced.
        compare: bool, also write NAME_compare.png for each photo, blurred and restored side by side.
        quality: 1 to 100, of JPEG, WebP and HEIC.
        allow_large: bool, take pictures of more pixels than Pillow thinks safe.
        progress: bool, show bars and notes.
        **restoring: the fields of `RestoringOptions`.

    Returns:
        An `Outcome`.

    Raises:
        InputError: if the model or the output folder cannot be used, or there is no input at all.
    """
    jobs, failed = _plan([inputs] if isinstance(inputs, str | Path) else inputs, Path(output), recursive, compare)
    if not jobs and not failed:
        raise InputError(f"No pictures in {inputs}: known are {', '.join(sorted(photos.SUFFIXES | video.SUFFIXES))}")
    make_folder(output)
    outcome = Outcome({}, {}, failed)
    if not overwrite:
        outcome.kept.update({source: target for source, target in jobs.items() if target.exists()})
    waiting = {source: target for source, target in jobs.items() if source not in outcome.kept}
    if not waiting:
        return outcome
    model = find_model(model)
    restore = Restorer(model, **restoring)
    if progress:
        cost = "; the mean of 8 flips and turns: 8 times the time" if restore.options.ensemble else ""
        print(f"{model}, pooling {restore.pooling}{cost}")
        if restore.advice:
            print(restore.advice)
    with tqdm(waiting.items(), "Restoring", unit="picture", disable=not progress) as bar, ticking(bar):
        for source, target in bar:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.suffix.lower() in video.SUFFIXES:
                    notes = video.restore_video(restore, source, target, progress)
                else:
                    photo = photos.read_photo(source, allow_large)
                    restored = restore(photo.pixels, progress)
                    notes = photo.notes + photos.write_photo(target, photo._replace(pixels=restored), quality)
                    if compare and (overwrite or not comparison_name(target).exists()):
                        with write_by_rename(comparison_name(target)) as path:
                            _comparison(photo.pixels, restored).save(path)
            except InputError as error:
                outcome.failed[source] = str(error)
            except Exception as error:  # whatever it is, the others are still to be restored
                outcome.failed[source] = f"{type(error).__name__}: {first_line(error)}"
            else:
                outcome.written[source] = target
                if notes and progress:
                    bar.write(f"{source}: {', '.join(notes)}")
    return outcome


def comparison_name(target):
    """Where `compare` writes for a result."""
    return target.with_name(f"{target.name}_compare.png")


def _plan(inputs, output, recursive, compare):
    """Which file goes where: ({input: output}, {input that cannot go: why})."""
    jobs, failed = {}, {}
    for given in inputs:
        try:
            found = _find(given, output, recursive)
        except OSError as error:
            failed[Path(given)] = f"cannot be looked at: {error.strerror}"
            continue
        if found is None:
            failed[Path(given)] = "there is no such file"
            continue
        known = {source.resolve() for source in jobs}
        jobs.update({path: output / photos.output_name(name) for path, name in found if path.resolve() not in known})
    taken = {source.resolve(): "an original" for source in jobs}
    for source, target in list(jobs.items()):
        wanted = [target, comparison_name(target)] if compare else [target]
        clash = next((path for path in wanted if path.resolve() in taken), None)
        if clash:
            owner = taken[clash.resolve()]
            failed[source] = f"its result {clash} would replace {owner}: restore it with another --output"
            del jobs[source]
        else:
            taken.update({path.resolve(): f"the result of {source}" for path in wanted})
    return jobs, failed


def _find(given, output, recursive):
    """The files that an argument stands for, each with its name below the output folder; None if there is none."""
    path = Path(given)
    if str(given) and path.is_dir():
        below = path.rglob("*") if recursive else path.glob("*")
        return [(file, file.relative_to(path)) for file in _without_results(filter(_is_known, below), path, output)]
    if str(given) and path.exists():
        return [(path, Path(path.name))]
    files = [Path(match) for match in glob.glob(str(given), recursive=True) if Path(match).is_file()]
    root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    return [(file, Path(file.name)) for file in _without_results(files, root, output)] or None


def _without_results(files, root, output):
    """Sorted, and without what an earlier call left in an output folder below the root."""
    inside = root.resolve() in output.resolve().parents
    return sorted(file for file in files if not (inside and output.resolve() in file.resolve().parents))


def _is_known(path):
    return path.is_file() and path.suffix.lower() in photos.SUFFIXES | video.SUFFIXES and not path.name.startswith(".")


def _comparison(blurred, restored):
    """Both pictures, and at full size the detail that changed most."""
    blurred, restored = photos.to_8_bit(blurred), photos.to_8_bit(restored)
    rows = [[(blurred, "blurred"), (restored, "restored")]]
    if max(blurred.shape) > 2 * DETAIL:
        places = [
            (top, left)
            for top in range(0, max(1, blurred.shape[0] - DETAIL + 1), DETAIL)
            for left in range(0, max(1, blurred.shape[1] - DETAIL + 1), DETAIL)
        ]

        def detail(picture, place):
            return picture[place[0] : place[0] + DETAIL, place[1] : place[1] + DETAIL]

        most = max(places, key=lambda at: np.abs(detail(blurred, at).astype(int) - detail(restored, at)).mean())
        rows.append([(detail(blurred, most), "where most changed, full size"), (detail(restored, most), "")])
    return comparison_sheet(rows)
