"""How a network is made ready for `fit`."""

import argparse
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL_WIDTHS, random_pictures

from unet_deblur_tf.configs import RECIPES
from unet_deblur_tf.data.pairs import measure_pairs
from unet_deblur_tf.data.trees import find_pairs
from unet_deblur_tf.models.unet import unet
from unet_deblur_tf.training import compiling, train


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


@pytest.mark.parametrize(("smaller", "crop"), [(None, 256), ((255, 300), 64)])
def test_windows_fit_into_every_picture(make_pairs, save_picture, smaller, crop):
    root = make_pairs("{}/1.png", "{}/2.png", content=np.zeros((256, 300, 3), np.uint8))
    if smaller:
        for kind in ("blur", "sharp"):
            save_picture(root / kind / "2.png", smaller)
    fields = dict.fromkeys(field.name for field in dataclasses.fields(train.Settings))
    settings = train.Settings(**fields | {"batch_size": 4})
    assert train.fill_defaults(settings, measure_pairs(find_pairs(root)[""]), "memory").crop == crop
