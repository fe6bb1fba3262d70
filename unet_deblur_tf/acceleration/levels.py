"""Convolutions of upsampled levels, evaluated at the levels' own, low resolution: for training and for restoring.

    fast = for_training(network)               # equal to 1e-5, of the same layers and weights

A 3x3 convolution of upsampled features is the sum of nine 1x1 convolutions of the features
themselves, each upsampled and shifted by its tap (zero beyond the border, as the convolution
pads): all of it is linear, so the steps can be exchanged. At a half, a quarter, an eighth of the
resolution the 1x1 convolutions cost 1/4, 1/16, 1/64, and the wide tensor that joins all levels
at full resolution is never made.

What is saved stays the network of `models.py`, the reference for this one. This form needs
TensorFlow.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration.rewriting import Concatenated, call_layer, rewrite_graph
from unet_deblur_tf.models.layers import double_size

# Where fewer upsampled channels than this are joined, upsampling and shifting what nine taps give costs more than it
# saves: measured at 1280x720 on a CPU, docs/speed.md.
MIN_UPSAMPLED_CHANNELS = 100

# So many channels are upsampled and shifted by one convolution: fewer waste less on zeros, more suit the processor.
GROUP = 16


def for_training(network):
    """The network with convolutions of upsampled levels at the levels' own resolution.

    Args:
        network: `keras.Model`, as `models.unet` builds it.

    Returns:
        `keras.Model` from the same input to the same output, of the network's own layers: what trains one trains
        the other. Not for saving as `.keras`.
    """

    def call(layer, *arguments, **keywords):
        given = arguments[0]
        if type(layer) is keras.layers.Conv2D and is_worthwhile(layer, given):
            return LevelConvolution(layer, given.factors, name=layer.name)(given.features)
        return call_layer(layer, *arguments, **keywords)

    return rewrite_graph(network, call)


def is_worthwhile(layer, given):
    """Whether a convolution of a note is better evaluated as a `LevelConvolution`."""
    if not isinstance(given, Concatenated) or layer.kernel_size != (3, 3):
        return False
    coarse = sum(features.shape[-1] for features, factor in zip(given.features, given.factors) if factor > 1)
    return coarse >= MIN_UPSAMPLED_CHANNELS


class LevelConvolution(keras.layers.Layer):
    """A "same" 3x3 convolution of features joined along the channels, the upsampled ones taken as they were before.

    Args:
        convolution: layer with the weights `kernel`, `(3, 3, channels, filters)` over the joined features, and `bias`,
            `(filters,)` or None.
        factors: for each of the features, a power of two: how much smaller they are than the output.
        own: layer that convolves the features of factor 1, joined; then the kernel is for the others alone. None for
            the kernel's own part.

    Input shape: a list of `(batch, height / factor, width / factor, channels)`, at least one with factor 1.
    Output shape: `(batch, height, width, filters)`.
    """

    def __init__(self, convolution, factors, own=None, **kwargs):
        super().__init__(dtype=convolution.dtype_policy, **kwargs)
        self.convolution, self.factors, self.own = convolution, factors, own

    def build(self, input_shape):
        self.built = True  # the convolution is

    def call(self, inputs):
        kernel, bias = self.convolution.kernel, self.convolution.bias
        # Not before all of them are there: what the encoder's levels give would lie in memory through earlier stages.
        with tf.control_dependencies(inputs):
            output = convolve_levels(inputs, self.factors, keras.ops.cast(kernel, self.compute_dtype), self.own)
        return output if bias is None else tf.nn.bias_add(output, keras.ops.cast(bias, self.compute_dtype))

    def compute_output_shape(self, input_shape):
        return (*input_shape[self.factors.index(1)][:-1], self.convolution.kernel.shape[-1])


def convolve_levels(inputs, factors, kernel, own=None):
    """What `LevelConvolution` computes, without the convolution's bias."""
    channels = [0 if own and factor == 1 else features.shape[-1] for features, factor in zip(inputs, factors)]
    kernels = tf.split(kernel, channels, axis=2)

    def joined(parts, factor, axis):
        return tf.concat([part for part, each in zip(parts, factors) if each == factor], axis)

    filters = kernel.shape[-1]
    group = math.gcd(filters, GROUP)
    coarse = sorted({*factors} - {1}, reverse=True)
    features = {factor: joined(inputs, factor, -1) for factor in coarse}

    def row_taps(dx):
        """At half the output's resolution: of one column tap, what the three row taps give, see `_side_by_side`."""
        taps, factor = None, coarse[0]
        while True:
            if factor in features:
                matrix = joined(kernels, factor, 2)[:, dx]
                matrix = _side_by_side(tf.unstack(matrix[:, tf.newaxis, tf.newaxis]), group)
                here = tf.nn.conv2d(features[factor], matrix, 1, "SAME")
                taps = here if taps is None else taps + here
            if factor == 2:
                return taps
            factor //= 2
            taps = double_size(taps)

    # Upsample, shift and add: along the rows for each column tap, then along the columns for all of them.
    # One after the other, or what is upsampled for several would be in memory.
    rows, done = [], []
    for dx in range(3):
        with tf.control_dependencies(done):
            done = upsample_shift_add(row_taps(dx), group, axis=1)
        rows.append(done)
    places = [tf.stack(upsample_shift_add(_side_by_side(taps, group), group, axis=2), 3) for taps in zip(*rows)]
    with tf.control_dependencies(places):
        fine = joined(inputs, 1, -1)
        output = own(fine) if own else tf.nn.conv2d(fine, joined(kernels, 1, 2), 1, "SAME")
    return output + tf.reshape(tf.stack(places, 2), tf.shape(output))


# Upsampling by two, shifted by a tap: new place 2 i + phase takes these shares of the old places i - 1, i, i + 1.
SHARES = np.array(
    [  # tap -1           tap 0              tap 1
        [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0.75, 0.25]],
        [[0.25, 0.75, 0], [0, 0.75, 0.25], [0, 0.25, 0.75]],
    ]
)

# What to put beyond the border, from the taps' (-1, 0, 1) last place inside, so that the border is repeated when
# upsampling, as bilinear interpolation does, and zero when shifting, as the convolution's padding is.
BEFORE = np.array([[1, -4, 0], [0, 1, 0], [0, 0, 0]])

AFTER = np.array([[0, 0, 0], [0, 1, 0], [0, -4, 1]])


def _side_by_side(taps, group):
    """Of three tensors of taps one that is three times as deep: of each group of channels in turn, the three taps."""
    size = tf.unstack(tf.shape(taps[0])[:3])
    filters = taps[0].shape[-1]
    grouped = [tf.reshape(tap, [*size, filters // group, group]) for tap in taps]
    return tf.reshape(tf.stack(grouped, 4), [*size, 3 * filters])


def upsample_shift_add(taps, group, axis):
    """Upsamples three taps by two along an axis, shifts each to its place, and adds them up.

    As a dense convolution of few channels, which runs at the processor's full speed: each group of channels has nothing
    to do with the others, so it stands beside them as further columns, and one matrix does for all.

    Args:
        taps: `(batch, height, width, 3 * filters)`, as `_side_by_side` has them.
        group: int, channels of a group.
        axis: 1 for rows, 2 for columns.

    Returns:
        Two tensors `(batch, height, width, filters)`: the even and the odd new places along the axis.
    """
    batch, height, width = tf.unstack(tf.shape(taps)[:3])
    filters = taps.shape[-1] // 3
    groups = filters // group
    taps = tf.reshape(taps, [batch, height, width * groups, 3 * group])
    eye = np.eye(group)

    def convolve(part, matrices):
        kernel = tf.constant(np.stack([np.kron(matrix, eye) for matrix in matrices]), taps.dtype)
        if axis == 1:
            return tf.nn.conv2d(part, kernel[:, tf.newaxis], 1, "VALID")
        return tf.nn.conv2d(part, kernel[tf.newaxis], 1, "VALID", dilations=(1, groups))

    first, last = (taps[:, :1], taps[:, -1:]) if axis == 1 else (taps[:, :, :groups], taps[:, :, -groups:])
    padded = tf.concat([convolve(first, [BEFORE]), taps, convolve(last, [AFTER])], axis)
    shape = [batch, height, width, filters]
    return [tf.reshape(convolve(padded, shares.T[..., np.newaxis]), shape) for shares in SHARES]
