"""Exports networks as files of OpenVINO, in float32 or with convolutions in 8 bits."""

import contextlib
import dataclasses
import logging
import os
import re
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.exporting.onnx_litert import export_onnx
from unet_deblur_tf.models.scales import trunk_of
from unet_deblur_tf.utils.files import write_by_rename

CALIBRATION, CHECKED = 64, 16  # scenes that the ranges are taken from, and others that the result is scored on
MOST_LOST = 0.1  # dB of PSNR
# Layers on the way in and out begin with one of these. In pictures, a step of 8 bits is as large as a small correction.
IN_FLOAT32 = ("image", "guide", "pad", "inc_unshuffle", "inc_conv1", "out_")


def export_openvino(model: keras.Model, path: Path, half_weights: bool = False, int8: bool = False) -> list[str]:
    """Writes a network as the two files of OpenVINO, NAME.xml and NAME.bin, for pictures of any size.

    Input and output are those of `onnx_litert.export_onnx`, clipped to 0..1.

    With `int8`, NNCF quantises the network after its training: weights by channel, activations by layer, with the
    ranges that they have on synthetic blurred scenes. The first and the last convolution stay in float32, and so does
    what combines the results of several scales.

    Args:
        model: `keras.Model` from and to pictures.
        path: `Path` ending in .xml; existing files are replaced.
        half_weights: bool, whether to store the weights that are not quantised as float16.
        int8: bool, whether to quantise it.

    Returns:
        List of str, a line that compares the gains in float32 and in 8 bits, if it was quantised.

    Raises:
        InputError: if a package is missing, or more than `MOST_LOST` dB of PSNR are lost on other scenes.
    """
    openvino, nncf = _packages(int8)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, Path(folder) / "network.onnx")
        network = openvino.Core().read_model(Path(folder) / "network.onnx")
    lines = []
    if int8:
        quantised = _quantise(nncf, network, trunk_of(model))
        gains = [_gain(openvino, each) for each in (network, quantised)]
        said = "{1:+.2f} dB on {2} blurred scenes, in float32 {0:+.2f} dB".format(*gains, CHECKED)
        if gains[0] - gains[1] > MOST_LOST:
            raise InputError(f"In 8 bits {model.name} gains {said}. Export it without --int8")
        network, lines = quantised, [f"In 8 bits        {said}"]
    # The file that the other one belongs to comes last.
    with write_by_rename(path) as partial, write_by_rename(path.with_suffix(".bin")) as weights:
        openvino.save_model(network, partial, compress_to_fp16=half_weights)
        partial.with_suffix(".bin").rename(weights)
    return lines


def _packages(int8):
    """The modules openvino and, if it is needed, nncf."""
    nncf = None
    try:
        import openvino

        if int8:
            os.environ["NNCF_CI"] = "1"  # or it would report to its authors that it is used
            import nncf

            nncf.set_log_level(logging.ERROR)
    except ImportError as error:
        extra = "int8" if int8 else "openvino"
        raise InputError(f'OpenVINO files need {error.name}: pip install "unet_deblur_tf[{extra}]"') from error
    return openvino, nncf


def _quantise(nncf, network, trunk):
    """The network with convolutions in 8 bits, as `openvino.Model`."""
    layers = {layer.name for layer in trunk.layers if not layer.name.startswith(IN_FLOAT32)}
    names = [operation.get_friendly_name() for operation in network.get_ordered_ops()]  # such as a/up1_conv1_1/BiasAdd
    kept = [name for name in names if layers.isdisjoint(re.sub(r"_\d+$", "", part) for part in name.split("/"))]
    scenes = [blurred for blurred, _ in _blurred_scenes(0, CALIBRATION)]
    with contextlib.redirect_stdout(sys.stderr):  # for its progress bars
        return nncf.quantize(
            network.clone(),
            nncf.Dataset(scenes),
            preset=nncf.QuantizationPreset.MIXED,  # activations are not symmetric
            subset_size=CALIBRATION,
            ignored_scope=nncf.IgnoredScope(names=kept),
        )


def _blurred_scenes(seed, count):
    """Pairs of a blurred and a sharp scene, float32 `(1, 192, 256, 3)` in 0..1."""
    difficulty = dataclasses.replace(DIFFICULTIES["mixed"], width=256, height=192)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        scenes = [scene(rng, *canvas_size(difficulty)) for _ in range(2)]
        yield tuple(np.float32(each)[np.newaxis] / 255 for each in blurred_pair(rng, *scenes, difficulty, moving=True))


def _gain(openvino, network):
    """The mean gain in PSNR on scenes that the network was not calibrated on, in dB."""
    restore = openvino.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    errors = [
        [np.mean((picture - sharp) ** 2) for picture in (blurred, restore(blurred)[0])]
        for blurred, sharp in _blurred_scenes(1, CHECKED)
    ]
    return float(np.mean([10 * np.log10(before / after) for before, after in errors]))
