"""FLOPs of a network as the package keras-flops counts them, which needs a cure to run at all.

keras-flops 0.1.2 was written for TensorFlow 2.3 and Keras 2. Importing it registers a count for
`AddV2` and `Max`, which TensorFlow has had of its own since 2.15, and fails; and it adds a list
to `input.shape`, which in Keras 3 is a tuple. So registrations that are there already are
let pass while it is imported, and it is handed a model whose inputs have a TensorShape.
"""

import contextlib
import os

import keras
import tensorflow as tf
from tensorflow.python.framework import ops


def count(network, height, width):
    """FLOPs of one picture through the network.

    A multiply-accumulate of a convolution counts as two. Batch norm, activations, additions,
    pooling and matrix products are counted; bilinear resizing and reflection are not.

    Args:
        network: `keras.Model` with one input `(batch, height, width, channels)`.
        height, width: int, of the picture.

    Returns:
        int.
    """
    with _tolerant_registry():
        from keras_flops import get_flops

    class Sized(keras.Model):
        """The network with inputs of a known size."""

        inputs = [tf.TensorSpec((None, height, width, network.inputs[0].shape[-1]), tf.float32)]

        def call(self, images):
            return network(images[0], training=False)

    with _no_output():
        return int(get_flops(Sized(), batch_size=1))


@contextlib.contextmanager
def _tolerant_registry():
    """While it lasts, a second registration under the same name changes nothing instead of failing."""
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
    """Silences file descriptor 1: TensorFlow's profiler prints every operation, from C++."""
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
