"""What is saved after each epoch, and a learning rate that remembers the plateau it is on."""

import math

import keras
import numpy as np
import pytest
from helpers import SMALL_WIDTHS, random_pictures

from unet_deblur_tf.models.unet import unet
from unet_deblur_tf.training import callbacks, checkpoints
from unet_deblur_tf.training.optimizers import ConvolutionMuon


def optimizer(name):
    return {
        "adam": lambda: keras.optimizers.Adam(1e-3),
        "muon": lambda: ConvolutionMuon(1e-3, global_clipnorm=1.0),
        "adam in float16": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3)),
    }[name]()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam", "muon", "adam in float16"])
def test_state_goes_round(tmp_path, name):
    image = random_pictures(32, 32, count=2)

    def compiled():
        model = unet(widths=SMALL_WIDTHS, skips="projected", scale=2)
        model.compile(optimizer(name), "mean_absolute_error", jit_compile=False)
        model.optimizer.build(model.trainable_variables)  # or the step would be traced twice
        return model

    model, again = compiled(), compiled()
    model.train_on_batch(image, 1 - image)
    callback = callbacks.SaveState(tmp_path)
    callback.set_model(model)
    for epoch in range(3):
        callback.on_epoch_end(epoch)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0003.npz"]
    assert checkpoints.completed_epochs(tmp_path) == 3
    checkpoints.restore(again, tmp_path, 3)
    for one in (model, again):
        one.train_on_batch(image, 1 - image)
    for ours, theirs in zip(model.weights + model.optimizer.variables, again.weights + again.optimizer.variables):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize("interrupted", range(1, 8))
def test_a_plateau_is_remembered(interrupted):
    losses = [1.0, 0.9, 0.95, 0.95, 0.95, 0.8, 0.85, 0.85, 0.85, 0.85]

    def rates(callback, model, begin, end):
        callback.set_model(model)
        callback.on_train_begin()
        found = []
        for epoch in range(begin, end):
            logs = {"val_loss": losses[epoch]}
            callback.on_epoch_end(epoch, logs)
            found.append({"epoch": float(epoch), **logs, "learning_rate": float(logs["learning_rate"])})
        return found

    def model_at(rate):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(rate), "mse")
        return model

    whole = rates(keras.callbacks.ReduceLROnPlateau(patience=2), model_at(1e-3), 0, len(losses))
    model = model_at(1e-3)
    first = rates(callbacks.ReduceOnPlateau(patience=2), model, 0, interrupted)
    further = model_at(float(model.optimizer.learning_rate.numpy()))
    second = rates(callbacks.ReduceOnPlateau(first, patience=2), further, interrupted, len(losses))
    assert [row["learning_rate"] for row in first + second] == pytest.approx([row["learning_rate"] for row in whole])
    assert whole[-1]["learning_rate"] < 3e-4


def test_the_best_network_is_kept_whatever_comes_after(tmp_path):
    model = unet(widths=SMALL_WIDTHS)
    path = tmp_path / "best.keras"

    def best_after(values, past=()):
        callback = callbacks.SaveBest(model, path, "val_psnr", past)
        changed = []
        for epoch, value in enumerate(values):
            path.unlink(missing_ok=True)
            callback.on_epoch_end(epoch, {"val_psnr": value})
            changed.append(path.exists())
        return changed

    assert best_after([math.nan, 20.0, 19.0, math.inf, 21.0]) == [False, True, False, False, True]
    past = [{"val_psnr": 20.5}, {"val_psnr": math.nan}]
    assert best_after([20.2, 20.6], past) == [False, True]
