"""3x3 convolutions with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3), on a CPU.

    kernel = transform_kernel(kernel)          # once
    outputs = convolve(inputs, kernel)         # equal to 1e-5, as a "same" convolution

Each 4x4 tile of the output is made of the 6x6 pixels of the input around it:

    V = B^T d B                                d: 6x6 pixels of a channel
    M = U * V, summed over the channels        U = G g G^T, g: 3x3 weights
    output = A^T M A                           4x4 pixels

so that 36 products do for what takes 144, and they are 36 products of matrices, (tiles, channels) by (channels,
filters), which a processor computes at its full speed. What is made of the input is 2.25 times as large, so this pays
where channels are many, and only in float32: in bfloat16 what rounding does to V and M would show.

References:
    Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
    Barabasz, Anderson, Soodhalter, Gregg, "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep
    Neural Networks", ACM TOMS 2020: the points decide how much rounding does.
"""

import numpy as np
import tensorflow as tf

TILE, KERNEL = 4, 3
WINDOW = TILE + KERNEL - 1

# Polynomials are multiplied by their values at these points, and at infinity. With the usual ones (0, 1, -1, 2, -2)
# what rounding does is twice as much.
POINTS = (0, 2 / 3, -2 / 3, 4 / 3, -4 / 3)

# Channels times filters over channels plus filters, from which on it pays: what it saves over what transforming costs.
# Measured at 1280x720 on a CPU, docs/speed.md.
MIN_CHANNEL_RATIO = 60


def is_worthwhile(shape, dtype):
    """Whether a convolution with a kernel of this shape, computed in this dtype, is better evaluated this way."""
    height, width, channels, filters = shape
    return (height, width) == (KERNEL, KERNEL) and dtype == "float32" and ratio(channels, filters) >= MIN_CHANNEL_RATIO


def ratio(channels, filters):
    """What `MIN_CHANNEL_RATIO` is a bound of; 0 without channels or filters."""
    return channels * filters / (channels + filters) if channels and filters else 0


def _matrices():
    """B^T `(6, 6)`, G `(6, 3)` and A^T `(4, 6)` for `POINTS`, by Toom and Cook's method, float64."""
    others = [[other for other in POINTS if other != point] for point in POINTS]
    # Row by row the polynomial that is zero at all other points, from its lowest coefficient on.
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
    """What `convolve` takes.

    Args:
        kernel: array `(3, 3, channels, filters)`.

    Returns:
        float64 array `(36, channels, filters)`: G g G^T of each channel and filter, row by row.
    """
    return np.tensordot(np.kron(OF_KERNEL, OF_KERNEL), np.reshape(kernel, (KERNEL**2, *np.shape(kernel)[2:])), 1)


def convolve(inputs, kernel):
    """A "same" 3x3 convolution.

    Args:
        inputs: tensor `(batch, height, width, channels)`, any but the channels unknown.
        kernel: tensor `(36, channels, filters)`, as `transform_kernel` gives it.

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
    """The 6x6 pixels around each tile, place by place: `(36 * batch * rows * columns, channels)`."""
    batch, height, width, channels = tf.unstack(tf.shape(inputs))
    above = KERNEL // 2
    height_padded, width_padded = rows * TILE + KERNEL - 1, columns * TILE + KERNEL - 1
    padding = [[0, 0], [above, height_padded - height - above], [above, width_padded - width - above], [0, 0]]
    padded = tf.pad(inputs, padding)
    # One gathering is several times as fast as as many strided slices, or `tf.image.extract_patches`.
    place = tf.range(WINDOW)
    row = place[:, tf.newaxis] + TILE * tf.range(rows)  # (6, rows)
    column = place[:, tf.newaxis] + TILE * tf.range(columns)
    picture = tf.range(batch)[:, tf.newaxis, tf.newaxis] * height_padded
    pixel_row = (picture + row[:, tf.newaxis, tf.newaxis, :, tf.newaxis]) * width_padded  # (6, 1, batch, rows, 1)
    pixels = pixel_row + column[:, tf.newaxis, tf.newaxis, :]  # (6, 6, batch, rows, columns)
    return tf.gather(tf.reshape(padded, [-1, channels]), tf.reshape(pixels, [-1]))


def _both_ways(matrix, dtype):
    """The matrix that does to the rows and the columns of a window, row by row in a vector, what `matrix` does."""
    return tf.constant(np.kron(matrix, matrix), dtype)
