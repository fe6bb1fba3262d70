"""Winograd's convolution computes what the direct one does."""

import numpy as np
import pytest
import tensorflow as tf

from unet_deblur_tf.acceleration import winograd


@pytest.mark.parametrize("kernel", np.eye(3).tolist() + [[0.5, -2.0, 3.0]])
def test_in_one_dimension_the_matrices_compute_four_sums_of_three_products(kernel):
    window = np.array([1.0, -2.0, 3.0, 5.0, -7.0, 11.0])
    values = winograd.TO_TILE @ ((winograd.OF_KERNEL @ kernel) * (winograd.TO_WINDOW @ window))
    np.testing.assert_allclose(values, np.correlate(window, kernel, "valid"), atol=1e-12)


def test_takes_36_products_for_16_pixels():
    """Hence a quarter of 16 times 9."""
    assert winograd.transform_kernel(np.ones((3, 3, 5, 7))).shape == (36, 5, 7)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (5, 8), (17, 30)])
@pytest.mark.parametrize("batch", [1, 3])
def test_equals_the_direct_convolution(size, batch):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(batch, *size, 6)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 6, 5)).astype(np.float32)
    convolve = tf.function(winograd.convolve, input_signature=[tf.TensorSpec((None, None, None, 6)), TRANSFORMED])
    outputs = convolve(inputs, winograd.transform_kernel(kernel).astype(np.float32))
    np.testing.assert_allclose(outputs, tf.nn.conv2d(inputs, kernel, 1, "SAME"), atol=1e-4)


TRANSFORMED = tf.TensorSpec((36, 6, 5))


def test_rounding_stays_near_that_of_the_direct_convolution():
    """Next to float64, with as many channels as the networks have, for outputs of about 1."""
    rng = np.random.default_rng(0)
    inputs = np.maximum(rng.normal(size=(1, 24, 24, 512)), 0)
    kernel = rng.normal(size=(3, 3, 512, 64)) / np.sqrt(9 * 512)
    exact = tf.nn.conv2d(inputs, kernel, 1, "SAME")
    transformed = winograd.transform_kernel(kernel).astype(np.float32)
    outputs = winograd.convolve(tf.constant(inputs, tf.float32), tf.constant(transformed))
    error = np.sqrt(np.mean((outputs.numpy() - exact.numpy()) ** 2))
    assert error < 3e-6


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((3, 3, 512, 256), "float32", True),
        ((3, 3, 128, 128), "float32", True),
        ((3, 3, 64, 32), "float32", False),
        ((3, 3, 0, 256), "float32", False),
        ((1, 1, 512, 256), "float32", False),
        ((3, 3, 512, 256), "bfloat16", False),
    ],
)
def test_where_it_is_worthwhile(shape, dtype, expected):
    assert winograd.is_worthwhile(shape, dtype) is expected
