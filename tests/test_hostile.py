"""Hostile input: damaged picture files through every decoder, and damaged or malicious networks."""

import shutil
import zipfile

import hostile
import keras
import numpy as np
import pytest
from helpers import SMALL_WIDTHS, randomise

from unet_deblur_tf.data.photos import read_photo
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.loading import load_network
from unet_deblur_tf.models.unet import unet
from unet_deblur_tf.restoring.deblur import deblur


@pytest.mark.parametrize("decoder", hostile.DECODERS)
def test_damaged_files_are_decoded_or_refused(decoder):
    found = hostile.run(decoder, 200)
    assert found["files"] == 200
    # Some of them are still pictures, so that more than the first bytes was looked at.
    assert 10 < found["decoded"] < 190


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("decoder", hostile.DECODERS)
def test_ten_thousand_damaged_files(decoder, part):
    assert hostile.run(decoder, 2500, first=2500 * part)["files"] == 2500


def test_the_same_number_is_the_same_file():
    assert hostile.mutant(3, 70) == hostile.mutant(3, 70)
    assert hostile.mutant(3, 70) != hostile.mutant(4, 70)


@pytest.mark.parametrize("number", range(len(hostile.good_files())))
def test_what_they_are_made_from_is_good(number, tmp_path):
    kind, data = hostile.good_files()[number]
    path = tmp_path / f"file.{kind}"
    path.write_bytes(data)
    assert {40, 56} == {*read_photo(path).pixels.shape[:2]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    randomise(unet(widths=SMALL_WIDTHS)).save(path)
    return path


def test_deblur_goes_through_a_folder_of_them(inverter, tmp_path):
    (tmp_path / "photos").mkdir()
    files = {}
    for number in range(60):
        kind, data = hostile.mutant(1, number)
        files[tmp_path / f"photos/{number}.{kind}"] = data
    for path, data in files.items():
        path.write_bytes(data)
    outcome = deblur(tmp_path / "photos", inverter, tmp_path / "restored", progress=False)
    assert outcome.written.keys() | outcome.failed.keys() == files.keys()
    assert len(outcome.written) > 5
    assert len(outcome.failed) > 5
    for path, data in files.items():
        assert path.read_bytes() == data
    for source, target in outcome.written.items():
        restored, blurred = (read_photo(path).pixels for path in (target, source))
        assert restored.shape == blurred.shape
        sums = restored / np.iinfo(restored.dtype).max + blurred / np.iinfo(blurred.dtype).max
        lossy = target.suffix in (".jpg", ".webp")
        assert np.abs(sums - 1).mean() < (0.02 if lossy else 1 / 65535), source
    assert all(str(path) in reason or "Error" not in reason for path, reason in outcome.failed.items())
    assert {*(tmp_path / "restored").iterdir()} == {*outcome.written.values()}


def test_a_chunk_that_claims_more_than_the_file_has(tmp_path):
    """OpenCV would first make room for what it claims."""
    _, data = next(file for file in hostile.good_files() if b"IHDR" in file[1] and file[1][24] == 16)
    place = data.index(b"IDAT") - 4
    (tmp_path / "deep.png").write_bytes(data[:place] + b"\xff\xff\0\0" + data[place + 4 :])
    with pytest.raises(InputError, match=r"deep.png cannot be read as a picture: it is cut short or damaged"):
        read_photo(tmp_path / "deep.png")


def test_a_tiff_whose_offset_is_a_fraction(tmp_path):
    """Pillow 12 fails with a TypeError."""
    data = bytearray(next(data for kind, data in hostile.good_files() if kind == "tif"))
    start = int.from_bytes(data[4:8], "little")
    for entry in range(start + 2, start + 2 + 12 * int.from_bytes(data[start : start + 2], "little"), 12):
        if int.from_bytes(data[entry : entry + 2], "little") == 273:  # StripOffsets
            data[entry + 2 : entry + 4] = (5).to_bytes(2, "little")
    (tmp_path / "broken.tif").write_bytes(data)
    for read in (read_picture, read_photo):
        with pytest.raises(InputError, match=r"broken.tif cannot be read as a picture"):
            read(tmp_path / "broken.tif")


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "foreign", "no weights"])
def test_damaged_networks_are_named(model, tmp_path, damage):
    path = tmp_path / "bad.keras"
    data = model.read_bytes()
    if damage == "foreign":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("mimetype", "application/epub+zip")
    elif damage == "no weights":
        shutil.copy(model, path)
        with zipfile.ZipFile(model) as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                if name != "model.weights.h5":
                    target.writestr(name, source.read(name))
    else:
        path.write_bytes({"empty": b"", "text": b"not a network", "cut": data[: len(data) // 2]}[damage])
    with pytest.raises(InputError, match=r"bad\.keras cannot be loaded as a model: \S"):
        load_network(path)


@pytest.mark.parametrize("seed", range(4))
def test_networks_with_flipped_bits_load_or_are_named(model, tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(model.read_bytes())
    for _ in range(20):
        data = hostile.CHANGES[rng.integers(len(hostile.CHANGES))](rng, data)
    path = tmp_path / "bad.keras"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.keras cannot be loaded as a model: \S"):
        load_network(path)


def test_a_network_that_brings_code_is_refused(tmp_path):
    ran = tmp_path / "ran"
    image = keras.Input((None, None, 3))
    code = keras.layers.Lambda(lambda x, path=str(ran): (open(path, "w").close(), x)[1], output_shape=(None, None, 3))
    keras.Model(image, code(image)).save(tmp_path / "code.keras")
    ran.unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"code\.keras cannot be loaded as a model: .*[Ll]ambda"):
        load_network(tmp_path / "code.keras")
    assert not ran.exists()
