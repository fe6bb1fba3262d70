"""Losses: functions of (sharp, restored), float32 pictures in 0..1, to one value per picture.

They run on every Keras backend, and compute in float32 whatever the precision policy.
"""

from keras import ops

from unet_deblur_tf.evaluation.metrics import structural_similarity

CHARBONNIER_EPSILON = 1e-3


def ssim_loss(y_true, y_pred):
    """1 - SSIM, `(batch,)` in 0..2.

    Raises:
        ValueError: for pictures under 11x11.
    """
    return 1 - structural_similarity(y_true, y_pred)


def l1_loss(y_true, y_pred):
    """Mean absolute error, `(batch,)`."""
    return _mean(ops.abs(_error(y_true, y_pred)))


def charbonnier_loss(y_true, y_pred):
    """Mean of sqrt(error^2 + 0.001^2), `(batch,)`: L1 with a round bottom.

    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for
    computed imaging", ICIP 1994.
    """
    return _mean(ops.sqrt(ops.square(_error(y_true, y_pred)) + CHARBONNIER_EPSILON**2))


def psnr_loss(y_true, y_pred):
    """Minus PSNR in dB, `(batch,)`: 10 log10 of the mean squared error, plus 1e-8 so that it stays finite.

    Chen et al., "Simple Baselines for Image Restoration", ECCV 2022.
    """
    return 10 * ops.log10(_mean(ops.square(_error(y_true, y_pred))) + 1e-8)


def fourier_loss(y_true, y_pred):
    """Mean absolute error of the real and imaginary parts of the 2-D Fourier transform, `(batch,)`.

    The transform is not normalised, as in Cho et al., "Rethinking Coarse-to-Fine
    Approach in Single Image Deblurring", ICCV 2021. Real and imaginary parts are
    summed rather than the complex modulus, whose gradient is not finite at zero.
    """
    real, imaginary = _spectrum(_error(y_true, y_pred))
    return _mean(ops.abs(real) + ops.abs(imaginary)) / 2


def weighted_loss(weights):
    """A weighted sum of the losses above.

    Args:
        weights: dict from a loss's name without `_loss` to its weight, as in `configs.LOSSES`.

    Returns:
        A function of (y_true, y_pred) to `(batch,)`.
    """
    by_name = dict(ssim=ssim_loss, l1=l1_loss, charbonnier=charbonnier_loss, psnr=psnr_loss, fourier=fourier_loss)
    terms = [(weight, by_name[name]) for name, weight in weights.items()]

    def loss(y_true, y_pred):
        return sum(weight * term(y_true, y_pred) for weight, term in terms)

    return loss


def _spectrum(fields):
    """The 2-D transform of real fields, real and imaginary part, `(batch, channels, width // 2 + 1, height)`.

    Rows are transformed first, then the columns of what they give: `keras.ops` has no 2-D transform of real numbers.
    """
    parts = ops.rfft(ops.transpose(fields, (0, 3, 1, 2)))
    return ops.fft(tuple(ops.swapaxes(part, 2, 3) for part in parts))


def _error(y_true, y_pred):
    return ops.cast(y_pred, "float32") - ops.cast(y_true, "float32")


def _mean(values):
    return ops.mean(values, axis=(1, 2, 3))
