"""The U-Nets, as the figure draws them: blocks are functions, `unet` assembles them.

The ten layers of the figure and the names that their Keras layers begin with:

    1 inc    2-5 down1..down4    6-9 up1..up4    10 out

`unet` needs nothing but Keras and runs on every Keras backend.

    from unet_deblur_tf.models import build

    model = build("concat_se")                 # (None, None, None, 3) -> the same
    restored = model(blurred)                  # float32 in 0..1, any height and width
"""

import math

import keras

from unet_deblur_tf.layers import (
    CELL,
    BilinearUpsampling2D,
    CropLike,
    Excitation,
    FusedBatchNormalization,
    PixelShuffle,
    PixelUnshuffle,
    ReflectPadding2D,
    Squeeze,
)
from unet_deblur_tf.variants import ACTIVATIONS, HEADS, NORMS, SKIPS, VARIANTS, WIDTHS

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


def pool_within(network, window):
    """The same network, sharing its weights, with squeeze-and-excitation over a window (TLC) or the whole picture.

    Args:
        network: `keras.Model` as `unet` builds it.
        window: pixels of the picture, rounded up to a multiple of 16; None for the whole picture.

    Returns:
        A `keras.Model`; `network` itself if it has no squeeze-and-excitation.
    """
    if not squeezes(network):
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


def architecture(network):
    """What two networks must agree in to exchange weights: a dict from layers' names to (kind, shapes of weights)."""
    return {
        layer.name: (
            # Keras' own in networks of before there was ours; they hold the same.
            "norm" if isinstance(layer, keras.layers.BatchNormalization) else type(layer).__name__,
            [weight.shape for weight in layer.weights],
        )
        for layer in network.layers
    }


def squeezes(network):
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


def double_conv(x, middle, width, norm, activation, name):
    """(3x3 convolution, norm, activation) twice: to `middle` channels, then to `width`."""
    for number, filters in enumerate((middle, width), start=1):
        x = convolution(x, filters, 3, norm, f"{name}_conv{number}")
        x = normalization(x, norm, f"{name}_norm{number}")
        x = activate(x, activation, f"{name}_act{number}")
    return x


def compression(x, width, norm, activation, name):
    """Figure 12: (norm, activation, convolution) twice: 1x1 to 4 `width` channels, 3x3 to `width`."""
    for number, (filters, size) in enumerate(((4 * width, 1), (width, 3)), start=1):
        x = normalization(x, norm, f"{name}_norm{number}")
        x = activate(x, activation, f"{name}_act{number}")
        x = convolution(x, filters, size, norm, f"{name}_conv{number}")
    return x


def projection(levels, own, below, width, norm, name):
    """The sum of 1x1 convolutions of all levels and of the stage below, at the stage's resolution.

    The same as one 1x1 convolution of all of them resized and joined. A 1x1 convolution
    and bilinear upsampling can be exchanged, so each coarser level is convolved at its
    own resolution, and all of them share the upsampling, from the coarsest to the finest.

    Args:
        levels: the encoder levels, from the finest; those up to `own` at its resolution,
            the coarser ones at theirs.
        own: int, which of them has the stage's resolution.
        below: features at half the stage's resolution.
        width: int, the stage's channels.
        norm, name: as in `double_conv`.
    """

    def project(features, source):
        return keras.layers.Conv2D(
            width,
            1,
            use_bias=norm == "none" and source == own + 1,
            kernel_initializer="he_normal",
            name=f"{name}_project{source}",
        )(features)

    by_resolution = {own + 1: [project(below, 0)]}
    for index, level in enumerate(levels):
        by_resolution.setdefault(max(own, index), []).append(project(level, index + 1))
    total = None
    for resolution in sorted(by_resolution, reverse=True):
        parts = by_resolution[resolution]
        if total is not None:
            parts = [*parts, BilinearUpsampling2D(name=f"{name}_upsample{resolution + 1}")(total)]
        total = keras.layers.Add(name=f"{name}_add{resolution + 1}")(parts) if len(parts) > 1 else parts[0]
    return total


def resize_levels(levels):
    """All encoder levels at the resolution of each: a list, by resolution, of lists, by level.

    Finer levels are average-pooled down and coarser ones bilinearly upsampled, two-fold
    at a time, so that the decoder stages share the work.
    """
    pyramid = [[] for _ in levels]
    for source, features in enumerate(levels):
        at = {source: features}
        for target in range(source + 1, len(levels)):
            layer = keras.layers.AveragePooling2D(2, name=f"level{source + 1}_at{target + 1}")
            at[target] = layer(at[target - 1])
        for target in reversed(range(source)):
            layer = BilinearUpsampling2D(name=f"level{source + 1}_at{target + 1}")
            at[target] = layer(at[target + 1])
        for target, resized in at.items():
            pyramid[target].append(resized)
    return pyramid


def convolution(x, filters, size, norm, name):
    """A "same" convolution; he_normal, since Keras' default halves the signal at each ReLU."""
    return keras.layers.Conv2D(
        filters, size, padding="same", use_bias=norm == "none", kernel_initializer="he_normal", name=name
    )(x)


def normalization(x, norm, name):
    """Batch norm with PyTorch's constants (Keras' slower average makes early validation swing), or another."""
    if norm == "batch":
        return FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
    if norm == "layer":
        return keras.layers.LayerNormalization(epsilon=1e-6, name=name)(x)
    return x


def activate(x, activation, name):
    """ReLU or leaky ReLU."""
    if activation == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=0.2, name=name)(x)
    return keras.layers.ReLU(name=name)(x)


def join(tensors, name):
    """Concatenates along the channels; a single tensor passes."""
    return keras.layers.Concatenate(name=name)(tensors) if len(tensors) > 1 else tensors[0]
