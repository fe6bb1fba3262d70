"""Rewrites a functional Keras model layer by layer.

`call_layer` delays upsampling and concatenation: it returns a `LazyTensor`, which knows its own inputs. A later layer
can then choose a cheaper way to compute the same result.
"""

import functools

import keras

from unet_deblur_tf.models.layers import BilinearUpsampling2D, Excitation
from unet_deblur_tf.models.scales import change_trunk


def rewrite_graph(network, call):
    """Rebuilds a functional model, with `call` in the place of each layer's own call.

    Args:
        network: functional `keras.Model`.
        call: function (layer, *arguments, **keywords) that returns a tensor or a `LazyTensor`. The arguments, too, can
            be lazy tensors, which earlier calls returned.

    Returns:
        `keras.Model` from the same input to the same output, which shares the layers of `network`.
    """

    def rewrite(trunk):
        last = {id(tensor._keras_history.operation) for tensor in trunk.outputs}

        def call_or_materialize(layer, *arguments, **keywords):
            result = call(layer, *arguments, **keywords)
            return materialize(result) if id(layer) in last else result

        return keras.models.clone_model(trunk, clone_function=lambda layer: layer, call_function=call_or_materialize)

    return change_trunk(network, rewrite)


def call_layer(layer, *arguments, **keywords):
    """Calls a layer on tensors and lazy tensors.

    Returns:
        An `Upsampled` or a `Concatenated` where the layer upsamples or concatenates, else a tensor.
    """
    make = functools.partial(layer, *keras.tree.map_structure(materialize, arguments), **keywords)
    inputs = arguments[0]
    if isinstance(layer, BilinearUpsampling2D):
        if isinstance(inputs, Upsampled):
            return Upsampled(inputs.features, 2 * inputs.factor, make)
        return Upsampled(materialize(inputs), 2, make)
    if isinstance(layer, Excitation) and isinstance(inputs[0], Upsampled) and inputs[1].shape[1:3] == (1, 1):
        # Every pixel has the same gate, so it can be applied before upsampling.
        return Upsampled(layer([inputs[0].features, inputs[1]]), inputs[0].factor, make)
    if isinstance(layer, keras.layers.Concatenate):
        return Concatenated(inputs, make)
    return make()


def materialize(value):
    """Computes the tensor of a `LazyTensor`. Any other value is returned as it is."""
    return value.tensor if isinstance(value, LazyTensor) else value


class LazyTensor:
    """A tensor that is computed at its first use.

    Args:
        make: function without arguments that computes the tensor.

    Attributes:
        tensor: the tensor.
    """

    def __init__(self, make):
        self._make = make

    @functools.cached_property
    def tensor(self):
        return self._make()


class Upsampled(LazyTensor):
    """A tensor that bilinear upsampling makes of smaller features.

    Attributes:
        features: tensor before upsampling.
        factor: int, how many times larger the upsampled tensor is, a power of two.
    """

    def __init__(self, features, factor, make):
        super().__init__(make)
        self.features, self.factor = features, factor


class Concatenated(LazyTensor):
    """Tensors that are concatenated along the channels.

    Attributes:
        parts: list of tensors and lazy tensors.
        features: list of tensors, the parts before upsampling.
        factors: list of int, how many times smaller each of `features` is than the concatenated tensor.
    """

    def __init__(self, parts, make):
        super().__init__(make)
        self.parts = parts

    @property
    def features(self):
        return [part.features if isinstance(part, Upsampled) else materialize(part) for part in self.parts]

    @property
    def factors(self):
        return [part.factor if isinstance(part, Upsampled) else 1 for part in self.parts]
