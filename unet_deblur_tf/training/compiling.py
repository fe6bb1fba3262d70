"""How a network is compiled for `fit`: its form, loss, optimizer, schedule and metrics."""

import keras
import tensorflow as tf

from unet_deblur_tf.acceleration.levels import for_training
from unet_deblur_tf.configs import LOSSES
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.training import distribution
from unet_deblur_tf.training.losses import weighted_loss
from unet_deblur_tf.training.optimizers import make_optimizer


def prepare_for_fit(network, devices=1):
    """The model that is trained, of the network's own layers; for several devices, in the strategy's scope."""
    # Measured on a CPU alone (docs/speed.md); a GPU may prefer the network as built.
    model = network if tf.config.list_physical_devices("GPU") else for_training(network)
    return model if devices == 1 else distribution.distributed_model(model)


def compile_model(model, settings):
    """Compiles with the loss, the schedule and the metrics of the settings; XLA on a GPU, where it pays."""
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        steps = settings.epochs * settings.steps_per_epoch
        warmup = max(1, min(steps // 10, 1000))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - warmup), alpha=0.01, warmup_target=rate, warmup_steps=warmup
        )
    model.compile(
        optimizer=make_optimizer(settings.optimizer, rate),
        loss=weighted_loss(LOSSES[settings.loss]),
        metrics=[metrics.psnr, metrics.ssim],
        # Under a strategy, Keras 3.15 would compile the exchange between devices too, which XLA refuses.
        jit_compile=len(tf.config.list_physical_devices("GPU")) == 1 and not tf.distribute.has_strategy(),
    )
    make_variables(model)


def make_variables(model):
    """Makes the variables of optimizer and metrics: when the first step makes them, TensorFlow traces it twice."""
    model.optimizer.build(model.trainable_variables)
    if not tf.distribute.has_strategy():  # where Keras does it by itself
        blank = tf.zeros((1, metrics.SSIM_WINDOW, metrics.SSIM_WINDOW, 3))
        model.compute_metrics(blank, blank, blank)
        model.reset_metrics()
