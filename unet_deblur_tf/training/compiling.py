"""Compiles a network for `fit`: the form that is trained, loss, optimizer, schedule and metrics."""

import keras
import tensorflow as tf

from unet_deblur_tf.acceleration.levels import for_training
from unet_deblur_tf.configs import LOSSES
from unet_deblur_tf.errors import first_line
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.training import distribution
from unet_deblur_tf.training.losses import weighted_loss
from unet_deblur_tf.training.optimizers import make_optimizer

TRIAL = 32  # pixels, the side of the crop with which XLA is tried


def prepare_for_fit(network, devices=1):
    """Rewrites a network into the form that is trained. For several devices, call it in the strategy's scope.

    Args:
        network: `keras.Model` as `models.unet.build` returns it.
        devices: int, number of devices.

    Returns:
        `keras.Model` that shares its weights with `network`.
    """
    # The faster form was measured only on CPUs (docs/speed.md), so GPUs train the network as it was built.
    model = network if tf.config.list_physical_devices("GPU") else for_training(network)
    return model if devices == 1 else distribution.distributed_model(model)


def compile_model(model, settings):
    """Compiles a model with the loss, optimizer and schedule of the settings, and with PSNR and SSIM as metrics.

    On a single GPU the model is compiled by XLA, which makes it faster there, if XLA takes it.

    Args:
        model: `keras.Model`.
        settings: `train.Settings`.
    """
    rate = settings.learning_rate
    if settings.schedule == "cosine-naf":
        steps = settings.epochs * settings.steps_per_epoch
        rate = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=1e-4)
    elif settings.schedule == "cosine":
        steps = settings.epochs * settings.steps_per_epoch
        warmup = max(1, min(steps // 10, 1000))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - warmup), alpha=0.01, warmup_target=rate, warmup_steps=warmup
        )
    model.compile(
        optimizer=make_optimizer(settings.optimizer, rate),
        loss=weighted_loss(LOSSES[settings.loss]),
        metrics=[metrics.psnr, metrics.ssim],
        jit_compile=False,
    )
    make_variables(model)
    # Under a strategy, Keras 3.15 would also compile the communication between devices, which XLA does not support.
    if len(tf.config.list_physical_devices("GPU")) == 1 and not tf.distribute.has_strategy():
        model.jit_compile = passes_in_xla(model)


def passes_in_xla(model):
    """Tries one small training step in XLA, and leaves the model as it was.

    Returns:
        bool, whether it worked. If not, it prints why.
    """
    variables = [*model.variables, *model.optimizer.variables]
    before = [tf.identity(variable.value) for variable in variables]
    blank = tf.zeros((1, TRIAL, TRIAL, 3))
    try:
        tf.function(model.train_step, jit_compile=True)((blank, blank))
    except Exception as error:  # whatever it is, training works without XLA
        print(f"XLA does not take this network, so it trains without: {first_line(error)}")
        return False
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
    return True


def make_variables(model):
    """Creates the variables of optimizer and metrics: if the first step did, TensorFlow would trace it twice."""
    model.optimizer.build(model.trainable_variables)
    if not tf.distribute.has_strategy():  # under a strategy Keras does this itself
        blank = tf.zeros((1, metrics.SSIM_WINDOW, metrics.SSIM_WINDOW, 3))
        model.compute_metrics(blank, blank, blank)
        model.reset_metrics()
