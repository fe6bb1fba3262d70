"""The optimizers of the flag `--optimizer`, among them Muon for convolutional networks."""

import keras
from keras import ops

from unet_deblur_tf.models.layers import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class ConvolutionMuon(keras.optimizers.Muon):
    """Muon for convolution kernels, AdamW for everything else.

    Muon replaces the momentum of a weight matrix by the nearest orthogonal matrix, computed by five Newton-Schulz
    iterations. All directions then have the same size, so rare directions are learnt as fast as frequent ones.
    `keras.optimizers.Muon` does this for dense kernels and leaves convolutions to AdamW. Here a convolution kernel
    `(height, width, channels, filters)` counts as a matrix of `height * width * channels` rows. Kernels with fewer than
    `FEWEST_FILTERS` filters, such as the output layer's, stay with AdamW.

    The iterations X <- (a + b X X' + c (X X')^2) X are computed on the Gram matrix G = X X' alone. Their factors are
    polynomials of G, so they commute: P = a + b G + c G^2, then G <- P^2 G, and finally the product of all P times X.
    The result is the same up to rounding, with two matrix products of X's size instead of ten.

    Its arguments are those of `keras.optimizers.Muon`.

    References:
        Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
        Liu et al., "Muon is Scalable for LLM Training", arXiv 2502.16982 (the size of the steps).
    """

    FEWEST_FILTERS = 16

    def _should_use_adamw(self, variable):
        return len(variable.shape) != 4 or variable.shape[-1] < self.FEWEST_FILTERS

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + m * (self.momentum - 1))
        direction = gradient + self.momentum * m if self.nesterov else m
        matrix = ops.reshape(direction, (-1, variable.shape[-1]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))

    def zeropower_via_newtonschulz5(self, x, steps):
        """Newton-Schulz iterations towards the nearest orthogonal matrix.

        Args:
            x: tensor `(rows, columns)`.
            steps: int, number of iterations.

        Returns:
            Tensor `(rows, columns)`.
        """
        if x.shape[0] > x.shape[1]:
            return ops.transpose(self.zeropower_via_newtonschulz5(ops.transpose(x), steps))
        x = x / (ops.norm(x) + 1e-7)
        identity = ops.eye(x.shape[0], dtype=x.dtype)
        gram, product = x @ ops.transpose(x), identity
        for _ in range(steps):
            factor = self.muon_a * identity + (self.muon_b * identity + self.muon_c * gram) @ gram
            product = factor @ product
            gram = factor @ factor @ gram
        return product @ x


def make_optimizer(
    name: str, rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Creates an optimizer with the settings of the recipes.

    Args:
        name: str, one of `configs.OPTIMIZERS`.
        rate: learning rate, float or `keras.optimizers.schedules.LearningRateSchedule`.
    """
    if name == "adam":
        return keras.optimizers.Adam(rate)
    if name == "adamw-naf":
        return keras.optimizers.AdamW(
            rate, weight_decay=0.0, beta_1=0.9, beta_2=0.9, epsilon=1e-8, global_clipnorm=0.01
        )
    if name == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-4, global_clipnorm=1.0)
    else:
        optimizer = ConvolutionMuon(rate, weight_decay=1e-4, adam_weight_decay=1e-4, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
