"""Compression of upsampled levels at inference, in a fraction of the memory that the concatenated levels would take.

Compression is: concatenate the levels, scale, shift and activate them, apply a 1x1 convolution to four times the
stage's width, activate, apply a 3x3 convolution to the width. `LevelCompression` does all of it

- for some channels at a time, since a 1x1 convolution is a sum over the channels,
- and for some rows at a time. What is wide is never there for the whole picture: neither the upsampled levels nor the
  output of the 1x1 convolution.
"""

import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration.convolutions import Convolution
from unet_deblur_tf.models.layers import double_size

# `LevelCompression` upsamples at most this multiple of its output channels at once. More channels take more memory,
# fewer take more time.
WIDEST = 2


class LevelCompression(Convolution):
    """Concatenates levels, scales, shifts and activates them, applies a 1x1 convolution, and further layers.

    The layer takes coarser levels before they are upsampled. It scales and shifts them first, which gives the same
    result as doing it after upsampling.

    Args:
        kernel: array `(1, 1, channels, filters)`, over the concatenated channels.
        bias: array `(filters,)`.
        factors: list with a power of two for each level: how many times smaller it is than the output.
        scale, shift: arrays `(channels,)`, over the concatenated channels.
        activation: function of a tensor, or None.
        rest: sequence of layers for the output of the 1x1 convolution: an activation, and a `Convolution` of at most 3
            rows. If there are none, the layer works on all rows at once.

    Input shape: a list of `(batch, height / factor, width / factor, channels)`.
    Output shape: `(batch, height, width, filters)`, with the filters of the last layer.
    """

    def __init__(self, kernel, bias, factors, scale, shift, activation=None, rest=(), **kwargs):
        super().__init__(kernel, bias, **kwargs)
        self.factors, self.activation, self.rest = factors, activation, list(rest)
        self.scale = self._constant(scale, "scale")
        self.shift = self._constant(shift, "shift")

    def call(self, inputs):
        # Half the resolution has twice the channels, and so takes half the memory: fewer bands are enough.
        count = max(1, max(self.factors) // 2) if self.rest else 1
        # Wait for all levels, or the first results would stay in memory while earlier stages compute the others.
        with tf.control_dependencies(inputs):
            return in_bands(self._compute, inputs, self.factors, count)

    def _compute(self, inputs):
        """The output for levels, or for some rows of them."""
        output = self._compress(inputs)
        for layer in self.rest:
            output = layer(output)
        return output

    def _compress(self, inputs):
        """The output of the 1x1 convolution."""
        output = None
        for piece in self._pieces([features.shape[-1] for features in inputs]):
            # Each piece waits for the one before it, or several would be in memory at the output's resolution.
            with tf.control_dependencies([] if output is None else [output]):
                features = self._upsample(inputs, piece)
                if self.activation is not None:
                    features = self.activation(features)
                kernel = tf.concat([self.kernel[:, :, joined_channels] for _, _, joined_channels in piece], 2)
                convolved = tf.nn.conv2d(features, kernel, 1, "SAME")
                # The bias comes with the first piece: TensorFlow fuses it with the convolution.
                output = tf.nn.bias_add(convolved, self.bias) if output is None else output + convolved
        return output

    def _pieces(self, channels):
        """Divides the channels of all levels into the pieces that are convolved one after the other.

        Args:
            channels: list with the number of channels of each level.

        Returns:
            A list of pieces, from the coarsest level to the finest. A piece is a list of (index of the level, slice of
            the level's channels, slice of the concatenated channels).
        """
        filters = self.bias.shape[0]
        starts = np.cumsum([0, *channels])
        pieces, width = [], 0
        for level in sorted(range(len(channels)), key=lambda level: -self.factors[level]):
            # At the output's resolution, concatenating more channels takes longer than adding up more results.
            widest = filters if self.factors[level] == 1 else WIDEST * filters
            for start in range(0, channels[level], widest):
                stop = min(start + widest, channels[level])
                width += stop - start
                if width > widest or not pieces:
                    pieces.append([])
                    width = stop - start
                pieces[-1].append((level, slice(start, stop), slice(starts[level] + start, starts[level] + stop)))
        return pieces

    def _upsample(self, inputs, piece):
        """Scales, shifts and upsamples a piece. On the way up, coarser channels are concatenated with finer ones."""
        features, factor = None, 1
        for level, channels, joined_channels in piece:
            finer = inputs[level][..., channels] * self.scale[joined_channels] + self.shift[joined_channels]
            finer_factor = self.factors[level]
            features = finer if features is None else tf.concat([_enlarge(features, factor // finer_factor), finer], -1)
            factor = finer_factor
        return _enlarge(features, factor)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape[0]
        factor = self.factors[0]
        filters = (self.rest[-1] if self.rest else self).bias.shape[0]
        return (batch, height and height * factor, width and width * factor, filters)


def _enlarge(features, factor):
    """Bilinear upsampling by a power of two."""
    while factor > 1:
        features, factor = double_size(features), factor // 2
    return features


def in_bands(function, levels, factors, count):
    """Applies a function to bands of rows, one after the other, which gives the same as applying it to all rows.

    A band has a row of the coarsest level more at each end, if there is one. That is what upsampling by two, repeated
    up to the output's resolution, and then a convolution of three rows see beyond the band.

    Args:
        function: function of a list of levels that upsamples, convolves three rows at most, and works pixel by pixel.
        levels: list of tensors `(batch, height / factor, width / factor, channels)`.
        factors: list of ints.
        count: int, the number of bands. If the coarsest level has fewer rows, some bands are empty.

    Returns:
        Tensor `(batch, height, width, channels)`.
    """
    if count == 1:
        return function(levels)
    coarsest = max(factors)
    rows = tf.shape(levels[factors.index(coarsest)])[1]
    bands = []
    for band in range(count):
        first, end = rows * band // count, rows * (band + 1) // count
        above, below = tf.minimum(first, 1), tf.minimum(rows - end, 1)
        # A band waits for the one before it, so that the memory of one is enough.
        with tf.control_dependencies(bands[-1:]):
            parts = [
                level[:, (first - above) * (coarsest // factor) : (end + below) * (coarsest // factor)]
                for level, factor in zip(levels, factors)
            ]
            bands.append(function(parts)[:, above * coarsest : (above + end - first) * coarsest])
    return tf.concat(bands, 1)
