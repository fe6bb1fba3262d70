"""Layers that Keras does not have, or has in a form that cannot take pictures of unknown size.

They run on every Keras backend and take `(batch, height, width, channels)` with any of the
first three unknown. They are registered, so that `.keras` files load without `custom_objects`.

Most use `keras.ops` alone. Four have a form of their own for TensorFlow, which computes the same:

    FusedBatchNormalization         for speed: one operation in training, where Keras takes some ten
    BilinearUpsampling2D            for export: Keras' own cannot double a size that the graph does not know
    PixelUnshuffle, PixelShuffle    for export: one operation, which other runtimes know
"""

import keras
from keras import ops

from unet_deblur_tf.configs import CELL

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

    def build(self, input_shape):
        # Keras then names the channels that it got and those that it expects; a single one would broadcast unnoticed.
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: input_shape[-1]})

    def call(self, inputs):
        for axis in (1, 2):
            inputs = ops.take(inputs, self._source_index(ops.shape(inputs)[axis]), axis=axis)
        return inputs

    def _source_index(self, size):
        """For each row (or column) of the padded picture, the row of the original that it shows."""
        padded = self._round_up(size)
        # Reflection has a period of 2 (size - 1): 0 1 2 3 | 2 1 | 0 1 2 3 ...
        period = ops.maximum(2 * (size - 1), 1)
        place = ops.mod(ops.arange(padded, dtype="int32"), period)
        # Not `last - abs(place - last)`: OpenVINO 2026.4 takes the absolute value of constant int32 wrongly
        # (openvinotoolkit/openvino#38166), which showed where the size was fixed.
        return ops.minimum(place, period - place)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, self._round_up(height), self._round_up(width), channels)

    def _round_up(self, size):
        # Of positive numbers alone: ONNX's integer division rounds towards zero, TensorFlow's down.
        return None if size is None else (size + self.multiple - 1) // self.multiple * self.multiple

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(PACKAGE)
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` that trains by TensorFlow's one operation for it.

    Keras 3.15 composes batch norm of some ten passes over memory, in float32 also under mixed precision, which
    made a third of a training step on a CPU. Synchronised over replicas, and on other backends, it is Keras' own.

    Args, shapes: those of `keras.layers.BatchNormalization`, over the last axis, with scale and center.
    """

    def call(self, inputs, training=None, mask=None):
        fused = training and self.trainable and not self.synchronized and mask is None
        if not fused or keras.config.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        # It gives the variance of the sample over n - 1, where Keras takes n.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
        variance *= (count - 1) / count
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + new * (1 - self.momentum))
        return outputs


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
        return double_size(inputs)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height and 2 * height, width and 2 * width, channels)


def double_size(features):
    """What `BilinearUpsampling2D` computes, in the dtype that it is given."""
    if keras.config.backend() == "tensorflow":
        # `keras.ops.image.resize` compares the size with 0 in Python, which a size
        # known only when the graph runs does not allow (Keras 3.15).
        import tensorflow as tf

        _, height, width, _ = ops.shape(features)
        return ops.cast(tf.image.resize(features, (2 * height, 2 * width), "bilinear"), features.dtype)
    # Not `keras.ops.image.resize`: JAX's is a product with a dense matrix.
    for axis in (1, 2):
        everywhere, shape = (slice(None),) * axis, list(ops.shape(features))
        first, last, but_first, but_last = (
            features[(*everywhere, part)] for part in (slice(1), slice(-1, None), slice(1, None), slice(-1))
        )
        before = ops.concatenate([first, but_last], axis)
        after = ops.concatenate([but_first, last], axis)
        places = [0.25 * before + 0.75 * features, 0.75 * features + 0.25 * after]
        shape[axis] *= 2
        features = ops.reshape(ops.stack(places, axis + 1), shape)
    return features


class _Blocks(keras.layers.Layer):
    """What `PixelUnshuffle` and `PixelShuffle` share: the side of their blocks."""

    def __init__(self, block, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(block, int) or block < 2:
            raise ValueError(f"block must be an int of at least 2. Received: block={block!r}")
        self.block = block

    def get_config(self):
        return {**super().get_config(), "block": self.block}


@keras.saving.register_keras_serializable(PACKAGE)
class PixelUnshuffle(_Blocks):
    """Turns blocks of pixels into channels: row by row, left to right, all channels of a pixel together.

    Args:
        block: int of at least 2, the side of the blocks.

    Input shape: `(batch, height, width, C)`, height and width multiples of `block`.
    Output shape: `(batch, height / block, width / block, block * block * C)`.

    Raises:
        ValueError: if `block` is not such an int.
    """

    def call(self, inputs):
        if keras.config.backend() == "tensorflow":
            # One operation, which other runtimes know too, instead of a six-dimensional transposition.
            import tensorflow as tf

            return tf.nn.space_to_depth(inputs, self.block)
        _, height, width, channels = ops.shape(inputs)
        rows, columns = height // self.block, width // self.block
        blocks = ops.reshape(inputs, (-1, rows, self.block, columns, self.block, channels))
        return ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4, 5)), (-1, rows, columns, self.block**2 * channels))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height and height // self.block, width and width // self.block, channels * self.block**2)


@keras.saving.register_keras_serializable(PACKAGE)
class PixelShuffle(_Blocks):
    """The inverse of `PixelUnshuffle`: turns channels into blocks of pixels.

    Args:
        block: int of at least 2, the side of the blocks.

    Input shape: `(batch, height, width, block * block * C)`.
    Output shape: `(batch, block * height, block * width, C)`.

    Raises:
        ValueError: if `block` is not such an int.
    """

    def call(self, inputs):
        if keras.config.backend() == "tensorflow":
            import tensorflow as tf

            return tf.nn.depth_to_space(inputs, self.block)
        _, height, width, channels = ops.shape(inputs)
        channels //= self.block**2
        blocks = ops.reshape(inputs, (-1, height, width, self.block, self.block, channels))
        size = (-1, height * self.block, width * self.block, channels)
        return ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4, 5)), size)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height and height * self.block, width and width * self.block, channels // self.block**2)


@keras.saving.register_keras_serializable(PACKAGE)
class Squeeze(keras.layers.Layer):
    """The first half of squeeze-and-excitation: means of each channel, over the whole picture or around each place.

    A network trained on crops learns from the means of crops. Over a whole picture they
    spread less, which costs such networks quality; means over a window somewhat larger
    than the crop do not (TLC). The window moves over the picture in steps of 16
    pixels and stays inside it: near a border it is the outermost one that fits. One that
    covers the picture gives what the global mean gives.

    Sums are in float32: in float16 that over a picture overflows.

    Args:
        stride: pixels of the picture per pixel of the features, a power of two up to 16.
        window: side of the window in pixels of the picture, a multiple of 16; None for
            the whole picture. With 16 the outputs are the means of the grid's cells.

    Input shape: `(batch, height, width, C)`; with a window, height and width are
        multiples of `16 / stride`.
    Output shape: float32 `(batch, 1, 1, C)`, or with a window
        `(batch, height * stride / 16, width * stride / 16, C)`.

    Raises:
        ValueError: if `stride` or `window` is none of these.

    References:
        Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018.
        Chu, Chen, Chen, Lu, "Improving Image Restoration by Revisiting Global
        Information Aggregation", ECCV 2022.
    """

    def __init__(self, stride=1, window=None, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        if stride not in (1, 2, 4, 8, 16):
            raise ValueError(f"stride must be a power of two up to {CELL}. Received: stride={stride!r}")
        if window is not None and (window < CELL or window % CELL):
            raise ValueError(f"window must be a positive multiple of {CELL} or None. Received: window={window!r}")
        self.stride = stride
        self.window = window

    def call(self, inputs):
        if self.window is None:
            return ops.mean(inputs, axis=(1, 2), keepdims=True)
        cells = ops.average_pool(inputs, CELL // self.stride) if self.stride < CELL else inputs
        return window_means(cells, self.window // CELL)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        if self.window is None:
            return (batch, 1, 1, channels)
        height, width = (side and side * self.stride // CELL for side in (height, width))
        return (batch, height, width, channels)

    def get_config(self):
        return {**super().get_config(), "stride": self.stride, "window": self.window}


def window_means(cells, count):
    """Means over windows of `count` by `count` cells that stay inside the grid.

    Args:
        cells: `(batch, rows, columns, channels)`.
        count: int; where the grid has fewer rows or columns, the window has as many.

    Returns:
        The same shape: for each cell the mean of the window around it, or of the
        outermost one that fits.
    """
    for axis in (1, 2):
        size = ops.shape(cells)[axis]
        window = ops.minimum(count, size)
        sums = ops.cumsum(cells, axis=axis)
        sums = ops.concatenate([ops.zeros_like(ops.take(sums, [0], axis=axis)), sums], axis=axis)
        start = ops.clip(ops.arange(size, dtype="int32") - window // 2, 0, size - window)
        difference = ops.take(sums, start + window, axis=axis) - ops.take(sums, start, axis=axis)
        cells = difference / ops.cast(window, cells.dtype)
    return cells


class ChannelGate(keras.layers.Layer):
    """Scales each channel by a gate, which a subclass computes from the means of all channels.

    Called on `[inputs, means]`, the means from `Squeeze`. Means on a grid give each of its cells a gate of its own.

    Input shape: `(batch, height, width, C)` and `(batch, rows, columns, C)`; height is a multiple of rows, width of
        columns.
    Output shape: that of the inputs.
    """

    def gate(self, means):
        """The factor of each channel, of the means' shape."""
        raise NotImplementedError

    def call(self, inputs):
        inputs, means = inputs
        gate = self.gate(means)
        if gate.shape[1] == gate.shape[2] == 1:
            return inputs * gate
        # Cell by cell, so that no gate has to be repeated for every pixel in memory.
        _, height, width, channels = ops.shape(inputs)
        _, rows, columns, _ = ops.shape(gate)
        cells = ops.reshape(inputs, (-1, rows, height // rows, columns, width // columns, channels))
        return ops.reshape(cells * gate[:, :, None, :, None, :], (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@keras.saving.register_keras_serializable(PACKAGE)
class Excitation(ChannelGate):
    """The second half of squeeze-and-excitation: scales each channel by a gate in 0..1 from all channels' means.

    Dense C -> C / ratio, ReLU, dense C / ratio -> C, sigmoid, scale; no biases. Calls and shapes are those of
    `ChannelGate`.

    Args:
        ratio: int of at least 1; the hidden layer has `max(1, C // ratio)` units.

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
        channels = input_shape[0][-1]
        hidden = max(1, channels // self.ratio)
        self.squeeze = self.add_weight((channels, hidden), "he_normal", name="squeeze")
        self.excite = self.add_weight((hidden, channels), "glorot_uniform", name="excite")

    def gate(self, means):
        hidden = ops.relu(ops.matmul(ops.cast(means, self.compute_dtype), self.squeeze))
        return ops.sigmoid(ops.matmul(hidden, self.excite))

    def get_config(self):
        return {**super().get_config(), "ratio": self.ratio}
