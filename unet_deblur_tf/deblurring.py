"""Restoring people's own photos and videos: files in, files out.

from unet_deblur_tf.deblurring import deblur

deblur("photo.jpg")                        # restored/photo.jpg
"""

import glob
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from unet_deblur_tf import photos, video
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.files import make_folder, write_by_rename
from unet_deblur_tf.pictures import comparison_sheet
from unet_deblur_tf.restoration import find_model, load_restorer

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
    tile=None,
    memory=None,
    pooling="auto",
    ensemble=False,
    progress=True,
):
    """Restores photos and videos; a bad file does not stop the others.

    Args:
        inputs: a path, or a list of them: files, folders, or patterns with * and **.
        model: see `restoration.find_model`.
        output: folder for the results, which are called as the inputs are.
        recursive: bool, folders with all that is below them.
        overwrite: bool, replace results that are there; inputs are never replaced.
        compare: bool, also write NAME_compare.png, blurred and restored side by side.
        quality: 1 to 100, of JPEG, WebP and HEIC.
        allow_large: bool, take pictures of more pixels than Pillow thinks safe.
        tile, memory, pooling, ensemble: see `restoration.load_restorer`.
        progress: bool, show bars and notes.

    Returns:
        An `Outcome`.

    Raises:
        InputError: if the model or the output folder cannot be used, or there is no input at all.
    """
    jobs, failed = _plan([inputs] if isinstance(inputs, str | Path) else inputs, Path(output), recursive)
    if not jobs and not failed:
        raise InputError(f"No pictures in {inputs}: known are {', '.join(sorted(photos.SUFFIXES | video.SUFFIXES))}")
    make_folder(output)
    waiting = {source: target for source, target in jobs.items() if overwrite or not target.exists()}
    outcome = Outcome({}, {source: jobs[source] for source in jobs.keys() - waiting.keys()}, failed)
    if not waiting:
        return outcome
    model = find_model(model)
    restore = load_restorer(model, pooling, tile, memory, ensemble)
    if progress:
        cost = "; the mean of 8 flips and turns: 8 times the time" if ensemble else ""
        print(f"{model}, pooling {restore.pooling}{cost}")
    with tqdm(waiting.items(), "Restoring", unit="picture", disable=not progress) as bar:
        for source, target in bar:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.suffix.lower() in video.SUFFIXES:
                    notes = video.restore_video(restore, source, target, progress)
                else:
                    notes = _restore_photo(restore, source, target, quality, allow_large, compare, progress)
            except InputError as error:
                outcome.failed[source] = str(error)
            except OSError as error:
                outcome.failed[source] = f"{target} cannot be written: {error.strerror}"
            else:
                outcome.written[source] = target
                if notes and progress:
                    bar.write(f"{source}: {', '.join(notes)}")
    return outcome


def _plan(inputs, output, recursive):
    """Which file goes where: ({input: output}, {input that cannot go: why})."""
    jobs, failed = {}, {}
    for given in map(Path, inputs):
        if given.is_dir():
            below = given.rglob("*") if recursive else given.glob("*")
            found = [(path, path.relative_to(given)) for path in sorted(below) if _is_known(path)]
        elif given.exists():
            found = [(given, Path(given.name))]
        elif matches := sorted(glob.glob(str(given), recursive=True)):
            found = [(Path(path), Path(path).name) for path in matches if Path(path).is_file()]
        else:
            failed[given] = "there is no such file"
            continue
        jobs.update({source: output / photos.output_name(Path(name)) for source, name in found})
    originals = {source.resolve() for source in jobs}
    taken = {}
    for source, target in list(jobs.items()):
        if target.resolve() in originals:
            failed[source] = f"its result would replace an original, {target}: choose another --output"
        elif target in taken:
            failed[source] = f"its result {target} is already that of {taken[target]}: restore them one at a time"
        else:
            taken[target] = source
            continue
        del jobs[source]
    return jobs, failed


def _is_known(path):
    return path.is_file() and path.suffix.lower() in photos.SUFFIXES | video.SUFFIXES and not path.name.startswith(".")


def _restore_photo(restore, source, target, quality, allow_large, compare, progress):
    photo = photos.read_photo(source, allow_large)
    restored = restore(photo.pixels, progress)
    photos.write_photo(target, photo._replace(pixels=restored), quality)
    if compare:
        with write_by_rename(target.with_name(f"{target.stem}_compare.png")) as path:
            _comparison(photo.pixels, restored).save(path)
    return photo.notes


def _comparison(blurred, restored):
    """Both pictures, and at full size the detail that changed most."""
    if blurred.dtype == np.uint16:
        blurred, restored = (np.round(picture / 257).astype(np.uint8) for picture in (blurred, restored))
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
