"""Restores photo and video files.

from unet_deblur_tf import deblur

deblur("photo.jpg")                        # writes restored/photo.jpg
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from unet_deblur_tf.data import photos
from unet_deblur_tf.errors import InputError, first_line
from unet_deblur_tf.models.finding import find_model
from unet_deblur_tf.restoring import video
from unet_deblur_tf.restoring.jobs import Jobs, comparison_name, find_jobs
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.utils.files import write_by_rename
from unet_deblur_tf.utils.formats import format_notes, is_video
from unet_deblur_tf.utils.overlapping import overlapped
from unet_deblur_tf.utils.progress import ticking
from unet_deblur_tf.utils.sheets import comparison_sheet

DETAIL = 320  # pixels, side of the detail in a comparison


class Outcome(NamedTuple):
    """What `deblur` did with each file.

    Attributes:
        written: dict from input `Path` to output `Path`.
        kept: dict from input `Path` to the output `Path` that existed already.
        failed: dict from input `Path` to the reason, a sentence.
    """

    written: dict[Path, Path]
    kept: dict[Path, Path]
    failed: dict[Path, str]


def deblur(
    inputs: str | Path | Iterable[str | Path],
    model: str | Path | None = None,
    output: str | Path = "restored",
    recursive: bool = False,
    overwrite: bool = False,
    compare: bool = False,
    quality: int = 95,
    allow_large: bool = False,
    allow_damaged: bool = False,
    progress: bool = True,
    **restoring,
) -> Outcome:
    """Restores photos and videos. If one file fails, the others are still restored.

    Args:
        inputs: a path or an iterable of paths: files, folders, or patterns with * and **.
        model: the network, see `finding.find_model`; None for the default network of the package.
        output: folder for the results, which keep the names of the inputs.
        recursive: bool, whether to include the subfolders of folders.
        overwrite: bool, whether to replace existing results. Inputs are never replaced.
        compare: bool, whether to write also NAME_compare.png for each photo, with the blurred and the restored picture
            side by side.
        quality: int from 1 to 100, quality of JPEG, WebP and HEIC files.
        allow_large: bool, whether to accept pictures with more pixels than Pillow considers safe.
        allow_damaged: bool, whether to restore what is there of JPEG files that end too early.
        progress: bool, whether to show a bar and print notes.
        **restoring: the fields of `RestoringOptions`.

    Returns:
        An `Outcome`.

    Raises:
        InputError: if there are no inputs, or the model or the output folder cannot be used.
    """
    jobs = find_jobs(inputs, output, recursive, overwrite, compare)
    return restore_jobs(
        jobs,
        model=model,
        overwrite=overwrite,
        compare=compare,
        quality=quality,
        allow_large=allow_large,
        allow_damaged=allow_damaged,
        progress=progress,
        **restoring,
    )


def restore_jobs(
    jobs: Jobs,
    *,
    model: str | Path | None,
    overwrite: bool,
    compare: bool,
    quality: int,
    allow_large: bool,
    allow_damaged: bool,
    progress: bool = True,
    **restoring,
) -> Outcome:
    """Does what `find_jobs` found. TensorFlow is imported only if there is something to restore.

    Args:
        jobs: `Jobs`.
        model, overwrite, compare, quality, allow_large, allow_damaged, progress, **restoring: see `deblur`.

    Raises:
        InputError: if the model cannot be used.
    """
    outcome = Outcome({}, jobs.kept, dict(jobs.failed))
    if not jobs.targets:
        return outcome
    model = find_model(model)
    restore = Restorer(model, progress, **restoring)
    if progress:
        cost = "; the mean of 8 flips and turns: 8 times the time" if restore.options.ensemble else ""
        print(f"{model}, {restore.about}{cost}")
        if restore.advice:
            print(restore.advice)

    def read(source):
        return None if is_video(source) else photos.read_photo(source, allow_large, allow_damaged)

    def refuse_taken(target):
        """What is there now is another's result: of another process, or of a name that differs in its case only."""
        if target.exists() and not overwrite:
            raise InputError(f"its result would replace {target}, which was written meanwhile: use another --output")

    def work(source, photo):
        jobs.targets[source].parent.mkdir(parents=True, exist_ok=True)
        refuse_taken(jobs.targets[source])
        if is_video(source):
            return video.restore_video(restore, source, jobs.targets[source], progress)
        return restore(photo.pixels, progress)

    def write(source, photo, restored):
        """Returns notes for the user."""
        if is_video(source):
            return restored
        refuse_taken(jobs.targets[source])
        notes = write_restored(photo, restored, jobs.targets[source], quality, compare, overwrite)
        return notes + format_notes(source, jobs.targets[source])

    bar = tqdm(total=len(jobs.targets), desc="Restoring", unit="picture", disable=not progress)
    # A limit of memory leaves none for pictures that are read ahead.
    ahead = restore.options.memory is None
    with bar, ticking(bar):
        for source, written in overlapped(jobs.targets, read, work, write, ahead):
            try:
                notes = written.result()
            except InputError as error:
                outcome.failed[source] = str(error)
            except Exception as error:  # whatever it is, the other files are still to be restored
                outcome.failed[source] = f"{type(error).__name__}: {first_line(error)}"
            else:
                outcome.written[source] = jobs.targets[source]
                if notes and progress:
                    bar.write(f"{source}: {', '.join(notes)}")
            bar.update()
    return outcome


def write_restored(
    photo: photos.Photo, restored: np.ndarray, target: Path, quality: int, compare: bool, overwrite: bool
) -> list[str]:
    """Writes a restored photo and, with `compare`, a comparison beside it.

    Args:
        photo: `Photo` as it was read.
        restored: pixels of the same shape and type.
        target: `Path` of the result.
        quality, compare, overwrite: see `deblur`.

    Returns:
        List of str, notes for the user.
    """
    notes = photo.notes + photos.write_photo(target, photo._replace(pixels=restored), quality)
    sheet = comparison_name(target)
    if compare and (overwrite or not sheet.exists()):
        with write_by_rename(sheet) as path:
            _comparison(photo.pixels, restored).save(path)
    return notes


def _comparison(blurred, restored):
    """A sheet with both pictures and, if they are large, the detail that changed most at full size."""
    blurred, restored = photos.to_8_bit(blurred), photos.to_8_bit(restored)
    rows = [[(blurred, "blurred"), (restored, "restored")]]
    if max(blurred.shape) > 2 * DETAIL:
        corners = [
            (top, left)
            for top in range(0, max(1, blurred.shape[0] - DETAIL + 1), DETAIL)
            for left in range(0, max(1, blurred.shape[1] - DETAIL + 1), DETAIL)
        ]

        def detail(picture, corner):
            return picture[corner[0] : corner[0] + DETAIL, corner[1] : corner[1] + DETAIL]

        def change(corner):
            return np.abs(detail(blurred, corner).astype(int) - detail(restored, corner)).mean()

        most_changed = max(corners, key=change)
        rows.append(
            [
                (detail(blurred, most_changed), "where most changed, full size"),
                (detail(restored, most_changed), ""),
            ]
        )
    return comparison_sheet(rows)
