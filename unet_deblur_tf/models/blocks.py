"""Building blocks of the U-Nets: functions from tensors to tensors. Each names its Keras layers with a prefix."""

import keras

from unet_deblur_tf.models.layers import BilinearUpsampling2D, FusedBatchNormalization, PixelShuffle


def double_conv(x, middle, width, norm, activation, name):
    """(3x3 convolution, norm, activation) twice: first to `middle` channels, then to `width`."""
    for number, filters in enumerate((middle, width), start=1):
        x = convolution(x, filters, 3, norm, f"{name}_conv{number}")
        x = normalization(x, norm, f"{name}_norm{number}")
        x = activate(x, activation, f"{name}_act{number}")
    return x


def residual_blocks(x, count, norm, activation, name):
    """Blocks that add a correction to the features: 3x3 convolution, activation, 3x3 convolution, each with its norm.

    The last convolution of a block starts at zero, so a block does nothing at first.

    Reference: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017.
    """
    width = x.shape[-1]
    for number in range(1, count + 1):
        block = f"{name}_block{number}"
        y = normalization(convolution(x, width, 3, norm, f"{block}_conv1"), norm, f"{block}_norm1")
        y = activate(y, activation, f"{block}_act")
        y = convolution(y, width, 3, norm, f"{block}_conv2", kernel_initializer="zeros")
        y = normalization(y, norm, f"{block}_norm2")
        x = keras.layers.Add(name=f"{block}_add")([x, y])
    return x


def compression(x, width, norm, activation, name):
    """(norm, activation, convolution) twice: 1x1 to 4 `width` channels, then 3x3 to `width`.

    Reference: figure 12 of the original student project.
    """
    for number, (filters, size) in enumerate(((4 * width, 1), (width, 3)), start=1):
        x = normalization(x, norm, f"{name}_norm{number}")
        x = activate(x, activation, f"{name}_act{number}")
        x = convolution(x, filters, size, norm, f"{name}_conv{number}")
    return x


def projection(levels, stage_level, below, width, norm, name):
    """Adds up 1x1 convolutions of all encoder levels and of the stage below, at the resolution of the stage.

    The result equals one 1x1 convolution of all inputs, resized and concatenated. A 1x1 convolution commutes with
    bilinear upsampling, so each coarser level is convolved at its own resolution. The levels share the upsampling,
    which runs from the coarsest to the finest.

    Args:
        levels: list of tensors, the encoder levels from the finest to the coarsest. Those up to `stage_level` have the
            resolution of the stage, the coarser ones have their own.
        stage_level: int, index of the level whose own resolution is that of the stage.
        below: tensor, the features of the stage below, at half the resolution of the stage.
        width: int, number of channels of the stage.
        norm, name: as in `double_conv`.

    Returns:
        A tensor with `width` channels at the resolution of the stage.
    """

    def project(features, source):
        # One bias is enough for the sum.
        return keras.layers.Conv2D(
            width,
            1,
            use_bias=norm == "none" and source == stage_level + 1,
            kernel_initializer="he_normal",
            name=f"{name}_project{source}",
        )(features)

    by_resolution = {stage_level + 1: [project(below, 0)]}
    for index, level in enumerate(levels):
        by_resolution.setdefault(max(stage_level, index), []).append(project(level, index + 1))
    total = None
    for resolution in sorted(by_resolution, reverse=True):
        parts = by_resolution[resolution]
        if total is not None:
            parts = [*parts, BilinearUpsampling2D(name=f"{name}_upsample{resolution + 1}")(total)]
        total = keras.layers.Add(name=f"{name}_add{resolution + 1}")(parts) if len(parts) > 1 else parts[0]
    return total


def resize_levels(levels):
    """Resizes every encoder level to the resolution of every other.

    Finer levels are average-pooled and coarser ones bilinearly upsampled. Each step halves or doubles the size, so that
    the decoder stages share the intermediate results.

    Args:
        levels: list of tensors, from the finest to the coarsest.

    Returns:
        A list with an entry per resolution: the list of all levels at that resolution.
    """
    pyramid = [[] for _ in levels]
    for source, features in enumerate(levels):
        resized = {source: features}
        for target in range(source + 1, len(levels)):
            layer = keras.layers.AveragePooling2D(2, name=f"level{source + 1}_at{target + 1}")
            resized[target] = layer(resized[target - 1])
        for target in reversed(range(source)):
            layer = BilinearUpsampling2D(name=f"level{source + 1}_at{target + 1}")
            resized[target] = layer(resized[target + 1])
        for target, tensor in resized.items():
            pyramid[target].append(tensor)
    return pyramid


def downsampling(x, width, resizing, name):
    """Halves the resolution: max pooling ("fixed"), or a 2x2 convolution to `width` channels ("learned")."""
    if resizing == "learned":
        return keras.layers.Conv2D(width, 2, strides=2, name=f"{name}_down")(x)
    return keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def upsampling(x, width, resizing, name):
    """Doubles the resolution: bilinear ("fixed"), or a 1x1 convolution whose channels become pixels ("learned").

    The learned one gives `width` channels, the other keeps their number.
    """
    if resizing == "learned":
        x = keras.layers.Conv2D(4 * width, 1, use_bias=False, name=f"{name}_up")(x)
        return PixelShuffle(2, name=f"{name}_shuffle")(x)
    return BilinearUpsampling2D(name=f"{name}_upsample")(x)


def convolution(x, filters, size, norm, name, kernel_initializer="he_normal"):
    """A "same" convolution. Weights start as he_normal: Keras' default would halve the signal at each ReLU."""
    return keras.layers.Conv2D(
        filters, size, padding="same", use_bias=norm == "none", kernel_initializer=kernel_initializer, name=name
    )(x)


def normalization(x, norm, name):
    """Batch norm, layer norm or none.

    Batch norm takes PyTorch's constants: with Keras' slower moving average, early validation scores swing.
    """
    if norm == "batch":
        return FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
    if norm == "layer":
        return keras.layers.LayerNormalization(epsilon=1e-6, name=name)(x)
    return x


def activate(x, activation, name):
    """ReLU, or leaky ReLU with slope 0.2."""
    if activation == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=0.2, name=name)(x)
    return keras.layers.ReLU(name=name)(x)


def join(tensors, name):
    """Concatenates tensors along the channels. A single tensor is returned as it is."""
    return keras.layers.Concatenate(name=name)(tensors) if len(tensors) > 1 else tensors[0]
