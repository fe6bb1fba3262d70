"""3x3 convolutions with a quarter of the multiplications, for CPUs: Winograd's minimal filtering F(4x4, 3x3).

    kernel = transform_kernel(kernel)          # once
    outputs = convolve(inputs, kernel)         # equals a "same" convolution to 1e-5

Each 4x4 tile of the output is computed from the 6x6 pixels of the input around it:

    V = B^T d B                                d: 6x6 pixels of a channel
    M = U * V, summed over the channels        U = G g G^T, g: 3x3 weights
    output = A^T M A                           4x4 pixels

This takes 36 multiplications instead of 144. They form 36 matrix products, (tiles, channels) by (channels, filters),
which run at the processor's full speed. The transformed input V is 2.25 times as large as the input, so the method pays
where there are many channels. It is used in float32 only: in bfloat16 the rounding errors of V and M would be visible.

References:
    Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
    Barabasz, Anderson, Soodhalter, Gregg, "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep
    Neural Networks", ACM TOMS 2020 (the choice of `POINTS` decides how large rounding errors become).
"""

import numpy as np
import tensorflow as tf

TILE, KERNEL = 4, 3
WINDOW = TILE + KERNEL - 1

# Polynomials are multiplied through their values at these points and at infinity. With the usual points
# (0, 1, -1, 2, -2) rounding errors are twice as large.
POINTS = (0, 2 / 3, -2 / 3, 4 / 3, -4 / 3)

# The smallest `ratio` for which the method pays: what it saves, relative to the cost of the transforms. Measured at
# 1280x720 on a CPU, see docs/speed.md.
MIN_CHANNEL_RATIO = 60


def is_worthwhile(shape, dtype):
    """Whether a convolution with a kernel of this shape, computed in this dtype, is faster this way."""
    height, width, channels, filters = shape
    return (height, width) == (KERNEL, KERNEL) and dtype == "float32" and ratio(channels, filters) >= MIN_CHANNEL_RATIO


def ratio(channels, filters):
    """channels * filters / (channels + filters), see `MIN_CHANNEL_RATIO`; 0 without channels or filters."""
    return channels * filters / (channels + filters) if channels and filters else 0


def _matrices():
    """B^T `(6, 6)`, G `(6, 3)` and A^T `(4, 6)` for `POINTS`, float64, by the Toom-Cook method."""
    others = [[other for other in POINTS if other != point] for point in POINTS]
    # Each row holds the polynomial that is zero at all other points, lowest coefficient first.
    to_window = np.zeros((WINDOW, WINDOW))
    for row, zeros in enumerate(others):
        to_window[row, :-1] = np.poly(zeros)[::-1]
    to_window[-1] = np.poly(POINTS)[::-1]
    at_infinity = [0] * (KERNEL - 1) + [1]
    scale = [np.prod(np.subtract(point, zeros)) for point, zeros in zip(POINTS, others)]
    of_kernel = np.vstack([np.vander(POINTS, KERNEL, increasing=True) / np.transpose([scale]), at_infinity])
    to_tile = np.vstack([np.vander(POINTS, TILE, increasing=True), [0] * (TILE - 1) + [1]]).T
    return to_window, of_kernel, to_tile


TO_WINDOW, OF_KERNEL, TO_TILE = _matrices()


def transform_kernel(kernel):
    """Transforms the weights of a convolution for `convolve`.

    Args:
        kernel: array `(3, 3, channels, filters)`.

    Returns:
        float64 array `(36, channels, filters)`: G g G^T of each channel and filter, row by row.
    """
    return np.tensordot(np.kron(OF_KERNEL, OF_KERNEL), np.reshape(kernel, (KERNEL**2, *np.shape(kernel)[2:])), 1)


def convolve(inputs, kernel):
    """A "same" 3x3 convolution.

    Args:
        inputs: tensor `(batch, height, width, channels)`. All dimensions but the channels can be unknown.
        kernel: tensor `(36, channels, filters)`, as `transform_kernel` returns it.

    Returns:
        Tensor `(batch, height, width, filters)`.
    """
    _, channels, filters = kernel.shape
    batch, height, width, _ = tf.unstack(tf.shape(inputs))
    rows, columns = (height + TILE - 1) // TILE, (width + TILE - 1) // TILE
    tiles = batch * rows * columns

    windows = tf.reshape(_windows(inputs, rows, columns), [WINDOW**2, tiles * channels])
    transformed = tf.matmul(_both_ways(TO_WINDOW, inputs.dtype), windows)
    products = tf.matmul(tf.reshape(transformed, [WINDOW**2, tiles, channels]), kernel)
    outputs = tf.matmul(_both_ways(TO_TILE, inputs.dtype), tf.reshape(products, [WINDOW**2, tiles * filters]))
    outputs = tf.transpose(tf.reshape(outputs, [TILE, TILE, batch, rows, columns, filters]), [2, 3, 0, 4, 1, 5])
    return tf.reshape(outputs, [batch, rows * TILE, columns * TILE, filters])[:, :height, :width]


def _windows(inputs, rows, columns):
    """The 6x6 pixels around each tile: `(36 * batch * rows * columns, channels)`, all tiles for one pixel at a time."""
    batch, height, width, channels = tf.unstack(tf.shape(inputs))
    above = KERNEL // 2
    height_padded, width_padded = rows * TILE + KERNEL - 1, columns * TILE + KERNEL - 1
    padding = [[0, 0], [above, height_padded - height - above], [above, width_padded - width - above], [0, 0]]
    padded = tf.pad(inputs, padding)
    # One gather is several times as fast as 36 strided slices or `tf.image.extract_patches`.
    offset = tf.range(WINDOW)
    row = offset[:, tf.newaxis] + TILE * tf.range(rows)  # (6, rows)
    column = offset[:, tf.newaxis] + TILE * tf.range(columns)
    picture = tf.range(batch)[:, tf.newaxis, tf.newaxis] * height_padded
    pixel_row = (picture + row[:, tf.newaxis, tf.newaxis, :, tf.newaxis]) * width_padded  # (6, 1, batch, rows, 1)
    pixels = pixel_row + column[:, tf.newaxis, tf.newaxis, :]  # (6, 6, batch, rows, columns)
    return tf.gather(tf.reshape(padded, [-1, channels]), tf.reshape(pixels, [-1]))


def _both_ways(matrix, dtype):
    """The matrix that applies `matrix` to the rows and the columns of a window, flattened row by row."""
    return tf.constant(np.kron(matrix, matrix), dtype)
