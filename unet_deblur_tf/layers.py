"""Layers that Keras does not have, or has in a form that cannot take pictures of unknown size.

All of them use `keras.ops` alone, so they run on every Keras backend, take
`(batch, height, width, channels)` with any of the first three unknown, and are
registered, so that `.keras` files load without `custom_objects`.
"""

import keras
from keras import ops

PACKAGE = "unet_deblur_tf"


@keras.saving.register_keras_serializable(PACKAGE)
class ReflectPadding2D(keras.layers.Layer):
    """Pads below and to the right, by reflection, to the next multiple of `multiple`.

    The border pixel is not repeated (NumPy's "reflect"). A picture smaller than
    the padding is reflected back and forth, and one of a single row or column is
    repeated, so every size from 1x1 up works.

    Args:
        multiple: int of at least 1, in pixels.

    Input shape: `(batch, height, width, channels)`.
    Output shape: the same with height and width rounded up to multiples of `multiple`.

    Raises:
        ValueError: if `multiple` is not a positive int.
    """

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(multiple, int) or multiple < 1:
            raise ValueError(f"multiple must be a positive int. Received: multiple={multiple!r}")
        self.multiple = multiple

    def call(self, inputs):
        for axis in (1, 2):
            inputs = ops.take(inputs, self._source_index(ops.shape(inputs)[axis]), axis=axis)
        return inputs

    def _source_index(self, size):
        """For each row (or column) of the padded picture, the row of the original that it shows."""
        padded = -(-size // self.multiple) * self.multiple
        # Reflection has a period of 2 (size - 1): 0 1 2 3 | 2 1 | 0 1 2 3 ...
        last = size - 1
        period = ops.maximum(2 * last, 1)
        return last - ops.abs(ops.mod(ops.arange(padded, dtype="int32"), period) - last)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, self._round_up(height), self._round_up(width), channels)

    def _round_up(self, size):
        return None if size is None else -(-size // self.multiple) * self.multiple

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(PACKAGE)
class CropLike(keras.layers.Layer):
    """Crops a feature map to the height and width of a reference picture, from the top left.

    The counterpart of `ReflectPadding2D`. Called on `[inputs, reference]`.

    Input shape: `(batch, height, width, channels)` and `(batch, h, w, any)`, h <= height, w <= width.
    Output shape: `(batch, h, w, channels)`.
    """

    def call(self, inputs):
        inputs, reference = inputs
        _, height, width, _ = ops.shape(reference)
        return inputs[:, :height, :width, :]

    def compute_output_shape(self, input_shape):
        (batch, _, _, channels), (_, height, width, _) = input_shape
        return (batch, height, width, channels)


@keras.saving.register_keras_serializable(PACKAGE)
class BilinearUpsampling2D(keras.layers.Layer):
    """Doubles height and width by bilinear interpolation (half-pixel centres, edges repeated).

    Each new sample is 3/4 of the nearer and 1/4 of the farther neighbour along each
    axis. `keras.layers.UpSampling2D` computes the same but cannot be exported with
    unknown height and width.

    Input shape: `(batch, height, width, channels)`.
    Output shape: `(batch, 2 * height, 2 * width, channels)`.
    """

    def call(self, inputs):
        _, height, width, _ = ops.shape(inputs)
        size = (2 * height, 2 * width)
        if keras.config.backend() == "tensorflow":
            # `keras.ops.image.resize` compares the size with 0 in Python, which a size
            # known only when the graph runs does not allow (Keras 3.15).
            import tensorflow as tf

            resized = tf.image.resize(inputs, size, "bilinear")
        else:
            resized = ops.image.resize(inputs, size, "bilinear", data_format="channels_last")
        return ops.cast(resized, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height and 2 * height, width and 2 * width, channels)


@keras.saving.register_keras_serializable(PACKAGE)
class SqueezeExcitation(keras.layers.Layer):
    """Channel attention: scales each channel by a gate in 0..1 computed from all channels' means.

    Global average pool, dense C -> C / ratio, ReLU, dense C / ratio -> C, sigmoid,
    scale; no biases. The means are taken in float32: in float16 the sum over a
    picture overflows.

    Args:
        ratio: int of at least 1; the hidden layer has `max(1, C // ratio)` units.

    Input shape: `(batch, height, width, C)`.
    Output shape: the same.

    Raises:
        ValueError: if `ratio` is not a positive int.

    Reference: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018.
    """

    def __init__(self, ratio=16, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(ratio, int) or ratio < 1:
            raise ValueError(f"ratio must be a positive int. Received: ratio={ratio!r}")
        self.ratio = ratio

    def build(self, input_shape):
        channels = input_shape[-1]
        hidden = max(1, channels // self.ratio)
        self.squeeze = self.add_weight((channels, hidden), "he_normal", name="squeeze")
        self.excite = self.add_weight((hidden, channels), "glorot_uniform", name="excite")

    def gate(self, inputs):
        """The factor of each channel, `(batch, 1, 1, C)` in 0..1."""
        means = ops.mean(ops.cast(inputs, "float32"), axis=(1, 2), keepdims=True)
        hidden = ops.relu(ops.matmul(ops.cast(means, self.compute_dtype), self.squeeze))
        return ops.sigmoid(ops.matmul(hidden, self.excite))

    def call(self, inputs):
        return inputs * self.gate(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "ratio": self.ratio}
