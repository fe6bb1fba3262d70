"""The same network in a form that runs faster and in less memory, for restoring and serving.

    fast = for_inference(network)              # equal to 1e-5, sharing weights

- Batch norm is folded into the convolution before it: two passes over memory less.
- A convolution of levels that were upsampled is evaluated at their own, low resolution: `levels.py`.
- Where channels are many, a 3x3 convolution is evaluated with fewer multiplications: `winograd.py`.
- Where an activation stands between joining and a 1x1 convolution (compression), that cannot be
  exchanged; but the convolution is a sum over the channels, taken some after the others, so that
  only a part of the upsampled levels is in memory at a time.

What is trained and saved stays the network of `models.py`, the reference for this one. This
form needs TensorFlow.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration import winograd
from unet_deblur_tf.acceleration.levels import LevelConvolution, is_worthwhile
from unet_deblur_tf.acceleration.rewriting import Concatenated, LazyTensor, call_layer, materialize, rewrite_graph
from unet_deblur_tf.models.layers import double_size

# What a network that restores takes: pictures of any size in 0..1.
PICTURE = tf.TensorSpec((None, None, None, 3), tf.float32, name="image")

# Before an activation so many times the channels that come out are upsampled at once: more take more memory, fewer
# take time.
WIDEST = 2


def for_inference(network, fewer_multiplications=None):
    """Rewrites a network for inference.

    Args:
        network: `keras.Model`, such as `models.unet` or `models.with_local_pooling` give; what is not
            made of layers as those are stays as it is.
        fewer_multiplications: bool, whether to use `winograd.py`; None where there is no GPU, whose
            libraries choose the algorithm of a convolution themselves.

    Returns:
        `keras.Model` from the same input to the same output, of the network's own layers where
        they stay as they are. Not for training, nor for saving as `.keras`.
    """
    if type(network).__name__ != "Functional":
        return network
    if fewer_multiplications is None:
        fewer_multiplications = not tf.config.list_physical_devices("GPU")
    return rewrite_graph(network, functools.partial(_call, fewer_multiplications))


def _call(fewer_multiplications, layer, *arguments, **keywords):
    """What comes out of a layer: a tensor, or a note that the next layer may make use of."""
    given = arguments[0]
    if isinstance(given, Concatenated):
        given = _Scaled(given)
    if isinstance(given, _Scaled) and given.activation is None:
        make = functools.partial(call_layer, layer, *arguments, **keywords)
        if isinstance(layer, keras.layers.BatchNormalization):
            return given.then(make, *_scale_and_shift(layer))
        if isinstance(layer, (keras.layers.ReLU, keras.layers.LeakyReLU)):
            return given.then(make, activation=layer)
    if type(layer) is keras.layers.Conv2D:
        return _Convolved(fewer_multiplications, layer, given)
    if isinstance(layer, keras.layers.BatchNormalization) and isinstance(given, _Convolved):
        scale, shift = _scale_and_shift(layer)
        scale, shift = given.scale * scale, given.shift * scale + shift
        return _Convolved(fewer_multiplications, given.layer, given.given, scale, shift)
    return call_layer(layer, *arguments, **keywords)


def _scale_and_shift(norm):
    """What batch norm does when it does not train, as an array `(channels,)` each."""
    scale = 1 / np.sqrt(norm.moving_variance.numpy() + norm.epsilon) * (norm.gamma.numpy() if norm.scale else 1)
    return scale, (norm.beta.numpy() if norm.center else 0) - norm.moving_mean.numpy() * scale


class _Scaled(LazyTensor):
    """What is joined, then scaled and shifted by channel, then activated."""

    def __init__(self, joined, make=None, scale=1.0, shift=0.0, activation=None):
        super().__init__(make or (lambda: joined.tensor))
        self.joined, self.scale, self.shift, self.activation = joined, scale, shift, activation

    def then(self, make, scale=1.0, shift=0.0, activation=None):
        """The same after one more layer, whose output `make` makes."""
        return _Scaled(self.joined, make, self.scale * scale, self.shift * scale + shift, activation)


class _Convolved(LazyTensor):
    """A convolution, with what batch norm makes of it folded in."""

    def __init__(self, fewer_multiplications, layer, given, scale=1.0, shift=0.0):
        super().__init__(self._convolve)
        self.fewer_multiplications, self.layer, self.given = fewer_multiplications, layer, given
        self.scale, self.shift = scale, shift

    def _convolve(self):
        layer = self.layer
        kernel = layer.kernel.numpy() * self.scale
        bias = (layer.bias.numpy() if layer.use_bias else np.zeros(layer.filters, np.float32)) * self.scale + self.shift
        given = self.given
        if isinstance(given, _Scaled):
            joined = given.joined
            if layer.kernel_size == (1, 1):
                channels = sum(features.shape[-1] for features in joined.features)
                own = (np.broadcast_to(value, channels) for value in (given.scale, given.shift))
                style = dict(name=layer.name, dtype=layer.dtype_policy)
                return LevelCompression(kernel, bias, joined.factors, *own, given.activation, **style)(joined.features)
            plain = given.activation is None and np.all(given.scale == 1) and np.all(given.shift == 0)
            if plain and is_worthwhile(layer, joined):
                fine = np.repeat(joined.factors, [features.shape[-1] for features in joined.features]) == 1
                upsampled = Convolution(kernel[:, :, ~fine], name="upsampled", dtype=layer.dtype_policy)
                own = self._convolution(kernel[:, :, fine], bias, "own")
                return LevelConvolution(upsampled, joined.factors, own, name=layer.name)(joined.features)
        return self._convolution(kernel, bias, layer.name)(materialize(given))

    def _convolution(self, kernel, bias, name):
        policy = self.layer.dtype_policy
        if self.fewer_multiplications and winograd.is_worthwhile(kernel.shape, policy.compute_dtype):
            return WinogradConvolution(kernel, bias, name=name, dtype=policy)
        return Convolution(kernel, bias, name=name, dtype=policy)


class Convolution(keras.layers.Layer):
    """A "same" convolution with given weights.

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
    """The same, of a 3x3 kernel, with fewer multiplications: `winograd.py`."""

    def __init__(self, kernel, bias=None, **kwargs):
        super().__init__(winograd.transform_kernel(kernel), bias, **kwargs)

    def _convolve(self, inputs):
        return winograd.convolve(inputs, self.kernel)


class LevelCompression(Convolution):
    """A 1x1 convolution of features joined along the channels, scaled, shifted and activated before it.

    The upsampled ones are taken as they were before; scaling and shifting by channel can be exchanged with that.

    Args:
        kernel: array `(1, 1, channels, filters)`, over the joined features.
        bias: array `(filters,)`.
        factors: for each of the features, a power of two: how much smaller they are than the output.
        scale, shift: arrays `(channels,)`, over the joined features.
        activation: function of a tensor, or None.

    Input shape: a list of `(batch, height / factor, width / factor, channels)`.
    Output shape: `(batch, height, width, filters)`.
    """

    def __init__(self, kernel, bias, factors, scale, shift, activation=None, **kwargs):
        super().__init__(kernel, bias, **kwargs)
        self.factors, self.activation = factors, activation
        self.scale = self._constant(scale, "scale")
        self.shift = self._constant(shift, "shift")

    def call(self, inputs):
        output = None
        for piece in self._pieces([features.shape[-1] for features in inputs]):
            # One after the other, and none before all levels are there, or several would be in memory at the output's
            # resolution, through earlier stages, too.
            with tf.control_dependencies(inputs if output is None else [output]):
                features = self._upsample(inputs, piece)
                if self.activation is not None:
                    features = self.activation(features)
                kernel = tf.concat([self.kernel[:, :, of_all] for _, _, of_all in piece], 2)
                convolved = tf.nn.conv2d(features, kernel, 1, "SAME")
                # The bias right away, so that TensorFlow makes one operation of both.
                output = tf.nn.bias_add(convolved, self.bias) if output is None else output + convolved
        return output

    def _pieces(self, channels):
        """What is convolved at once, from the coarsest level to the finest.

        Args:
            channels: for each of the features, how many.

        Returns:
            A list of pieces, which are lists of (which of the features, which of their channels, which of all).
        """
        filters = self.bias.shape[0]
        starts = np.cumsum([0, *channels])
        pieces, width = [], 0
        for level in sorted(range(len(channels)), key=lambda level: -self.factors[level]):
            # At the output's resolution joining more takes longer than adding what is made of them.
            most = filters if self.factors[level] == 1 else WIDEST * filters
            for start in range(0, channels[level], most):
                stop = min(start + most, channels[level])
                width += stop - start
                if width > most or not pieces:
                    pieces.append([])
                    width = stop - start
                pieces[-1].append((level, slice(start, stop), slice(starts[level] + start, starts[level] + stop)))
        return pieces

    def _upsample(self, inputs, piece):
        """A piece, scaled and shifted, at the output's resolution: what is coarser joins what is finer on its way."""
        joined, at = None, 1
        for level, channels, of_all in piece:
            features = inputs[level][..., channels] * self.scale[of_all] + self.shift[of_all]
            factor = self.factors[level]
            joined = features if joined is None else tf.concat([_enlarged(joined, at // factor), features], -1)
            at = factor
        return _enlarged(joined, at)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape[0]
        factor = self.factors[0]
        return (batch, height and height * factor, width and width * factor, self.bias.shape[0])


def _enlarged(features, factor):
    while factor > 1:
        features, factor = double_size(features), factor // 2
    return features
