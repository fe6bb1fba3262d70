"""Photos as people have them, through a network that inverts colours, exactly, so that what comes out is known."""

import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tifffile
from helpers import png_bomb, png_chunk, read_pixels
from PIL import Image, ImageCms

from unet_deblur_tf.data import photos
from unet_deblur_tf.data.photos import ORIENTATION, read_photo
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.restoring.deblur import deblur

RNG = np.random.default_rng(11)
COLOUR = RNG.integers(0, 256, (24, 36, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (24, 36, 3), np.uint16)
ALPHA = RNG.integers(0, 256, (24, 36), np.uint8)
SMOOTH = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)  # which lossy formats keep


@pytest.fixture
def restored(inverter, tmp_path):
    """Saves a picture, restores it and gives the path of the result."""

    def restore(name, save, **options):
        source = tmp_path / "in" / name
        source.parent.mkdir(exist_ok=True)
        save(source)
        before = source.read_bytes()
        outcome = deblur(source, inverter, tmp_path / "out", progress=False, **options)
        assert not outcome.failed
        assert source.read_bytes() == before
        return outcome.written[source]

    return restore


def pillow(picture, **options):
    return lambda path: picture.save(path, **options)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
def test_lossless_formats(restored, suffix):
    path = restored(f"photo{suffix}", pillow(Image.fromarray(COLOUR)))
    assert path.name == f"photo{suffix}"
    np.testing.assert_array_equal(read_pixels(path), 255 - COLOUR)


def some_exif(orientation=None):
    exif = Image.Exif()
    exif[0x010F] = "A camera maker"
    exif[photos.EXIF_IFD] = {0x829A: 0.01}  # exposure time
    exif[photos.GPS_IFD] = {1: "N"}
    if orientation:
        exif[ORIENTATION] = orientation
    return exif


def test_lossless_webp_stays_lossless(restored):
    path = restored("photo.webp", pillow(Image.fromarray(COLOUR), lossless=True, exif=some_exif()))
    np.testing.assert_array_equal(read_pixels(path), 255 - COLOUR)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_quality(restored, suffix):
    size = {
        quality: restored(f"{quality}{suffix}", pillow(Image.fromarray(SMOOTH), quality=100), quality=quality)
        for quality in (20, 95)
    }
    assert size[20].stat().st_size < size[95].stat().st_size
    assert np.abs(read_pixels(size[95]).astype(int) - (255 - SMOOTH)).mean() < 3


def test_strength(restored):
    path = restored("photo.png", pillow(Image.fromarray(COLOUR)), strength=0.25)
    np.testing.assert_allclose(read_pixels(path), 0.75 * COLOUR + 0.25 * (255 - COLOUR.astype(float)), atol=0.51)


def test_heic(restored):
    pytest.importorskip("pillow_heif")
    path = restored("photo.heic", pillow(Image.fromarray(SMOOTH), quality=100))
    with Image.open(path) as picture:
        assert picture.format == "HEIF"
        assert np.abs(np.asarray(picture).astype(int) - (255 - SMOOTH)).mean() < 5


@pytest.mark.parametrize("bits", [8, 10])
def test_heic_of_more_than_eight_bits(inverter, tmp_path, bits):
    heif = pytest.importorskip("pillow_heif")
    mode, content = ("RGB", SMOOTH) if bits == 8 else ("RGB;16", SMOOTH.astype(np.uint16) * 257)
    heif.from_bytes(mode, (64, 64), content.tobytes()).save(tmp_path / "photo.heic", quality=100)
    outcome = deblur(tmp_path / "photo.heic", inverter, tmp_path / "out", progress=False)
    assert not outcome.failed
    assert read_photo(tmp_path / "photo.heic").notes == ["reduced from 10 to 8 bit"][: bits > 8]
    restored = read_pixels(outcome.written[tmp_path / "photo.heic"])
    assert np.abs(restored.astype(int) - (255 - SMOOTH)).mean() < 5


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "PPM"])
def test_other_formats_are_refused_by_name(inverter, tmp_path, kind):
    suffix = {"AVIF": ".avif", "JPEG2000": ".jp2", "PPM": ".ppm"}[kind]
    if suffix not in Image.registered_extensions():
        pytest.skip("this Pillow does not read it")
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(COLOUR).save(path)
    outcome = deblur(path, inverter, tmp_path / "out", progress=False)
    assert f"{kind} is not supported; PNG, JPEG" in outcome.failed[path]


def test_grey_stays_grey(restored):
    path = restored("photo.png", pillow(Image.fromarray(COLOUR[..., 0])))
    np.testing.assert_array_equal(read_pixels(path), 255 - COLOUR[..., 0])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_is_kept(restored, mode, suffix):
    picture = Image.fromarray(np.dstack([COLOUR, ALPHA])).convert(mode)
    colours = np.asarray(picture)[..., :-1]
    result = read_pixels(restored(f"photo{suffix}", pillow(picture)))
    np.testing.assert_array_equal(result[..., -1], ALPHA)
    np.testing.assert_array_equal(result[..., :-1], 255 - colours)


def test_palettes(restored):
    picture = Image.fromarray(COLOUR).quantize(16)
    colours = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(read_pixels(restored("plain.png", pillow(picture))), 255 - colours)
    picture.info["transparency"] = 3
    result = read_pixels(restored("transparent.png", pillow(picture, transparency=3)))
    np.testing.assert_array_equal(result[..., 3], np.where(np.asarray(picture) == 3, 0, 255))
    path = restored("moving.gif", pillow(picture, save_all=True, append_images=[picture.rotate(180)]))
    assert path.name == "moving.png"


def test_another_format_is_said(inverter, tmp_path, capsys):
    Image.fromarray(COLOUR).save(tmp_path / "still.gif")
    deblur(tmp_path / "still.gif", inverter, tmp_path / "out")
    assert f"{tmp_path / 'still.gif'}: written as .png" in capsys.readouterr().out


def test_black_and_white(restored):
    picture = Image.fromarray(ALPHA > 100)
    np.testing.assert_array_equal(read_pixels(restored("photo.png", pillow(picture))), np.where(ALPHA > 100, 0, 255))


def test_cmyk(restored):
    picture = Image.fromarray(SMOOTH).convert("CMYK")
    path = restored("photo.jpg", pillow(picture, quality=100, subsampling=0))
    with Image.open(path) as result:
        assert result.mode == "RGB"
        assert np.abs(np.asarray(result).astype(int) - (255 - SMOOTH)).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", ["colour", "alpha", "grey"])
def test_sixteen_bits_stay_sixteen_bits(restored, suffix, kind):
    content = {"colour": DEEP, "alpha": np.dstack([DEEP, DEEP[..., 1]]), "grey": DEEP[..., 0]}[kind]
    if suffix == ".png":
        order = {"colour": [2, 1, 0], "alpha": [2, 1, 0, 3]}.get(kind)
        path = restored(
            "photo.png", lambda path: cv2.imwrite(str(path), content if order is None else content[..., order])
        )
        result = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        result = result if order is None else result[..., order]
    else:
        path = restored("photo.tif", lambda path: tifffile.imwrite(path, content))
        result = tifffile.imread(path)
    assert result.dtype == np.uint16
    expected = 65535 - content
    if kind == "alpha":
        expected[..., 3] = content[..., 3]
    assert np.abs(result.astype(int) - expected).max() <= 1  # float32 has 24 bits


def test_sixteen_bit_grey_with_alpha(restored, tmp_path):
    grey = np.dstack([DEEP[..., 0], DEEP[..., 1]])

    def save(path):
        """Pillow and OpenCV write no such file: by hand, unfiltered rows of big-endian samples."""
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
        header = struct.pack(">IIBBBBB", 36, 24, 16, 4, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))

    result = cv2.imread(str(restored("photo.png", save)), cv2.IMREAD_UNCHANGED).astype(int)
    for channel in range(3):
        assert np.abs(result[..., channel] - (65535 - grey[..., 0].astype(int))).max() <= 1
    np.testing.assert_array_equal(result[..., 3], grey[..., 1])
    # A network restores the channels each in its way; no tint may come of that.
    photo = read_photo(tmp_path / "in/photo.png")
    photos.write_photo(tmp_path / "tinted.png", photo._replace(pixels=photo.pixels // np.array([1, 2, 3], np.uint16)))
    written = cv2.imread(str(tmp_path / "tinted.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written[..., 0], written[..., 1])
    np.testing.assert_array_equal(written[..., 0], written[..., 2])


def test_sixteen_bit_grey_with_a_transparent_shade(restored):
    grey = DEEP[..., 0].copy()
    grey[:5] = 777

    def save(path):
        png = cv2.imencode(".png", grey)[1].tobytes()
        path.write_bytes(png[:33] + png_chunk(b"tRNS", struct.pack(">H", 777)) + png[33:])

    result = cv2.imread(str(restored("photo.png", save)), cv2.IMREAD_UNCHANGED).astype(int)
    np.testing.assert_array_equal(result[..., 3], np.where(grey == 777, 0, 65535))
    assert np.abs(result[..., 0] - (65535 - grey.astype(int))).max() <= 1


@pytest.mark.parametrize("kind", ["8.png", "16.png", "16.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(restored, orientation, kind):
    exif = some_exif(orientation)
    upright = {
        1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2), 6: lambda p: np.rot90(p, -1), 7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p),
    }[orientation]  # fmt: skip
    if kind != "8.png":

        def save(path):
            if kind == "16.tif":
                tag = (ORIENTATION, "H", 1, orientation, True)
                tifffile.imwrite(path, DEEP, photometric="rgb", extratags=[tag])
                return
            cv2.imwrite(str(path), DEEP[..., ::-1])
            path.write_bytes(photos._with_metadata(path.read_bytes(), {"exif": exif.tobytes()}))

        result = cv2.imread(str(restored(f"photo{kind[2:]}", save)), cv2.IMREAD_UNCHANGED)[..., ::-1]
        np.testing.assert_allclose(result, 65535 - upright(DEEP), atol=1)
    else:
        path = restored("photo.png", pillow(Image.fromarray(COLOUR), exif=exif))
        np.testing.assert_array_equal(read_pixels(path), 255 - upright(COLOUR))
        assert ORIENTATION not in Image.open(path).getexif()


@pytest.mark.parametrize("name", ["8.png", "8.jpg", "8.webp", "8.tif", "16.png"])
def test_exif_and_colour_profile_are_kept(restored, name):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = some_exif(orientation=6)

    def save(path):
        if name.startswith("16"):
            cv2.imwrite(str(path), DEEP)
            metadata = {"exif": exif.tobytes(), "icc_profile": profile}
            path.write_bytes(photos._with_metadata(path.read_bytes(), metadata))
        else:
            Image.fromarray(COLOUR).save(path, exif=exif.tobytes(), icc_profile=profile)

    with Image.open(restored(name, save)) as picture:
        assert picture.size == (24, 36)  # upright
        found = picture.getexif()
        assert found[0x010F] == "A camera maker"
        assert float(found.get_ifd(photos.EXIF_IFD)[0x829A]) == 0.01
        assert found.get_ifd(photos.GPS_IFD)[1] == "N"
        assert picture.info["icc_profile"] == profile


def test_bombs_are_refused(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(20_000, 20_000))
    for read in (read_photo, photos.photo_size):
        with pytest.raises(InputError, match=r"bomb\.png has more than 89,478,485 pixels: .*--allow-large"):
            read(path)
    assert photos.photo_size(path, allow_large=True) == (20_000, 20_000)


def test_large_pictures_on_request(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.fromarray(COLOUR).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)
    with pytest.raises(InputError, match="more than 800 pixels"):
        read_photo(path)
    np.testing.assert_array_equal(read_photo(path, allow_large=True).pixels, COLOUR)
    assert Image.MAX_IMAGE_PIXELS == 800


@pytest.mark.parametrize("mode", ["I", "F"])
def test_unsupported_kinds_of_pixels_are_named(tmp_path, mode):
    path = tmp_path / "photo.tif"
    Image.fromarray(COLOUR[..., 0]).convert(mode).save(path)
    with pytest.raises(InputError, match=rf"photo\.tif cannot be read .* not supported \({mode}\)"):
        read_photo(path)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3000)])
@pytest.mark.parametrize("deep", [False, True])
def test_tiny_and_narrow_pictures(restored, size, deep):
    content = RNG.integers(0, 256, (*size, 3), np.uint8)
    content = content.astype(np.uint16) * 257 if deep else content
    path = restored("photo.png", lambda path: cv2.imwrite(str(path), content), compare=True)
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.iinfo(content.dtype).max - content)


@pytest.mark.parametrize("width", [72, 720])
def test_eight_bits_are_not_taken_for_sixteen(restored, width):
    content = RNG.integers(0, 256, (16, width, 3), np.uint8)
    np.testing.assert_array_equal(read_pixels(restored("photo.bmp", pillow(Image.fromarray(content)))), 255 - content)


@pytest.mark.parametrize("options", [{"photometric": "miniswhite"}, {"planarconfig": "separate"}])
def test_rare_kinds_of_deep_tiff_are_refused(tmp_path, options):
    content = DEEP[..., 0] if "photometric" in options else DEEP.transpose(2, 0, 1)
    options = {"photometric": "rgb", **options}
    tifffile.imwrite(tmp_path / "photo.tif", content, **options)
    with pytest.raises(InputError, match="16-bit TIFF has to be RGB"):
        read_photo(tmp_path / "photo.tif")


def test_endings_that_cannot_hold_it(restored):
    rgba = Image.fromarray(np.dstack([SMOOTH, SMOOTH[..., 1]]))
    path = restored("photo.jpg", pillow(rgba, format="PNG"))
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        assert np.abs(np.asarray(picture).astype(int) - (255 - SMOOTH)).mean() < 4
    deep = SMOOTH[..., ::-1].astype(np.uint16) * 257
    path = restored("deep.webp", lambda path: path.write_bytes(cv2.imencode(".png", deep)[1].tobytes()))
    with Image.open(path) as picture:
        assert picture.format == "WEBP"
        assert np.abs(np.asarray(picture).astype(int) - (255 - SMOOTH)).mean() < 4


def test_damaged_exif_data_is_left_out(restored):
    def save(path):
        Image.fromarray(COLOUR).save(path)
        path.write_bytes(photos._with_metadata(path.read_bytes(), {"exif": b"MM\x00*\xff\xff\xff\xff nonsense"}))

    np.testing.assert_array_equal(read_pixels(restored("photo.png", save)), 255 - COLOUR)


def test_a_format_that_cannot_hold_it(inverter, tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    monkeypatch.setattr(
        photos, "_write_8_bit", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    outcome = deblur(tmp_path / "a.png", inverter, tmp_path / "out", progress=False)
    assert "No space left on device" in outcome.failed[tmp_path / "a.png"]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", ["8.tif", "16.tif", "8.jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_in_the_header_is_that_of_the_upright_picture(tmp_path, orientation, kind):
    path = tmp_path / kind
    if kind == "16.tif":
        tifffile.imwrite(path, DEEP, photometric="rgb", extratags=[(ORIENTATION, "H", 1, orientation, True)])
    else:
        Image.fromarray(COLOUR).save(path, exif=some_exif(orientation).tobytes())
    height, width, _ = photos.read_photo(path).pixels.shape
    assert photos.photo_size(path) == (width, height)


def test_a_bmp_of_16_bits_for_all_colours(tmp_path):
    """Five, six and five bits, as a header of 40 bytes and three masks say."""
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    pixels = struct.pack("<2H", 0xF800, 0x001F)  # red, blue
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, len(pixels), 0, 0, 0, 0)
    start = 14 + len(header) + len(masks)
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", start + 4, 0, 0, start) + header + masks + pixels)
    np.testing.assert_array_equal(photos.read_photo(tmp_path / "a.bmp").pixels, [[[255, 0, 0], [0, 0, 255]]])


def test_large_pictures_are_allowed_to_who_asks_alone(tmp_path, monkeypatch):
    """Pillow's limit is one for all threads: here another one reads while it is lifted."""
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    lifted, opened = threading.Event(), Image.open

    def slow_open(file):
        if Image.MAX_IMAGE_PIXELS is None:
            lifted.set()
            time.sleep(0.2)
        return opened(file)

    monkeypatch.setattr(Image, "open", slow_open)
    with ThreadPoolExecutor(1) as pool:
        allowed = pool.submit(photos.read_photo, tmp_path / "a.png", allow_large=True)
        assert lifted.wait(10)
        with pytest.raises(InputError, match="has more than 10 pixels"):
            photos.read_photo(tmp_path / "a.png")
        np.testing.assert_array_equal(allowed.result().pixels, COLOUR)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.webp", "a.bmp"])
def test_each_format_may_be_large(tmp_path, monkeypatch, name):
    Image.fromarray(COLOUR).save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(photos.read_photo(tmp_path / name, allow_large=True).pixels, COLOUR)
    with pytest.raises(InputError, match="has more than 10 pixels"):
        photos.read_photo(tmp_path / name)
