"""Losses and metrics against hand computation, NumPy and scikit-image."""

import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import exact_ssim

from unet_deblur_tf.configs import LOSSES
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.models.unet import unet
from unet_deblur_tf.training import losses

NAMES = ("ssim_loss", "l1_loss", "charbonnier_loss", "psnr_loss", "fourier_loss")

# As on a machine where TensorFlow is not installed.
ON_JAX = """
import sys
sys.modules["tensorflow"] = None
import jax, keras, numpy as np
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.training import losses
assert keras.config.backend() == "jax"
given, found, *names = sys.argv[1:]
true, pred = np.load(given)
values = {name: jax.jit(getattr(metrics, name))(true, pred) for name in ("psnr", "ssim")}
values["round_to_8_bit"] = metrics.round_to_8_bit(2 * pred - 0.5)
for name in names:
    def loss(restored):
        per_picture = getattr(losses, name)(true, restored)
        return per_picture.sum(), per_picture
    values[name + "/gradient"], values[name] = jax.jit(jax.grad(loss, has_aux=True))(pred)
np.savez(found, **values)
"""


@pytest.fixture(scope="module")
def batch():
    """Two different pictures and distorted versions of them, float32 (2, 48, 64, 3) in multiples of 1/255."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(2, 48, 64, 3)), axis=1), axis=2)
    smooth -= smooth.min(axis=(1, 2, 3), keepdims=True)
    true = np.round(255 * smooth / smooth.max(axis=(1, 2, 3), keepdims=True)) / 255
    pred = np.clip(true + rng.normal(0, [[[[0.02]]], [[[0.1]]]], true.shape), 0, 1)
    return true.astype(np.float32), (np.round(pred * 255) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def noise():
    """Pictures of odd size without equal pixels, where the gradient of L1 is anyone's choice."""
    return np.random.default_rng(1).random((2, 2, 31, 45, 3), np.float32)


@pytest.fixture(scope="module")
def on_jax(noise, tmp_path_factory):
    """Metrics, losses and gradients of the noise on Keras' JAX backend, by name."""
    folder = tmp_path_factory.mktemp("jax")
    np.save(folder / "given.npy", noise)
    subprocess.run(
        [sys.executable, "-c", ON_JAX, folder / "given.npy", folder / "found.npz", *NAMES],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=True,
    )
    with np.load(folder / "found.npz") as found:
        return dict(found)


def constant(value):
    return np.full((1, 16, 16, 3), value, np.float32)


def test_psnr_by_hand():
    # Half the pixels off by 51/255 = 0.2: MSE 0.02, PSNR 10 log10(1 / 0.02).
    pred = constant(0.0)
    pred[:, ::2] = 0.2
    np.testing.assert_allclose(metrics.psnr(constant(0.0), pred), [10 * math.log10(50)], rtol=1e-5)


def test_psnr_is_per_picture(batch):
    true, pred = batch
    mse = ((true - pred).astype(float) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(metrics.psnr(true, pred), -10 * np.log10(mse), rtol=1e-5)


def test_psnr_of_equal_pictures_is_finite(batch):
    np.testing.assert_allclose(metrics.psnr(batch[0], batch[0]), [100, 100], rtol=1e-6)


def test_metrics_see_what_a_saved_picture_holds():
    # 0.501 and 0.5 are both level 128 of 255; 1.7 and -3 are saved as 255 and 0.
    np.testing.assert_array_equal(metrics.round_to_8_bit([0.501, 0.5, 1.7, -3.0]) * 255, [128, 128, 255, 0])
    np.testing.assert_allclose(metrics.psnr(constant(1.0), constant(1.7)), [100])
    np.testing.assert_allclose(metrics.ssim(constant(1.0), constant(1.7)), [1], atol=1e-6)


def test_ssim_equals_scikit_image(batch):
    true, pred = batch
    for index in range(2):
        expected = exact_ssim(true[index], pred[index])
        np.testing.assert_allclose(metrics.structural_similarity(true, pred)[index], expected, atol=1e-6)
        np.testing.assert_allclose(losses.ssim_loss(true, pred)[index], 1 - expected, atol=1e-6)
        np.testing.assert_allclose(metrics.ssim(true, pred)[index], expected, atol=1e-4)  # of 8 bits


def test_ssim_and_its_gradient_are_those_of_tensorflow(batch, noise):
    np.testing.assert_allclose(metrics.structural_similarity(batch[0], batch[0]), [1, 1], atol=1e-6)
    # In smooth pictures tf.image.ssim is off by 1e-5 itself.
    for pictures, tolerance in ((noise, 1e-6), (batch, 2e-5)):
        true, pred = map(tf.constant, pictures)
        results = []
        for function in (metrics.structural_similarity, lambda true, pred: tf.image.ssim(true, pred, 1.0)):
            with tf.GradientTape() as tape:
                tape.watch(pred)
                similarity = function(true, pred)
            results.append((similarity, tape.gradient(similarity, pred)))
        (ours, our_gradient), (theirs, their_gradient) = results
        np.testing.assert_allclose(ours, theirs, atol=tolerance)
        largest = np.abs(their_gradient).max()
        np.testing.assert_allclose(our_gradient, their_gradient, atol=1e-3 * largest)


def test_ssim_of_a_large_picture_is_exact():
    """Where tf.image.ssim is not: it adds up the places in float32, one by one."""
    rng = np.random.default_rng(0)
    true = np.round(scene(rng, 720, 1280) * 255) / 255
    pred = np.clip(true + rng.integers(-2, 3, true.shape) / 255, 0, 1)
    expected = exact_ssim(true, pred)
    pictures = [picture[np.newaxis].astype(np.float32) for picture in (true, pred)]
    np.testing.assert_allclose(metrics.structural_similarity(*pictures), [expected], atol=5e-6)


def test_metrics_on_jax_are_those_on_tensorflow(noise, on_jax):
    np.testing.assert_allclose(on_jax["psnr"], metrics.psnr(*noise), rtol=1e-6)
    np.testing.assert_allclose(on_jax["ssim"], metrics.ssim(*noise), atol=1e-6)
    np.testing.assert_allclose(on_jax["round_to_8_bit"], metrics.round_to_8_bit(2 * noise[1] - 0.5), atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_losses_and_gradients_on_jax_are_those_on_tensorflow(name, noise, on_jax):
    true, pred = map(tf.constant, noise)
    with tf.GradientTape() as tape:
        tape.watch(pred)
        values = getattr(losses, name)(true, pred)
    gradient = tape.gradient(values, pred).numpy()
    np.testing.assert_allclose(on_jax[name], values, rtol=1e-5)
    np.testing.assert_allclose(on_jax[f"{name}/gradient"], gradient, atol=1e-5 * np.abs(gradient).max())


def test_ssim_of_constant_pictures_by_hand():
    # Without variance SSIM is its luminance term, (2ab + C1) / (a^2 + b^2 + C1), C1 = 0.01^2.
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    # The variance, a difference of float32 squares, is off by some 1e-8 of 9e-4.
    np.testing.assert_allclose(metrics.ssim(constant(0.2), constant(0.6)), [expected], atol=2e-4)


@pytest.mark.parametrize("function", [metrics.ssim, losses.ssim_loss])
def test_ssim_names_a_picture_that_is_too_small(function):
    with pytest.raises(ValueError, match=r"at least 11x11.*\(1, 10, 32, 3\)"):
        function(np.zeros((1, 10, 32, 3), np.float32), np.zeros((1, 10, 32, 3), np.float32))


def test_l1_and_charbonnier_by_hand():
    pred = constant(0.0)
    pred[:, ::2] = 0.3
    np.testing.assert_allclose(losses.l1_loss(constant(0.0), pred), [0.15], rtol=1e-5)
    expected = (math.sqrt(0.09 + 1e-6) + 1e-3) / 2
    np.testing.assert_allclose(losses.charbonnier_loss(constant(0.0), pred), [expected], rtol=1e-5)


def test_psnr_loss_by_hand(batch):
    true, pred = batch
    expected = [10 * math.log10(np.mean((one.astype(float) - other) ** 2)) for one, other in zip(true, pred)]
    np.testing.assert_allclose(losses.psnr_loss(true, pred), expected, atol=1e-3)
    np.testing.assert_allclose(losses.psnr_loss(true, pred), -metrics.psnr(true, pred), atol=1e-3)
    np.testing.assert_allclose(losses.psnr_loss(true, true), -80, atol=1e-4)


def test_fourier_loss_equals_numpy(batch, noise):
    for true, pred in (batch, noise):
        spectrum = np.fft.rfft2((pred - true).astype(float), axes=(1, 2))
        expected = (np.abs(spectrum.real) + np.abs(spectrum.imag)).mean(axis=(1, 2, 3)) / 2
        np.testing.assert_allclose(losses.fourier_loss(true, pred), expected, rtol=1e-5)


def test_losses_and_metrics_of_pictures_whose_size_the_graph_does_not_know(batch):
    unknown = [tf.TensorSpec((None, None, None, 3))] * 2
    for function in (*(getattr(losses, name) for name in NAMES), metrics.psnr, metrics.ssim):
        np.testing.assert_allclose(tf.function(function, unknown)(*batch), function(*batch), rtol=1e-5)


def test_mixtures_add_up(batch):
    parts = {name: np.asarray(getattr(losses, f"{name}_loss")(*batch)) for name in ("ssim", "l1", "fourier")}
    expected = parts["ssim"] + parts["l1"] + 0.1 * parts["fourier"]
    np.testing.assert_allclose(losses.weighted_loss(LOSSES["ssim+l1+fourier"])(*batch), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_one_value_per_picture_least_for_equal_ones(name, batch):
    loss = losses.weighted_loss(LOSSES[name])
    assert loss(*batch).shape == (2,)
    floor = {"psnr": -80, "charbonnier": losses.CHARBONNIER_EPSILON, "ssim+charbonnier": losses.CHARBONNIER_EPSILON}
    floor = floor.get(name, 0)
    np.testing.assert_allclose(loss(batch[0], batch[0]), [floor] * 2, atol=1e-5)


@pytest.mark.parametrize("case", ["equal", "constant", "black", "white", "inverted", "out of range"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite(name, case, batch):
    true, pred = {
        "equal": (batch[0], batch[0]),
        "constant": (constant(0.5), constant(0.25)),
        "black": (constant(0.0), constant(0.0)),
        "white": (constant(1.0), constant(0.0)),
        "inverted": (batch[0], 1 - batch[0]),
        "out of range": (batch[0], 3 * batch[0] - 1),
    }[case]
    pred = tf.Variable(pred)
    with tf.GradientTape() as tape:
        loss = losses.weighted_loss(LOSSES[name])(true, pred)
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, pred)).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_points_downhill(name, batch):
    true, pred = (tf.constant(pictures) for pictures in batch)
    loss = losses.weighted_loss(LOSSES[name])
    with tf.GradientTape() as tape:
        tape.watch(pred)
        before = tf.reduce_sum(loss(true, pred))
    step = tape.gradient(before, pred)
    after = tf.reduce_sum(loss(true, pred - 1e-3 * step / tf.reduce_max(tf.abs(step))))
    assert float(after) < float(before)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_computes_the_loss_in_float32(precision, batch):
    keras.config.set_dtype_policy(precision)
    model = unet(widths=(4, 4, 4, 4, 4))  # fresh, so its output is its input
    model.compile(
        "adam", losses.weighted_loss(LOSSES["ssim+l1"]), metrics=[metrics.psnr, metrics.ssim], jit_compile=False
    )
    true, pred = batch
    found = model.evaluate(pred, true, batch_size=2, verbose=0, return_dict=True)
    expected = np.mean(losses.ssim_loss(true, pred) + losses.l1_loss(true, pred))
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert found["psnr"] == pytest.approx(float(np.mean(metrics.psnr(true, pred))), rel=1e-5)
    assert found["ssim"] == pytest.approx(float(np.mean(metrics.ssim(true, pred))), rel=1e-5)
