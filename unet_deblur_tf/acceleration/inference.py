"""Rewrites a network into a form that runs faster and in less memory, for restoring and serving.

    fast = for_inference(network)              # the same output to 1e-5, with the same weights

- Batch norm is folded into the convolution before it, which saves two passes over memory.
- A convolution of upsampled levels is computed at their own, low resolution, see `levels`.
- A 3x3 convolution of many channels is computed with fewer multiplications, see `winograd`.
- Compression applies an activation between concatenation and its 1x1 convolution, so that convolution cannot move
  before the upsampling. But it is a sum over the channels. It is computed for some channels at a time, so that only a
  part of the upsampled levels is in memory at once.

Training and `.keras` files use the network as `models.unet` builds it, which is the reference for this form.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration import winograd
from unet_deblur_tf.acceleration.levels import LevelConvolution, is_worthwhile
from unet_deblur_tf.acceleration.rewriting import Concatenated, LazyTensor, call_layer, materialize, rewrite_graph
from unet_deblur_tf.models.layers import double_size

# The input of a restoring network: pictures of any size in 0..1.
PICTURE = tf.TensorSpec((None, None, None, 3), tf.float32, name="image")

# `LevelCompression` upsamples at most this multiple of its output channels at once. More channels take more memory,
# fewer take more time.
WIDEST = 2


def for_inference(network: keras.Model, fewer_multiplications: bool | None = None) -> keras.Model:
    """Rewrites a network for inference.

    Args:
        network: `keras.Model`, as `models.unet.build` or `transforms.with_local_pooling` return it. A model that is not
            functional is returned as it is.
        fewer_multiplications: bool, whether to use `winograd`. None means on a CPU only: the libraries of a GPU choose
            the algorithm of a convolution themselves.

    Returns:
        `keras.Model` from the same input to the same output. Layers that need no change are shared with `network`. The
        model can be neither trained nor saved as `.keras`.
    """
    if type(network).__name__ != "Functional":
        return network
    if fewer_multiplications is None:
        fewer_multiplications = not tf.config.list_physical_devices("GPU")
    return rewrite_graph(network, functools.partial(_call, fewer_multiplications))


def _call(fewer_multiplications, layer, *arguments, **keywords):
    """Calls a layer on tensors and lazy tensors, and returns one of them."""
    inputs = arguments[0]
    if isinstance(inputs, Concatenated):
        inputs = _Scaled(inputs)
    if isinstance(inputs, _Scaled) and inputs.activation is None:
        make = functools.partial(call_layer, layer, *arguments, **keywords)
        if isinstance(layer, keras.layers.BatchNormalization):
            return inputs.then(make, *_scale_and_shift(layer))
        if isinstance(layer, (keras.layers.ReLU, keras.layers.LeakyReLU)):
            return inputs.then(make, activation=layer)
    if type(layer) is keras.layers.Conv2D and _is_plain(layer):
        return _Convolved(fewer_multiplications, layer, inputs)
    if isinstance(layer, keras.layers.BatchNormalization) and isinstance(inputs, _Convolved):
        return inputs.then(*_scale_and_shift(layer))
    return call_layer(layer, *arguments, **keywords)


def _is_plain(convolution):
    """Whether a convolution is of the only kind that is rewritten; other models than ours have others, too."""
    same = convolution.padding == "same" and convolution.activation is keras.activations.linear
    return same and (convolution.strides, convolution.dilation_rate, convolution.groups) == ((1, 1), (1, 1), 1)


def _scale_and_shift(norm):
    """Batch norm at inference as factors and offsets: two arrays `(channels,)`."""
    scale = 1 / np.sqrt(norm.moving_variance.numpy() + norm.epsilon) * (norm.gamma.numpy() if norm.scale else 1)
    return scale, (norm.beta.numpy() if norm.center else 0) - norm.moving_mean.numpy() * scale


class _Scaled(LazyTensor):
    """Concatenated features, scaled and shifted by channel, then activated.

    Args:
        joined: `Concatenated`.
        make: as for `LazyTensor`; None for the concatenated features themselves.
        scale, shift: arrays `(channels,)` or numbers.
        activation: Keras layer, or None.
    """

    def __init__(self, joined, make=None, scale=1.0, shift=0.0, activation=None):
        super().__init__(make or (lambda: joined.tensor))
        self.joined, self.scale, self.shift, self.activation = joined, scale, shift, activation

    def then(self, make, scale=1.0, shift=0.0, activation=None):
        """Adds one more layer, whose output `make` computes."""
        return _Scaled(self.joined, make, self.scale * scale, self.shift * scale + shift, activation)

    @property
    def is_plain(self):
        """Whether nothing is applied to the concatenated features."""
        return self.activation is None and np.all(self.scale == 1) and np.all(self.shift == 0)


class _Convolved(LazyTensor):
    """The output of a convolution, with the batch norm after it folded into its weights.

    Args:
        fewer_multiplications: bool, see `for_inference`.
        layer: `keras.layers.Conv2D`.
        inputs: tensor or lazy tensor.
        scale, shift: arrays `(filters,)` or numbers, applied to the output of the convolution.
    """

    def __init__(self, fewer_multiplications, layer, inputs, scale=1.0, shift=0.0):
        super().__init__(self._convolve)
        self.fewer_multiplications, self.layer, self.inputs = fewer_multiplications, layer, inputs
        self.scale, self.shift = scale, shift

    def then(self, scale, shift):
        """Scales and shifts the output once more."""
        scale, shift = self.scale * scale, self.shift * scale + shift
        return _Convolved(self.fewer_multiplications, self.layer, self.inputs, scale, shift)

    def _convolve(self):
        """Computes the output in the cheapest way that the inputs allow."""
        layer, inputs = self.layer, self.inputs
        kernel = layer.kernel.numpy() * self.scale
        bias = (layer.bias.numpy() if layer.use_bias else np.zeros(layer.filters, np.float32)) * self.scale + self.shift
        if isinstance(inputs, _Scaled):
            if layer.kernel_size == (1, 1):
                return self._compress_levels(kernel, bias)
            if inputs.is_plain and is_worthwhile(layer, inputs.joined):
                return self._convolve_levels(kernel, bias)
        return self._convolution(kernel, bias, layer.name)(materialize(inputs))

    def _compress_levels(self, kernel, bias):
        joined = self.inputs.joined
        channels = sum(features.shape[-1] for features in joined.features)
        scale, shift = (np.broadcast_to(value, channels) for value in (self.inputs.scale, self.inputs.shift))
        compression = LevelCompression(
            kernel, bias, joined.factors, scale, shift, self.inputs.activation,
            name=self.layer.name, dtype=self.layer.dtype_policy,
        )  # fmt: skip
        return compression(joined.features)

    def _convolve_levels(self, kernel, bias):
        joined = self.inputs.joined
        fine = np.repeat(joined.factors, [features.shape[-1] for features in joined.features]) == 1
        upsampled = Convolution(kernel[:, :, ~fine], name="upsampled", dtype=self.layer.dtype_policy)
        own = self._convolution(kernel[:, :, fine], bias, "own")
        return LevelConvolution(upsampled, joined.factors, own, name=self.layer.name)(joined.features)

    def _convolution(self, kernel, bias, name):
        policy = self.layer.dtype_policy
        if self.fewer_multiplications and winograd.is_worthwhile(kernel.shape, policy.compute_dtype):
            return WinogradConvolution(kernel, bias, name=name, dtype=policy)
        return Convolution(kernel, bias, name=name, dtype=policy)


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


class LevelCompression(Convolution):
    """Concatenates levels, scales, shifts and activates them, then applies a 1x1 convolution.

    The layer takes coarser levels before they are upsampled. It scales and shifts them first, which gives the same
    result as doing it after upsampling, and upsamples some channels at a time.

    Args:
        kernel: array `(1, 1, channels, filters)`, over the concatenated channels.
        bias: array `(filters,)`.
        factors: list with a power of two for each level: how many times smaller it is than the output.
        scale, shift: arrays `(channels,)`, over the concatenated channels.
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
            # Each piece waits for the one before it, or several would be in memory at the output's resolution. The
            # first one waits for all levels, or its result would stay in memory while earlier stages compute them.
            with tf.control_dependencies(inputs if output is None else [output]):
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
        return (batch, height and height * factor, width and width * factor, self.bias.shape[0])


def _enlarge(features, factor):
    """Bilinear upsampling by a power of two."""
    while factor > 1:
        features, factor = double_size(features), factor // 2
    return features
