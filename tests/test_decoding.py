"""Picture files decoded in the graph, next to Pillow, which reads the same files by code of its own."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from helpers import encoded, png_bomb
from PIL import Image, ImageOps

from unet_deblur_tf.exporting.decoding import decode_upright, exif_orientation, size

LIMIT = 5_000
FILES = tf.TensorSpec((), tf.string)


@tf.function(input_signature=[FILES])
def decode(file):
    return decode_upright(file, "photo", LIMIT)


@tf.function(input_signature=[FILES])
def size_of(file):
    return size(file, "photo")


@tf.function(input_signature=[FILES])
def orientation_of(file):
    return exif_orientation(file)


def quarters():
    """37 rows, 53 columns, each quarter another colour, so that JPEG keeps it and every turn shows."""
    picture = np.zeros((37, 53, 3), np.uint8)
    picture[:18, :26], picture[:18, 26:], picture[18:, :26] = (250, 20, 20), (20, 250, 20), (20, 20, 250)
    return picture


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("GIF", {}),
        ("JPEG", {}),
        ("JPEG", dict(progressive=True)),
        ("WEBP", dict(lossless=True)),
        ("WEBP", dict(lossless=False)),
        ("WEBP", dict(lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")),
    ],
)
@pytest.mark.parametrize("shape", [(37, 53), (1, 70), (64, 1)])
def test_size_and_content(kind, options, shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    file = encoded(picture, kind, **options)
    np.testing.assert_array_equal(size_of(file), (1, *shape) if kind == "GIF" else shape)
    with Image.open(io.BytesIO(file)) as image:
        expected = np.asarray(image.convert("RGB"))
    tolerance = 0 if kind not in ("JPEG", "WEBP") or options.get("lossless") else 60  # chroma is enlarged otherwise
    assert np.abs(decode(file).numpy().astype(int) - expected).max() <= tolerance


def test_sizes_that_a_small_picture_does_not_show():
    for width, height in ((70_000, 3), (3, 70_000), (300, 260)):
        png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5B", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)
        np.testing.assert_array_equal(size_of(png), (height, width))
        for signed in (height, -height):
            bmp = b"BM" + bytes(12) + struct.pack("<IiiHH", 40, width, signed, 1, 24)
            np.testing.assert_array_equal(size_of(bmp), (height, width))
        extended = b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
        extended += struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        np.testing.assert_array_equal(size_of(extended), (height, width))


def test_top_down_bitmaps():
    picture = quarters()
    rows = np.pad(picture[..., ::-1], ((0, 0), (0, 1), (0, 0)))  # a row's bytes fill multiples of four
    data = rows[:, :53].reshape(37, -1)
    data = np.pad(data, ((0, 0), (0, -data.shape[1] % 4)))
    header = struct.pack("<IiiHHIIiiII", 40, 53, -37, 1, 24, 0, data.size, 0, 0, 0, 0)
    file = b"BM" + struct.pack("<IHHI", 54 + data.size, 0, 0, 54) + header + data.tobytes()
    np.testing.assert_array_equal(decode(file), picture)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_come_out_upright(orientation, byte_order):
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F], exif[0x0112], exif[0x0131] = "Maker", orientation, "Software"
    file = encoded(quarters(), "JPEG", quality=95, exif=exif)
    with Image.open(io.BytesIO(file)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    upright = decode(file).numpy()
    assert upright.shape == expected.shape
    assert np.abs(upright - expected).mean() < 1


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",  # a directory far outside
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",  # 65,535 entries, none there
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0",  # orientation 99
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0",  # orientation 0
    ],
)
def test_broken_exif_data_leaves_a_photo_as_it_is(exif):
    file = encoded(quarters(), "JPEG", quality=95, exif=exif)
    assert orientation_of(file) == 1
    np.testing.assert_array_equal(decode(file), decode(encoded(quarters(), "JPEG", quality=95)))
    assert np.abs(decode(file).numpy().astype(int) - quarters()).mean() < 5


def test_only_jpegs_have_an_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert orientation_of(encoded(quarters(), "JPEG", exif=exif)) == 6
    assert orientation_of(encoded(quarters(), "PNG", exif=exif)) == 1


LARGE = np.zeros((51, 100, 3), np.uint8)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "photo of 0 bytes is not a PNG, JPEG, GIF, BMP or WebP file"),
        (b"no picture", "photo of 10 bytes is not a PNG"),
        (encoded(quarters(), "PNG")[:60], "Invalid PNG data"),
        (encoded(quarters(), "JPEG")[:300], "Invalid JPEG data"),
        (encoded(quarters(), "WEBP")[:40], "Failed to decode WebP"),
        (encoded(quarters(), "BMP")[:300], "Input size should match"),
        (b"GIF89a", r"photo of shape \[1 0 0\] is empty"),
        (encoded(quarters(), "GIF")[:60], "Invalid GIF data"),
        (png_bomb(60_000, 60_000), r"photo of shape \[60000 60000\] has more pixels than the 5000"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, r"photo of shape \[4294967295 4294967295\] has more pixels"),
        *((encoded(LARGE, kind), r"photo of shape \[(1 )?51 100\] has more pixels than the 5000")
          for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP")),
    ],
)  # fmt: skip
def test_what_is_refused(file, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(file)


def test_the_limit_itself_passes():
    assert decode(encoded(LARGE[:50], "PNG")).shape == (50, 100, 3)


def animation(count, shape):
    frames = [Image.fromarray(np.full(shape, 40 + index, np.uint8)) for index in range(count)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def test_frames_of_a_gif_count():
    """TensorFlow makes room for all of them, though it gives the first."""
    np.testing.assert_array_equal(size_of(animation(5, (30, 33))), (5, 30, 33))
    np.testing.assert_array_equal(decode(animation(5, (30, 33))), np.full((30, 33, 3), 40))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"photo of shape \[6 30 33\] has more pixels"):
        decode(animation(6, (30, 33)))


def test_a_frame_larger_than_its_gif_counts():
    file = bytearray(encoded(np.zeros((200, 300), np.uint8), "GIF"))
    file[6:10] = struct.pack("<HH", 10, 10)
    np.testing.assert_array_equal(size_of(bytes(file)), (1, 200, 300))
    with pytest.raises(tf.errors.InvalidArgumentError, match="has more pixels"):
        decode(bytes(file))


def test_bitmaps_with_a_palette_are_refused():
    """TensorFlow would take the palette's numbers for grey levels."""
    buffer = io.BytesIO()
    Image.fromarray(quarters()).quantize(8).save(buffer, "BMP")
    with pytest.raises(tf.errors.InvalidArgumentError, match="photo is a BMP file with a palette"):
        decode(buffer.getvalue())


def test_what_looks_like_exif_data_elsewhere_does_not_count():
    turned = b"\xff\xe1\0\x20Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    assert orientation_of(encoded(quarters(), "JPEG", comment=turned)) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_orientation_stored_as_a_long(order):
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    exif = b"Exif\0\0" + mark + struct.pack(f"{order}IHHHII", 8, 1, 0x0112, 4, 1, 6) + bytes(4)
    assert orientation_of(encoded(quarters(), "JPEG", exif=exif)) == 6
