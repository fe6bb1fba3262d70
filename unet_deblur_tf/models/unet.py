"""The U-Nets, as the figure draws them: blocks are functions, `unet` assembles them.

The ten layers of the figure and the names that their Keras layers begin with:

    1 inc    2-5 down1..down4    6-9 up1..up4    10 out

`unet` needs nothing but Keras and runs on every Keras backend.

    from unet_deblur_tf.models import build

    model = build("concat_se")                 # (None, None, None, 3) -> the same
    restored = model(blurred)                  # float32 in 0..1, any height and width
"""

import keras

from unet_deblur_tf.configs import ACTIVATIONS, HEADS, NORMS, SKIPS, VARIANTS, WIDTHS
from unet_deblur_tf.models.blocks import compression, double_conv, join, projection, resize_levels
from unet_deblur_tf.models.layers import (
    BilinearUpsampling2D,
    CropLike,
    Excitation,
    PixelShuffle,
    PixelUnshuffle,
    ReflectPadding2D,
    Squeeze,
)

# They compute the picture itself, in float32 whatever the precision policy.
PICTURE_LAYERS = ("out_crop", "out_add", "out_sigmoid")


def build(variant, **overrides):
    """Builds a variant by its name on the command line.

    Args:
        variant: str, a key of `VARIANTS`.
        **overrides: arguments of `unet` that replace the variant's, such as `norm` or `head`.

    Returns:
        A `keras.Model`, see `unet`.

    Raises:
        ValueError: if there is no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}. Received: variant={variant!r}")
    return unet(**{"name": variant, **VARIANTS[variant], **overrides})


def unet(
    skips="own",
    attention=False,
    compress=False,
    norm="batch",
    head="residual",
    activation="relu",
    widths=WIDTHS,
    scale=1,
    name="unet",
):
    """A U-Net for image restoration, five resolutions deep.

    Args:
        skips: "own" gives each decoder stage the encoder features of its own
            resolution, as a U-Net does; "all" gives it those of all four levels,
            average-pooled or bilinearly upsampled to its resolution; "projected" adds
            up the same four levels and the stage below, each brought to the stage's
            width by a 1x1 convolution (see `projection`).
        attention: bool, squeeze-and-excitation on each level that a stage receives.
        compress: bool, reduces the levels that a stage receives to the stage's width
            (1x1 convolution to four times the width, then 3x3). Not with "projected".
        norm: "batch", "layer" (over the channels of each pixel) or "none".
            Convolutions have biases where there is no norm to shift their output.
        head: "residual" (input + correction, the correction zero at initialisation)
            or "sigmoid".
        activation: "relu" or "leaky_relu" (slope 0.2).
        widths: five ints, channels of the encoder's layers `inc`, `down1`..`down4`.
        scale: 1, or how much smaller than the picture `inc` works: blocks of `scale` x
            `scale` pixels become channels before it, and pixels again after `out`.
        name: str, the model's name.

    Returns:
        A functional `keras.Model` from `image` to the restored picture, both float32
        `(batch, height, width, 3)` in 0..1, any height and width from 1 up. A
        residual output can leave 0..1 by a little: clip it.

    Raises:
        ValueError: if an argument is not one of the above.

    References:
        Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015.
        Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018.
        Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient
        Sub-Pixel Convolutional Neural Network", CVPR 2016 (`scale`).
    """
    for argument, value, choices in (
        ("skips", skips, SKIPS),
        ("norm", norm, NORMS),
        ("head", head, HEADS),
        ("activation", activation, ACTIVATIONS),
    ):
        if value not in choices:
            raise ValueError(f"{argument} must be one of {', '.join(choices)}. Received: {argument}={value!r}")
    if len(widths) != 5:
        raise ValueError(f"widths must have five entries, one per encoder layer. Received: widths={widths!r}")
    if not isinstance(scale, int) or scale < 1:
        raise ValueError(f"scale must be a positive int. Received: scale={scale!r}")
    if skips == "projected" and compress:
        raise ValueError("compress does not go with skips='projected', which reduces the levels by itself")
    style = dict(norm=norm, activation=activation)

    image = keras.Input((None, None, 3), name="image")
    x = ReflectPadding2D(scale * 2 ** (len(widths) - 1), name="pad")(image)
    if scale > 1:
        x = PixelUnshuffle(scale, name="inc_unshuffle")(x)
    x = double_conv(x, widths[0], widths[0], **style, name="inc")
    levels = []
    for number, width in enumerate(widths[1:], start=1):
        levels.append(x)
        x = keras.layers.MaxPooling2D(2, name=f"down{number}_pool")(x)
        x = double_conv(x, width, width, **style, name=f"down{number}")

    pyramid = resize_levels(levels) if skips != "own" else None
    if attention:
        # Of each level at its own resolution: neither kind of resizing changes the mean over the picture.
        means = [
            Squeeze(scale * 2**index, name=f"level{index + 1}_squeeze")(level) for index, level in enumerate(levels)
        ]
    for number in range(1, len(levels) + 1):
        stage, level = f"up{number}", len(levels) - number
        width = widths[level]
        sources = range(len(levels)) if skips != "own" else [level]
        if skips == "all":
            seen = pyramid[level]
        elif skips == "projected":
            # Coarser levels are upsampled after their projection.
            seen = [pyramid[max(level, source)][source] for source in sources]
        else:
            seen = [levels[level]]
        if attention:
            seen = [
                Excitation(name=f"{stage}_se{source + 1}")([features, means[source]])
                for features, source in zip(seen, sources)
            ]
        if skips == "projected":
            x = projection(seen, level, x, width, norm, stage)
            x = double_conv(x, width, width, **style, name=stage)
            continue
        if compress:
            seen = [compression(join(seen, f"{stage}_levels"), width, **style, name=f"{stage}_reduce")]
        x = BilinearUpsampling2D(name=f"{stage}_upsample")(x)
        x = join([*seen, x], f"{stage}_concat")
        x = double_conv(x, width, widths[max(level - 1, 0)], **style, name=stage)

    # `PICTURE_LAYERS`, in float32.
    residual = head == "residual"
    x = keras.layers.Conv2D(
        3 * scale**2,
        1 if scale == 1 else 3,  # the pixels of a block need their neighbours' blocks
        padding="same",
        kernel_initializer="zeros" if residual else "glorot_uniform",
        name="out_conv",
    )(x)
    if scale > 1:
        x = PixelShuffle(scale, name="out_shuffle")(x)
    x = CropLike(dtype="float32", name="out_crop")([x, image])
    if residual:
        x = keras.layers.Add(dtype="float32", name="out_add")([image, x])
    else:
        x = keras.layers.Activation("sigmoid", dtype="float32", name="out_sigmoid")(x)
    return keras.Model(image, x, name=name)
