"""Convolutions of upsampled levels, computed at the levels' own, low resolution, for training and restoring.

    fast = for_training(network)               # the same output to 1e-5, with the same layers and weights

A 3x3 convolution of upsampled features is linear, so its steps can be reordered. It equals the sum of nine 1x1
convolutions of the features before upsampling, one for each tap of the kernel. Each of the nine results is then
upsampled and shifted by its tap, with zeros beyond the border, as the convolution pads. At 1/2, 1/4 and 1/8 of the
resolution the 1x1 convolutions cost 1/4, 1/16 and 1/64. And the wide tensor that concatenates all levels at full
resolution is never computed.

`.keras` files hold the network as `models.unet` builds it, which is the reference for this form.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration.rewriting import Concatenated, call_layer, rewrite_graph
from unet_deblur_tf.models.layers import double_size

# With fewer upsampled channels than this, upsampling and shifting the results of nine taps costs more than it saves.
# Measured at 1280x720 on a CPU, see docs/speed.md.
MIN_UPSAMPLED_CHANNELS = 100

# One convolution upsamples and shifts this many channels. Fewer waste less time on zeros, more suit the processor.
GROUP = 16


def for_training(network: keras.Model) -> keras.Model:
    """Rewrites a network for training: convolutions of upsampled levels work at the levels' own resolution.

    Args:
        network: `keras.Model`, as `models.unet.build` returns it.

    Returns:
        `keras.Model` from the same input to the same output. It shares all weights with `network`, so training it
        trains `network`. It cannot be saved as `.keras`: save `network`.
    """

    def call(layer, *arguments, **keywords):
        inputs = arguments[0]
        if type(layer) is keras.layers.Conv2D and is_worthwhile(layer, inputs):
            return LevelConvolution(layer, inputs.factors, name=layer.name)(inputs.features)
        return call_layer(layer, *arguments, **keywords)

    return rewrite_graph(network, call)


def is_worthwhile(layer, inputs):
    """Whether a `LevelConvolution` is faster than the convolution `layer` of these inputs (tensor or lazy tensor)."""
    if not isinstance(inputs, Concatenated) or layer.kernel_size != (3, 3):
        return False
    upsampled = sum(features.shape[-1] for features, factor in zip(inputs.features, inputs.factors) if factor > 1)
    return upsampled >= MIN_UPSAMPLED_CHANNELS


class LevelConvolution(keras.layers.Layer):
    """A "same" 3x3 convolution of concatenated levels, which takes coarser levels before they are upsampled.

    Args:
        convolution: layer with the weights `kernel`, `(3, 3, channels, filters)` over the concatenated channels, and
            `bias`, `(filters,)` or None.
        factors: list with a power of two for each level: how many times smaller it is than the output.
        own: layer that convolves the levels of factor 1, concatenated. The kernel of `convolution` then covers only the
            other levels. None if it covers all of them.

    Input shape: a list of `(batch, height / factor, width / factor, channels)`, at least one with factor 1.
    Output shape: `(batch, height, width, filters)`.
    """

    def __init__(self, convolution, factors, own=None, **kwargs):
        super().__init__(dtype=convolution.dtype_policy, **kwargs)
        self.convolution, self.factors, self.own = convolution, factors, own

    def build(self, input_shape):
        self.built = True  # all weights are those of the convolution, which is built

    def call(self, inputs):
        kernel, bias = self.convolution.kernel, self.convolution.bias
        # Wait for all inputs, or the results of the encoder's levels would stay in memory during earlier stages.
        with tf.control_dependencies(inputs):
            output = convolve_levels(inputs, self.factors, keras.ops.cast(kernel, self.compute_dtype), self.own)
        return output if bias is None else tf.nn.bias_add(output, keras.ops.cast(bias, self.compute_dtype))

    def compute_output_shape(self, input_shape):
        return (*input_shape[self.factors.index(1)][:-1], self.convolution.kernel.shape[-1])


def convolve_levels(inputs, factors, kernel, own=None):
    """Computes the output of a `LevelConvolution` without its bias.

    Args:
        inputs: list of tensors, the levels.
        factors, own: see `LevelConvolution`.
        kernel: tensor `(3, 3, channels, filters)`.

    Returns:
        Tensor `(batch, height, width, filters)`.
    """
    channels = [0 if own and factor == 1 else features.shape[-1] for features, factor in zip(inputs, factors)]
    kernels = tf.split(kernel, channels, axis=2)

    def with_factor(factor, parts, axis):
        """Concatenates the parts that belong to the levels of one factor."""
        return tf.concat([part for part, its_factor in zip(parts, factors) if its_factor == factor], axis)

    group = math.gcd(kernel.shape[-1], GROUP)
    coarse = sorted({*factors} - {1}, reverse=True)
    features = {factor: with_factor(factor, inputs, -1) for factor in coarse}

    def row_taps(column):
        """The results of the three row taps in one column of the kernel, at half the output's resolution.

        They lie side by side, see `_side_by_side`. The coarsest level comes first and is upsampled on the way.
        """
        taps, factor = None, coarse[0]
        while True:
            if factor in features:
                kernel_column = with_factor(factor, kernels, 2)[:, column]
                matrix = _side_by_side(tf.unstack(kernel_column[:, tf.newaxis, tf.newaxis]), group)
                convolved = tf.nn.conv2d(features[factor], matrix, 1, "SAME")
                taps = convolved if taps is None else taps + convolved
            if factor == 2:
                return taps
            factor //= 2
            taps = double_size(taps)

    # Upsample, shift and add: first along the rows, for each column of the kernel, then along the columns. The kernel's
    # columns come one after the other, or the upsampled results of several would be in memory.
    rows, done = [], []
    for column in range(3):
        with tf.control_dependencies(done):
            done = upsample_shift_add(row_taps(column), group, axis=1)
        rows.append(done)
    # For even and odd rows: (batch, height / 2, width / 2, even and odd columns, filters).
    phases = [tf.stack(upsample_shift_add(_side_by_side(taps, group), group, axis=2), 3) for taps in zip(*rows)]
    with tf.control_dependencies(phases):
        fine = with_factor(1, inputs, -1)
        output = own(fine) if own else tf.nn.conv2d(fine, with_factor(1, kernels, 2), 1, "SAME")
    return output + tf.reshape(tf.stack(phases, 2), tf.shape(output))


# Weights for upsampling by two and shifting by a tap, by phase and tap: the new pixel 2 i + phase is this weighted sum
# of the old pixels i - 1, i, i + 1.
SHARES = np.array(
    [  # tap -1           tap 0              tap 1
        [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0.75, 0.25]],
        [[0.25, 0.75, 0], [0, 0.75, 0.25], [0, 0.25, 0.75]],
    ]
)

# The pixel beyond the border: matrices from the taps (-1, 0, 1) of the last pixel inside to its taps. Bilinear
# interpolation repeats the border, which is the diagonal. But the convolution pads with zeros, so a tap that reaches
# beyond the picture must add nothing to the sum of the taps. The -4 in tap 0, with its weight of 1/4 in `SHARES`,
# subtracts what the repeated border would add.
BEFORE = np.array([[1, -4, 0], [0, 1, 0], [0, 0, 0]])

AFTER = np.array([[0, 0, 0], [0, 1, 0], [0, -4, 1]])


def _side_by_side(taps, group):
    """Interleaves three tensors of taps into one with three times the channels: group by group, the three taps."""
    size = tf.unstack(tf.shape(taps[0])[:3])
    filters = taps[0].shape[-1]
    grouped = [tf.reshape(tap, [*size, filters // group, group]) for tap in taps]
    return tf.reshape(tf.stack(grouped, 4), [*size, 3 * filters])


def upsample_shift_add(taps, group, axis):
    """Upsamples the results of three taps by two along an axis, shifts each by its tap, and adds them up.

    It is one dense convolution of few channels, which runs at the processor's full speed. The groups of channels are
    independent of each other and need the same matrix, so they are laid out as further columns of the picture.

    Args:
        taps: tensor `(batch, height, width, 3 * filters)`, as `_side_by_side` returns it.
        group: int, number of channels in a group.
        axis: int, 1 for rows, 2 for columns.

    Returns:
        Two tensors `(batch, height, width, filters)`: the even and the odd new pixels along the axis.
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
        return _dilated_along_width(part, kernel[tf.newaxis], groups)

    first, last = (taps[:, :1], taps[:, -1:]) if axis == 1 else (taps[:, :, :groups], taps[:, :, -groups:])
    padded = tf.concat([convolve(first, [BEFORE]), taps, convolve(last, [AFTER])], axis)
    shape = [batch, height, width, filters]
    return [tf.reshape(convolve(padded, shares.T[..., np.newaxis]), shape) for shares in SHARES]


def _dilated_along_width(inputs, kernel, dilation):
    """A "VALID" convolution along the width with a constant kernel, which has a gradient on every processor.

    Without oneDNN, which TensorFlow turns on for processors with VNNI only, TensorFlow computes a dilated convolution
    but not its gradient. The gradient is a dilated convolution, too: by the flipped kernel, transposed.

    Args:
        inputs: tensor `(batch, height, width, channels)`.
        kernel: tensor `(1, taps, channels, filters)`.
        dilation: int, distance of the taps in pixels.

    Returns:
        Tensor `(batch, height, width - (taps - 1) * dilation, filters)`.
    """

    def convolve(inputs, kernel):
        return tf.nn.conv2d(inputs, kernel, 1, "VALID", dilations=(1, dilation))

    @tf.custom_gradient
    def with_gradient(inputs):
        def gradient(upstream):
            beyond = (kernel.shape[1] - 1) * dilation
            padded = tf.pad(upstream, [[0, 0], [0, 0], [beyond, beyond], [0, 0]])
            return convolve(padded, tf.transpose(kernel[:, ::-1], [0, 1, 3, 2]))

        return convolve(inputs, kernel), gradient

    return with_gradient(inputs)
