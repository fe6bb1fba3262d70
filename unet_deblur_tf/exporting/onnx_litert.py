"""Exports networks for other runtimes, as ONNX and LiteRT files, through Keras' own `export`.

OpenVINO needs no format of its own: it reads the `serving_default` signature of a SavedModel, and ONNX files.
"""

import contextlib
import io
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration.inference import for_inference
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.transforms import in_precision
from unet_deblur_tf.utils.files import write_by_rename


def export_onnx(model: keras.Model, path: Path, fast: bool = True) -> None:
    """Writes a network as an ONNX file that takes pictures of any size.

    Its input is `image`, float32 `(batch, height, width, 3)` in 0..1. Its output is `restored`, of the same shape and
    range.

    Args:
        model: `keras.Model` from and to pictures.
        path: `Path` ending in .onnx; an existing file is replaced.
        fast: bool, whether to rewrite the network by `inference.for_inference` first.

    Raises:
        InputError: if onnx or tf2onnx (the extra `export`) is missing.
    """
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise InputError(f'ONNX needs {error.name}: pip install "unet_deblur_tf[export]"') from error

    network = _portable(model, fast)
    network(np.zeros((1, 16, 16, 3), np.float32))  # Keras 3.15 exports to ONNX only models that were called before
    with write_by_rename(path) as partial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # from NumPy, while Keras patches tf2onnx
            network.export(str(partial), format="onnx", verbose=False)
        graph = onnx.load(partial)
        # tf2onnx keeps the name of TensorFlow's graph ("Identity:0") and numbers the unknown dimensions.
        (output,) = graph.graph.output
        for node in graph.graph.node:
            node.output[:] = ["restored" if name == output.name else name for name in node.output]
        output.name = "restored"
        for value in (*graph.graph.input, output):
            for dimension, name in zip(value.type.tensor_type.shape.dim, ("batch", "height", "width")):
                dimension.dim_param = name
        onnx.checker.check_model(graph)
        onnx.save(graph, partial)


def export_litert(model: keras.Model, path: Path, height: int, width: int) -> None:
    """Writes a network as a LiteRT (TensorFlow Lite) file that takes pictures of one size.

    Its input is `image`, float32 `(1, height, width, 3)` in 0..1. Its output is `restored`, of the same shape and
    range.

    Args:
        model: `keras.Model` from and to pictures.
        path: `Path` ending in .tflite; an existing file is replaced.
        height, width: int, the size of the pictures.
    """
    image = [tf.TensorSpec((1, height, width, 3), tf.float32, name="image")]
    with write_by_rename(path) as partial, contextlib.redirect_stdout(io.StringIO()):
        _portable(model).export(str(partial), format="litert", input_signature=image, verbose=False)


def _portable(model, fast=True):
    """The network in float32, with its output clipped to 0..1 and named `restored`."""
    network = in_precision(model, "float32")
    if fast:
        network = for_inference(network, fewer_multiplications=False)  # the runtimes choose the algorithm themselves
    return keras.Model(network.input, {"restored": keras.ops.clip(network.output, 0.0, 1.0)}, name=model.name)
