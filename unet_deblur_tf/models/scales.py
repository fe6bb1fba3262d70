"""Coarse to fine: a network runs on the picture at half its size first, where it sees blur of twice the length.

    two_scales = at_scales(network, 2)         # the same input and output, the same weights, a quarter more time

Let y be what a network makes of the picture x, and h what it makes of x at half the size. There are two ways to use h:

- A *guided* network takes the coarse correction, h - half(x), enlarged, as its second input. It is trained that way.
- The result of any other network is *blended* with h: a share of its low frequencies is exchanged,

      y + share * double(h - half(y))

  with one share for the whole picture, see `blending`. docs/restoring.md says what it gains.

With three scales, the pass at half the size is itself such a combination.

References:
    Nah, Kim, Lee, "Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring", CVPR 2017.
    Tao et al., "Scale-Recurrent Network for Deep Image Deblurring", CVPR 2018.
"""

from collections.abc import Callable

import keras
from keras import ops

from unet_deblur_tf.models.blending import blend_share, sizes_at
from unet_deblur_tf.models.layers import PACKAGE, BilinearUpsampling2D, CropLike, ReflectPadding2D


def at_scales(network: keras.Model, scales: int, every: bool = False, factor: float = 1.0) -> keras.Model:
    """Combines the passes of a network over the picture at several sizes, from coarse to fine.

    Args:
        network: `keras.Model` as `models.unet.unet` builds it, guided or not. Its weights are shared.
        scales: int, the number of sizes: 1 for the picture alone, 2 for half the size as well, and so on.
        every: bool, whether the model returns the results of all sizes, from the largest to the smallest, so that all
            can be trained.
        factor: float, multiplied with the share of a blend; `blending.ENSEMBLE_FACTOR` in an ensemble.

    Returns:
        `keras.Model` from pictures float32 `(batch, height, width, 3)` in 0..1 to restored ones of the same shape.

    Raises:
        ValueError: if `scales` is not a positive int.
    """
    if not isinstance(scales, int) or scales < 1:
        raise ValueError(f"scales must be a positive int. Received: scales={scales!r}")
    image = keras.Input((None, None, 3), name="image")
    results = _coarse_to_fine(network, image, scales, factor)
    return keras.Model(image, results if every else results[0], name=network.name)


def _coarse_to_fine(network, image, scales, factor, depth=1):
    """The results for `image`, from the largest size to the smallest. Layers are named `scale` and the depth."""
    guided, name = is_guided(network), f"scale{depth}"
    if scales == 1 and guided:
        return [network([image, keras.layers.Rescaling(0.0, dtype="float32", name=f"{name}_no_guide")(image)])]
    if scales == 1:
        return [network(image)]

    def double(x):
        x = BilinearUpsampling2D(dtype="float32", name=f"{name}_double")(x)
        return CropLike(dtype="float32", name=f"{name}_crop")([x, image])

    small = _half(image, f"{name}_half")
    smaller = _coarse_to_fine(network, small, scales - 1, factor, depth + 1)
    coarse = smaller[0]
    subtract = keras.layers.Subtract(dtype="float32", name=f"{name}_correction")
    if guided:
        return [network([image, double(subtract([coarse, small]))]), *smaller]
    fine = network(image)
    share = CoarseShare(factor, name=f"{name}_share")([image, fine, small, coarse])
    exchanged = double(subtract([coarse, _half(fine, f"{name}_half_fine")]))
    exchanged = keras.layers.Multiply(dtype="float32", name=f"{name}_exchanged")([exchanged, share])
    return [keras.layers.Add(dtype="float32", name=f"{name}_blend")([fine, exchanged]), *smaller]


def _half(image, name):
    """Means of blocks of 2x2 pixels. A last odd row or column is mirrored first."""
    image = ReflectPadding2D(2, dtype="float32", name=f"{name}_pad")(image)
    return keras.layers.AveragePooling2D(2, dtype="float32", name=name)(image)


@keras.saving.register_keras_serializable(PACKAGE)
class CoarseShare(keras.layers.Layer):
    """The share of the coarse result in a blend, one number per picture: see `blending.blend_share`.

    Called on `[image, fine, small, coarse]`: the picture, what the network made of it, and both at half the size.

    Args:
        factor: float, multiplied with the share.

    Input shape: twice `(batch, height, width, channels)`, twice `(batch, height / 2, width / 2, channels)`, rounded up.
    Output shape: float32 `(batch, 1, 1, 1)` in 0..1.
    """

    def __init__(self, factor=1.0, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.factor = factor

    def call(self, inputs):
        image, fine, small, coarse = inputs

        def correction(restored, blurred):
            return ops.mean(ops.abs(restored - blurred), axis=(1, 2, 3), keepdims=True)

        return self.factor * blend_share(correction(fine, image), correction(coarse, small), ops)

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], 1, 1, 1)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def is_guided(network: keras.Model) -> bool:
    """Whether a network takes a coarse correction as its second input."""
    return len(getattr(network, "inputs", None) or ()) == 2


def trunk_of(network: keras.Model) -> keras.Model:
    """The network that `at_scales` combined; any other network is returned as it is."""
    others = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    trunks = [layer for layer in others if isinstance(layer, keras.Model)]
    combined = len(trunks) == 1 and all(layer.name.startswith("scale") for layer in others if layer is not trunks[0])
    return trunks[0] if combined else network


def inputs_of_trunk(network: keras.Model, pictures):
    """What the network that `at_scales` combined receives at the largest size: the pictures, or [pictures, guide]."""
    trunk = trunk_of(network)
    pictures = ops.convert_to_tensor(pictures)
    if not is_guided(trunk):
        return pictures
    history = network.output._keras_history  # the last call of the trunk
    _, guide = history.operation._inbound_nodes[history.node_index].input_tensors
    return [pictures, keras.Model(network.input, guide)(pictures)]


def scales_of(network: keras.Model) -> int:
    """The number of scales that `at_scales` combined."""
    return 1 + sum(layer.name.endswith("_half") for layer in network.layers if trunk_of(network) is not network)


def sizes_of(network: keras.Model, height: int, width: int) -> list[tuple[int, int]]:
    """The (height, width) of a picture at each scale of a network, from the largest to the smallest."""
    return sizes_at(scales_of(network), height, width)


def change_trunk(network: keras.Model, change: Callable[[keras.Model], keras.Model]) -> keras.Model:
    """Applies a function from network to network to the network that `at_scales` combined, and combines again."""
    trunk = trunk_of(network)
    if trunk is network:
        return change(network)
    factor = next((layer.factor for layer in network.layers if isinstance(layer, CoarseShare)), 1.0)
    return at_scales(change(trunk), scales_of(network), every=len(network.outputs) > 1, factor=factor)
