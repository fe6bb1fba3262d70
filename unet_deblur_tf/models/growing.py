"""Starts a network from the weights of another, also of a smaller one: it then computes the same and can be trained on.

What the larger network has beside the smaller one is initialised so that it changes nothing:

- Residual blocks add zero, since their last convolution starts at zero.
- The kernel of the guide (see `models.scales`) is zero.
"""

import keras
import numpy as np

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.scales import is_guided, trunk_of
from unet_deblur_tf.models.transforms import BLOCK, weight_signature


def grow_from(network: keras.Model, source: keras.Model, shown: str = "The source") -> None:
    """Gives a network the weights of another one, so that it computes the same as that at one scale.

    Args:
        network: a fresh `keras.Model`, as `models.unet.build` returns it. It has the layers of `source`, and beside
            them residual blocks or a guide.
        source: a trained `keras.Model`.
        shown: str, how messages name the source.

    Raises:
        InputError: if the two networks differ in other ways.
    """
    own, given = weight_signature(network), weight_signature(source)
    guide_is_new = is_guided(trunk_of(network)) and not is_guided(trunk_of(source))
    blocks = {name for name in own if name not in given and BLOCK.search(name)}
    different = {name for name in own.keys() | given.keys() if own.get(name) != given.get(name)} - blocks
    if guide_is_new:
        different -= {"guide", "guided", "inc_conv1"}
    if different:
        raise InputError(
            f"{shown} is a {source.name} with other layers than this {network.name} ({', '.join(sorted(different)[:3])}"
            "...): --variant, --norm, --head and --activation must be those that it was trained with"
        )
    for layer in trunk_of(network).layers:
        if layer.weights and layer.name not in blocks:
            values = trunk_of(source).get_layer(layer.name).get_weights()
            if guide_is_new and layer.name == "inc_conv1":
                values[0] = _with_channels_of_guide(values[0])
            layer.set_weights(values)


def _with_channels_of_guide(kernel):
    """The kernel `(height, width, channels, filters)` of the first convolution, with zeros for the guide.

    The guide's three channels follow those of the picture. With a `scale` they do so for each pixel of a block.
    """
    height, width, channels, filters = kernel.shape
    by_pixel = kernel.reshape(height, width, channels // 3, 3, filters)
    both = np.concatenate([by_pixel, np.zeros_like(by_pixel)], axis=3)
    return both.reshape(height, width, 2 * channels, filters)
