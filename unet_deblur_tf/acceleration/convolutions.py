"""Keras layers of convolutions whose weights are constants, for inference."""

import keras
import tensorflow as tf

from unet_deblur_tf.acceleration import winograd


class Convolution(keras.layers.Layer):
    """A "same" convolution with fixed weights.

    Args:
        kernel: array `(height, width, channels, filters)`.
        bias: array `(filters,)`, or None.
    """

    def __init__(self, kernel, bias=None, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.kernel = self._constant(kernel, "kernel")
        self.bias = None if bias is None else self._constant(bias, "bias")

    def _constant(self, value, name):
        return self.add_weight(value.shape, lambda shape, dtype: keras.ops.cast(value, dtype), name=name)

    def call(self, inputs):
        outputs = self._convolve(inputs)
        return outputs if self.bias is None else tf.nn.bias_add(outputs, self.bias)

    def _convolve(self, inputs):
        return tf.nn.conv2d(inputs, self.kernel, 1, "SAME")

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.kernel.shape[-1])


class WinogradConvolution(Convolution):
    """A "same" 3x3 convolution with fixed weights, computed with fewer multiplications: see `winograd`.

    Args:
        kernel: array `(3, 3, channels, filters)`.
        bias: array `(filters,)`, or None.
    """

    def __init__(self, kernel, bias=None, **kwargs):
        super().__init__(winograd.transform_kernel(kernel), bias, **kwargs)

    def _convolve(self, inputs):
        return winograd.convolve(inputs, self.kernel)
