"""Losses: functions of (sharp, restored), float32 pictures in 0..1, to one value per picture.

Whatever the precision policy, they compute in float32.
"""

import tensorflow as tf

from unet_deblur_tf.evaluation.metrics import check_size

CHARBONNIER_EPSILON = 1e-3


def ssim_loss(y_true, y_pred):
    """1 - SSIM, `(batch,)` in 0..2.

    `tf.image.ssim` with its standard window: Wang et al., "Image quality assessment:
    from error visibility to structural similarity", IEEE TIP 2004.

    Raises:
        ValueError: for pictures under 11x11.
    """
    check_size(y_true)
    return 1 - tf.image.ssim(_float(y_true), _float(y_pred), max_val=1.0)


def l1_loss(y_true, y_pred):
    """Mean absolute error, `(batch,)`."""
    return _mean(tf.abs(_float(y_pred) - _float(y_true)))


def charbonnier_loss(y_true, y_pred):
    """Mean of sqrt(error^2 + 0.001^2), `(batch,)`: L1 with a round bottom.

    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for
    computed imaging", ICIP 1994.
    """
    return _mean(tf.sqrt(tf.square(_float(y_pred) - _float(y_true)) + CHARBONNIER_EPSILON**2))


def fourier_loss(y_true, y_pred):
    """Mean absolute error of the real and imaginary parts of the 2-D Fourier transform, `(batch,)`.

    The transform is not normalised, as in Cho et al., "Rethinking Coarse-to-Fine
    Approach in Single Image Deblurring", ICCV 2021. Real and imaginary parts are
    summed rather than the complex modulus, whose gradient is not finite at zero.
    """
    error = tf.transpose(_float(y_pred) - _float(y_true), (0, 3, 1, 2))
    spectrum = tf.signal.rfft2d(error)
    return _mean(tf.abs(tf.math.real(spectrum)) + tf.abs(tf.math.imag(spectrum))) / 2


def weighted_loss(weights):
    """A weighted sum of the losses above.

    Args:
        weights: dict from a loss's name without `_loss` to its weight, as in `recipes.LOSSES`.

    Returns:
        A function of (y_true, y_pred) to `(batch,)`.
    """
    by_name = dict(ssim=ssim_loss, l1=l1_loss, charbonnier=charbonnier_loss, fourier=fourier_loss)
    terms = [(weight, by_name[name]) for name, weight in weights.items()]

    def loss(y_true, y_pred):
        return sum(weight * term(y_true, y_pred) for weight, term in terms)

    return loss


def _float(pictures):
    return tf.cast(pictures, tf.float32)


def _mean(values):
    return tf.reduce_mean(values, axis=(1, 2, 3))
