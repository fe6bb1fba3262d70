"""Muon for convolutional networks."""

import keras
from keras import ops

from unet_deblur_tf.layers import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class ConvolutionMuon(keras.optimizers.Muon):
    """Muon for convolution kernels, AdamW for everything else.

    Muon replaces the momentum of a weight matrix by the nearest matrix whose directions
    all have the same size (by five Newton-Schulz iterations), so that rare directions
    are learnt as fast as frequent ones. `keras.optimizers.Muon` does this for dense
    kernels and leaves convolutions to AdamW; here a kernel `(height, width, channels,
    filters)` counts as a matrix of `height * width * channels` rows. Kernels to fewer
    than `FEWEST_FILTERS` channels, such as the output's, stay with AdamW.

    Args: those of `keras.optimizers.Muon`.

    References:
        Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
        Liu et al., "Muon is Scalable for LLM Training", arXiv 2502.16982 (the size of steps).
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
