"""The building blocks of the U-Nets: functions from tensors to tensors, their layers named with a prefix."""

import keras

from unet_deblur_tf.models.layers import BilinearUpsampling2D, FusedBatchNormalization


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
