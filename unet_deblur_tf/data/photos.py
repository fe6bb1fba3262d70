"""Reads and writes photos of all kinds: orientation, alpha, grey, 16 bits, CMYK, EXIF, ICC profile, quality."""

import contextlib
import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.files import write_by_rename
from unet_deblur_tf.utils.formats import HEIC, JPEG, TIFF

try:
    import pillow_heif

    pillow_heif.register_heif_opener()
except ImportError:
    pass  # the extra `heic`

FORMATS = {"BMP", "GIF", "HEIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP"}  # Pillow's names; MPO is several JPEG pictures
GREY = ("1", "L", "LA", "La")  # Pillow's modes
ORIENTATION, EXIF_IFD, GPS_IFD = 0x0112, 0x8769, 0x8825
# The TIFF tags that describe the photo instead of the file: description, camera, times, author, Exif, GPS.
TIFF_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, EXIF_IFD, GPS_IFD)
SIZE_TAGS = (0x0100, 0x0101)  # width and height
BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR, EXTRA_SAMPLES = 258, 262, 284, 338
LOCK = threading.Lock()  # of Pillow's limit, which is one for all threads


class Photo(NamedTuple):
    """A decoded, upright picture file.

    Attributes:
        pixels: uint8 or uint16 `(height, width, 3)`, RGB; of a grey picture all three channels are equal.
        alpha: `(height, width)` of the same type, or None.
        grey: bool, whether the picture is written with one channel.
        metadata: dict of the arguments of Pillow's `save` that the file has: `exif`, `icc_profile`, `dpi`, `lossless`.
        notes: list of str that tell the user what of the file is lost or changed.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    grey: bool
    metadata: dict
    notes: list[str]


def read_photo(path, allow_large: bool = False, allow_damaged: bool = False) -> Photo:
    """Reads a picture file.

    Args:
        path: `Path`, or another object with a method `open`, such as `pictures.StoredPicture`.
        allow_large: bool, whether to accept more pixels than Pillow considers safe (89 million).
        allow_damaged: bool, whether to accept a JPEG file that ends too early; its missing part is grey.

    Returns:
        A `Photo`.

    Raises:
        InputError: if the file is missing, damaged, too large or not a picture; it names the file.
    """
    try:
        with _opened(path, allow_large) as (data, picture):
            return _read(data, picture)
    except CutShort:
        if not allow_damaged:
            raise
    # Pillow accepts such files only with a global setting, so change it for this file only.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with _opened(path, allow_large) as (data, picture):
            photo = _read(data, picture)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    return photo._replace(notes=[*photo.notes, "the file ends too early: grey parts were not in it"])


class CutShort(InputError):
    """A JPEG file ends before the picture is complete. Viewers show such a file, with the rest missing."""


def photo_size(path, allow_large: bool = False) -> tuple[int, int]:
    """Reads the size of the upright picture from the header of its file.

    Args:
        path, allow_large: see `read_photo`.

    Returns:
        (width, height).

    Raises:
        InputError: if the file is missing, too large, not a picture, or has pixels that `read_photo` does not support,
            such as 32-bit floats; it names the file.
    """
    with _opened(path, allow_large, header=True) as (_, picture):
        _check_mode(picture, _is_deep(picture))
        # For a PNG without EXIF data in its header, `getexif` would decode the pixels to look behind them.
        header_has_exif = picture.format != "PNG" or "exif" in picture.info
        turned = header_has_exif and picture.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        # Of TIFF files, Pillow 12 and later turn the size, and earlier ones do not.
        size = tuple(picture.tag_v2[tag] for tag in SIZE_TAGS) if picture.format == "TIFF" else picture.size
        return size[::-1] if turned else size


@contextlib.contextmanager
def _opened(path, allow_large, header=False):
    """Opens a picture file with Pillow; every failure becomes an `InputError` that names the file.

    Yields:
        (bytes of the file, or None if only the header is needed, `PIL.Image.Image`).
    """
    data = None
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            # Hide Pillow's warnings about damaged files: the error below says enough.
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            data = None if header else file.read()
            source = file if header else io.BytesIO(data)
            if allow_large:
                with _without_limit(), Image.open(source) as picture:
                    yield data, picture
                return
            with LOCK:  # not while another thread has lifted the limit
                picture = Image.open(source)
            with picture:
                yield data, picture
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        with LOCK:
            limit = Image.MAX_IMAGE_PIXELS
        raise InputError(
            f"{path} has more than {limit:,} pixels: if you trust its source, deblur takes it with --allow-large"
        ) from error
    except Exception as error:  # a damaged file can fail in any way
        # Pillow's own message has the address of an object in it.
        reason = "its format is not known" if isinstance(error, UnidentifiedImageError) else error
        message = f"{path} cannot be read as a picture: {reason}"
        if "truncated" in str(error) and data and data.startswith(b"\xff\xd8\xff"):
            raise CutShort(f"{message}: --allow-damaged restores what is there") from error
        raise InputError(message) from error


@contextlib.contextmanager
def _without_limit():
    """Within the block, Pillow reads pictures of any size. This is a setting of the process, so other threads wait."""
    with LOCK:
        limit = Image.MAX_IMAGE_PIXELS
        try:
            Image.MAX_IMAGE_PIXELS = None
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _read(data, picture):
    """The `Photo` of an opened picture, see `_opened`."""
    if picture.format not in FORMATS:
        raise ValueError(f"{picture.format} is not supported; PNG, JPEG, WebP, TIFF, BMP, GIF and HEIC are")
    notes = []
    if picture.info.get("bit_depth", 8) > 8:  # HEIC
        notes.append(f"reduced from {picture.info['bit_depth']} to 8 bit")
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
        notes.append(f"only the first of {picture.n_frames} frames")
    metadata = {key: picture.info[key] for key in ("icc_profile", "dpi") if picture.info.get(key)}
    if picture.format == "WEBP":
        metadata["lossless"] = _is_lossless(data)
    if picture.info.get("gamma") and "icc_profile" not in metadata:
        notes.append("its gamma setting is left out")
    deep = _is_deep(picture)  # works only before the pixels are loaded
    _check_mode(picture, deep)
    try:
        exif = _exif(picture)
        metadata.update({"exif": exif.tobytes()} if len(exif) else {})
    except Exception:  # damaged EXIF data can fail in any way; the pixels can still be fine
        notes.append("its EXIF data is damaged and left out")
    if deep:
        return Photo(*_read_16_bit(data, picture), metadata, notes)
    picture.load()
    with contextlib.suppress(Exception):  # damaged EXIF data again
        ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode == "CMYK":
        picture = _from_cmyk(picture, metadata.pop("icc_profile", None))
        notes.append("CMYK, written as sRGB")
    grey = picture.mode in GREY
    transparent = picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
    planes = np.asarray(picture.convert("RGBA" if transparent else "RGB"))
    alpha = planes[..., 3] if transparent else None
    return Photo(np.ascontiguousarray(planes[..., :3]), alpha, grey, metadata, notes)


def _check_mode(picture, deep):
    """Raises a ValueError if the pixels are of a kind that is not supported."""
    if not deep and picture.mode in ("I", "F", "LAB", "HSV"):
        raise ValueError(f"its pixels are of a kind that is not supported ({picture.mode})")


def _is_lossless(data):
    """Whether the first picture of a WebP file is compressed without loss, from the names of its chunks."""
    start = 12
    while start + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, start)
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        # The chunks of a frame of an animation begin 16 bytes after the start of the frame's own data.
        start += 8 + (16 if name == b"ANMF" else size + size % 2)
    return False


def _is_deep(picture):
    """Whether a channel has 16 bits. Pillow's mode shows that only for grey pictures."""
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(BITS_PER_SAMPLE, (1,))) == 16 and picture.mode not in ("F", "I")
    if picture.format == "BMP":
        return False  # BGR;16 is 16 bits for all three colours
    # The last of the four entries of a tile holds the decoder's arguments; the first of those is the raw mode.
    modes = [arguments if isinstance(arguments, str) else arguments[0] for *_, arguments in picture.tile if arguments]
    return any(";16" in str(mode) for mode in [picture.mode, *modes])


def _exif(picture):
    """The EXIF data for an upright copy of a picture."""
    original, kept = picture.getexif(), Image.Exif()
    for tag in TIFF_TAGS if picture.format == "TIFF" else original:
        if tag in original and tag != ORIENTATION:
            kept[tag] = original.get_ifd(tag) if tag in (EXIF_IFD, GPS_IFD) else original[tag]
    return kept


def _read_16_bit(data, picture):
    """Reads a picture with 16 bits per channel with OpenCV, because Pillow reduces colours to 8 bits.

    Returns:
        (pixels, alpha, grey), see `Photo`.
    """
    if picture.format == "TIFF":
        tags = picture.tag_v2
        if tags.get(PHOTOMETRIC) not in (1, 2) or tags.get(PLANAR, 1) != 1 or 1 in tags.get(EXTRA_SAMPLES, ()):
            raise ValueError("a 16-bit TIFF has to be RGB or black-is-zero, chunky, without premultiplied alpha")
    grey = False
    if picture.format == "PNG":
        _check_chunks(data)
        grey = data[25] in (0, 4)  # the colour type, because for grey with alpha Pillow's mode is RGBA
    planes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if planes is None or planes.dtype != np.uint16:
        raise ValueError("its 16 bits per channel are in a form that is not supported")
    planes = np.atleast_3d(planes)
    if picture.format != "TIFF":  # OpenCV turns TIFF files by itself
        turns = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
        quarter_turns, mirrored = turns.get(picture.getexif().get(ORIENTATION, 1), (0, False))
        planes = np.rot90(planes, quarter_turns)
        planes = planes[:, ::-1] if mirrored else planes
    if planes.shape[2] == 1:
        transparent = picture.info.get("transparency")  # one shade of grey
        alpha = None if transparent is None else np.where(planes[..., 0] == transparent, 0, 65535).astype(np.uint16)
        return np.repeat(planes, 3, axis=2), alpha, True
    alpha = planes[..., 3] if planes.shape[2] == 4 else None
    return np.ascontiguousarray(planes[..., 2::-1]), alpha, grey  # from OpenCV's BGR to RGB


def _check_chunks(png):
    """Raises a ValueError if a chunk of a PNG file is longer than the file.

    OpenCV allocates the length that a chunk claims, up to 4 GB, before it reads the chunk.
    """
    start = 8
    while start < len(png):
        name, start = png[start + 4 : start + 8], start + 12 + int.from_bytes(png[start : start + 4], "big")
        if start > len(png):
            raise ValueError("it is cut short or damaged")
        if name == b"IEND":
            break


def _from_cmyk(picture, profile):
    """A CMYK picture as RGB: converted to sRGB by its ICC profile if it has one, else as Pillow converts it."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # ignore a damaged profile
    return picture.convert("RGB")


def write_photo(path: Path, photo: Photo, quality: int = 95) -> list[str]:
    """Writes a photo in the format of the path's ending, to a temporary file that is then renamed.

    Args:
        path: `Path`.
        photo: `Photo`.
        quality: int from 1 to 100, for JPEG, lossy WebP and HEIC.

    Returns:
        List of str that tell the user what the format cannot hold.

    Raises:
        InputError: if the file cannot be written.
    """
    suffix, notes = path.suffix.lower(), []
    if photo.alpha is not None and suffix in JPEG | {".bmp"}:
        photo = photo._replace(alpha=None)
        notes.append(f"alpha is left out, which {suffix} does not hold")
    if photo.pixels.dtype == np.uint16 and suffix not in TIFF | {".png"}:
        alpha = None if photo.alpha is None else to_8_bit(photo.alpha)
        photo = photo._replace(pixels=to_8_bit(photo.pixels), alpha=alpha)
        notes.append(f"reduced to 8 bit, all that {suffix} holds")
    try:
        with write_by_rename(path) as partial:
            if photo.pixels.dtype == np.uint16:
                _write_16_bit(partial, photo)
            else:
                _write_8_bit(partial, photo, quality)
    except Exception as error:  # some metadata can be read but not written
        raise InputError(f"{path} cannot be written: {error}") from error
    return notes


def _write_8_bit(path, photo, quality):
    """Writes a photo with Pillow."""
    picture = Image.fromarray(_one_channel(photo.pixels) if photo.grey else photo.pixels)
    if photo.alpha is not None:
        picture.putalpha(Image.fromarray(photo.alpha))
    options = dict(photo.metadata)
    lossless = options.pop("lossless", False)
    suffix = path.suffix.lower()
    if suffix in JPEG:
        options.update(quality=quality, subsampling=0)
    elif suffix == ".webp":
        options.update(lossless=True) if lossless else options.update(quality=quality)
    elif suffix in HEIC:
        options.update(quality=quality)
    elif suffix in TIFF and "exif" not in options:
        options.update(compression="tiff_deflate")  # Pillow cannot write this together with Exif and GPS data
    picture.save(path, **options)


def _write_16_bit(path, photo):
    """Writes a 16-bit photo: a TIFF file with tifffile, a PNG file with OpenCV."""
    planes = _one_channel(photo.pixels) if photo.grey else photo.pixels
    if photo.alpha is not None:
        colours = [planes] * 3 if photo.grey else [planes]  # OpenCV cannot write grey with alpha
        planes = np.dstack([*colours, photo.alpha])
    if path.suffix.lower() in TIFF:
        tifffile.imwrite(
            path,
            planes,
            photometric="minisblack" if planes.ndim == 2 else "rgb",
            extrasamples=None if photo.alpha is None else ["unassalpha"],
            planarconfig="contig" if planes.ndim == 3 else None,
            compression="zlib",
            iccprofile=photo.metadata.get("icc_profile"),
            metadata=None,
        )
        return
    encoded, data = cv2.imencode(".png", planes if planes.ndim == 2 else planes[..., [2, 1, 0, 3][: planes.shape[2]]])
    if not encoded:
        raise ValueError("OpenCV could not encode it")
    path.write_bytes(_with_metadata(data.tobytes(), photo.metadata))


def to_8_bit(planes: np.ndarray) -> np.ndarray:
    """Converts uint8 or uint16 values to uint8, rounded."""
    return planes if planes.dtype == np.uint8 else np.round(planes / 257).astype(np.uint8)


def _with_metadata(png, metadata):
    """Inserts an ICC profile and EXIF data, which OpenCV does not write, after the header of a PNG file."""
    chunks = b""
    if profile := metadata.get("icc_profile"):
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
    if exif := metadata.get("exif"):
        chunks += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    header = 8 + 25  # signature and IHDR
    return png[:header] + chunks + png[header:]


def _chunk(name, data):
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _one_channel(pixels):
    """The mean of the channels, `(height, width)`."""
    return np.round(pixels.mean(axis=2, dtype=np.float32)).astype(pixels.dtype)
