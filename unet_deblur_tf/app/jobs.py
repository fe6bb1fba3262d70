"""What happens to an uploaded photo: it is checked, restored, kept for a while, and written at any strength.

Everything about a photo is in a folder of its own: the upload, the restored pixels, and the pictures that the page
shows. The network runs once. Each strength is a blend of the upload with the restored pixels.
"""

import contextlib
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import UnidentifiedImageError

from unet_deblur_tf.app.limits import Limits
from unet_deblur_tf.data import photos
from unet_deblur_tf.errors import InputError, first_line
from unet_deblur_tf.utils.files import write_by_rename
from unet_deblur_tf.utils.formats import format_notes, is_photo, output_name

FORMATS = "PNG, JPEG, WebP, TIFF and BMP"
UNFINISHED = "unfinished-"  # with this begins the name of a folder whose photos are being restored


class Restored(NamedTuple):
    """A restored photo.

    Attributes:
        name: str, file name of the upload; of the photos of one visitor, each has another one.
        folder: `Path` of the folder of this photo.
        notes: list of str that tell the visitor what of the file is lost or changed.
    """

    name: str
    folder: Path
    notes: list[str]

    @property
    def upload(self) -> Path:
        """The uploaded file, unchanged."""
        return self.folder / "upload" / self.name

    @property
    def pixels(self) -> Path:
        """The restored pixels at full strength, a NumPy file of uint8 or uint16 `(height, width, 3)`."""
        return self.folder / "restored.npy"

    @property
    def shown(self) -> tuple[Path, Path]:
        """The blurred and the restored picture as JPEG files at full resolution, for the page."""
        return self.folder / "blurred.jpg", self.folder / "restored.jpg"


def restore_files(
    uploads: Iterable[Path],
    work: Path,
    restore: Callable,
    limits: Limits,
    report: Callable[[int, str, float], None] = lambda number, name, share: None,
) -> tuple[list[Restored], dict[str, str]]:
    """Restores photos. If one fails, the others are still restored.

    Args:
        uploads: paths of the uploaded files.
        work: `Path` of the folder that gets one folder for each photo.
        restore: a `Restorer`.
        limits: `Limits`.
        report: function that is called again and again with the number of the photo (from 0), its name, and the share
            of it that is done (0..1).

    Returns:
        (list of `Restored`, dict from the name of each photo that failed to the reason, a sentence).

    Raises:
        InputError: if there are no photos, or too many.
    """
    uploads = list(uploads)
    names = distinct(upload.name for upload in uploads)
    if not names:
        raise InputError("Add a photo first.")
    if len(names) > limits.files:
        raise InputError(f"These are {len(names)} photos. At most {limits.files} can be restored together.")
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=work, ignore_cleanup_errors=True) as folder:
        taken, results, failed = {}, [], {}
        # All at first: Gradio deletes what was uploaded long ago, maybe before the last photo has its turn.
        for upload, name in zip(uploads, names, strict=True):
            with _reason_kept(name, failed):
                taken[name] = take(upload, name, Path(folder), limits)
        for number, name in enumerate(names):
            report(number, name, 0)
            if name in taken:
                with _reason_kept(name, failed):
                    results.append(restore_file(taken[name], restore, _share_of(report, number, name)))
        return [_finished(result, work) for result in results], failed


@contextlib.contextmanager
def _reason_kept(name, failed):
    """An error within the block goes into `failed`, as the reason why a photo failed; the other photos go on."""
    try:
        yield
    except InputError as error:
        failed[name] = str(error)
    except Exception as error:  # whatever it is, the other photos are still to be restored
        failed[name] = f"{name} could not be restored: {type(error).__name__}: {first_line(error)}"


def _share_of(report, number, name):
    """Makes an `on_step` of a `report`."""
    return lambda done, total: report(number, name, done / total)


def _finished(result, work):
    """Takes a photo out of the unfinished ones. From now on, its folder becomes old."""
    os.utime(result.folder)
    return result._replace(folder=result.folder.rename(work / result.folder.name))


def take(upload: Path, name: str, work: Path, limits: Limits) -> Restored:
    """Checks an uploaded photo and copies it, so that it is there for as long as it is needed.

    Args:
        upload: `Path` of the uploaded file.
        name: str, the file name that messages and the result have.
        work: `Path` of the folder that gets the folder of this photo.
        limits: `Limits`.

    Returns:
        A `Restored` that has the upload, but is still to be restored.

    Raises:
        InputError: if the upload has been deleted, or see `check`; a sentence that names the file.
    """
    try:
        check(upload, name, limits)
        taken = Restored(name, Path(tempfile.mkdtemp(prefix="photo-", dir=work)), [])
        taken.upload.parent.mkdir()
        shutil.copyfile(upload, taken.upload)
    except FileNotFoundError as error:
        raise InputError(f"{name} has been deleted here. Add it again.") from error
    return taken


def restore_file(taken: Restored, restore: Callable, on_step: Callable | None = None) -> Restored:
    """Restores one photo and keeps what is needed to show and to write it. If that fails, its folder is deleted.

    Args:
        taken: `Restored`, from `take`.
        restore: a `Restorer`.
        on_step: see `Restorer`.

    Returns:
        The `Restored` with its notes.

    Raises:
        InputError: if the file is damaged, or not a picture; a sentence that names it.
    """
    name = taken.name
    try:
        with _explained(taken.upload, name):
            photo = photos.read_photo(taken.upload, allow_large=True)  # `Limits` decides instead
        pixels = restore(photo.pixels, on_step=on_step)
        np.save(taken.pixels, pixels)
        for path, shown in zip(taken.shown, (photo.pixels, pixels)):
            _write(path, name, _as_shown(photo._replace(pixels=shown)))
        notes = _write(_written(taken, 1), name, photo._replace(pixels=pixels))
        return taken._replace(notes=photo.notes + notes + format_notes(Path(name), output_name(Path(name))))
    except BaseException:
        shutil.rmtree(taken.folder, ignore_errors=True)
        raise


def check(upload: Path, name: str, limits: Limits) -> None:
    """Refuses what is too large or has an unknown ending, before anything is decoded.

    Raises:
        InputError: a sentence that names the file.
    """
    if not is_photo(Path(name)):
        raise InputError(f"{name} does not end like the name of a photo. {FORMATS} files work.")
    if upload.stat().st_size > limits.megabytes * 1e6:
        raise InputError(f"{name} has more than {limits.megabytes} MB, which is the limit here.")
    with _explained(upload, name):
        width, height = photos.photo_size(upload, allow_large=True)  # `Limits` decides instead
    if width * height > limits.megapixels * 1e6:
        raise InputError(
            f"{name} has {width} x {height} pixels. The limit here is {limits.megapixels:g} million pixels."
        )


def blend(blurred: np.ndarray, restored: np.ndarray, strength: float) -> np.ndarray:
    """Computes what `Restorer(strength=...)` returns, from its result at full strength, to within one level.

    Args:
        blurred, restored: uint8 or uint16 `(height, width, 3)`.
        strength: float in 0..1, the share of the correction.

    Returns:
        Array of the same type and shape.
    """
    return cv2.addWeighted(restored, strength, blurred, 1 - strength, 0)


def shown(result: Restored) -> tuple[Path, Path]:
    """The pictures for the page, see `Restored.shown`.

    Raises:
        InputError: if the photo has been deleted.
    """
    _check_kept(result)
    return result.shown


def write_result(result: Restored, strength: float) -> Path:
    """Writes a restored photo with the format and the metadata of the upload.

    Args:
        result: `Restored`.
        strength: float in 0..1, the share of the correction.

    Returns:
        `Path` of the file.

    Raises:
        InputError: if the photo has been deleted, the strength is out of range, or the file cannot be written.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"The strength is 0 to 1, not {strength}.")
    target = _written(result, strength)
    if target.exists():
        return target
    _check_kept(result)
    photo = photos.read_photo(result.upload, allow_large=True)
    _write(target, result.name, photo._replace(pixels=blend(photo.pixels, np.load(result.pixels), strength)))
    return target


def write_zip(results: Iterable[Restored], strength: float, path: Path) -> Path:
    """Writes several restored photos as one ZIP file, see `write_result`.

    Returns:
        `path`.
    """
    with write_by_rename(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        files = [write_result(result, strength) for result in results]
        for file, name in zip(files, distinct(file.name for file in files)):
            archive.write(file, name)
    return path


def distinct(names: Iterable[str]) -> list[str]:
    """Numbers equal names: a.jpg, a.jpg, b.png become a.jpg, a (2).jpg, b.png."""
    given, taken = [], set()
    for name in names:
        path, number, new = Path(name), 1, name
        while new.lower() in taken:
            number += 1
            new = f"{path.stem} ({number}){path.suffix}"
        taken.add(new.lower())
        given.append(new)
    return given


def discard(results: Iterable[Restored]) -> None:
    """Deletes everything about photos."""
    for result in results:
        shutil.rmtree(result.folder, ignore_errors=True)


def discard_old(work: Path, minutes: float) -> None:
    """Deletes everything in a folder that was made more than so many minutes ago, except what is being restored."""
    for path in work.glob("*"):
        if path.name.startswith(UNFINISHED):
            continue  # however long it takes
        with contextlib.suppress(OSError):  # it may vanish meanwhile, and one that stays must not keep the others
            if time.time() - path.stat().st_mtime > 60 * minutes:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _check_kept(result):
    """Raises an `InputError` if a restored photo has been deleted."""
    if not result.pixels.exists():
        raise InputError(f"{result.name} has been deleted here. Restore it again.")


@contextlib.contextmanager
def _explained(path, name):
    """Within the block, an `InputError` about a file becomes one for a visitor, who knows its name but not its path."""
    try:
        yield
    except photos.CutShort as error:
        raise InputError(f"{name} ends too early. Part of the photo is missing.") from error
    except InputError as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            raise InputError(f"{name} is not a picture, or it is damaged. {FORMATS} files work.") from error
        raise InputError(str(error).replace(str(path), name)) from error


def _written(result, strength):
    """The file of a result at a strength."""
    name = output_name(Path(result.name))
    return result.folder / f"strength-{round(100 * strength)}" / name


def _write(target, name, photo):
    """Writes a photo that the visitor knows by a name. Returns notes."""
    target.parent.mkdir(exist_ok=True)
    with _explained(target, name):
        return photos.write_photo(target, photo)


def _as_shown(photo):
    """What a browser shows of a photo: 8 bits, transparent parts white, the colour profile, no other metadata."""
    pixels = photos.to_8_bit(photo.pixels)
    if photo.alpha is not None:
        share = photos.to_8_bit(photo.alpha)[..., np.newaxis] / np.float32(255)
        pixels = np.round(pixels * share + 255 * (1 - share)).astype(np.uint8)
    profile = {key: value for key, value in photo.metadata.items() if key == "icc_profile"}
    return photo._replace(pixels=pixels, alpha=None, metadata=profile)
