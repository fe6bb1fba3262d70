"""How a network is made ready for `fit`."""

import argparse
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL_WIDTHS, random_pictures, thin

from unet_deblur_tf.configs import LOSSES, OPTIMIZERS, PRECISIONS, RECIPES, VARIANTS
from unet_deblur_tf.models.unet import unet
from unet_deblur_tf.training import compiling


@pytest.mark.parametrize(
    ("recipe", "precision"),
    [
        ("default", "float32"),
        pytest.param("default", "mixed_float16", marks=pytest.mark.slow),
        pytest.param("original", "float32", marks=pytest.mark.slow),
    ],
)
def test_the_step_is_traced_once(recipe, precision, monkeypatch):
    traces = []

    def loss(true, pred):
        traces.append(tf.inside_function())
        return keras.ops.mean(keras.ops.abs(true - pred), (1, 2, 3))

    monkeypatch.setattr(compiling, "weighted_loss", lambda parts: loss)
    keras.config.set_dtype_policy(precision)
    model = unet(widths=SMALL_WIDTHS)
    settings = argparse.Namespace(epochs=2, steps_per_epoch=2, **RECIPES[recipe])
    compiling.compile_model(model, settings)
    image = random_pictures(32, 32, count=2)
    batches = tf.data.Dataset.from_tensors((image, 1 - image)).repeat()
    found = model.fit(batches, epochs=2, steps_per_epoch=2, shuffle=False, verbose=0).history
    assert traces == [True]
    # The pictures that made the metrics' variables leave nothing in them.
    assert 0 < found["psnr"][0] < 20


def one_convolution(**settings):
    """The smallest network that has something to train, compiled with these settings."""
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)])
    compiling.compile_model(model, argparse.Namespace(**settings))
    return model


# A quarter of the way from the peak to a hundredth of it, on half a wave of the cosine.
QUARTER = 0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2


@pytest.mark.parametrize(
    ("epochs", "steps_per_epoch", "rates"),
    [
        # The warm-up takes a tenth of the steps, rounded down, but at least one ...
        (1, 1, {0: 0, 1: 1, 2: 0.01}),
        (1, 5, {0: 0, 1: 1, 2: QUARTER, 3: 0.505, 5: 0.01}),
        (3, 13, {0: 0, 1: 1 / 3, 2: 2 / 3, 3: 1, 12: QUARTER, 21: 0.505, 39: 0.01}),
        (4, 10, {0: 0, 1: 0.25, 2: 0.5, 4: 1, 13: QUARTER, 22: 0.505, 40: 0.01}),
        (10, 999, {0: 0, 333: 1 / 3, 999: 1, 3996: 0.7525, 6993: 0.2575, 9990: 0.01}),
        # ... and at most a thousand.
        (10, 1000, {0: 0, 500: 0.5, 1000: 1, 3250: QUARTER, 5500: 0.505, 10_000: 0.01}),
        (50, 1000, {0: 0, 500: 0.5, 1000: 1, 13_250: QUARTER, 25_500: 0.505, 50_000: 0.01}),
    ],
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_rate_warms_up_and_falls_as_a_cosine(optimizer, epochs, steps_per_epoch, rates):
    """By hand: the share of the peak that the optimizer takes at a step."""
    settings = dict(RECIPES["default"], optimizer=optimizer, learning_rate=2e-3, schedule="cosine")
    compiled = one_convolution(**settings, epochs=epochs, steps_per_epoch=steps_per_epoch).optimizer
    found = {}
    for step in rates:
        compiled.iterations.assign(step)
        found[step] = float(compiled.learning_rate) / 2e-3
    assert found == pytest.approx(rates, abs=1e-5)


def test_nafnets_schedule_by_hand():
    """From 1e-3 to 1e-7, on half a wave of the cosine, without a warm-up."""
    compiled = one_convolution(**RECIPES["naf"], epochs=10, steps_per_epoch=100).optimizer
    found = {}
    for step in (0, 500, 1000):
        compiled.iterations.assign(step)
        found[step] = float(compiled.learning_rate)
    assert found == pytest.approx({0: 1e-3, 500: (1e-3 + 1e-7) / 2, 1000: 1e-7}, rel=1e-3)


def test_without_a_schedule_the_rate_stays():
    """The callback `ReduceOnPlateau` lowers it."""
    compiled = one_convolution(**RECIPES["original"], epochs=3, steps_per_epoch=7).optimizer
    for step in (0, 1, 21):
        compiled.iterations.assign(step)
        assert float(compiled.learning_rate) == pytest.approx(1e-3)


@pytest.fixture
def one_gpu(monkeypatch):
    """TensorFlow lists a GPU. Everything still runs on the CPU, where XLA compiles, too."""
    devices = {"GPU": ["GPU:0"], "CPU": tf.config.list_physical_devices("CPU")}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind="CPU": devices[kind])


def state(model):
    return [np.array(variable) for variable in (*model.variables, *model.optimizer.variables)]


def small_network(*more):
    """A convolution with batch norm, whose state a step changes, and more layers."""
    return keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1), keras.layers.BatchNormalization(), *more]
    )


def compiled(network, recipe="original", **settings):
    settings = {**RECIPES[recipe], "epochs": 1, "steps_per_epoch": 10, **settings}
    compiling.compile_model(network, argparse.Namespace(**settings))
    return network


def test_a_trial_in_xla_changes_nothing(one_gpu, capsys, monkeypatch):
    tried, untried = small_network(), small_network()
    untried.set_weights(tried.get_weights())
    compiled(tried)
    assert (tried.jit_compile, capsys.readouterr().out) == (True, "")
    monkeypatch.setattr(compiling, "passes_in_xla", lambda model: False)
    for value, expected in zip(state(tried), state(compiled(untried)), strict=True):
        np.testing.assert_array_equal(value, expected)
    image = random_pictures(32, 32, count=2)
    losses = [model.train_on_batch(image, 1 - image)[0] for model in (tried, untried)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_training_goes_on_without_xla_where_it_fails(one_gpu, capsys):
    """XLA cannot compile a function in Python."""

    def in_python(image):
        return tf.ensure_shape(tf.py_function(lambda x: x, [image], tf.float32), (None, None, None, 3))

    model = compiled(small_network(keras.layers.Lambda(in_python, output_shape=(None, None, 3))))
    assert model.jit_compile is False
    message = capsys.readouterr().out
    assert message.startswith("XLA does not take this network, so it trains without: ")
    assert message.count("\n") == 1
    image = random_pictures(32, 32, count=2)
    assert np.isfinite(model.fit(image, 1 - image, verbose=0).history["loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "loss", "optimizer"),
    # XLA takes minutes for Muon, so it compiles this optimizer once.
    [(variant, RECIPES["default"]["loss"], "adam") for variant in VARIANTS]
    + [("lite", loss, "adam") for loss in LOSSES]
    + [("lite", "l1", "muon")],
)
def test_what_xla_takes(one_gpu, variant, loss, optimizer):
    model = compiled(compiling.prepare_for_fit(thin(variant)), loss=loss, optimizer=optimizer)
    assert model.jit_compile is True
    image = random_pictures(32, 32, count=2)
    assert np.isfinite(model.train_on_batch(image, 1 - image)).all()


@pytest.mark.slow
@pytest.mark.parametrize("precision", [each for each in PRECISIONS if each != "float32"])
@pytest.mark.parametrize("variant", ["lite", "multiscale", "concat_reduce_se"])
def test_xla_takes_no_mixed_precision(one_gpu, capsys, variant, precision):
    """Of TensorFlow 2.21: the gradient of an activation mixes the types. Training goes on without XLA."""
    keras.config.set_dtype_policy(precision)
    model = compiled(compiling.prepare_for_fit(thin(variant)))
    assert model.jit_compile is False
    assert "mixed precision is disallowed" in capsys.readouterr().out
    image = random_pictures(32, 32, count=2)
    assert np.isfinite(model.train_on_batch(image, 1 - image)).all()
