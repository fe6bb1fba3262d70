"""Muon for convolutions: one step against NumPy, and which weights it takes."""

import keras
import numpy as np
import pytest
from helpers import SMALL_WIDTHS, random_pictures

from unet_deblur_tf.models.unet import unet
from unet_deblur_tf.training.optimizers import ConvolutionMuon, make_optimizer

RATE = 0.01


def newton_schulz(matrix):
    """Five iterations of Muon's polynomial on the singular values, which leave the singular vectors alone."""
    left, values, right = np.linalg.svd(matrix / np.linalg.norm(matrix), full_matrices=False)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left * values @ right


@pytest.mark.parametrize("shape", [(3, 3, 4, 24), (1, 1, 40, 16), (3, 3, 16, 32)])
def test_two_steps_of_a_kernel(shape):
    rng = np.random.default_rng(0)
    start, *gradients = (rng.normal(size=shape) for _ in range(3))
    kernel = keras.Variable(start, dtype="float32")
    optimizer = ConvolutionMuon(RATE, weight_decay=None, adam_weight_decay=None)
    expected, momentum = start, np.zeros(shape)
    rows, columns = np.prod(shape[:-1]), shape[-1]
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [kernel])
        momentum = 0.95 * momentum + gradient
        update = newton_schulz((gradient + 0.95 * momentum).reshape(rows, columns))
        expected = expected - RATE * 0.2 * np.sqrt(max(rows, columns)) * update.reshape(shape)
    np.testing.assert_allclose(kernel.numpy(), expected, atol=2e-5)
    assert np.abs(expected - start).max() > 1e-3


@pytest.mark.parametrize("shape", [(7,), (8, 8), (3, 3, 8, 12)])
def test_what_is_no_wide_kernel_moves_as_adamw_moves_it(shape):
    rng = np.random.default_rng(1)
    start, gradient = rng.normal(size=shape), rng.normal(size=shape)
    moved = []
    for optimizer in (
        ConvolutionMuon(RATE, weight_decay=0.1, adam_weight_decay=0.1),
        keras.optimizers.AdamW(RATE, weight_decay=0.1, beta_2=0.999, epsilon=1e-7),
    ):
        weight = keras.Variable(start, dtype="float32")
        for _ in range(3):
            optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [weight])
        moved.append(weight.numpy())
    np.testing.assert_allclose(*moved, atol=1e-6)
    assert np.abs(moved[0] - start).min() > RATE


@pytest.mark.slow
def test_a_model_saved_in_the_middle_goes_on_alike(tmp_path):
    image = random_pictures(32, 32, count=2)

    def step(model):
        model.train_on_batch(image, 1 - image)

    model = unet(widths=SMALL_WIDTHS, norm="none")
    model.compile(ConvolutionMuon(1e-3, global_clipnorm=1.0), "mean_absolute_error", jit_compile=False)
    step(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, ConvolutionMuon)
    step(model)
    step(again)
    for ours, theirs in zip(model.weights, again.weights):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize("smallest", [1, 1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("shape", [(576, 64), (32, 288)])
def test_newton_schulz_of_ill_conditioned_matrices(shape, smallest):
    """Where singular values span many magnitudes, the Gram matrix loses the least ones, which count little."""
    rng = np.random.default_rng(2)
    left, _, right = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    matrix = left * np.geomspace(1, smallest, min(shape)) @ right
    optimizer = ConvolutionMuon(RATE)
    found = keras.ops.convert_to_numpy(
        optimizer.zeropower_via_newtonschulz5(keras.ops.convert_to_tensor(matrix, "float32"), 5)
    )
    assert np.abs(found - newton_schulz(matrix)).max() < 1e-3
    assert np.linalg.svd(found)[1].max() < 1.25


def weights_of_a_layer():
    """A kernel for Muon, one of too few filters for it, a bias and the two weights of a norm, all 2."""
    shapes = [("kernel", (3, 3, 4, 24)), ("kernel", (3, 3, 4, 8)), ("bias", (24,)), ("gamma", (24,)), ("beta", (24,))]
    return [keras.Variable(np.full(shape, 2.0), dtype="float32", name=name) for name, shape in shapes]


@pytest.mark.parametrize(
    ("name", "kernel"), [("adam", 2), ("adamw", 2 * (1 - 1e-4 * 100)), ("muon", 2 * (1 - 1e-4 * 100))]
)
def test_only_kernels_decay(name, kernel):
    """At a rate of 100 and without gradients, a decay of 1e-4 takes a hundredth."""
    weights = weights_of_a_layer()
    make_optimizer(name, 100.0).apply([keras.ops.zeros_like(weight) for weight in weights], weights)
    for weight, expected in zip(weights, (kernel, kernel, 2, 2, 2)):
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(("name", "clips"), [("adam", False), ("adamw", True), ("muon", True)])
def test_gradients_are_clipped_to_a_common_norm_of_one(name, clips):
    rng = np.random.default_rng(5)
    first, second = ([rng.normal(size=weight.shape) for weight in weights_of_a_layer()] for _ in range(2))
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in first))
    assert norm > 10
    moved = []
    for scale in (1, 1 / norm):
        weights, optimizer = weights_of_a_layer(), make_optimizer(name, RATE)
        # The second step is small enough to stay as it is: it shows how large the first one was taken.
        for gradients, factor in ((first, scale), (second, 0.5 / norm)):
            optimizer.apply([keras.ops.convert_to_tensor(factor * each, "float32") for each in gradients], weights)
        moved.append(np.concatenate([weight.numpy().ravel() for weight in weights]))
    assert (np.abs(moved[0] - moved[1]).max() < 1e-5) == clips
    assert np.abs(moved[0] - 2).mean() > 1e-3
