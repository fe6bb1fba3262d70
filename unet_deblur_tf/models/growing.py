"""Starts a network from the weights of a smaller one: it then computes the same, and can be trained on from there.

    network = build("concat_se", norm="none", activation="leaky_relu")
    grow_from(network, load("unet"))           # network(x) equals unet(x) to 1e-6

What the larger network has beside the smaller one is initialised so that it changes nothing:

- Residual blocks add zero, since their last convolution starts at zero.
- The kernel of the guide (see `models.scales`) is zero.
- Of all encoder levels that a decoder stage receives, only its own has a kernel, the others' are zero.
- The gates of squeeze-and-excitation are 1/2 everywhere, since their last matrix is zero. The kernel of what they scale
  is doubled.
- Compression passes the stage's own level on. Its two activations would change negative values, so the 1x1 convolution
  turns the sign, and the 3x3 convolution turns it back and divides by the slope: with slope a, u = -act(-act(u)) / a
  for leaky ReLU. For ReLU, whose outputs are not negative, u = act(act(u)).
"""

import re

import keras
import numpy as np

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.layers import Excitation
from unet_deblur_tf.models.scales import is_guided, trunk_of
from unet_deblur_tf.models.transforms import BLOCK, weight_signature

GUIDE = {"guide", "guided", "inc_conv1"}  # layers that a guide adds or changes
# Layers that seeing all levels, attention and compression add or change.
LEVELS = re.compile(r"level\d_|up\d_(se\d|levels|reduce_|concat|conv1$)")


def grow_from(network: keras.Model, source: keras.Model, shown: str = "The source") -> None:
    """Gives a network the weights of a smaller one, so that it computes the same as that at one scale.

    Args:
        network: a fresh `keras.Model`, as `models.unet.build` returns it. It has all layers of `source`, and beside
            them residual blocks, a guide, further encoder levels, attention or compression.
        source: a trained `keras.Model`.
        shown: str, how messages name the source.

    Raises:
        InputError: if the two networks differ in other ways.
    """
    trunk, given = trunk_of(network), trunk_of(source)
    different = _differences(trunk, given)
    if different:
        names = ", ".join(sorted(different)[:3])
        raise InputError(
            f"{shown} is a {source.name} with other layers than this {network.name} ({names}...): --variant, --norm, "
            "--head and --activation must be those that it was trained with. Other variants start from unet only: any "
            "but lite and naf, the compressed ones with --norm none"
        )
    known = {layer.name: layer.get_weights() for layer in given.layers}
    for layer in trunk.layers:
        if layer.name in known:
            layer.set_weights(_widened(layer, known[layer.name], trunk, given))
        elif isinstance(layer, Excitation):
            squeeze, excite = layer.get_weights()
            layer.set_weights([squeeze, np.zeros_like(excite)])
        elif "_reduce_conv" in layer.name:
            layer.set_weights(_passing_on(layer, trunk))


def _differences(trunk, given):
    """Names of the layers in which two networks differ and that growing does not bridge."""
    own, theirs = weight_signature(trunk), weight_signature(given)
    different = {name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name)}
    different -= {name for name in own.keys() - theirs.keys() if BLOCK.search(name)}
    if is_guided(trunk) and not is_guided(given):
        different -= GUIDE
    if _sees_all_levels(trunk) and not _sees_all_levels(given) and "up1_concat" in theirs:
        different -= {name for name in different if LEVELS.match(name)}
        # Batch and layer norm would change what compression passes on.
        different |= {name for name in own if "_reduce_norm" in name}
    return different


def _sees_all_levels(network):
    """Whether decoder stages receive all encoder levels, resized."""
    return any(layer.name == "level1_at2" for layer in network.layers)


def _widened(layer, values, trunk, given):
    """The weights of a layer of the smaller network, with zeros for what the same layer receives in addition."""
    if layer.name == "inc_conv1" and is_guided(trunk) and not is_guided(given):
        return [_with_channels_of_guide(values[0]), *values[1:]]
    stage = re.fullmatch(r"up(\d)_conv1", layer.name)
    if stage and layer.kernel.shape != values[0].shape:
        kernel = np.zeros(layer.kernel.shape, np.float32)
        first, channels = _own_channels(trunk, stage[1])
        kernel[:, :, first : first + channels] = values[0][:, :, :channels] * _before_gates(trunk)
        below = values[0].shape[2] - channels
        kernel[:, :, -below:] = values[0][:, :, channels:]
        return [kernel, *values[1:]]
    return values


def _passing_on(layer, trunk):
    """The weights of a compressing convolution that passes the stage's own level on."""
    kernel = layer.get_weights()[0]
    first, channels = _own_channels(trunk, layer.name[2])
    slope = getattr(trunk.get_layer("up1_act1"), "negative_slope", 0)
    if layer.name.endswith("conv1"):
        kernel[:, :, :, :channels] = 0
        own = kernel[0, 0, first : first + channels, :channels]
        np.fill_diagonal(own, _before_gates(trunk) * (-1 if slope else 1))
    else:
        kernel[:] = 0
        np.fill_diagonal(kernel[1, 1, :channels], -1 / slope if slope else 1)
    return [kernel, *(np.zeros_like(value) for value in layer.get_weights()[1:])]


def _before_gates(trunk):
    """The factor that makes up for the gates of squeeze-and-excitation, if there are any."""
    return 2 if any(isinstance(layer, Excitation) for layer in trunk.layers) else 1


def _own_channels(trunk, stage):
    """Of all levels, concatenated, that a decoder stage receives: (first channel of its own level, its channels)."""
    widths = [trunk.get_layer(f"{name}_conv2").filters for name in ("inc", "down1", "down2", "down3")]
    own = 4 - int(stage)
    return sum(widths[:own]), widths[own]


def _with_channels_of_guide(kernel):
    """The kernel `(height, width, channels, filters)` of the first convolution, with zeros for the guide.

    The guide's three channels follow those of the picture. With a `scale` they do so for each pixel of a block.
    """
    height, width, channels, filters = kernel.shape
    by_pixel = kernel.reshape(height, width, channels // 3, 3, filters)
    both = np.concatenate([by_pixel, np.zeros_like(by_pixel)], axis=3)
    return both.reshape(height, width, 2 * channels, filters)
