"""deblur.py on photos as people have them. The network inverts colours, exactly, so what comes out is known."""

import shutil
import signal
import struct
import zlib
from fractions import Fraction

import cv2
import keras
import numpy as np
import pytest
import tifffile
from helpers import inverting_network, png_bomb, png_chunk, run_script, run_script_here
from PIL import Image, ImageCms, ImageDraw

from unet_deblur_tf.data import photos
from unet_deblur_tf.data.photos import ORIENTATION, read_photo
from unet_deblur_tf.errors import InputError, Stopped
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.restoring.deblur import deblur

RNG = np.random.default_rng(11)
COLOUR = RNG.integers(0, 256, (24, 36, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (24, 36, 3), np.uint16)
ALPHA = RNG.integers(0, 256, (24, 36), np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that puts out 1 - input."""
    path = tmp_path_factory.mktemp("model") / "inverter.keras"
    inverting_network().save(path)
    return path


@pytest.fixture
def restored(model, tmp_path):
    """Saves a picture, restores it and gives the path of the result."""

    def restore(name, save, **options):
        source = tmp_path / "in" / name
        source.parent.mkdir(exist_ok=True)
        save(source)
        before = source.read_bytes()
        outcome = deblur(source, model, tmp_path / "out", progress=False, **options)
        assert not outcome.failed
        assert source.read_bytes() == before
        return outcome.written[source]

    return restore


def pillow(picture, **options):
    return lambda path: picture.save(path, **options)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
def test_lossless_formats(restored, suffix):
    path = restored(f"photo{suffix}", pillow(Image.fromarray(COLOUR)))
    assert path.name == f"photo{suffix}"
    np.testing.assert_array_equal(pixels(path), 255 - COLOUR)


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
    np.testing.assert_array_equal(pixels(path), 255 - COLOUR)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_quality(restored, suffix):
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    size = {
        quality: restored(f"{quality}{suffix}", pillow(Image.fromarray(smooth), quality=100), quality=quality)
        for quality in (20, 95)
    }
    assert size[20].stat().st_size < size[95].stat().st_size
    assert np.abs(pixels(size[95]).astype(int) - (255 - smooth)).mean() < 3


def test_strength(restored):
    path = restored("photo.png", pillow(Image.fromarray(COLOUR)), strength=0.25)
    np.testing.assert_allclose(pixels(path), 0.75 * COLOUR + 0.25 * (255 - COLOUR.astype(float)), atol=0.51)


def test_heic(restored):
    pytest.importorskip("pillow_heif")
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    path = restored("photo.heic", pillow(Image.fromarray(smooth), quality=100))
    with Image.open(path) as picture:
        assert picture.format == "HEIF"
        assert np.abs(np.asarray(picture).astype(int) - (255 - smooth)).mean() < 5


@pytest.mark.parametrize("bits", [8, 10])
def test_heic_of_more_than_eight_bits(model, tmp_path, bits):
    heif = pytest.importorskip("pillow_heif")
    mode, content = ("RGB", COLOUR) if bits == 8 else ("RGB;16", DEEP)
    heif.from_bytes(mode, (36, 24), content.tobytes()).save(tmp_path / "photo.heic")
    outcome = deblur(tmp_path / "photo.heic", model, tmp_path / "out", progress=False)
    assert not outcome.failed
    assert read_photo(tmp_path / "photo.heic").notes == ["reduced from 10 to 8 bit"][: bits > 8]


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "PPM"])
def test_other_formats_are_refused_by_name(model, tmp_path, kind):
    suffix = {"AVIF": ".avif", "JPEG2000": ".jp2", "PPM": ".ppm"}[kind]
    if suffix not in Image.registered_extensions():
        pytest.skip("this Pillow does not read it")
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(COLOUR).save(path)
    outcome = deblur(path, model, tmp_path / "out", progress=False)
    assert f"{kind} is not supported; PNG, JPEG" in outcome.failed[path]


def test_grey_stays_grey(restored):
    path = restored("photo.png", pillow(Image.fromarray(COLOUR[..., 0])))
    np.testing.assert_array_equal(pixels(path), 255 - COLOUR[..., 0])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_is_kept(restored, mode, suffix):
    picture = Image.fromarray(np.dstack([COLOUR, ALPHA])).convert(mode)
    colours = np.asarray(picture)[..., :-1]
    result = pixels(restored(f"photo{suffix}", pillow(picture)))
    np.testing.assert_array_equal(result[..., -1], ALPHA)
    np.testing.assert_array_equal(result[..., :-1], 255 - colours)


def test_palettes(restored):
    picture = Image.fromarray(COLOUR).quantize(16)
    colours = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(pixels(restored("plain.png", pillow(picture))), 255 - colours)
    picture.info["transparency"] = 3
    result = pixels(restored("transparent.png", pillow(picture, transparency=3)))
    np.testing.assert_array_equal(result[..., 3], np.where(np.asarray(picture) == 3, 0, 255))
    path = restored("moving.gif", pillow(picture, save_all=True, append_images=[picture.rotate(180)]))
    assert path.name == "moving.png"


def test_black_and_white(restored):
    picture = Image.fromarray(ALPHA > 100)
    np.testing.assert_array_equal(pixels(restored("photo.png", pillow(picture))), np.where(ALPHA > 100, 0, 255))


def test_cmyk(restored):
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    picture = Image.fromarray(smooth).convert("CMYK")
    path = restored("photo.jpg", pillow(picture, quality=100, subsampling=0))
    with Image.open(path) as result:
        assert result.mode == "RGB"
        assert np.abs(np.asarray(result).astype(int) - (255 - smooth)).mean() < 4


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
        np.testing.assert_array_equal(pixels(path), 255 - upright(COLOUR))
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
    with pytest.raises(InputError, match=r"bomb\.png has more than 89,478,485 pixels: --allow-large"):
        read_photo(path)


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


@pytest.fixture
def folder(tmp_path):
    """A folder as people have them: good, bad, hidden, below."""
    root = tmp_path / "holiday"
    (root / "day 2").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "day 2/c.png"):
        Image.fromarray(COLOUR).save(root / name)
    (root / "text.png").write_text("no picture")
    (root / "short.jpg").write_bytes((root / "a.jpg").read_bytes()[:400])
    (root / "notes.txt").write_text("bread, milk")
    (root / ".hidden.png").write_bytes((root / "b.png").read_bytes())
    return root


def test_the_command_goes_on_after_bad_files_and_names_them(folder, model, tmp_path):
    done = run_script("deblur.py", "holiday", "gone.png", "--recursive", "--compare", "--model", model, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    made = sorted(str(path.relative_to(tmp_path / "restored")) for path in (tmp_path / "restored").rglob("*.*"))
    names = ["a.jpg", "b.png", "day 2/c.png"]
    assert made == sorted([*names, *(f"{name}_compare.png" for name in names)])
    assert "3 restored in restored/" in done.stdout
    failures = done.stderr[done.stderr.index("3 could not be restored") :]
    for part in (
        "holiday/text.png cannot be read",
        "holiday/short.jpg cannot be read",
        "gone.png: there is no such file",
    ):
        assert part in failures
    comparison = Image.open(tmp_path / "restored/b.png_compare.png")
    assert comparison.width > 2 * 320


def test_results_are_not_replaced_unless_asked(folder, model, tmp_path):
    arguments = dict(model=model, output=tmp_path / "out", progress=False)
    deblur(folder / "b.png", **arguments)
    (tmp_path / "out/b.png").write_text("edited since")
    outcome = deblur(folder / "b.png", **arguments)
    assert outcome == ({}, {folder / "b.png": tmp_path / "out/b.png"}, {})
    assert (tmp_path / "out/b.png").read_text() == "edited since"
    assert deblur(folder / "b.png", overwrite=True, **arguments).written
    np.testing.assert_array_equal(pixels(tmp_path / "out/b.png"), 255 - COLOUR)


def test_originals_are_never_replaced(folder, model):
    before = (folder / "b.png").read_bytes()
    outcome = deblur(folder / "b.png", model, folder, overwrite=True, progress=False)
    assert "would replace an original" in outcome.failed[folder / "b.png"]
    assert (folder / "b.png").read_bytes() == before


def test_two_inputs_of_one_name(folder, model, tmp_path):
    shutil.copy(folder / "b.png", folder / "day 2/b.png")
    outcome = deblur([folder / "b.png", folder / "day 2/b.png"], model, tmp_path / "out", progress=False)
    assert list(outcome.written) == [folder / "b.png"]
    assert "would replace the result of" in outcome.failed[folder / "day 2/b.png"]


def test_patterns_and_folders(folder, model, tmp_path):
    found = deblur(str(folder / "**/*.png"), model, tmp_path / "out", progress=False)
    assert {path.name for path in found.written} == {"b.png", "c.png"}
    found = deblur(folder, model, tmp_path / "flat", progress=False)
    assert {path.name for path in found.written} == {"a.jpg", "b.png"}


def test_nothing_to_restore(model, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run_script_here("deblur.py", "empty", "--model", model, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("deblur.py: error: No pictures in")


def test_without_a_model_of_ones_own_the_packages_is_taken(folder, tmp_path):
    done = run_script_here("deblur.py", folder / "b.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    default = pretrained.manifest()["default"]
    named = deblur(folder / "b.png", default, tmp_path / "named", progress=False).written[folder / "b.png"]
    np.testing.assert_array_equal(Image.open(tmp_path / "restored/b.png"), Image.open(named))
    assert (np.asarray(Image.open(named)) != np.asarray(Image.open(folder / "b.png"))).any()


def test_comparisons_replace_nothing(folder, model, tmp_path):
    precious = folder / "a.jpg_compare.png"
    shutil.copy(folder / "b.png", precious)
    outcome = deblur([folder / "a.jpg", precious], model, folder.parent / "out", compare=True, progress=False)
    assert "would replace" in outcome.failed[precious]
    outcome = deblur(folder, model, folder, compare=True, overwrite=True, progress=False)
    assert not outcome.written
    assert precious.read_bytes() == (folder / "b.png").read_bytes()
    kept = tmp_path / "other/b.png_compare.png"
    kept.parent.mkdir()
    kept.write_text("mine")
    assert deblur(folder / "b.png", model, kept.parent, compare=True, progress=False).written
    assert kept.read_text() == "mine"


def test_results_are_not_restored_again(folder, model, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    for given in (".", "**/*.png", "."):
        outcome = deblur(given, model, recursive=True, compare=True, progress=False)
        assert not any("restored" in path.parts for path in [*outcome.written, *outcome.kept, *outcome.failed])
    assert not outcome.written
    assert {path.name for path in outcome.kept} == {"a.jpg", "b.png", "c.png"}


def test_one_file_given_twice(folder, model, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    outcome = deblur(["b.png", folder / "b.png", "./b.png"], model, tmp_path / "out", progress=False)
    assert len(outcome.written) == 1
    assert not outcome.failed


@pytest.mark.parametrize("given", ["", "x" * 300])
def test_arguments_that_are_no_files(given, folder, model, tmp_path):
    outcome = deblur([given, folder / "b.png"], model, tmp_path / "out", progress=False)
    assert len(outcome.failed) == len(outcome.written) == 1


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
    np.testing.assert_array_equal(pixels(restored("photo.bmp", pillow(Image.fromarray(content)))), 255 - content)


@pytest.mark.parametrize("options", [{"photometric": "miniswhite"}, {"planarconfig": "separate"}])
def test_rare_kinds_of_deep_tiff_are_refused(tmp_path, options):
    content = DEEP[..., 0] if "photometric" in options else DEEP.transpose(2, 0, 1)
    options = {"photometric": "rgb", **options}
    tifffile.imwrite(tmp_path / "photo.tif", content, **options)
    with pytest.raises(InputError, match="16-bit TIFF has to be RGB"):
        read_photo(tmp_path / "photo.tif")


def test_endings_that_cannot_hold_it(restored):
    rgba = Image.fromarray(np.dstack([COLOUR, ALPHA]))
    path = restored("photo.jpg", pillow(rgba, format="PNG"))
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
    path = restored("deep.webp", lambda path: path.write_bytes(cv2.imencode(".png", DEEP)[1].tobytes()))
    with Image.open(path) as picture:
        assert picture.format == "WEBP"


def test_damaged_exif_data_is_left_out(restored):
    def save(path):
        Image.fromarray(COLOUR).save(path)
        path.write_bytes(photos._with_metadata(path.read_bytes(), {"exif": b"MM\x00*\xff\xff\xff\xff nonsense"}))

    np.testing.assert_array_equal(pixels(restored("photo.png", save)), 255 - COLOUR)


def test_a_network_that_fails_does_not_stop_the_others(folder, model, tmp_path, monkeypatch):
    from unet_deblur_tf.restoring import deblur as deblur_module

    def broken(*_):
        raise MemoryError("too much")

    monkeypatch.setattr(deblur_module, "Restorer", lambda *_: type("", (), {"pooling": "", "__call__": broken})())
    outcome = deblur(folder, model, tmp_path / "out", progress=False)
    assert outcome.failed[folder / "b.png"] == "MemoryError: too much"
    assert outcome.failed[folder / "a.jpg"] == "MemoryError: too much"


def test_a_signal_stops_all(folder, model, tmp_path, monkeypatch):
    """It is not taken for the failure of the picture that it came in."""
    from unet_deblur_tf.restoring import deblur as deblur_module

    def terminated(*_):
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(deblur_module, "Restorer", lambda *_: type("", (), {"pooling": "", "__call__": terminated})())
    with pytest.raises(Stopped):
        deblur(folder, model, tmp_path / "out", progress=False)
    monkeypatch.setattr(photos.Image, "open", terminated)
    with pytest.raises(Stopped):
        photos.read_photo(folder / "b.png")


def test_a_folder_that_cannot_be_written(folder, model, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="Cannot write to"):
        deblur(folder / "b.png", model, tmp_path / "out", progress=False)


def test_a_format_that_cannot_hold_it(model, tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    monkeypatch.setattr(
        photos, "_write_8_bit", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    outcome = deblur(tmp_path / "a.png", model, tmp_path / "out", progress=False)
    assert "No space left on device" in outcome.failed[tmp_path / "a.png"]
    assert list((tmp_path / "out").iterdir()) == []


def moving(path, sound=True, times=range(10), colorspace=None, pixel=None, **metadata):
    """Ten frames in which a square moves, with a tone."""
    import av

    with av.open(str(path), "w") as file:
        pictures = file.add_stream("libx264", rate=10, options={"crf": "1"})
        pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        pictures.codec_context.time_base = pictures.time_base = Fraction(1, 1000)
        if colorspace:
            pictures.codec_context.colorspace = colorspace
        if pixel:
            pictures.codec_context.sample_aspect_ratio = pixel
        file.metadata.update(metadata)
        tones = file.add_stream("aac", rate=44100) if sound else None
        for number, time in enumerate(times):
            picture = Image.new("RGB", (96, 64), (60, 90, 140))
            ImageDraw.Draw(picture).rectangle([8 * number, 20, 8 * number + 20, 40], fill="white")
            frame = av.VideoFrame.from_image(picture)
            frame = frame.reformat(format="yuv420p", dst_colorspace=colorspace or "ITU601")
            frame.pts, frame.time_base = 100 * time, Fraction(1, 1000)
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode())
        if sound:
            wave = np.sin(np.arange(44100) * 0.05, dtype=np.float32)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.rate = 44100
            file.mux(tones.encode(frame))
            file.mux(tones.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("times", [range(10), (0, 1, 2, 5, 6, 7, 8, 20, 21, 22)])
@pytest.mark.parametrize("sound", [True, False])
def test_a_video_frame_by_frame_with_its_sound(model, tmp_path, suffix, times, sound):
    av = pytest.importorskip("av")
    source = moving(tmp_path / f"film{suffix}", sound, times)
    outcome = deblur(source, model, tmp_path / "out", progress=False)
    assert not outcome.failed
    with av.open(str(source)) as before, av.open(str(outcome.written[source])) as after:
        assert len(after.streams.audio) == len(before.streams.audio) == sound
        given, made = (list(file.decode(video=0)) for file in (before, after))
    assert len(made) == len(given) == 10
    assert [frame.time for frame in made] == [frame.time for frame in given]
    for frame, result in zip(given, made):
        difference = 255 - frame.to_ndarray(format="rgb24").astype(int) - result.to_ndarray(format="rgb24")
        assert np.abs(difference).mean() < 4
    if sound:
        with av.open(str(source)) as before, av.open(str(outcome.written[source])) as after:
            packets = [[bytes(p) for p in file.demux(audio=0) if p.size] for file in (before, after)]
        assert packets[0] == packets[1]


@pytest.mark.parametrize("colorspace", ["ITU709", "ITU601"])
def test_a_videos_colours_are_coded_as_they_were(tmp_path, colorspace):
    av = pytest.importorskip("av")
    from av.video.reformatter import Colorspace

    colorspace = Colorspace[colorspace]
    source = moving(tmp_path / "film.mp4", colorspace=colorspace)
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1.0)]).save(tmp_path / "same.keras")
    deblur(source, tmp_path / "same.keras", tmp_path / "out", progress=False)
    with av.open(str(source)) as before, av.open(str(tmp_path / "out/film.mp4")) as after:
        assert after.streams.video[0].codec_context.colorspace == colorspace
        for frame, result in zip(before.decode(video=0), after.decode(video=0), strict=True):
            difference = frame.to_ndarray(format="yuv420p").astype(int) - result.to_ndarray(format="yuv420p")
            assert np.abs(difference).mean() < 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_videos_shape_title_and_date_are_kept(model, tmp_path, suffix):
    av = pytest.importorskip("av")
    date = "2024-05-06T07:08:09.000000Z"
    source = moving(tmp_path / f"film{suffix}", pixel=Fraction(4, 3), title="Pond", creation_time=date)
    outcome = deblur(source, model, tmp_path / "out", progress=False)
    for path in (source, outcome.written[source]):
        with av.open(str(path)) as file:
            assert file.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
            found = {name.lower(): value for name, value in file.metadata.items()}
        assert (found["title"], found["creation_time"]) == ("Pond", date)


def test_a_turned_video_comes_out_upright(model, tmp_path):
    av = pytest.importorskip("av")
    source = moving(tmp_path / "film.mp4", pixel=Fraction(4, 3))
    data = source.read_bytes()
    # The matrix in the video's track header: from the identity to a quarter turn.
    matrix = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    place = data.index(matrix, data.index(b"tkhd"))
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    source.write_bytes(data[:place] + turned + data[place + len(matrix) :])
    with av.open(str(source)) as file:
        first = next(file.decode(video=0))
    assert first.rotation % 360 == 270
    outcome = deblur(source, model, tmp_path / "out", progress=False)
    with av.open(str(outcome.written[source])) as file:
        result = next(file.decode(video=0))
        shape = file.streams.video[0].sample_aspect_ratio
    assert (result.width, result.height, result.rotation, shape) == (64, 96, 0, Fraction(3, 4))
    expected = 255 - np.rot90(first.to_ndarray(format="rgb24"), -1).astype(int)
    assert np.abs(result.to_ndarray(format="rgb24") - expected).mean() < 4


def test_a_file_that_is_no_video(model, tmp_path):
    pytest.importorskip("av")
    (tmp_path / "film.mp4").write_bytes(b"no film")
    outcome = deblur(tmp_path / "film.mp4", model, tmp_path / "out", progress=False)
    assert "film.mp4 cannot be restored as a video" in outcome.failed[tmp_path / "film.mp4"]
    assert list((tmp_path / "out").iterdir()) == []
