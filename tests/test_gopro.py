"""GoPro through TFDS: the official layout as folder and as archive, what comes out, and every way it can be broken."""

import io
import os
import shutil
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from unet_deblur_tf.data.gopro import prepared, source
from unet_deblur_tf.data.gopro.gopro_dataset_builder import Builder
from unet_deblur_tf.data.pictures import picture_size, read_picture
from unet_deblur_tf.data.sources import load_pairs, open_source
from unet_deblur_tf.errors import InputError

FRAMES = {
    "train/GOPR0372_07_00": ("000047", "000048", "000049"),
    "train/GOPR0379_11_00": ("000100",),
    "train/GOPR0857_11_00": ("000001", "000002"),
    "test/GOPR0384_11_00": ("000001", "000010"),
}
FOLDERS = ("blur", "blur_gamma", "sharp")


def png(rng, size=(32, 24)):
    content = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(content, "png")
    return content.getvalue()


@pytest.fixture
def files():
    """The set as a dict from path to PNG bytes; each test may break it before `as_folder` or `as_zip` writes it."""
    rng = np.random.default_rng(0)
    found = {
        f"GOPRO_Large/{sequence}/{folder}/{frame}.png": png(rng)
        for sequence, frames in FRAMES.items()
        for frame in frames
        for folder in FOLDERS
    }
    found["GOPRO_Large/train/GOPR0372_07_00/frames 1 offset 1.txt"] = b"as in the official archive"
    return found


def as_folder(files, root):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def as_zip(files, root):
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "GOPRO_Large.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return root


@pytest.fixture(autouse=True)
def _afresh():
    prepared.load_gopro.cache_clear()


def load(root, tmp_path, blur="blur"):
    return prepared.load_gopro(blur, str(root), tmp_path / "cache")


@pytest.mark.parametrize("blur", ["blur", "blur_gamma"])
@pytest.mark.parametrize("place", ["", "downloads/manual"])
@pytest.mark.parametrize("lay_out", [as_folder, as_zip])
def test_prepared_pictures_are_the_files(files, tmp_path, lay_out, place, blur, capsys):
    lay_out(files, tmp_path / "data" / place)
    splits = load(tmp_path / "data", tmp_path, blur)
    shutil.rmtree(tmp_path / "data" / place / "GOPRO_Large", ignore_errors=True)
    for split in ("train", "test"):
        expected = [
            (name.removeprefix(f"{split}/"), frame)
            for name, frames in FRAMES.items()
            for frame in frames
            if name.startswith(split)
        ]
        assert [(pair.sequence, pair.name) for pair in splits[split]] == expected
        for pair in splits[split]:
            for picture, folder in ((pair.blur, blur), (pair.sharp, "sharp")):
                content = files[f"GOPRO_Large/{split}/{pair.sequence}/{folder}/{pair.name}.png"]
                assert picture.open().read() == content
                assert picture_size(picture) == (32, 24)
                np.testing.assert_array_equal(read_picture(picture), np.asarray(Image.open(io.BytesIO(content))))
    assert "6 of 2103 train pairs, 2 of 1111 test pairs" in capsys.readouterr().err


def test_bare_splits_in_the_folder_will_do(files, tmp_path):
    as_folder(files, tmp_path)
    assert len(load(tmp_path / "GOPRO_Large", tmp_path)["train"]) == 6


def test_a_second_time_nothing_is_prepared_again(files, tmp_path, monkeypatch):
    as_zip(files, tmp_path / "data")
    first = load(tmp_path / "data", tmp_path)
    prepared.load_gopro.cache_clear()
    (tmp_path / "data/GOPRO_Large.zip").unlink()
    monkeypatch.setattr(prepared, "_scan", None)
    assert load(tmp_path / "data", tmp_path) == first


@pytest.mark.parametrize("damage", ["cut short", "gone"])
def test_a_damaged_prepared_set_is_named(files, tmp_path, damage):
    load(as_zip(files, tmp_path / "data"), tmp_path)
    prepared.load_gopro.cache_clear()
    shutil.rmtree(tmp_path / "cache")
    (file,) = (tmp_path / "data").glob("gopro/blur/1.0.0/*train*")
    file.write_bytes(file.read_bytes()[:-3000]) if damage == "cut short" else file.unlink()
    with pytest.raises(InputError, match=r"gopro/blur/1\.0\.0 is damaged .* delete it to prepare it anew"):
        load(tmp_path / "data", tmp_path)


def test_an_archive_is_taken_before_a_folder_beside_it(files, tmp_path):
    as_zip(files, tmp_path / "data")
    as_folder({name: content for name, content in files.items() if "000001" in name}, tmp_path / "data")
    assert len(load(tmp_path / "data", tmp_path)["train"]) == 6


def test_through_tfds_load(files, tmp_path):
    load(as_zip(files, tmp_path / "data"), tmp_path)
    dataset, info = tfds.load("gopro/blur", split="train", data_dir=tmp_path / "data", with_info=True)
    assert info.features["blur"].np_dtype == info.features["sharp"].np_dtype == np.uint8
    rows = {(row["sequence"].decode(), row["frame"].decode()): row for row in tfds.as_numpy(dataset)}
    assert len(rows) == 6
    expected = Image.open(io.BytesIO(files["GOPRO_Large/train/GOPR0857_11_00/sharp/000002.png"]))
    np.testing.assert_array_equal(rows["GOPR0857_11_00", "000002"]["sharp"], np.asarray(expected))
    assert "CVPR" in info.citation
    assert "240 frames a second" in info.description
    pairs = tfds.load("gopro/blur", split="test", data_dir=tmp_path / "data", as_supervised=True)
    assert [tensor.shape for tensor in next(iter(pairs))] == [(24, 32, 3)] * 2


def test_by_name_with_validation_by_sequence(files, tmp_path):
    as_zip(files, tmp_path / "data")

    def sequences(split):
        pairs = load_pairs("gopro", split, cache_dir=tmp_path / "cache", data_dir=str(tmp_path / "data"))
        return {pair.sequence for pair in pairs}

    assert sequences("train") == {"GOPR0372_07_00"}
    assert sequences("val") == {"GOPR0379_11_00", "GOPR0857_11_00"}
    assert sequences("test") == {"GOPR0384_11_00"}
    assert len(sequences("all")) == 4
    opened = open_source("gopro", cache_dir=tmp_path / "cache", data_dir=str(tmp_path / "data"))
    assert not opened.synthesised


def test_the_whole_set_is_not_complained_about():
    assert source.what_is_missing({"train": 2103, "test": 1111}) == ""
    assert "2102 of 2103 train" in source.what_is_missing({"train": 2102, "test": 1111})


def fails(files, tmp_path, *message, lay_out=as_folder, blur="blur"):
    root = lay_out(files, tmp_path / "data")
    with pytest.raises(InputError) as caught:
        load(root, tmp_path, blur)
    assert "\n" not in str(caught.value)
    for part in message:
        assert part in str(caught.value), str(caught.value)
    # Nothing passes for a prepared set afterwards.
    assert not Builder(config=blur, data_dir=root).is_prepared()
    assert not list(root.glob("gopro/**/*.tfrecord*"))


def test_nothing_there(tmp_path):
    fails({}, tmp_path, "GOPRO_Large.zip", "https://", str(tmp_path / "data"), "downloads/manual")


def test_an_unknown_configuration(files, tmp_path):
    with pytest.raises(InputError, match="--blur motion: GoPro has blur and blur_gamma"):
        load(as_folder(files, tmp_path), tmp_path, "motion")


@pytest.mark.parametrize("lay_out", [as_folder, as_zip])
def test_a_missing_twin(files, tmp_path, lay_out):
    del files["GOPRO_Large/train/GOPR0372_07_00/sharp/000048.png"]
    fails(
        files, tmp_path, "GOPR0372_07_00/blur/000048.png has no sharp twin in", "GOPR0372_07_00/sharp", lay_out=lay_out
    )


@pytest.mark.parametrize("lay_out", [as_folder, as_zip])
def test_a_missing_split(files, tmp_path, lay_out):
    files = {name: content for name, content in files.items() if "/test/" not in name}
    fails(files, tmp_path, "no pairs in test/", "{train,test}/SEQUENCE/", lay_out=lay_out)


def test_another_layout(files, tmp_path):
    files = {name.replace("sharp", "gt").replace("blur", "input"): content for name, content in files.items()}
    fails(files, tmp_path, "no pairs in train/", "{train,test}/SEQUENCE/")


def test_no_blur_gamma(files, tmp_path):
    files = {name: content for name, content in files.items() if "blur_gamma" not in name}
    fails(files, tmp_path, "GOPR0384_11_00/sharp", "no blurred ones in a folder 'blur_gamma'", blur="blur_gamma")


def test_a_truncated_archive(files, tmp_path):
    def truncated(files, root):
        path = as_zip(files, root) / "GOPRO_Large.zip"
        path.write_bytes(path.read_bytes()[:-1000])
        return root

    fails(files, tmp_path, "GOPRO_Large.zip is no complete zip file", "cut short", lay_out=truncated)


def test_a_damaged_archive(files, tmp_path):
    def damaged(files, root):
        path = as_zip(files, root) / "GOPRO_Large.zip"
        data = bytearray(path.read_bytes())
        place = data.index(b"GOPR0857_11_00/blur/000002.png") + 500
        data[place : place + 4] = b"\0\1\2\3"
        path.write_bytes(data)
        return root

    fails(files, tmp_path, "GOPR0857_11_00/blur/000002.png cannot be read", "again", lay_out=damaged)


@pytest.mark.parametrize("content", [b"", b"GIF89a no png", None])
def test_a_damaged_picture(files, tmp_path, content):
    name = "GOPRO_Large/test/GOPR0384_11_00/sharp/000010.png"
    files[name] = files[name][:-200] if content is None else content
    fails(files, tmp_path, "GOPR0384_11_00/sharp/000010.png is no intact PNG file")


def test_twins_of_different_size(files, tmp_path):
    files["GOPRO_Large/test/GOPR0384_11_00/sharp/000010.png"] = png(np.random.default_rng(1), (30, 24))
    fails(files, tmp_path, "blur/000010.png is (32, 24) but its twin", "sharp/000010.png is (30, 24)")


@pytest.mark.slow
def test_a_kill_while_preparing_leaves_nothing_that_passes_for_complete(files, tmp_path):
    root = as_folder(files, tmp_path / "data")
    code = (
        "import sys, time\n"
        "from unet_deblur_tf.data.gopro import prepared, gopro_dataset_builder\n"
        "real = gopro_dataset_builder.read_png\n"
        "def slow(source, path):\n"
        "    if '000010' in path.name:\n"
        "        print('reached', flush=True)\n"
        "        time.sleep(600)\n"
        "    return real(source, path)\n"
        "gopro_dataset_builder.read_png = slow\n"
        f"prepared.load_gopro('blur', {str(root)!r}, {str(tmp_path / 'cache')!r})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout:
            if "reached" in line:
                break
        process.send_signal(signal.SIGKILL)
    assert list(root.glob("gopro/blur/incomplete*"))
    assert not Builder(config="blur", data_dir=root).is_prepared()
    assert {split: len(pairs) for split, pairs in load(root, tmp_path).items()} == {"train": 6, "test": 2}


@pytest.mark.slow
def test_as_a_command(files, tmp_path):
    as_zip(files, tmp_path / "manual")
    command = [sys.executable, "-m", "unet_deblur_tf.data.gopro", "--config", "blur"]
    done = subprocess.run(
        [*command, "--data_dir", str(tmp_path / "data"), "--manual_dir", str(tmp_path / "manual")],
        capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Builder(config="blur", data_dir=tmp_path / "data").is_prepared()
    done = subprocess.run(
        [*command, "--data_dir", str(tmp_path / "other"), "--manual_dir", str(tmp_path / "nowhere")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "GOPRO_Large.zip (9 GB) from https://" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
