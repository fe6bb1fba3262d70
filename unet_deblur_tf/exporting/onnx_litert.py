"""Exports networks for other runtimes, as ONNX and LiteRT files, through Keras' own `export`.

OpenVINO needs no format of its own: it reads the `serving_default` signature of a SavedModel, and ONNX files.
"""

import contextlib
import io
import os
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration.inference import for_inference
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.transforms import in_precision
from unet_deblur_tf.utils.files import write_by_rename

SMALLEST_HALVED = 1024  # numbers: smaller weights, such as biases, stay in float32, since halving them saves nothing


def export_onnx(
    model: keras.Model, path: Path, fast: bool = True, half_weights: bool = False, clip: bool = True
) -> None:
    """Writes a network as an ONNX file that takes pictures of any size.

    Its input is `image`, float32 `(batch, height, width, 3)` in 0..1. Its output is `restored`, of the same shape and
    range.

    Args:
        model: `keras.Model` from and to pictures.
        path: `Path` ending in .onnx; an existing file is replaced.
        fast: bool, whether to rewrite the network by `inference.for_inference` first.
        half_weights: bool, whether to store the weights as float16, which halves the file. The network still computes
            in float32.
        clip: bool, whether the output is clipped to 0..1. A program that combines results itself, as `models.scales`
            does, needs them as they are.

    Raises:
        InputError: if onnx or tf2onnx (the extra `export`) is missing.
    """
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise InputError(f'ONNX needs {error.name}: pip install "unet_deblur_tf[export]"') from error

    with write_by_rename(path) as partial:
        _write_onnx(_portable(model, fast, clip), partial)
        graph = onnx.load(partial)
        # tf2onnx keeps the name of TensorFlow's graph ("Identity:0") and numbers the unknown dimensions.
        (output,) = graph.graph.output
        for node in graph.graph.node:
            node.output[:] = ["restored" if name == output.name else name for name in node.output]
        output.name = "restored"
        for value in (*graph.graph.input, output):
            for dimension, name in zip(value.type.tensor_type.shape.dim, ("batch", "height", "width")):
                dimension.dim_param = name
        if half_weights:
            _halve_weights(graph.graph)
        onnx.checker.check_model(graph)
        onnx.save(graph, partial)


def write_onnx(model: keras.Model, path: Path) -> None:
    """Writes a network, or a part of one, as an ONNX file as Keras and tf2onnx make it, after `for_inference`.

    Args:
        model: `keras.Model` in float32, with inputs `(batch, height, width, channels)` in any number.
        path: `Path` ending in .onnx; an existing file is replaced.
    """
    _write_onnx(for_inference(model, fewer_multiplications=False), path)


def _write_onnx(network, path):
    # Or tf2onnx copies the whole graph before each step of its optimization, to go on without one that fails. That
    # takes a third of the time, and a step that fails is better known.
    os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")
    # Without a signature, Keras 3.15 exports only models that were called before.
    specs = [keras.InputSpec(tensor.dtype, tensor.shape, name=tensor.name) for tensor in network.inputs]
    signature = [specs if len(specs) > 1 else specs[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # from NumPy, while Keras patches tf2onnx
        network.export(str(path), format="onnx", input_signature=signature, verbose=False)


def _halve_weights(graph):
    """Stores the large weights of an ONNX graph as float16, each with a node that casts it to float32.

    Runtimes fold the casts when they load the file, so nothing is slower afterwards, and each of them can run it:
    there are no operations on float16.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < SMALLEST_HALVED:
            continue
        with np.errstate(over="ignore"):
            half = numpy_helper.to_array(weight).astype(np.float16)
        if not np.isfinite(half).all():
            continue  # too large for float16
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [weight.name], [name], f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]  # a node stands after those whose outputs it takes
    del graph.node[:]
    graph.node.extend(nodes)


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


def _portable(model, fast=True, clip=True):
    """The network in float32, with its output named `restored` and, if wanted, clipped to 0..1."""
    network = in_precision(model, "float32")
    if fast:
        network = for_inference(network, fewer_multiplications=False)  # the runtimes choose the algorithm themselves
    output = keras.ops.clip(network.output, 0.0, 1.0) if clip else network.output
    return keras.Model(network.input, {"restored": output}, name=model.name)
