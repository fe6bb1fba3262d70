"""Compression of upsampled levels at inference, in a fraction of the memory that the concatenated levels would take.

Compression is: concatenate the levels, scale, shift and activate them, apply a 1x1 convolution to four times the
stage's width, activate, apply a 3x3 convolution to the width. The concatenated levels and the output of the first
convolution are wide. `LevelCompression` computes them for some rows at a time, so they are never there for the whole
picture.
"""

import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration.convolutions import Convolution
from unet_deblur_tf.models.layers import double_size

BANDS = 2  # times the factor of the coarsest level
MARGIN = 2  # rows, at the output's resolution


class LevelCompression(Convolution):
    """Concatenates levels, scales, shifts and activates them, applies a 1x1 convolution, and further layers.

    The layer takes coarser levels before they are upsampled. It scales and shifts them first, which gives the same
    result as doing it after upsampling.

    Args:
        kernel: array `(1, 1, channels, filters)`, over the concatenated channels.
        bias: array `(filters,)`.
        channels: list of ints, of each level.
        factors: list with a power of two for each level: how many times smaller it is than the output.
        scale, shift: arrays `(channels,)`, over the concatenated channels.
        activation: function of a tensor, or None.
        rest: sequence of layers for the output of the 1x1 convolution that see at most three rows.

    Input shape: a list of `(batch, height / factor, width / factor, channels)`.
    Output shape: `(batch, height, width, filters)`, with the filters of the last layer.
    """

    def __init__(self, kernel, bias, channels, factors, scale, shift, activation=None, rest=(), **kwargs):
        # Levels are concatenated from the coarsest to the finest, so that all are upsampled together.
        self.order = sorted(range(len(factors)), key=lambda level: -factors[level])
        parts = np.split(np.arange(sum(channels)), np.cumsum(channels)[:-1])
        super().__init__(kernel[:, :, np.concatenate([parts[level] for level in self.order])], bias, **kwargs)
        self.factors, self.activation, self.rest = factors, activation, list(rest)
        self.scales = [self._constant(scale[part], f"scale{level}") for level, part in enumerate(parts)]
        self.shifts = [self._constant(shift[part], f"shift{level}") for level, part in enumerate(parts)]

    def call(self, inputs):
        # Wait for all levels, or the first results would stay in memory while earlier stages compute the others.
        with tf.control_dependencies(inputs):
            return in_bands(self._compress, inputs, self.factors)

    def _compress(self, inputs, above, below):
        """The output for some rows of the levels, see `in_bands`."""
        features = self._concatenate(inputs, above, below)
        if self.activation is not None:
            features = self.activation(features)
        features = super().call(features)
        for layer in self.rest:
            features = layer(features)
        return features

    def _concatenate(self, inputs, above, below):
        """Scales, shifts, upsamples and concatenates some rows of the levels."""
        parts, factor = [], max(self.factors)
        for level in self.order:
            if self.factors[level] < factor:
                parts = [_enlarge(tf.concat(parts, -1), factor, self.factors[level], above, below)]
                factor = self.factors[level]
            parts.append(inputs[level] * self.scales[level] + self.shifts[level])
        return _enlarge(tf.concat(parts, -1), factor, 1, above, below)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape[0]
        factor = self.factors[0]
        filters = (self.rest[-1] if self.rest else self).bias.shape[0]
        return (batch, height and height * factor, width and width * factor, filters)


def _enlarge(features, factor, result, above, below):
    """Bilinear upsampling of some rows of a level, which is `factor` times smaller than the output.

    Args:
        features: tensor `(batch, rows, width, channels)`, with the margin of its factor, see `in_bands`.
        factor, result: ints, the factors before and after.
        above, below: int32 scalars, 1 if there is a margin at this end, otherwise 0.

    Returns:
        Tensor with the margin of the factor `result`.
    """
    while factor > result:
        features, factor = double_size(features), factor // 2
        if factor > 1:
            features = features[:, above : tf.shape(features)[1] - below]  # doubled, a margin has two rows
    return features


def in_bands(function, levels, factors):
    """Applies a function to bands of rows, one after the other, which gives the same as applying it to all rows.

    Where a band ends within the picture, each level has a margin: a row of its own, or two rows at the output's
    resolution. From the row of a margin, doubling makes two. The inner one is right, and the outer one, which lacks
    its neighbour, is dropped, or convolved at last.

    A decoder stage at half the resolution has twice the channels, and so takes half the memory. So there are half as
    many bands, and 16 at full resolution.

    Args:
        function: function of a list of levels with margins, and of `above` and `below`, int32 scalars, 1 if there is a
            margin at this end, otherwise 0. It upsamples, convolves three rows at most, and works pixel by pixel.
        levels: list of tensors `(batch, height / factor, width / factor, channels)`.
        factors: list of ints.

    Returns:
        Tensor `(batch, height, width, channels)`.
    """
    coarsest = max(factors)
    if coarsest == 1:
        return function(levels, 0, 0)
    count = BANDS * coarsest
    rows = tf.shape(levels[factors.index(coarsest)])[1]
    bands = []
    for band in range(count):
        first, end = rows * band // count, rows * (band + 1) // count
        above, below = tf.minimum(first, 1), tf.minimum(rows - end, 1)
        # A band waits for the one before it, so that the memory of one is enough.
        with tf.control_dependencies(bands[-1:]):
            parts = []
            for level, factor in zip(levels, factors):
                margin, times = 1 if factor > 1 else MARGIN, coarsest // factor
                parts.append(level[:, first * times - margin * above : end * times + margin * below])
            bands.append(function(parts, above, below)[:, MARGIN * above : MARGIN * above + (end - first) * coarsest])
    return tf.concat(bands, 1)
