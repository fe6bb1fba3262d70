"""Photos as people have them, in and out: orientation, alpha, grey, 16 bit, CMYK, EXIF, ICC profile, quality."""

import io
import struct
import warnings
import zlib
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.files import write_by_rename

try:
    import pillow_heif

    pillow_heif.register_heif_opener()
except ImportError:
    pass  # the extra `heic`

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif"}
WRITTEN_AS = {".gif": ".png"}  # restored colours are more than a palette holds; other formats stay what they are
GREY = ("1", "L", "LA", "La")
ORIENTATION = 0x0112
# What of a TIFF file's tags is about the photo, not about the file: description, camera, times, author, Exif, GPS.
TIFF_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825)


class Photo(NamedTuple):
    """A picture file, decoded and upright.

    Attributes:
        pixels: uint8 or uint16 `(height, width, 3)`, RGB; a grey picture's three channels are equal.
        alpha: the same type `(height, width)`, or None.
        grey: bool, to be written with one channel.
        kind: str, Pillow's name of the format.
        metadata: dict of Pillow's `exif`, `icc_profile`, `dpi` and `lossless`, those that are there.
        notes: list of str, what of the file is lost or changed, for people.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    grey: bool
    kind: str
    metadata: dict
    notes: list


def read_photo(path, allow_large=False):
    """Reads a picture file.

    Args:
        path: `Path`.
        allow_large: bool, also take more pixels than Pillow thinks safe (89 million).

    Returns:
        A `Photo`.

    Raises:
        InputError: naming the file, if it is missing, damaged, too large or no picture.
    """
    limit = Image.MAX_IMAGE_PIXELS
    try:
        if allow_large:
            Image.MAX_IMAGE_PIXELS = None
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return _read(path, picture)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path} has more than {limit:,} pixels: --allow-large, if it comes from someone you trust"
        ) from error
    except (OSError, SyntaxError, ValueError, struct.error, EOFError, MemoryError, cv2.error) as error:
        raise InputError(f"{path} cannot be read as a picture: {error}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _read(path, picture):
    notes = []
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
        notes.append(f"only the first of {picture.n_frames} frames")
    metadata = {key: picture.info[key] for key in ("icc_profile", "dpi") if picture.info.get(key)}
    kind = "JPEG" if picture.format == "MPO" else picture.format
    if kind == "WEBP":
        with open(path, "rb") as file:
            metadata["lossless"] = file.read(16).endswith(b"VP8L")
    # Before anything loads the pixels: after that the tiles are gone.
    deep = "16" in picture.mode or any("16" in str(tile.args) for tile in picture.tile)
    exif = _exif(picture)
    if deep:
        pixels, alpha, grey = _read_16_bit(path, picture)
    else:
        if picture.mode in ("I", "F", "LAB", "HSV"):
            raise ValueError(f"its pixels are of a kind that is not supported ({picture.mode})")
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        if picture.mode == "CMYK":
            picture = _from_cmyk(picture, metadata.pop("icc_profile", None))
            notes.append("CMYK, written as sRGB")
        grey = picture.mode in GREY
        transparent = picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
        picture = picture.convert("RGBA" if transparent else "RGB")
        planes = np.asarray(picture)
        pixels, alpha = planes[..., :3], planes[..., 3] if transparent else None
    if len(exif):
        metadata["exif"] = exif.tobytes()
    return Photo(np.ascontiguousarray(pixels), alpha, grey, kind, metadata, notes)


def _exif(picture):
    """The EXIF data for an upright copy."""
    found, kept = picture.getexif(), Image.Exif()
    for tag in TIFF_TAGS if picture.format == "TIFF" else found:
        if tag in found and tag != ORIENTATION:
            kept[tag] = found.get_ifd(tag) if tag in (0x8769, 0x8825) else found[tag]
    return kept


def _read_16_bit(path, picture):
    """Pillow knows 16 bit in grey pictures only, and cuts colour ones down to 8; OpenCV reads both."""
    planes = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if planes is None or planes.dtype != np.uint16:
        raise ValueError("its 16 bits per channel are in a form that is not supported")
    turns = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
    quarter_turns, mirrored = turns.get(picture.getexif().get(ORIENTATION, 1), (0, False))
    planes = np.rot90(np.atleast_3d(planes), quarter_turns)
    planes = planes[:, ::-1] if mirrored else planes
    channels = planes.shape[2]
    alpha = planes[..., -1] if channels in (2, 4) else None
    if channels < 3:
        return np.repeat(planes[..., :1], 3, axis=2), alpha, True
    return planes[..., 2::-1], alpha, False  # OpenCV has blue first


def _from_cmyk(picture, profile):
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except ImageCms.PyCMSError:
            pass  # a damaged profile: as if there were none
    return picture.convert("RGB")


def output_name(name):
    """The file name under which a restored photo is written."""
    return name.with_suffix(WRITTEN_AS.get(name.suffix.lower(), name.suffix))


def write_photo(path, photo, quality=95):
    """Writes a photo in the format that the path's ending says, by rename.

    Args:
        path: `Path`.
        photo: `Photo`.
        quality: 1 to 100, for JPEG, lossy WebP and HEIC.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        with write_by_rename(path) as partial:
            if photo.pixels.dtype == np.uint16:
                _write_16_bit(partial, photo)
            else:
                _write_8_bit(partial, photo, quality)
    except (OSError, ValueError, cv2.error) as error:
        raise InputError(f"{path} cannot be written: {error}") from error


def _write_8_bit(path, photo, quality):
    picture = Image.fromarray(photo.pixels)
    if photo.grey:
        picture = Image.fromarray(_one_channel(photo.pixels))
    if photo.alpha is not None:
        picture.putalpha(Image.fromarray(photo.alpha))
    options = dict(photo.metadata)
    lossless = options.pop("lossless", False)
    suffix = path.suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        options.update(quality=quality, subsampling=0)
    elif suffix == ".webp":
        options.update(lossless=True) if lossless else options.update(quality=quality)
    elif suffix in (".heic", ".heif"):
        options.update(quality=quality)
    elif suffix in (".tif", ".tiff"):
        options.update(compression="tiff_deflate")
    picture.save(path, **options)


def _write_16_bit(path, photo):
    planes = _one_channel(photo.pixels)[..., np.newaxis] if photo.grey else photo.pixels
    if photo.alpha is not None:
        planes = np.dstack([planes, photo.alpha])
    planes = np.ascontiguousarray(planes.squeeze())
    if path.suffix.lower() in (".tif", ".tiff"):
        tifffile.imwrite(
            path,
            planes,
            photometric="minisblack" if photo.grey else "rgb",
            extrasamples=None if photo.alpha is None else ["unassalpha"],
            planarconfig="contig" if planes.ndim == 3 else None,
            compression="zlib",
            iccprofile=photo.metadata.get("icc_profile"),
            metadata=None,
        )
        return
    if photo.grey and photo.alpha is not None:
        # OpenCV has no grey with alpha.
        planes = np.dstack([planes[..., 0]] * 3 + [planes[..., 1]])
    elif not photo.grey:
        planes = planes[..., [2, 1, 0, 3][: planes.shape[2]]]
    done, data = cv2.imencode(".png", planes)
    if not done:
        raise ValueError("OpenCV could not encode it")
    path.write_bytes(_with_metadata(data.tobytes(), photo.metadata))


def _with_metadata(png, metadata):
    """A PNG file with an ICC profile and EXIF data put in after its header, which OpenCV does not write."""
    chunks = b""
    if profile := metadata.get("icc_profile"):
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
    if exif := metadata.get("exif"):
        chunks += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    header = 8 + 25  # signature and IHDR
    return png[:header] + chunks + png[header:]


def _chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _one_channel(pixels):
    return np.round(pixels.mean(axis=2, dtype=np.float32)).astype(pixels.dtype)
