"""How a network is made ready for `fit`."""

import argparse

import keras
import pytest
import tensorflow as tf
from helpers import SMALL_WIDTHS, random_pictures

from unet_deblur_tf.configs import RECIPES
from unet_deblur_tf.models.unet import unet
from unet_deblur_tf.training import compiling


@pytest.mark.parametrize(
    ("recipe", "precision"), [("default", "float32"), ("default", "mixed_float16"), ("original", "float32")]
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
