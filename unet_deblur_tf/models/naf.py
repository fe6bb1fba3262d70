"""Blocks of NAFNet. They have no activation function: a gate, which multiplies two halves of the channels, replaces it.

Reference: Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022.
"""

import keras
from keras import ops

from unet_deblur_tf.models.layers import PACKAGE, ChannelGate, Squeeze


def naf_blocks(x, count, stride, name):
    """NAFNet's blocks, one after the other.

    Each block has two parts, and each part adds a correction to the features. The first part: layer norm, 1x1
    convolution to twice the channels, 3x3 convolution of each channel, gate, channel attention, 1x1 convolution. The
    second part: layer norm, 1x1 convolution to twice the channels, gate, 1x1 convolution. Learned scales of the
    corrections start at zero, so a block does nothing at first.

    Args:
        x: tensor `(batch, height, width, channels)`.
        count: int, number of blocks.
        stride: int, pixels of the picture per pixel of the features, for `layers.Squeeze`.
        name: str, prefix of the layers' names.

    Returns:
        A tensor of the same shape.
    """
    for number in range(1, count + 1):
        x = _naf_block(x, stride, f"{name}_block{number}")
    return x


def _naf_block(x, stride, name):
    width = x.shape[-1]

    def pointwise(x, filters, number):
        return keras.layers.Conv2D(filters, 1, name=f"{name}_conv{number}")(x)

    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    y = pointwise(y, 2 * width, 1)
    y = keras.layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise")(y)
    y = SimpleGate(name=f"{name}_gate1")(y)
    means = Squeeze(stride, name=f"{name}_squeeze")(y)
    y = SimplifiedAttention(name=f"{name}_attention")([y, means])
    y = pointwise(y, width, 2)
    x = keras.layers.Add(name=f"{name}_add1")([x, ChannelScale(name=f"{name}_scale1")(y)])

    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    y = pointwise(y, 2 * width, 3)
    y = SimpleGate(name=f"{name}_gate2")(y)
    y = pointwise(y, width, 4)
    return keras.layers.Add(name=f"{name}_add2")([x, ChannelScale(name=f"{name}_scale2")(y)])


@keras.saving.register_keras_serializable(PACKAGE)
class SimpleGate(keras.layers.Layer):
    """Multiplies the first half of the channels by the second half.

    Input shape: `(batch, height, width, 2 * channels)`. Output shape: `(batch, height, width, channels)`.
    """

    def call(self, inputs):
        first, second = ops.split(inputs, 2, axis=-1)
        return first * second

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)


@keras.saving.register_keras_serializable(PACKAGE)
class ChannelScale(keras.layers.Layer):
    """Multiplies each channel by a learned number, which starts at zero.

    Input shape: `(batch, height, width, channels)`. Output shape: the same.
    """

    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), "zeros", name="scale")

    def call(self, inputs):
        return inputs * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(PACKAGE)
class SimplifiedAttention(ChannelGate):
    """Scales each channel by a linear function of all channels' means: squeeze-and-excitation without non-linearity.

    Called on `[inputs, means]`, the means from `layers.Squeeze`; shapes as for `layers.ChannelGate`.
    """

    def build(self, input_shape):
        channels = input_shape[0][-1]
        self.kernel = self.add_weight((channels, channels), "glorot_uniform", name="kernel")
        self.bias = self.add_weight((channels,), "zeros", name="bias")

    def gate(self, means):
        return ops.matmul(ops.cast(means, self.compute_dtype), self.kernel) + self.bias
