"""What several test files share: commands as people run them, small networks, pictures and pairs, files of a run."""

import contextlib
import csv
import functools
import io
import os
import runpy
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from unittest import mock

import keras
import numpy as np
from PIL import Image

from unet_deblur_tf.configs import VARIANTS, WIDTHS
from unet_deblur_tf.models.scales import trunk_of
from unet_deblur_tf.models.unet import build

ROOT = Path(__file__).parents[1]


# Commands


def run_script(script, *arguments, cwd):
    """Runs a script in a process of its own; returns a `subprocess.CompletedProcess`."""
    command = [sys.executable, ROOT / script, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def run_script_here(script, *arguments, cwd):
    """Does the same in this process, which spares the seconds that TensorFlow takes to start."""
    command = [str(ROOT / script), *map(str, arguments)]
    here, on_termination = Path.cwd(), signal.getsignal(signal.SIGTERM)
    status, stdout, stderr = 0, io.StringIO(), io.StringIO()
    try:
        os.chdir(cwd)
        with (
            mock.patch.object(sys, "argv", command),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
        if isinstance(status, str):  # what Python prints of it
            stderr.write(f"{status}\n")
            status = 1
    finally:
        os.chdir(here)
        signal.signal(signal.SIGTERM, on_termination)
    return subprocess.CompletedProcess(command, status, stdout.getvalue(), stderr.getvalue())


def assert_one_line_error(done, *parts):
    """A script ended with status 2, and its last line has all these parts."""
    assert done.returncode == 2, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "error: " in last
    for part in parts:
        assert part in last
    assert "Traceback" not in done.stderr


def wait_until(condition, process, seconds=300):
    """Waits for a condition, a function without arguments; fails if the process ends before it or takes too long."""
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition(), process.stderr and process.stderr.read()


# The first lines of a program for a process of its own, which then has two devices as a machine with two GPUs has.
TWO_DEVICES = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
from unet_deblur_tf.training import distribution
distribution.strategy = lambda: strategy
"""


# Networks

SMALL_WIDTHS = (4, 8, 12, 16, 16)


def thin_arguments(variant):
    """The arguments of a variant with a few channels, and with one residual block wherever it has any."""
    arguments = {**VARIANTS[variant], "widths": SMALL_WIDTHS}
    return arguments | {"blocks": dict.fromkeys(arguments["blocks"], 1)} if "blocks" in arguments else arguments


def thin(variant, **overrides):
    """A small network of a variant's structure: for what depends on neither width nor depth."""
    return build(variant, **{**thin_arguments(variant), **overrides})


def few(names, *usual):
    """Cases for `parametrize`, of which the usual ones run by default. The others are slow."""
    import pytest  # which the environments of tests/serving/ do not need

    return [name if name in usual else pytest.param(name, marks=pytest.mark.slow) for name in names]


def of_each_style(variants, styles, usual, complete, default):
    """Cases (variant, style) for `parametrize`. `styles` is a dict from the name of a style to its arguments.

    By default, some variants run in every style, and some in the usual one alone. The rest is slow.
    """
    import pytest  # which the environments of tests/serving/ do not need

    return [
        pytest.param(
            variant,
            style,
            id=f"{variant}-{name}",
            marks=() if variant in complete or (variant in default and name == usual) else pytest.mark.slow,
        )
        for variant in variants
        for name, style in styles.items()
    ]


@functools.cache
def untrained(variant):
    """A fresh network of full size, which tests share, so they must not change it."""
    return build(variant, norm="batch")


def inverting_network():
    """The smallest network there is, which puts out 1 - input: for what is the same with any."""
    image = keras.Input((None, None, 3), name="image")
    return keras.Model(image, keras.layers.Rescaling(-1, 1)(image), name="inverter")


def randomise(network):
    """Gives every weight a value that matters: fresh networks have zeros and ones where errors would hide."""
    rng = np.random.default_rng(0)
    for weight in network.weights:
        value = weight.numpy()
        if weight.path.endswith("moving_variance"):
            value = rng.uniform(0.5, 2, value.shape)
        elif value.ndim == 1 or not value.any():
            value = value + rng.normal(0, 0.2, value.shape)
        weight.assign(value)
    return network


def lively_network(variant, **overrides):
    """A variant whose output is far from its input, as a fresh one's is not.

    It has half the usual channels, enough for everything that makes wide networks faster (see `acceleration`).
    """
    widths = VARIANTS[variant].get("widths", WIDTHS)
    narrower = {} if variant == "lite" else {"widths": tuple(width // 2 for width in widths)}
    network = build(variant, **{**narrower, **overrides})
    layer = trunk_of(network).get_layer("out_conv")
    rng = np.random.default_rng(1)
    scale = 0.28 / layer.kernel.shape[2] ** 0.5
    layer.set_weights([rng.normal(0, scale, weight.shape) for weight in layer.get_weights()])
    return network


def clipped_output(network, pictures):
    """What a network makes of float32 pictures `(batch, height, width, 3)`, cut to 0..1 as every export does."""
    return np.clip(network(pictures), 0, 1)


# Multiply-accumulates of the convolutions at 224x224, in 10^9: the plain network's to the last digit, as published by
# the original project less what is not convolution, the others as the README has them.
GMACS = {
    "unet": 7.678132224,
    "concat": 18.834,
    "concat_se": 18.834,
    "concat_reduce": 20.857,
    "concat_reduce_se": 20.857,
    "multiscale": 10.519,
    "naf": 12.215,
    "lite": 1.763,
}


# Pictures and pairs

# Three pairs of each split, each in a sequence of its own; "{}" stands for the folder, `blur` or `sharp`.
FRAMES = [f"{split}/S{number}/{{}}/{number}.png" for split in ("train", "val", "test") for number in range(3)]


def exact_ssim(true, pred):
    """SSIM of two pictures in 0..1 by scikit-image, in float64, over the windows that fit, as in TensorFlow."""
    from skimage.metrics import structural_similarity  # which the environments of tests/serving/ do not need

    _, by_place = structural_similarity(
        true.astype(float),
        pred.astype(float),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
        full=True,
    )
    return by_place[5:-5, 5:-5].mean()


def random_pictures(height, width, count=1):
    """Noise, float32 `(count, height, width, 3)` in 0..1, the same for the same size."""
    return np.random.default_rng(height * 1000 + width).random((count, height, width, 3), dtype=np.float32)


def save_picture(path, content):
    """Saves a uint8 array, or a grey picture of a (height, width); makes folders as needed; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, tuple):
        content = np.full((*content, 3), 128, np.uint8)
    Image.fromarray(content).save(path)
    return path


def read_pixels(path):
    """The pixels of a picture file as Pillow reads it."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def save_pair(root, frame, blurred, sharp):
    """Saves two uint8 arrays as the pair of a frame, such as one of `FRAMES`."""
    save_picture(root / frame.format("blur"), blurred)
    save_picture(root / frame.format("sharp"), sharp)


def encoded(picture, kind, **options):
    """A uint8 array as the bytes of a file of that kind, such as "PNG"."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name, data):
    """One chunk of a PNG file, with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_bomb(width, height):
    """A PNG file of about a kilobyte that says it has so many pixels; its rows are not complete."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = png_chunk(b"IDAT", zlib.compress(bytes(10**6)))
    return b"\x89PNG\r\n\x1a\n" + header + rows + png_chunk(b"IEND", b"")


def mean_over_turns(restore, picture):
    """What an ensemble of a uint16 picture should be: the mean over four quarter turns, each also mirrored."""
    expected = np.zeros(picture.shape)
    for turns in range(4):
        for mirrored in (False, True):
            turned = np.rot90(picture, turns)
            turned = turned[:, ::-1] if mirrored else turned
            restored = restore(np.ascontiguousarray(turned)).astype(float)
            assert 0 < restored.min() < restored.max() < 65535
            expected += np.rot90(restored[:, ::-1] if mirrored else restored, -turns) / 8
    return expected


def psnr(first, second):
    """PSNR in dB of two uint8 pictures, by hand."""
    return 20 * np.log10(255) - 10 * np.log10(np.mean((first.astype(float) - second) ** 2))


# What a training run leaves


def read_history(base):
    """The rows of a model's `history.csv`, as dicts of strings."""
    with open(base / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def load_trained(base):
    """The Keras model beside a model's versions."""
    return keras.saving.load_model(base / "model.keras", compile=False)
