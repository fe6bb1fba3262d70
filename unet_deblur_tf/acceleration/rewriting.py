"""Rewrites a functional model layer by layer, with tensors that remember how they came about.

`call_layer` puts off upsampling and concatenation (`LazyTensor`), so that a layer further on can choose a cheaper
way to compute the same.
"""

import functools

import keras

from unet_deblur_tf.models.layers import BilinearUpsampling2D, Excitation


def rewrite_graph(network, call):
    """A model of the network's own layers, called by `call`, which may hand notes from one to the next."""
    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def call_layer(layer, *arguments, **keywords):
    """What comes out of a layer that is given tensors and notes: a tensor, or a note of what is upsampled or joined."""
    make = functools.partial(layer, *keras.tree.map_structure(materialize, arguments), **keywords)
    given = arguments[0]
    if isinstance(layer, BilinearUpsampling2D):
        if isinstance(given, Upsampled):
            return Upsampled(given.features, 2 * given.factor, make)
        return Upsampled(materialize(given), 2, make)
    if isinstance(layer, Excitation) and isinstance(given[0], Upsampled) and given[1].shape[1:3] == (1, 1):
        # The same gate everywhere: before or after upsampling.
        return Upsampled(layer([given[0].features, given[1]]), given[0].factor, make)
    if isinstance(layer, keras.layers.Concatenate):
        return Concatenated(given, make)
    return make()


def materialize(value):
    """The tensor that a note is of."""
    return value.tensor if isinstance(value, LazyTensor) else value


class LazyTensor:
    """A tensor that is made when somebody asks for it, and how it comes about."""

    def __init__(self, make):
        self._make = make

    @functools.cached_property
    def tensor(self):
        return self._make()


class Upsampled(LazyTensor):
    """`features`, `factor` times smaller than the tensor."""

    def __init__(self, features, factor, make):
        super().__init__(make)
        self.features, self.factor = features, factor


class Concatenated(LazyTensor):
    """Tensors and notes side by side along the channels."""

    def __init__(self, parts, make):
        super().__init__(make)
        self.parts = parts

    @property
    def features(self):
        """The parts before upsampling."""
        return [part.features if isinstance(part, Upsampled) else materialize(part) for part in self.parts]

    @property
    def factors(self):
        """How much smaller each of the features is than what is joined."""
        return [part.factor if isinstance(part, Upsampled) else 1 for part in self.parts]
