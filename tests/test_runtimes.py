"""Restoring in ONNX Runtime and OpenVINO: the same pictures as in TensorFlow, without TensorFlow."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import SMALL_WIDTHS, few, lively_network, thin_arguments

from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.restoring import runtimes
from unet_deblur_tf.restoring.options import RestoringOptions
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.restoring.runtimes import OutOfMemory, conversion, converted

OTHERS = ("onnxruntime", "openvino")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/unet_deblur_tf/networks"


@pytest.fixture(scope="module")
def files_by_network():
    """What was converted, so that the same network is not converted by each test."""
    return {}


@pytest.fixture
def conversions(monkeypatch, files_by_network):
    """Networks are converted in this process, where TensorFlow has started already. A list of their files."""
    done = []

    def convert(source, pooling, scales, folder):
        done.append(source)
        key = Path(source).read_bytes(), pooling, scales
        if key not in files_by_network:
            conversion.convert(Path(source), pooling, json.loads(scales), Path(folder))
            files_by_network[key] = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        for name, contents in files_by_network[key].items():
            (Path(folder) / name).write_bytes(contents)

    monkeypatch.setattr(converted, "_convert_in_own_process", convert)
    return done


@pytest.fixture(scope="module")
def thin_lite(tmp_path_factory):
    """The file of a thin network that changes pictures visibly."""
    path = tmp_path_factory.mktemp("model") / "lite.keras"
    lively_network("lite", widths=SMALL_WIDTHS).save(path)
    return path


@pytest.fixture
def deep_picture():
    """uint16 (152, 200, 3): 16 bits show differences that 8 bits hide."""
    return np.random.default_rng(0).integers(0, 65536, (152, 200, 3), np.uint16)


@pytest.mark.parametrize("variant", few(VARIANTS, "lite"))
def test_the_pictures_are_those_of_tensorflow(tmp_path, deep_picture, conversions, variant):
    lively_network(variant, **thin_arguments(variant)).save(tmp_path / "model.keras")
    for tile in (0, 128):
        options = dict(tile=tile, scales=2)
        expected = Restorer(tmp_path / "model.keras", runtime="tensorflow", **options)(deep_picture).astype(int)
        for runtime in OTHERS:
            restore = Restorer(tmp_path / "model.keras", runtime=runtime, **options)
            assert np.abs(restore(deep_picture) - expected).max() <= 65535 * 1e-4
            assert restore.runtime == runtime
    assert np.abs(expected - deep_picture).max() > 655  # the network does something
    assert len(conversions) == 1  # for both runtimes, and for tiles as well


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["global", "local"])
def test_means_of_the_picture(tmp_path, deep_picture, conversions, pooling):
    """In tiles, a network with squeeze-and-excitation runs in two parts, and the second gets several means by name."""
    lively_network("unet", attention=True, widths=SMALL_WIDTHS).save(tmp_path / "model.keras")
    (tmp_path / "run.json").write_text(json.dumps({"settings": {"crop": 64}}))
    for tile in (0, 128):
        one, other = (
            Restorer(tmp_path / "model.keras", pooling=pooling, tile=tile, runtime=runtime, scales=1)
            for runtime in ("tensorflow", "onnxruntime")
        )
        assert one.pooling == other.pooling
        assert pooling in one.pooling
        assert np.abs(one(deep_picture).astype(int) - other(deep_picture)).max() <= 65535 * 1e-4


@pytest.mark.slow
def test_without_keras_and_tensorflow(thin_lite, tmp_path, picture):
    """In a process of its own, as people have it, with the conversion in another one."""
    np.save(tmp_path / "picture.npy", picture)
    code = (
        "import sys, numpy as np\n"
        "from unet_deblur_tf import Restorer\n"
        f"restore = Restorer({str(thin_lite)!r}, runtime='onnxruntime', tile=128)\n"
        f"np.save({str(tmp_path / 'restored.npy')!r}, restore(np.load({str(tmp_path / 'picture.npy')!r})))\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    expected = Restorer(thin_lite, runtime="tensorflow", tile=128)(picture)
    assert np.abs(np.load(tmp_path / "restored.npy").astype(int) - expected).max() <= 1


def test_what_is_converted_is_kept_and_made_again_when_damaged(
    thin_lite, cache, picture, conversions, capsys, monkeypatch
):
    expected = Restorer(thin_lite, True, runtime="onnxruntime")(picture)
    assert "Converting lite.keras for onnxruntime, once" in capsys.readouterr().err
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    assert sorted(path.name for path in folder.iterdir()) == ["facts.json", "sha256.json", "whole.onnx"]
    damages = {
        "whole.onnx": lambda data: data[:-100],
        "facts.json": lambda data: data.replace(b"32", b"33"),
        "sha256.json": lambda data: b"[]",
    }
    for count, (name, damage) in enumerate(damages.items(), start=1):
        Restorer(thin_lite, runtime="onnxruntime")(picture)
        assert len(conversions) == count
        (folder / name).write_bytes(damage((folder / name).read_bytes()))
        np.testing.assert_array_equal(Restorer(thin_lite, runtime="onnxruntime")(picture), expected)
        assert len(conversions) == count + 1
    with monkeypatch.context() as patched:
        patched.setattr(converted.os, "utime", Mock(side_effect=PermissionError))
        Restorer(thin_lite, runtime="onnxruntime")(picture)  # from a cache that can only be read
    assert len(conversions) == count + 1
    shutil.rmtree(folder)
    folder.write_text("a file in its place")
    np.testing.assert_array_equal(Restorer(thin_lite, runtime="onnxruntime")(picture), expected)


@pytest.mark.slow
def test_another_network_or_option_is_another_conversion(thin_lite, tmp_path, conversions):
    Restorer(thin_lite, runtime="onnxruntime")
    Restorer(thin_lite, runtime="openvino")
    assert len(conversions) == 1
    Restorer(thin_lite, runtime="onnxruntime", scales=1)
    shutil.copyfile(thin_lite, tmp_path / "renamed.keras")
    assert Restorer(tmp_path / "renamed.keras", runtime="onnxruntime").scales == 2
    assert len(conversions) == 2  # the name does not matter
    lively_network("lite", widths=(4, 8, 12, 16, 20)).save(tmp_path / "lite.keras")
    Restorer(tmp_path / "lite.keras", runtime="onnxruntime")
    assert len(conversions) == 3


def test_two_processes_convert_once(thin_lite, conversions, picture):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(Restorer(thin_lite, runtime="onnxruntime")(picture)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(*results)
    assert len(conversions) == 1


@pytest.mark.parametrize(
    ("model", "options", "installed", "gpu", "expected"),
    [
        ("unet", {}, OTHERS, False, "onnxruntime"),
        (None, {}, OTHERS, False, "onnxruntime"),
        ("lite", {}, OTHERS[1:], False, "openvino"),
        ("lite", {}, (), False, "tensorflow"),
        ("lite", {}, OTHERS, True, "tensorflow"),
        ("lite", dict(precision="float32"), OTHERS, False, "onnxruntime"),
        ("lite", dict(precision="mixed_bfloat16"), OTHERS, False, "tensorflow"),
        ("lite", dict(precision="auto"), OTHERS, False, "tensorflow"),
        ("own", {}, OTHERS, False, "tensorflow"),
        ("object", {}, OTHERS, False, "tensorflow"),
        ("own", dict(runtime="openvino"), OTHERS, True, "openvino"),
        ("lite", dict(runtime="tensorflow"), OTHERS, False, "tensorflow"),
    ],
)
def test_what_is_chosen(thin_lite, monkeypatch, model, options, installed, gpu, expected):
    packages = {name: name if name not in installed else None for name in OTHERS}
    monkeypatch.setattr(runtimes, "_missing", packages.get)
    monkeypatch.setattr(runtimes, "has_gpu", lambda: gpu)
    model = {"own": thin_lite, "object": object()}.get(model, model)
    assert runtimes.choose_runtime(model, RestoringOptions(**options)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(runtime="onnxruntime", precision="mixed_bfloat16"), "computes in float32, not in mixed_bfloat16"),
        (dict(runtime="openvino"), 'needs openvino: pip install "unet_deblur_tf\\[openvino\\]"'),
        (dict(runtime="caffe"), "--runtime must be one of auto, tensorflow, onnxruntime, openvino, not caffe"),
    ],
)
def test_what_cannot_be(monkeypatch, options, message):
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=message):
        Restorer("lite", **options)


def test_a_network_in_memory_has_no_file():
    with pytest.raises(InputError, match="takes the path or the name of a network"):
        Restorer(lively_network("lite", widths=SMALL_WIDTHS), runtime="onnxruntime")


@pytest.mark.slow
def test_a_file_that_cannot_be_converted(tmp_path, monkeypatch):
    """The error of the other process, which runs nothing that lies in the working folder, is told in one line."""
    monkeypatch.chdir(tmp_path)
    for name in ("keras", "random", "numpy"):
        Path(f"{name}.py").write_text("raise SystemExit('this came from the working folder')")
    (tmp_path / "model.keras").write_text("nonsense")
    with pytest.raises(InputError, match=r"model\.keras cannot be loaded as a model") as error:
        Restorer(tmp_path / "model.keras", runtime="onnxruntime")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("runtime", OTHERS)
def test_out_of_memory_is_recognised(runtime):
    """Messages of ONNX Runtime 1.32 and of OpenVINO 2026.4 for a picture of 10^12 pixels."""
    for message in ("std::bad_alloc", "Failed to allocate memory for requested buffer of size 12000000000000"):
        assert isinstance(converted._explained(RuntimeError(message)), OutOfMemory)
    other = RuntimeError("Got invalid dimensions for input")
    assert converted._explained(other) is other


def test_onnxruntime_reports_nothing(tmp_path, thin_lite, conversions, picture):
    """ONNX Runtime 1.32 writes files about what it will send, unless the environment forbids it before the import."""
    Restorer(thin_lite, runtime="onnxruntime")(picture)  # so that it is converted
    np.save(tmp_path / "picture.npy", picture)
    code = (
        "import sys, numpy as np\n"
        "from unet_deblur_tf import Restorer\n"
        f"Restorer({str(thin_lite)!r}, runtime='onnxruntime')(np.load({str(tmp_path / 'picture.npy')!r}))\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"TMPDIR": str(home), "HOME": str(home)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not [path for path in home.rglob("*") if path.is_file()]
