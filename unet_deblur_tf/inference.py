"""The same network in a form that runs faster and in less memory, for restoring and serving.

    fast = for_inference(network)              # equal to 1e-5, sharing weights

- Batch norm is folded into the convolution before it: two passes over memory less.
- A convolution of levels that were upsampled is evaluated at their own, low resolution. Both
  steps are linear, so they can be exchanged: a 3x3 convolution of upsampled features is the sum
  of nine 1x1 convolutions of the features themselves, each upsampled and shifted by its tap
  (zero beyond the border, as the convolution pads). At a half, a quarter, an eighth of the
  resolution they cost 1/4, 1/16, 1/64, and the wide tensor that joins all levels at full
  resolution is never made.
- Where an activation stands between joining and a 1x1 convolution (compression), that cannot be
  exchanged; but the convolution is a sum over the channels, taken some after the others, so that
  only a part of the upsampled levels is in memory at a time.

What is trained and saved stays the network of `models.py`, the reference for this one. This
form needs TensorFlow.
"""

import functools
import math

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.layers import BilinearUpsampling2D, Excitation, double_size

# Where fewer upsampled channels than this are joined, upsampling and shifting what nine taps give costs more than it
# saves: measured at 1280x720 on a CPU, README, "Speed".
WORTHWHILE = 100

# So many channels of a level are upsampled at once before an activation: more take more memory, fewer take time.
WIDEST = 128


def for_inference(network):
    """Rewrites a network for inference.

    Args:
        network: `keras.Model`, such as `models.unet` or `models.pool_within` give; what is not
            made of layers as those are stays as it is.

    Returns:
        `keras.Model` from the same input to the same output, of the network's own layers where
        they stay as they are. Not for training, nor for saving as `.keras`.
    """
    if type(network).__name__ != "Functional":
        return network
    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=_call)


def _call(layer, *arguments, **keywords):
    """What comes out of a layer: a tensor, or one of the notes below, which the next layer may make use of."""
    tensor = functools.partial(layer, *keras.tree.map_structure(_tensor, arguments), **keywords)
    given = arguments[0]
    if isinstance(layer, BilinearUpsampling2D):
        if isinstance(given, _Upsampled):
            return _Upsampled(given.features, 2 * given.factor, tensor)
        return _Upsampled(_tensor(given), 2, tensor)
    if isinstance(layer, Excitation) and isinstance(given[0], _Upsampled) and given[1].shape[1:3] == (1, 1):
        # The same gate everywhere: before or after upsampling.
        return _Upsampled(layer([given[0].features, given[1]]), given[0].factor, tensor)
    if isinstance(layer, keras.layers.Concatenate):
        return _Joined(given, tensor)
    if isinstance(given, _Joined) and given.activation is None:
        if isinstance(layer, keras.layers.BatchNormalization):
            scale, shift = _scale_and_shift(layer)
            return _Joined(given.parts, tensor, given.scale * scale, given.shift * scale + shift)
        if isinstance(layer, (keras.layers.ReLU, keras.layers.LeakyReLU)):
            return _Joined(given.parts, tensor, given.scale, given.shift, layer)
    if type(layer) is keras.layers.Conv2D:
        return _Convolved(layer, given)
    if isinstance(layer, keras.layers.BatchNormalization) and isinstance(given, _Convolved):
        scale, shift = _scale_and_shift(layer)
        return _Convolved(given.layer, given.given, given.scale * scale, given.shift * scale + shift)
    return tensor()


def _scale_and_shift(norm):
    """What batch norm does when it does not train, as an array `(channels,)` each."""
    scale = 1 / np.sqrt(norm.moving_variance.numpy() + norm.epsilon) * (norm.gamma.numpy() if norm.scale else 1)
    return scale, (norm.beta.numpy() if norm.center else 0) - norm.moving_mean.numpy() * scale


def _tensor(value):
    return value.tensor if isinstance(value, _Note) else value


class _Note:
    """A tensor that is made when somebody asks for it, and how it comes about."""

    def __init__(self, make):
        self._make = make

    @functools.cached_property
    def tensor(self):
        return self._make()


class _Upsampled(_Note):
    """`features`, `factor` times smaller than the tensor."""

    def __init__(self, features, factor, make):
        super().__init__(make)
        self.features, self.factor = features, factor


class _Joined(_Note):
    """Tensors and notes side by side along the channels, then scaled, shifted and activated."""

    def __init__(self, parts, make, scale=1.0, shift=0.0, activation=None):
        super().__init__(make)
        self.parts, self.scale, self.shift, self.activation = parts, scale, shift, activation

    @property
    def features(self):
        """The parts before upsampling."""
        return [part.features if isinstance(part, _Upsampled) else _tensor(part) for part in self.parts]

    @property
    def factors(self):
        """How much smaller each of the features is than what is joined."""
        return [part.factor if isinstance(part, _Upsampled) else 1 for part in self.parts]


class _Convolved(_Note):
    """A convolution, with what batch norm makes of it folded in."""

    def __init__(self, layer, given, scale=1.0, shift=0.0):
        super().__init__(self._convolve)
        self.layer, self.given, self.scale, self.shift = layer, given, scale, shift

    def _convolve(self):
        layer = self.layer
        kernel = layer.kernel.numpy() * self.scale
        bias = (layer.bias.numpy() if layer.use_bias else np.zeros(layer.filters, np.float32)) * self.scale + self.shift
        style = dict(name=layer.name, dtype=layer.dtype_policy)
        given = self.given
        if isinstance(given, _Joined):
            features, factors = given.features, given.factors
            channels = [each.shape[-1] for each in features]
            if layer.kernel_size == (1, 1):
                own = (np.broadcast_to(value, sum(channels)) for value in (given.scale, given.shift))
                return LevelCompression(kernel, bias, factors, channels, *own, given.activation, **style)(features)
            coarse = sum(count for count, factor in zip(channels, factors) if factor > 1)
            plain = given.activation is None and np.all(given.scale == 1) and np.all(given.shift == 0)
            if plain and layer.kernel_size == (3, 3) and coarse >= WORTHWHILE:
                return LevelConvolution(kernel, bias, factors, channels, **style)(features)
        return Convolution(kernel, bias, **style)(_tensor(given))


class Convolution(keras.layers.Layer):
    """A "same" convolution with given weights.

    Args:
        kernel: array `(height, width, channels, filters)`.
        bias: array `(filters,)`.
    """

    def __init__(self, kernel, bias, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.kernel = self._constant(kernel, "kernel")
        self.bias = self._constant(bias, "bias")

    def _constant(self, value, name):
        return self.add_weight(value.shape, lambda shape, dtype: keras.ops.cast(value, dtype), name=name)

    def call(self, inputs):
        return tf.nn.bias_add(tf.nn.conv2d(inputs, self.kernel, 1, "SAME"), self.bias)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.bias.shape[0])


class LevelConvolution(Convolution):
    """A "same" 3x3 convolution of features joined along the channels, the upsampled ones taken as they were before.

    Args:
        kernel: array `(3, 3, channels, filters)`, over the joined features.
        bias: array `(filters,)`.
        factors: for each of the features, a power of two: how much smaller they are than the output.
        channels: for each of the features, how many.

    Input shape: a list of `(batch, height / factor, width / factor, channels)`, at least one with factor 1.
    Output shape: `(batch, height, width, filters)`.
    """

    def __init__(self, kernel, bias, factors, channels, **kwargs):
        kernels = np.split(kernel, np.cumsum(channels)[:-1], axis=2)

        def joined(factor):
            return np.concatenate([each for each, own in zip(kernels, factors) if own == factor], axis=2)

        super().__init__(joined(1), bias, **kwargs)
        self.factors = factors
        self.group = math.gcd(len(bias), GROUP)

        def row_taps(factor, dx):
            """A 1x1 kernel to the three row taps, see `_side_by_side`."""
            taps = joined(factor)[:, dx]
            taps = taps.reshape(3, taps.shape[1], -1, self.group)
            return taps.transpose(1, 2, 0, 3).reshape(1, 1, taps.shape[1], -1)

        self.taps = {
            factor: [self._constant(row_taps(factor, dx), f"taps{factor}_{dx}") for dx in range(3)]
            for factor in sorted({*factors} - {1}, reverse=True)
        }

    def call(self, inputs):
        features = {
            factor: tf.concat([each for each, own in zip(inputs, self.factors) if own == factor], -1)
            for factor in {*self.factors}
        }
        fine = features.pop(1)
        # Upsample, shift and add: along the rows for each column tap, then along the columns for all of them.
        # One after the other, or what is upsampled for several would be in memory.
        rows, done = [], []
        for dx in range(3):
            with tf.control_dependencies(done):
                done = _spread(self._row_taps(features, dx), self.group, axis=1)
            rows.append(done)
        places = [tf.stack(_spread(_side_by_side(taps, self.group), self.group, axis=2), 3) for taps in zip(*rows)]
        with tf.control_dependencies(places):
            output = super().call(fine)
        return output + tf.reshape(tf.stack(places, 2), tf.shape(output))

    def _row_taps(self, features, dx):
        """At half the output's resolution: of one column tap, what the three row taps give, see `_side_by_side`."""
        taps, factor = None, max(features)
        while True:
            if factor in features:
                here = tf.nn.conv2d(features[factor], self.taps[factor][dx], 1, "SAME")
                taps = here if taps is None else taps + here
            if factor == 2:
                return taps
            factor //= 2
            taps = double_size(taps)

    def compute_output_shape(self, input_shape):
        return (*input_shape[self.factors.index(1)][:-1], self.bias.shape[0])


class LevelCompression(Convolution):
    """A 1x1 convolution of features joined along the channels, scaled, shifted and activated before it.

    The upsampled ones are taken as they were before; scaling and shifting by channel can be exchanged with that.

    Args:
        kernel: array `(1, 1, channels, filters)`, over the joined features.
        bias: array `(filters,)`.
        factors: for each of the features, a power of two: how much smaller they are than the output.
        channels: for each of the features, how many.
        scale, shift: arrays `(channels,)`, over the joined features.
        activation: function of a tensor, or None.

    Input shape: a list of `(batch, height / factor, width / factor, channels)`.
    Output shape: `(batch, height, width, filters)`.
    """

    def __init__(self, kernel, bias, factors, channels, scale, shift, activation=None, **kwargs):
        super().__init__(kernel, bias, **kwargs)
        self.factors, self.channels, self.activation = factors, channels, activation
        self.scale = self._constant(scale, "scale")
        self.shift = self._constant(shift, "shift")

    def call(self, inputs):
        output = None
        for features, factor, channels in self._pieces(inputs):
            # One after the other, or several would be in memory at the output's resolution.
            with tf.control_dependencies([] if output is None else [output]):
                features = features * self.scale[channels] + self.shift[channels]
                while factor > 1:
                    features, factor = double_size(features), factor // 2
                if self.activation is not None:
                    features = self.activation(features)
                convolved = tf.nn.conv2d(features, self.kernel[:, :, channels], 1, "SAME")
            output = convolved if output is None else output + convolved
        return tf.nn.bias_add(output, self.bias)

    def _pieces(self, inputs):
        """From the coarsest level to the finest: (features, factor, which of the joined channels they are)."""
        ends = np.cumsum(self.channels)
        for level in sorted(range(len(inputs)), key=lambda level: -self.factors[level]):
            count, factor = self.channels[level], self.factors[level]
            width = count if factor == 1 else WIDEST
            for start in range(0, count, width):
                features, first = inputs[level][..., start : start + width], ends[level] - count + start
                yield features, factor, slice(first, first + features.shape[-1])

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape[0]
        factor = self.factors[0]
        return (batch, height and height * factor, width and width * factor, self.bias.shape[0])


# So many channels are upsampled and shifted by one convolution: fewer waste less on zeros, more suit the processor.
GROUP = 16

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


def _spread(taps, group, axis):
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
