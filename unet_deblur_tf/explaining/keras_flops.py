"""Counts the FLOPs of a network with the package keras-flops, and works around its incompatibilities.

keras-flops 0.1.2 was written for TensorFlow 2.3 and Keras 2. It fails in two places:

- Its import registers counts for `AddV2` and `Max`. TensorFlow has its own counts since 2.15, and a second registration
  is an error. `_tolerant_registry` ignores such registrations during the import.
- It adds a list to `input.shape`, which is a tuple in Keras 3. `count` passes it a model whose input has a TensorShape.
"""

import contextlib
import os

import keras
import tensorflow as tf
from tensorflow.python.framework import ops


def count(network: keras.Model, height: int, width: int) -> int:
    """Counts the FLOPs of restoring one picture.

    A multiply-accumulate of a convolution counts as two FLOPs. Batch norm, activations, additions, pooling and matrix
    products are counted. Bilinear resizing and reflection are not.

    Args:
        network: `keras.Model` with one input `(batch, height, width, channels)`.
        height, width: int, size of the picture in pixels.

    Returns:
        int.
    """
    with _tolerant_registry():
        from keras_flops import get_flops

    class Sized(keras.Model):
        """The network with an input of known size."""

        inputs = [tf.TensorSpec((None, height, width, network.inputs[0].shape[-1]), tf.float32)]

        def call(self, images):
            return network(images[0], training=False)

    with _no_output():
        return int(get_flops(Sized(), batch_size=1))


@contextlib.contextmanager
def _tolerant_registry():
    """Within the block, a second registration under the same name is ignored instead of failing."""
    original = ops.RegisterStatistics

    class Tolerant(original):
        def __call__(self, function):
            with contextlib.suppress(KeyError):
                original.__call__(self, function)
            return function

    ops.RegisterStatistics = Tolerant
    try:
        yield
    finally:
        ops.RegisterStatistics = original


@contextlib.contextmanager
def _no_output():
    """Silences file descriptor 1, to which TensorFlow's profiler prints every operation, from C++."""
    stdout = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(stdout, 1)
            os.close(stdout)
