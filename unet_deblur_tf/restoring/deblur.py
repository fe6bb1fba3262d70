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
from unet_deblur_tf.restoring import video
from unet_deblur_tf.restoring.jobs import Jobs, comparison_name, find_jobs
from unet_deblur_tf.utils.files import write_by_rename
from unet_deblur_tf.utils.formats import is_video
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
        model: the network, see `loading.find_model`; None for the default network of the package.
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
    from unet_deblur_tf.models.loading import find_model
    from unet_deblur_tf.restoring.restorer import Restorer

    model = find_model(model)
    restore = Restorer(model, **restoring)
    if progress:
        cost = "; the mean of 8 flips and turns: 8 times the time" if restore.options.ensemble else ""
        print(f"{model}, pooling {restore.pooling}, scales {restore.scales or 'built in'}{cost}")
        if restore.advice:
            print(restore.advice)
    with tqdm(jobs.targets.items(), "Restoring", unit="picture", disable=not progress) as bar, ticking(bar):
        for source, target in bar:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if is_video(source):
                    notes = video.restore_video(restore, source, target, progress)
                else:
                    sheet = comparison_name(target) if compare else None
                    photo = photos.read_photo(source, allow_large, allow_damaged)
                    notes = _restore_photo(restore, photo, target, sheet, overwrite, quality, progress)
            except InputError as error:
                outcome.failed[source] = str(error)
            except Exception as error:  # whatever it is, the other files are still to be restored
                outcome.failed[source] = f"{type(error).__name__}: {first_line(error)}"
            else:
                outcome.written[source] = target
                if notes and progress:
                    bar.write(f"{source}: {', '.join(notes)}")
    return outcome


def _restore_photo(restore, photo, target, sheet, overwrite, quality, progress):
    """Restores one photo; with `sheet`, a `Path`, also writes a comparison. Returns notes for the user."""
    restored = restore(photo.pixels, progress)
    notes = photo.notes + photos.write_photo(target, photo._replace(pixels=restored), quality)
    if sheet and (overwrite or not sheet.exists()):
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
