"""A network in another form (local pooling, another precision), and properties that can be read from a network."""

import math
import re

import keras

from unet_deblur_tf.configs import FIGURE_LAYERS, PICTURE_LAYERS, WIDTHS
from unet_deblur_tf.models.layers import CELL, CropLike, PixelUnshuffle, Squeeze
from unet_deblur_tf.models.scales import change_trunk, scales_of, trunk_of

BLOCK = re.compile(r"_block\d+_")  # in the names of the layers of residual blocks


def with_local_pooling(network: keras.Model, window: float | None) -> keras.Model:
    """Changes the window over which squeeze-and-excitation takes its means (TLC, see `layers.Squeeze`).

    Args:
        network: `keras.Model` as `unet.unet` builds it.
        window: side of the window in pixels of the picture, rounded up to a multiple of 16. None for the whole picture.

    Returns:
        A `keras.Model` that shares its weights with `network`; `network` itself if it has no squeeze-and-excitation.
    """
    if not squeeze_layers(network):
        return network
    window = None if window is None else -(-int(window) // CELL) * CELL

    def with_window(layer):
        return Squeeze(layer.stride, window, name=layer.name) if isinstance(layer, Squeeze) else layer

    return change_trunk(network, lambda trunk: keras.models.clone_model(trunk, clone_function=with_window))


def in_precision(network: keras.Model, precision: str) -> keras.Model:
    """Copies a network into another precision, with the same weights.

    The picture itself and the means of squeeze-and-excitation stay in float32, as in `unet.unet`.

    Args:
        network: `keras.Model` as `unet.unet` builds it.
        precision: str, a Keras dtype policy, such as "float32" or "mixed_bfloat16".

    Returns:
        A `keras.Model` with its own copy of the weights.
    """

    def copy_layer(layer):
        stays = isinstance(layer, (Squeeze, CropLike)) or layer.name in PICTURE_LAYERS
        return type(layer).from_config({**layer.get_config(), "dtype": "float32" if stays else precision})

    def copy_trunk(trunk):
        copy = keras.models.clone_model(trunk, clone_function=copy_layer)
        copy.set_weights(trunk.get_weights())
        return copy

    return change_trunk(network, copy_trunk)


def with_size(network: keras.Model, height: int, width: int) -> keras.Model:
    """A copy of a network for pictures of one size, so that the shapes of all layers are known.

    Args:
        network: `keras.Model` of one scale.
        height, width: int, size of the pictures in pixels.
    """
    inputs = [keras.Input((height, width, 3), batch_size=1, name=tensor.name) for tensor in network.inputs]
    return keras.models.clone_model(network, input_tensors=inputs if len(inputs) > 1 else inputs[0])


def weight_signature(network: keras.Model) -> dict:
    """What two networks must have in common to exchange weights.

    Returns:
        dict from a layer's name to (kind of layer, list of the shapes of its weights).
    """
    return {
        layer.name: (
            # Older files hold Keras' own BatchNormalization, with the same weights as our FusedBatchNormalization.
            "norm" if isinstance(layer, keras.layers.BatchNormalization) else type(layer).__name__,
            [weight.shape for weight in layer.weights],
        )
        for layer in trunk_of(network).layers
    }


def squeeze_layers(network: keras.Model) -> list[Squeeze]:
    """The network's `Squeeze` layers; empty if it has no squeeze-and-excitation."""
    return [layer for layer in trunk_of(network).layers if isinstance(layer, Squeeze)]


def scale_of(network: keras.Model) -> int:
    """The `scale` that the network was built with, see `unet.unet`; 1 for most variants."""
    return math.prod(layer.block for layer in trunk_of(network).layers if isinstance(layer, PixelUnshuffle))


def receptive_radius(network: keras.Model) -> int:
    """How many pixels around an output pixel can influence it, squeeze-and-excitation aside.

    The longest path goes down to the bottleneck and up again. It passes two 3x3 convolutions at each resolution on the
    way down and again on the way up, those of the residual blocks there, pooling (whose window reaches one pixel to the
    side) and bilinear upsampling (one coarse pixel). The other paths through the variants are shorter; `compress` adds
    one 3x3 convolution to a stage. A `scale` multiplies the radius, and its output layer is a 3x3 convolution. Of
    several scales (`scales.at_scales`), each doubles the radius of the one before.

    Args:
        network: `keras.Model` as `unet.build` returns it.

    Returns:
        int, an upper bound, which is a multiple of 16 times the scale.
    """
    depth, scale = len(WIDTHS), scale_of(network)
    down = sum(2 * 2**level for level in range(depth))
    pooling = sum(2**level for level in range(depth - 1))
    up = sum((2 + 1) * 2**level for level in range(depth - 1))
    upsampling = sum(2 ** (level + 1) for level in range(depth - 1))
    blocks = [layer.name for layer in trunk_of(network).layers if re.search(BLOCK.pattern + "conv", layer.name)]
    strides = [2 ** min(place, 2 * (depth - 1) - place) for place in range(2 * depth - 1)]
    in_blocks = sum(strides[FIGURE_LAYERS.index(name.partition("_")[0])] for name in blocks)
    out = scale > 1
    one_pass = scale * (-(-(down + pooling + up + upsampling + in_blocks + out) // CELL) * CELL)
    scales = scales_of(network)
    # Halving and doubling the picture reach some pixels further.
    return one_pass * (2**scales - 1) + (CELL * 2 ** (scales - 2) if scales > 1 else 0)


def pooling_of(network: keras.Model) -> str:
    """The pooling as reports name it: "local (144 px)", "global", or "none" without squeeze-and-excitation."""
    windows = [layer.window for layer in squeeze_layers(network)]
    if not windows:
        return "none"
    return f"local ({windows[0]} px)" if windows[0] else "global"
