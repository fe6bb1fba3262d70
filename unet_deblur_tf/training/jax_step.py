"""Training steps on Keras' JAX backend, for GPUs that JAX supports where TensorFlow is not installed.

With the environment variable KERAS_BACKEND=jax:

    trained = for_jax(network)
    state = initial_state(trained, optimizer)
    state, loss = train_step(trained, optimizer, LOSSES["ssim+l1"])(state, blurred, sharp)
    put_back(trained, state)                   # and so into the network, whose weights it shares

Losses, optimizers and networks are those of every other training. What is trained here is saved and used as any other.
"""

import math

import jax.numpy as jnp
import keras
from jax import value_and_grad
from keras import ops

from unet_deblur_tf.models.scales import change_trunk, sizes_of, trunk_of
from unet_deblur_tf.models.transforms import with_size
from unet_deblur_tf.training.losses import weighted_loss


class BlockPooling2D(keras.layers.Layer):
    """Pools blocks of 2x2, of even sizes, by `operation`: what XLA differentiates without scattering.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch, height / 2, width / 2, channels)`.
    """

    def __init__(self, operation, **kwargs):
        super().__init__(**kwargs)
        self.operation = operation

    def call(self, inputs):
        _, height, width, channels = ops.shape(inputs)
        blocks = ops.reshape(inputs, (-1, height // 2, 2, width // 2, 2, channels))
        return (ops.max if self.operation == "max" else ops.mean)(blocks, axis=(2, 4))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height and height // 2, width and width // 2, channels)


def for_jax(network):
    """The network, of its own layers but for the pooling, for windows whose sides it divides by two without rest."""

    def exchange(layer):
        if isinstance(layer, keras.layers.MaxPooling2D):
            return BlockPooling2D("max", name=layer.name, dtype=layer.dtype_policy)
        if isinstance(layer, keras.layers.AveragePooling2D):
            return BlockPooling2D("mean", name=layer.name, dtype=layer.dtype_policy)
        return layer

    return change_trunk(network, lambda trunk: keras.models.clone_model(trunk, clone_function=exchange))


def initial_state(network, optimizer):
    """What a step changes: values of (trainable variables, other variables of the network, the optimizer's)."""
    optimizer.build(network.trainable_variables)
    # Copies, so that whoever steps may give the state away.
    return [
        [jnp.array(variable.value) for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables, optimizer.variables)
    ]


def train_step(network, optimizer, weights):
    """A function of (state, blurred, sharp) to (state, loss), for `jax.jit`.

    Args:
        network: `keras.Model`.
        optimizer: `keras.optimizers.Optimizer`.
        weights: dict from a loss's name to its weight, as in `configs.LOSSES`.

    The pictures are float32 `(batch, height, width, 3)` in 0..1.
    """

    loss_per_picture = weighted_loss(weights)

    def loss_of(trainable, others, blurred, sharp):
        restored, others = network.stateless_call(trainable, others, blurred, training=True)
        return jnp.mean(loss_per_picture(sharp, restored)), others

    def step(state, blurred, sharp):
        trainable, others, optimizer_values = state
        (loss, others), gradients = value_and_grad(loss_of, has_aux=True)(trainable, others, blurred, sharp)
        trainable, optimizer_values = optimizer.stateless_apply(optimizer_values, gradients, trainable)
        return [list(trainable), list(others), list(optimizer_values)], loss

    return step


def with_rate(state, optimizer, rate):
    """The state with another learning rate."""
    trainable, others, values = state
    return [
        trainable,
        others,
        [jnp.asarray(rate, value.dtype) if variable is optimizer.learning_rate else value
         for variable, value in zip(optimizer.variables, values)],
    ]  # fmt: skip


def put_back(network, state):
    """Gives the network the values of a state."""
    for variables, values in zip((network.trainable_variables, network.non_trainable_variables), state):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def convolution_flops(network, crop):
    """FLOPs of the convolutions in a step, per window: forward, and backward to inputs and to kernels."""
    sizes = sizes_of(network, crop, crop)
    layers = [layer for size in sizes for layer in with_size(trunk_of(network), *size).layers]
    convolutions = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    return 6 * sum(math.prod(each.kernel.shape) * math.prod(each.output.shape[1:3]) for each in convolutions)
