"""Rewrites a network into a form that runs faster and in less memory, for restoring and serving.

    fast = for_inference(network)              # the same output to 1e-5, with the same weights

- Batch norm is folded into the convolution before it, which saves two passes over memory.
- A convolution of upsampled levels is computed at their own, low resolution, see `levels`.
- A 3x3 convolution of many channels is computed with fewer multiplications, see `winograd`.
- Compression applies an activation between concatenation and its 1x1 convolution, so that convolution cannot move
  before the upsampling. It is computed for some rows at a time, see `compression`.

Training and `.keras` files use the network as `models.unet` builds it, which is the reference for this form.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration import winograd
from unet_deblur_tf.acceleration.compression import LevelCompression
from unet_deblur_tf.acceleration.convolutions import Convolution, WinogradConvolution
from unet_deblur_tf.acceleration.levels import LevelConvolution, is_worthwhile
from unet_deblur_tf.acceleration.rewriting import Concatenated, LazyTensor, call_layer, materialize, rewrite_graph

# The input of a restoring network: pictures of any size in 0..1.
PICTURE = tf.TensorSpec((None, None, None, 3), tf.float32, name="image")

ACTIVATIONS = (keras.layers.ReLU, keras.layers.LeakyReLU)


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
        if isinstance(layer, ACTIVATIONS):
            return inputs.then(make, activation=layer)
    if type(layer) is keras.layers.Conv2D and _is_plain(layer):
        return _Convolved(fewer_multiplications, layer, inputs)
    if isinstance(layer, keras.layers.BatchNormalization) and isinstance(inputs, _Convolved):
        return inputs.then(*_scale_and_shift(layer))
    if isinstance(layer, ACTIVATIONS) and isinstance(inputs, _Convolved) and inputs.compresses:
        return _Compressed(inputs, layer)
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

    @property
    def compresses(self):
        """Whether this is the 1x1 convolution of concatenated levels."""
        return isinstance(self.inputs, _Scaled) and self.layer.kernel_size == (1, 1)

    def _convolve(self):
        """Computes the output in the cheapest way that the inputs allow."""
        layer, inputs = self.layer, self.inputs
        if self.compresses:
            return self.compress()
        if isinstance(inputs, _Compressed) and layer.kernel_size == (3, 3):
            return inputs.convolved.compress([inputs.activation, self._convolution(*self._weights(), layer.name)])
        if isinstance(inputs, _Scaled) and inputs.is_plain and is_worthwhile(layer, inputs.joined):
            return self._convolve_levels()
        return self._convolution(*self._weights(), layer.name)(materialize(inputs))

    def _weights(self):
        """Kernel and bias."""
        layer = self.layer
        bias = layer.bias.numpy() if layer.use_bias else np.zeros(layer.filters, np.float32)
        return layer.kernel.numpy() * self.scale, bias * self.scale + self.shift

    def compress(self, rest=()):
        """Compresses levels, and applies the layers that follow."""
        joined = self.inputs.joined
        channels = [features.shape[-1] for features in joined.features]
        scale, shift = (np.broadcast_to(value, sum(channels)) for value in (self.inputs.scale, self.inputs.shift))
        compression = LevelCompression(
            *self._weights(), channels, joined.factors, scale, shift, self.inputs.activation, rest,
            name=self.layer.name, dtype=self.layer.dtype_policy,
        )  # fmt: skip
        return compression(joined.features)

    def _convolve_levels(self):
        joined = self.inputs.joined
        kernel, bias = self._weights()
        fine = np.repeat(joined.factors, [features.shape[-1] for features in joined.features]) == 1
        upsampled = Convolution(kernel[:, :, ~fine], name="upsampled", dtype=self.layer.dtype_policy)
        own = self._convolution(kernel[:, :, fine], bias, "own")
        return LevelConvolution(upsampled, joined.factors, own, name=self.layer.name)(joined.features)

    def _convolution(self, kernel, bias, name):
        policy = self.layer.dtype_policy
        if self.fewer_multiplications and winograd.is_worthwhile(kernel.shape, policy.compute_dtype):
            return WinogradConvolution(kernel, bias, name=name, dtype=policy)
        return Convolution(kernel, bias, name=name, dtype=policy)


class _Compressed(LazyTensor):
    """The activated output of a compression's 1x1 convolution.

    Args:
        convolved: `_Convolved`, the output before the activation.
        activation: Keras layer.
    """

    def __init__(self, convolved, activation):
        super().__init__(lambda: activation(convolved.tensor))
        self.convolved, self.activation = convolved, activation
