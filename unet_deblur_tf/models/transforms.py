"""A network in another form (local pooling, another precision), and properties that can be read from a network."""

import math
import re

import keras

from unet_deblur_tf.configs import CELL, PICTURE_LAYERS
from unet_deblur_tf.models.layers import BilinearUpsampling2D, CropLike, PixelShuffle, PixelUnshuffle, Squeeze
from unet_deblur_tf.models.naf import SimplifiedAttention
from unet_deblur_tf.models.scales import change_trunk, scales_of, trunk_of

USUAL_RADIUS = 448  # pixels, of "unet" at two scales, as it is exported
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


def has_naf_blocks(network: keras.Model) -> bool:
    """Whether the network consists of NAFNet's blocks, see `naf`."""
    return any(isinstance(layer, SimplifiedAttention) for layer in trunk_of(network).layers)


def scale_of(network: keras.Model) -> int:
    """The `scale` that the network was built with, see `unet.unet`; 1 for most variants."""
    return math.prod(layer.block for layer in trunk_of(network).layers if isinstance(layer, PixelUnshuffle))


def receptive_radius(network: keras.Model) -> int:
    """How many pixels around an output pixel can influence it, channel attention aside.

    It is the longest way through the layers. A 3x3 convolution reaches one of its input's pixels further, as does
    bilinear upsampling; pooling and a convolution with stride 2 reach one pixel to one side. Of several scales
    (`scales.at_scales`), each doubles the radius of the one before.

    Args:
        network: `keras.Model` as `unet.build` returns it. For a model that is not functional, `USUAL_RADIUS` is
            assumed.

    Returns:
        int, an upper bound, which is a multiple of 16 times the scale.
    """
    trunk, step = trunk_of(network), CELL * scale_of(network)
    if type(trunk).__name__ != "Functional":
        return USUAL_RADIUS
    one_pass = -(-int(_radius(trunk)) // step) * step
    scales = scales_of(network)
    # Halving and doubling the picture reach some pixels further.
    return one_pass * (2**scales - 1) + (CELL * 2 ** (scales - 2) if scales > 1 else 0)


def _radius(trunk):
    """The longest way from the output back to an input, in pixels of the picture."""
    reached = {id(tensor): (0, 1) for tensor in trunk.inputs}  # to (radius, pixels of the picture per pixel of it)
    waiting = [trunk.output]
    while waiting:
        tensor = waiting[-1]
        history = tensor._keras_history
        # Layers can be part of several models: this is the call that made the tensor.
        inputs = history.operation._inbound_nodes[history.node_index].input_tensors
        missing = [each for each in inputs if id(each) not in reached]
        if id(tensor) not in reached and missing:
            waiting += missing
            continue
        waiting.pop()
        if id(tensor) not in reached:
            radius, stride = max((reached[id(each)] for each in inputs), key=lambda each: each[0])
            further, factor = _reach(history.operation)
            reached[id(tensor)] = (radius + further * stride, stride * factor)
    return reached[id(trunk.output)][0]


def _reach(layer):
    """By how many of its input's pixels a layer reaches further, and how many become one pixel in each direction."""
    match layer:
        case keras.layers.Conv2D() | keras.layers.DepthwiseConv2D():
            return layer.kernel_size[0] // 2, layer.strides[0]
        case keras.layers.MaxPooling2D() | keras.layers.AveragePooling2D():
            return 1, 2
        case BilinearUpsampling2D():
            return 1, 1 / 2
        case PixelUnshuffle():
            return layer.block - 1, layer.block
        case PixelShuffle():
            return 0, 1 / layer.block
    return 0, 1


def pooling_of(network: keras.Model) -> str:
    """The pooling as reports name it: "local (144 px)", "global", or "none" without squeeze-and-excitation."""
    windows = [layer.window for layer in squeeze_layers(network)]
    if not windows:
        return "none"
    return f"local ({windows[0]} px)" if windows[0] else "global"
