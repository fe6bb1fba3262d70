"""The same network in another form: local pooling, another precision; and what can be read off a network."""

import math

import keras

from unet_deblur_tf.configs import WIDTHS
from unet_deblur_tf.models.layers import (
    CELL,
    CropLike,
    PixelUnshuffle,
    Squeeze,
)
from unet_deblur_tf.models.unet import PICTURE_LAYERS


def with_local_pooling(network, window):
    """The same network, sharing its weights, with squeeze-and-excitation over a window (TLC) or the whole picture.

    Args:
        network: `keras.Model` as `unet` builds it.
        window: pixels of the picture, rounded up to a multiple of 16; None for the whole picture.

    Returns:
        A `keras.Model`; `network` itself if it has no squeeze-and-excitation.
    """
    if not squeeze_layers(network):
        return network
    window = None if window is None else -(-int(window) // CELL) * CELL

    def exchange(layer):
        return Squeeze(layer.stride, window, name=layer.name) if isinstance(layer, Squeeze) else layer

    return keras.models.clone_model(network, clone_function=exchange)


def in_precision(network, precision):
    """The same network with the same weights, computing in another precision.

    The picture itself and the means of squeeze-and-excitation stay in float32, as `unet` has them.

    Args:
        network: `keras.Model` as `unet` builds it.
        precision: str, a Keras dtype policy, such as "float32" or "mixed_bfloat16".

    Returns:
        A `keras.Model` with weights of its own.
    """

    def anew(layer):
        stays = isinstance(layer, (Squeeze, CropLike)) or layer.name in PICTURE_LAYERS
        return type(layer).from_config({**layer.get_config(), "dtype": "float32" if stays else precision})

    copy = keras.models.clone_model(network, clone_function=anew)
    copy.set_weights(network.get_weights())
    return copy


def weight_signature(network):
    """What two networks must agree in to exchange weights: a dict from layers' names to (kind, shapes of weights)."""
    return {
        layer.name: (
            # Keras' own in networks of before there was ours; they hold the same.
            "norm" if isinstance(layer, keras.layers.BatchNormalization) else type(layer).__name__,
            [weight.shape for weight in layer.weights],
        )
        for layer in network.layers
    }


def squeeze_layers(network):
    """The network's `Squeeze` layers, empty if it has no squeeze-and-excitation."""
    return [layer for layer in network.layers if isinstance(layer, Squeeze)]


def scale_of(network):
    """How much smaller than the picture the network's first layer works, see `unet`; 1 for most."""
    return math.prod(layer.block for layer in network.layers if isinstance(layer, PixelUnshuffle))


def receptive_radius(scale=1):
    """How far, in pixels, what a U-Net puts out at a place depends on the picture (squeeze-and-excitation aside).

    The longest way goes down to the bottleneck and up again: two 3x3 convolutions at
    each resolution on the way down and on the way up, pooling (whose window reaches one
    pixel aside) and bilinear upsampling (one coarse pixel). The variants' other ways are
    shorter; `compress` adds one 3x3 convolution to a stage. With a `scale` all of it is
    that much larger, and the output is a 3x3 convolution.

    Args:
        scale: as in `unet`.

    Returns:
        int, an upper bound, a multiple of 16 times the scale.
    """
    depth = len(WIDTHS)
    down = sum(2 * 2**level for level in range(depth))
    pooling = sum(2**level for level in range(depth - 1))
    up = sum((2 + 1) * 2**level for level in range(depth - 1))
    upsampling = sum(2 ** (level + 1) for level in range(depth - 1))
    out = scale > 1
    return scale * (-(-(down + pooling + up + upsampling + out) // CELL) * CELL)


def pooling_of(network):
    """For reports: such as "local (144 px)", "global", or "none" for a network without squeeze-and-excitation."""
    windows = [layer.window for layer in squeeze_layers(network)]
    if not windows:
        return "none"
    return f"local ({windows[0]} px)" if windows[0] else "global"
