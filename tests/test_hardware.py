"""What the machine has, as Linux tells it, and who is told to use another precision."""

import keras
import pytest
import tensorflow as tf

from unet_deblur_tf.models.unet import build
from unet_deblur_tf.restoring.deblur import deblur
from unet_deblur_tf.utils import hardware


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("processor\t: 0\nmodel name\t: X with bf16\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        ("flags\t\t: fpu avx2 avx512f avx512_bf16\nbugs\t\t: none\n", False),
        ("flags\t\t: fpu avx2 amx_bf16 amx_tile\n", False),
        ("Features\t: fp asimd i8mm bf16\n", False),
        ("Features\t: fp asimd\n", True),
        ("processor\t: 0\n", False),  # it does not say
    ],
)
def test_what_linux_says_of_the_processor(tmp_path, text, lacks):
    (tmp_path / "cpuinfo").write_text(text)
    assert hardware.lacks_bfloat16(tmp_path / "cpuinfo") is lacks


def test_other_systems_do_not_tell(tmp_path):
    assert hardware.lacks_bfloat16(tmp_path / "cpuinfo") is False


@pytest.mark.parametrize(
    ("precision", "lacks", "advised"),
    [
        ("float32", True, False),
        ("mixed_bfloat16", True, True),
        ("mixed_bfloat16", False, False),
        ("mixed_float16", True, False),
    ],
)
def test_advice(precision, lacks, advised, monkeypatch):
    monkeypatch.setattr(hardware, "lacks_bfloat16", lambda: lacks)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    keras.config.set_dtype_policy(precision)
    assert ("--precision float32" in hardware.advice(build("lite"))) is advised


def test_a_gpu_needs_no_advice(monkeypatch):
    monkeypatch.setattr(hardware, "lacks_bfloat16", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert hardware.advice(build("lite")) == ""


@pytest.mark.parametrize("precision", [None, "mixed_bfloat16"])
def test_who_restores_is_told(tmp_path, monkeypatch, capsys, save_picture, picture, precision):
    monkeypatch.setattr(hardware, "lacks_bfloat16", lambda: True)
    save_picture(tmp_path / "photo.png", picture)
    deblur(tmp_path / "photo.png", "lite", tmp_path / "restored", precision=precision)
    assert ("This processor has no instructions for bfloat16" in capsys.readouterr().out) is bool(precision)
