"""The U-Nets. The blocks are functions (`blocks`); `unet` assembles them.

A network has the ten layers of the original student project's figure. The names of its Keras layers begin with them:

    1 inc    2-5 down1..down4    6-9 up1..up4    10 out

This module needs only Keras and runs on every Keras backend.

    from unet_deblur_tf import build

    network = build("concat_se")               # (None, None, None, 3) to the same shape
    restored = network(blurred)                # float32 in 0..1, any height and width
"""

from pathlib import Path

import keras

from unet_deblur_tf.configs import (
    ACTIVATIONS,
    BLOCKS,
    FIGURE_LAYERS,
    HEADS,
    NORMS,
    RESIZINGS,
    SKIPS,
    VARIANTS,
    WIDTHS,
)
from unet_deblur_tf.models.blocks import (
    compression,
    double_conv,
    downsampling,
    join,
    projection,
    residual_blocks,
    resize_levels,
    upsampling,
)
from unet_deblur_tf.models.layers import (
    CropLike,
    Excitation,
    PixelShuffle,
    PixelUnshuffle,
    ReflectPadding2D,
    Squeeze,
)
from unet_deblur_tf.models.loading import load
from unet_deblur_tf.models.naf import naf_blocks
from unet_deblur_tf.models.scales import at_scales


def build(variant: str, weights: str | Path | None = None, **overrides) -> keras.Model:
    """Builds a variant by the name that the command line uses.

    Weights of a trained network fit only the norm, head and activation that it was trained with. `weights` takes over
    all of them; `network.load_weights(file)` takes over none, and a network with another activation restores wrongly.

    Args:
        variant: str, a key of `configs.VARIANTS`.
        weights: a trained network of this variant, as `loading.load` takes it, such as "unet"; None for fresh weights.
        **overrides: arguments of `unet` that replace those of the variant, such as `norm` or `head`; not with
            `weights`.

    Returns:
        A `keras.Model` from pictures to restored pictures, see `unet`. A variant with several `scales` contains the
        network that `unet` builds, see `scales.at_scales`.

    Raises:
        ValueError: if there is no such variant, or `weights` are of another one or come with overrides.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}. Received: variant={variant!r}")
    if weights is None:
        return assemble(**{"name": variant, **VARIANTS[variant], **overrides})
    if overrides:
        raise ValueError(f"weights decide what a network is like. Received besides: {', '.join(overrides)}")
    network = load(weights)
    if network.name != variant:
        raise ValueError(f"weights={str(weights)!r} are of the variant {network.name!r}. Received: variant={variant!r}")
    return network


def assemble(scales: int = 1, **arguments) -> keras.Model:
    """Builds a network from an entry of `VARIANTS`: the arguments of `unet`, and the number of scales."""
    network = unet(**arguments, guided=scales > 1)
    return network if scales == 1 else at_scales(network, scales)


def unet(
    skips: str = "own",
    attention: bool = False,
    compress: bool = False,
    norm: str = "batch",
    head: str = "residual",
    activation: str = "relu",
    widths: tuple[int, ...] = WIDTHS,
    scale: int = 1,
    block: str = "conv",
    blocks: dict[str, int] | None = None,
    resizing: str = "fixed",
    guided: bool = False,
    name: str = "unet",
) -> keras.Model:
    """Builds a U-Net for image restoration, five resolutions deep.

    Args:
        skips: which encoder levels each decoder stage receives. "own": the level of the stage's resolution, as in the
            original U-Net. "all": all four levels, average-pooled or bilinearly upsampled to the stage's resolution.
            "added": the level of the stage's resolution, added to the features from below instead of concatenated.
            "projected": 1x1 convolutions bring all four levels and the stage below to the stage's width, and their
            results are added up (see `blocks.projection`).
        attention: bool, whether to apply squeeze-and-excitation to each level that a stage receives.
        compress: bool, whether to reduce the levels that a stage receives to the stage's width: a 1x1 convolution to
            four times the width, then a 3x3 convolution. Not with "projected".
        norm: "batch", "layer" (over the channels of each pixel) or "none". Convolutions have biases only with "none".
        head: "residual" (the input plus a correction, which is zero at initialisation) or "sigmoid".
        activation: "relu" or "leaky_relu" (slope 0.2).
        widths: five ints, the channels of the encoder layers `inc`, `down1`..`down4`.
        scale: int. With a `scale` above 1, `inc` works at 1 / `scale` of the picture's resolution: blocks of `scale` x
            `scale` pixels become channels before `inc`, and channels become pixels again after `out`.
        block: what the layers of the figure consist of. "conv": two 3x3 convolutions, each with norm and activation,
            and then as many residual blocks as `blocks` says. "naf": a 3x3 convolution where the width changes, and
            then as many blocks of NAFNet (see `naf`), which have a norm of their own and no activation.
        blocks: dict from a layer of the figure (not `out`) to its number of blocks, such as {"down4": 3}. None for no
            blocks.
        resizing: "fixed": max pooling and bilinear upsampling. "learned": 2x2 convolutions with stride 2, and 1x1
            convolutions whose channels become pixels.
        guided: bool, whether the network has a second input `guide` beside the picture, a coarse correction of the same
            shape, see `scales`.
        name: str, the name of the model.

    Returns:
        A functional `keras.Model` from `image` (or `[image, guide]`) to the restored picture, all of them float32
        `(batch, height, width, 3)`, the pictures in 0..1. Height and width can be any number of pixels from 1 up. The
        output of a residual head can leave 0..1 slightly: clip it.

    Raises:
        ValueError: if an argument is not one of the above.

    References:
        Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015.
        Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018.
        Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
        Network", CVPR 2016 (`scale`).
        Chen et al., "Simple Baselines for Image Restoration", ECCV 2022 (`block`, `resizing`).
    """
    blocks = blocks or {}
    _check_arguments(skips, compress, norm, head, activation, widths, scale, block, blocks, resizing)
    if keras.config.image_data_format() != "channels_last":
        raise ValueError("Networks are channels_last: keras.config.set_image_data_format('channels_last')")
    style = dict(norm=norm, activation=activation)

    def layer(x, middle, width, stride, name):
        """The layer `name` of the figure, which works at 1 / stride of the resolution of `inc`."""
        count = blocks.get(name, 0)
        if block == "naf":
            if x.shape[-1] != width:
                x = keras.layers.Conv2D(width, 3, padding="same", name=f"{name}_conv1")(x)
            return naf_blocks(x, count, scale * stride, name)
        x = double_conv(x, middle, width, **style, name=name)
        return residual_blocks(x, count, **style, name=name)

    image = keras.Input((None, None, 3), name="image")
    inputs = [image, keras.Input((None, None, 3), name="guide")] if guided else [image]
    x = ReflectPadding2D(scale * 2 ** (len(widths) - 1), name="pad")(join(inputs, "guided"))
    if scale > 1:
        x = PixelUnshuffle(scale, name="inc_unshuffle")(x)
    x = layer(x, widths[0], widths[0], 1, "inc")
    levels = []
    for number, width in enumerate(widths[1:], start=1):
        levels.append(x)
        x = downsampling(x, width, resizing, f"down{number}")
        x = layer(x, width, width, 2**number, f"down{number}")

    pyramid = resize_levels(levels) if skips in ("all", "projected") else None
    means = _squeeze(levels, scale) if attention else None
    for number, level in enumerate(reversed(range(len(levels))), start=1):
        stage, width = f"up{number}", widths[level]
        received = _received_levels(skips, levels, pyramid, level)
        if attention:
            received = _excite(received, means, stage)
        received = list(received.values())
        if skips == "projected":
            x = projection(received, level, x, width, norm, stage)
            width_above = width
        else:
            if compress:
                received = [compression(join(received, f"{stage}_levels"), width, **style, name=f"{stage}_reduce")]
            x = upsampling(x, width, resizing, stage)
            if skips == "added":
                x, width_above = keras.layers.Add(name=f"{stage}_add")([*received, x]), width
            else:
                x, width_above = join([*received, x], f"{stage}_concat"), widths[max(level - 1, 0)]
        x = layer(x, width, width_above, 2**level, stage)
    return keras.Model(inputs if guided else image, _output(x, image, head, scale, block), name=name)


def _check_arguments(skips, compress, norm, head, activation, widths, scale, block, blocks, resizing):
    """Raises a ValueError if an argument of `unet` is out of range."""
    for argument, value, choices in (
        ("skips", skips, SKIPS),
        ("norm", norm, NORMS),
        ("head", head, HEADS),
        ("activation", activation, ACTIVATIONS),
        ("block", block, BLOCKS),
        ("resizing", resizing, RESIZINGS),
    ):
        if value not in choices:
            raise ValueError(f"{argument} must be one of {', '.join(choices)}. Received: {argument}={value!r}")
    if len(widths) != 5:
        raise ValueError(f"widths must have five entries, one per encoder layer. Received: widths={widths!r}")
    if not isinstance(scale, int) or scale < 1:
        raise ValueError(f"scale must be a positive int. Received: scale={scale!r}")
    if not set(blocks) <= set(FIGURE_LAYERS[:-1]):
        raise ValueError(f"blocks follow layers among {', '.join(FIGURE_LAYERS[:-1])}. Received: blocks={blocks!r}")
    if skips == "projected" and compress:
        raise ValueError("compress does not go with skips='projected', which reduces the levels by itself")


def _received_levels(skips, levels, pyramid, stage_level):
    """The encoder levels that a decoder stage receives: a dict from a level's index to its features."""
    if skips in ("own", "added"):
        return {stage_level: levels[stage_level]}
    if skips == "all":
        return dict(enumerate(pyramid[stage_level]))
    # "projected": coarser levels keep their resolution, since they are upsampled after their projection.
    return {source: pyramid[max(stage_level, source)][source] for source in range(len(levels))}


def _squeeze(levels, scale):
    """The mean of each channel of each level, at the level's resolution: resizing does not change these means."""
    return [Squeeze(scale * 2**index, name=f"level{index + 1}_squeeze")(level) for index, level in enumerate(levels)]


def _excite(received, means, stage):
    """Squeeze-and-excitation of each level that a stage receives."""
    return {
        source: Excitation(name=f"{stage}_se{source + 1}")([features, means[source]])
        for source, features in received.items()
    }


def _output(x, image, head, scale, block):
    """Layer 10 of the figure: from features to the restored picture. `PICTURE_LAYERS` compute in float32."""
    residual = head == "residual"
    x = keras.layers.Conv2D(
        3 * scale**2,
        1 if scale == 1 and block == "conv" else 3,  # the pixels of a block need those of the blocks around it
        padding="same",
        kernel_initializer="zeros" if residual else "glorot_uniform",
        name="out_conv",
    )(x)
    if scale > 1:
        x = PixelShuffle(scale, name="out_shuffle")(x)
    x = CropLike(dtype="float32", name="out_crop")([x, image])
    if residual:
        return keras.layers.Add(dtype="float32", name="out_add")([image, x])
    return keras.layers.Activation("sigmoid", dtype="float32", name="out_sigmoid")(x)
