"""Reads the facts of a Keras network, and divides it into parts, see `facts`."""

import keras

from unet_deblur_tf.configs import CELL
from unet_deblur_tf.models.loading import ForeignSavedModel
from unet_deblur_tf.models.scales import is_guided, scales_of, trunk_of
from unet_deblur_tf.models.transforms import (
    has_naf_blocks,
    pooling_of,
    receptive_radius,
    scale_of,
    squeeze_layers,
    with_local_pooling,
)
from unet_deblur_tf.restoring.runtimes.facts import Facts


def facts_of(network: "keras.Model | ForeignSavedModel") -> Facts:
    """The facts of a network, as `loading.at_chosen_scales` returns it."""
    trunk = trunk_of(network)
    squeezes = squeeze_layers(network)
    formats = {layer.compute_dtype for layer in trunk.layers}
    local = any(layer.window for layer in squeezes)
    return Facts(
        name=network.name + (", local" if local else ""),
        precision=next((f"mixed_{half}" for half in ("bfloat16", "float16") if half in formats), "float32"),
        scales=None if isinstance(network, ForeignSavedModel) else scales_of(network),
        pooling=pooling_of(network),
        guided=is_guided(trunk),
        step=scale_of(network) * CELL,
        radius=receptive_radius(trunk),
        # NAFNet's blocks take means of what depends on earlier means: there each tile takes its own.
        squeezes=() if has_naf_blocks(network) else tuple((layer.window, layer.output.shape[-1]) for layer in squeezes),
    )


def part_of(network: keras.Model, name: str) -> keras.Model:
    """A part of a network of one scale.

    Args:
        network: `keras.Model`.
        name: str, one of `facts.PARTS`.

    Returns:
        `keras.Model`. "means" maps the network's inputs to the means of the picture's cells for each `Squeeze` layer.
        "rest" maps the inputs and the outputs of the `Squeeze` layers to the restored picture.
    """
    if name == "whole":
        return network
    if name == "means":
        by_cell = with_local_pooling(network, CELL)
        return keras.Model(by_cell.inputs, [layer.output for layer in squeeze_layers(by_cell)])
    squeezed = [layer.output for layer in squeeze_layers(network)]
    return keras.Model([*network.inputs, *squeezed], network.output)
