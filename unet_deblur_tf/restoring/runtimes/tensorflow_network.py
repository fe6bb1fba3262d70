"""Runs a network in TensorFlow."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration.inference import PICTURE, for_inference
from unet_deblur_tf.models.finding import find_model
from unet_deblur_tf.models.loading import ForeignSavedModel, adapt_network, at_chosen_scales, load_network
from unet_deblur_tf.models.scales import trunk_of
from unet_deblur_tf.restoring.options import RestoringOptions
from unet_deblur_tf.restoring.runtimes import OutOfMemory, TooManyPixels
from unet_deblur_tf.restoring.runtimes.keras_parts import facts_of, part_of
from unet_deblur_tf.utils.precision import fastest


class TensorFlowNetwork:
    """A network in TensorFlow: see `runtimes.open_network`.

    Args:
        network: as `loading.at_chosen_scales` returns it.
    """

    runtime = "tensorflow"

    def __init__(self, network: "keras.Model | ForeignSavedModel"):
        self.facts = facts_of(network)
        self._network = trunk_of(network)

    def part(self, name: str) -> Callable[..., list[np.ndarray]]:
        """A part of the network as a function, which is traced at its first call."""
        if isinstance(self._network, ForeignSavedModel):
            return _function(self._network, [PICTURE], TooManyPixels)
        model = part_of(self._network, name)
        shapes = [PICTURE.shape] * len(self._network.inputs) + [
            tensor.shape for tensor in model.inputs[len(self._network.inputs) :]
        ]
        return _function(for_inference(model), [tf.TensorSpec(shape, tf.float32) for shape in shapes])


def load(model: "str | Path | keras.Model | None", options: RestoringOptions) -> TensorFlowNetwork:
    """Loads a network: see `runtimes.open_network`."""
    precision = fastest() if options.precision == "auto" else options.precision
    if isinstance(model, str | Path | None):
        network = load_network(find_model(model), options.pooling, precision)
    else:
        network = adapt_network(model, options.pooling, precision)
    return TensorFlowNetwork(at_chosen_scales(network, options.scales))


def _function(network, signature, invalid=None):
    """A network as a function of arrays. With `invalid`, an invalid argument raises this exception."""

    @tf.function(input_signature=signature)
    def call(*inputs):
        return network(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    def run(*inputs):
        try:
            outputs = call(*map(tf.constant, inputs))
        except tf.errors.ResourceExhaustedError as error:
            raise OutOfMemory from error
        except tf.errors.InvalidArgumentError as error:
            if invalid is None:
                raise
            raise invalid from error
        return [output.numpy() for output in tf.nest.flatten(outputs)]

    return run
