"""What the machine has, and which number format is faster on it."""

import json
import os
import re

import pytest
import tensorflow as tf

from unet_deblur_tf.restoring.deblur import deblur
from unet_deblur_tf.utils import hardware, precision, scripts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("processor\t: 0\nmodel name\t: X with bf16\nflags\t\t: fpu avx2\n", {"fpu", "avx2"}),
        ("Features\t: fp asimd\nbugs\t\t: none\n", {"fp", "asimd"}),
        ("processor\t: 0\n", set()),
    ],
)
def test_what_linux_says_of_the_processor(tmp_path, text, words):
    (tmp_path / "cpuinfo").write_text(text)
    assert hardware.instructions(tmp_path / "cpuinfo") == words


def test_other_systems_do_not_tell(tmp_path):
    assert hardware.instructions(tmp_path / "cpuinfo") == set()


@pytest.mark.parametrize(
    ("words", "wanted", "given"),
    [
        ({"avx2"}, None, "0"),
        ({"avx2", "avx_vnni"}, None, "0"),
        ({"avx2"}, "1", "1"),
        ({"avx2", "avx512f", "avx512_vnni"}, None, None),
        ({"asimd"}, None, None),
        (set(), None, None),
    ],
)
def test_onednn_stays_off_where_it_is_slow_unless_wanted(monkeypatch, words, wanted, given):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", wanted or "")  # is put back after the test
    if wanted is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    monkeypatch.setattr(hardware, "instructions", lambda: words)
    scripts.quiet_tensorflow()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == given


@pytest.mark.parametrize(
    ("device", "hidden", "there"),
    [("nvidia0", None, True), ("nvidia0", "-1", False), ("nvidiactl", None, False), ("kfd", None, True)],
)
def test_a_gpu_is_recognised_by_its_device_file(tmp_path, monkeypatch, device, hidden, there):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert hardware.has_gpu(tmp_path) is False
    if hidden:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    (tmp_path / device).touch()
    assert hardware.has_gpu(tmp_path) is there


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "default_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache/precision.json"


@pytest.mark.parametrize(
    ("ratio", "chosen", "advised"),
    [(0.5, "mixed_bfloat16", False), (0.95, "float32", False), (1.05, "float32", False), (2.04, "float32", True)],
)
def test_the_faster_precision_is_taken(cache, monkeypatch, ratio, chosen, advised):
    monkeypatch.setattr(precision, "_measured", lambda name: ratio)
    assert precision.fastest() == chosen
    assert precision.advice("float32") == ""
    advice = precision.advice("mixed_bfloat16")
    assert (
        advice == "mixed_bfloat16 takes 2.0 times the time of float32 here (measured): --precision float32 is faster"
    ) is advised
    assert (advice == "") is not advised


def test_a_precision_is_measured_once(cache, monkeypatch):
    monkeypatch.setattr(precision, "_measured", lambda name: {"mixed_bfloat16": 0.5, "mixed_float16": 9}[name])
    assert (precision.relative_time("mixed_bfloat16"), precision.relative_time("mixed_float16")) == (0.5, 9)
    monkeypatch.setattr(precision, "_measured", lambda name: 7)
    assert (precision.relative_time("mixed_bfloat16"), precision.relative_time("mixed_float16")) == (0.5, 9)
    # On another machine, and when the file is damaged, it is measured again.
    cache.write_text(json.dumps({"another": {"mixed_bfloat16": 0.1}}))
    assert precision.relative_time("mixed_bfloat16") == 7
    assert json.loads(cache.read_text())["another"] == {"mixed_bfloat16": 0.1}
    for damaged in ("{", "[]", '{"another": 1}'):
        cache.write_text(damaged)
        assert precision.relative_time("mixed_bfloat16") == 7


def test_a_measurement_is_of_the_precision(monkeypatch):
    """A convolution that waits in one format is slower in it."""
    convolve = tf.nn.conv2d

    def slow(image, *rest):
        return convolve(tf.repeat(image, 20, 0) if image.dtype == tf.bfloat16 else image, *rest)

    monkeypatch.setattr(tf.nn, "conv2d", slow)
    assert precision._measured("mixed_bfloat16") > 2


def test_who_restores_is_told(tmp_path, monkeypatch, capsys, save_picture, picture):
    monkeypatch.setattr(precision, "relative_time", lambda name: 1.6)
    save_picture(tmp_path / "photo.png", picture)
    deblur(tmp_path / "photo.png", "lite", tmp_path / "restored", precision="mixed_bfloat16")
    assert "mixed_bfloat16 takes 1.6 times the time" in capsys.readouterr().out
    deblur(tmp_path / "photo.png", "lite", tmp_path / "again", precision="auto")
    assert re.search("float32 in tensorflow", capsys.readouterr().out)
