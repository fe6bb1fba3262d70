"""The same weights for other runtimes: ONNX and LiteRT, through Keras' own `export`.

OpenVINO needs no file of its own: it reads a SavedModel's `serving_default`, and ONNX.
"""

import contextlib
import io
import warnings

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration.inference import for_inference
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.transforms import in_precision
from unet_deblur_tf.utils.files import write_by_rename


def export_onnx(model, path, fast=True):
    """Writes a network as ONNX: `image` float32 `(batch, height, width, 3)` in 0..1, of any size, to `restored`.

    Args:
        model: `keras.Model` from and to pictures.
        path: `Path` ending in .onnx; replaced if it exists.
        fast: bool, in the form of `inference.py`, else as it was built.

    Raises:
        InputError: if onnx or tf2onnx, in the extra `export`, is missing.
    """
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise InputError(f'ONNX needs {error.name}: pip install "unet_deblur_tf[export]"') from error

    network = _portable(model, fast)
    network(np.zeros((1, 16, 16, 3), np.float32))  # Keras 3.15 exports nothing to ONNX that has not been called
    with write_by_rename(path) as partial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of NumPy, while Keras mends tf2onnx
            network.export(str(partial), format="onnx", verbose=False)
        graph = onnx.load(partial)
        # tf2onnx calls it as TensorFlow's graph does ("Identity:0"), and sizes by running numbers.
        (output,) = graph.graph.output
        for node in graph.graph.node:
            node.output[:] = ["restored" if name == output.name else name for name in node.output]
        output.name = "restored"
        for value in (*graph.graph.input, output):
            for dimension, name in zip(value.type.tensor_type.shape.dim, ("batch", "height", "width")):
                dimension.dim_param = name
        onnx.checker.check_model(graph)
        onnx.save(graph, partial)


def export_litert(model, path, height, width):
    """Writes a network as LiteRT (TensorFlow Lite): `image` float32 `(1, height, width, 3)` in 0..1 to `restored`.

    Args:
        model: `keras.Model` from and to pictures.
        path: `Path` ending in .tflite; replaced if it exists.
        height, width: int, the only size it will take.
    """
    image = [tf.TensorSpec((1, height, width, 3), tf.float32, name="image")]
    with write_by_rename(path) as partial, contextlib.redirect_stdout(io.StringIO()):
        _portable(model).export(str(partial), format="litert", input_signature=image, verbose=False)


def _portable(model, fast=True):
    """The network in float32, whatever it was trained in, its output clipped to 0..1 and called `restored`."""
    network = in_precision(model, "float32")
    if fast:
        network = for_inference(network, fewer_multiplications=False)  # these choose the algorithm themselves
    return keras.Model(network.input, {"restored": keras.ops.clip(network.output, 0.0, 1.0)}, name=model.name)
