"""Steps on Keras' JAX backend against those of `train.py`."""

import argparse
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from unet_deblur_tf.configs import LOSSES
from unet_deblur_tf.models.unet import unet
from unet_deblur_tf.training import compiling, losses

SMALL = (16, 16, 24, 24, 16)  # at least 16, where Muon begins

# As on a machine where TensorFlow is not installed.
STEPS = """
import sys
sys.modules['tensorflow'] = None
import keras, jax, numpy as np
from unet_deblur_tf.configs import LOSSES
import unet_deblur_tf.models.unet
from unet_deblur_tf.training import jax_step
from unet_deblur_tf.training.optimizers import make_optimizer
assert keras.config.backend() == 'jax'
folder, optimizer = sys.argv[1:]
network = keras.saving.load_model(folder + '/model.keras')
given = np.load(folder + '/given.npz')
trained = jax_step.for_jax(network)
optimizer = make_optimizer(optimizer, 123.0)
state = jax_step.initial_state(trained, optimizer)
state = jax_step.with_rate(state, optimizer, 1e-3)
step = jax.jit(jax_step.train_step(trained, optimizer, LOSSES['ssim+l1+fourier']))
losses = []
for _ in range(3):
    state, loss = step(state, given['blurred'], given['sharp'])
    losses.append(loss)
jax_step.put_back(trained, state)
np.savez(folder + '/after.npz', *network.get_weights(), losses=losses)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "norm"), [("muon", "none"), ("adamw", "batch")])
def test_steps_on_jax_are_those_of_train(tmp_path, optimizer, norm):
    keras.utils.set_random_seed(3)
    network = unet(skips="projected", scale=2, widths=SMALL, norm=norm, activation="leaky_relu")
    out = network.get_layer("out_conv").kernel
    out.assign(np.random.default_rng(4).normal(0, 0.01, out.shape))
    network.save(tmp_path / "model.keras")
    blurred, sharp = np.random.default_rng(5).random((2, 3, 64, 96, 3), np.float32)
    np.savez(tmp_path / "given.npz", blurred=blurred, sharp=sharp)
    subprocess.run(
        [sys.executable, "-c", STEPS, str(tmp_path), optimizer],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=True,
    )

    settings = argparse.Namespace(learning_rate=1e-3, schedule="constant", optimizer=optimizer, loss="ssim+l1+fourier")
    before = network.get_weights()
    compiling.compile_model(network, settings)
    network.compile(network.optimizer, losses.weighted_loss(LOSSES["ssim+l1+fourier"]))
    expected = []
    for _ in range(3):
        network.reset_metrics()
        expected.append(network.train_on_batch(blurred, sharp)[0])
    with np.load(tmp_path / "after.npz") as after:
        np.testing.assert_allclose(after["losses"], expected, rtol=1e-4)
        for number, (weight, was) in enumerate(zip(network.get_weights(), before)):
            moved = np.abs(weight - was).max()
            assert moved > 0
            np.testing.assert_allclose(after[f"arr_{number}"], weight, atol=0.02 * moved)
