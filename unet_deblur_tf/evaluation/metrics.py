"""PSNR and SSIM by the main protocol: RGB, the restored picture clipped and rounded to 8 bit, a value per picture."""

import tensorflow as tf

PSNR_LIMIT = 100.0  # dB, for equal pictures, so that means stay finite
SSIM_WINDOW = 11


def round_to_8_bit(pictures):
    """Clips to 0..1 and rounds to multiples of 1/255, float32: what a saved picture holds."""
    return tf.round(tf.clip_by_value(tf.cast(pictures, tf.float32), 0.0, 1.0) * 255) / 255


def psnr(y_true, y_pred):
    """Peak signal-to-noise ratio in dB, `(batch,)`, at most 100.

    Args:
        y_true: sharp pictures, `(batch, height, width, channels)` in 0..1.
        y_pred: restored pictures, same shape; rounded to 8 bit first.
    """
    error = tf.cast(y_true, tf.float32) - round_to_8_bit(y_pred)
    mse = tf.reduce_mean(tf.square(error), axis=(1, 2, 3))
    return -10 * tf.math.log(tf.maximum(mse, 10 ** (-PSNR_LIMIT / 10))) / tf.math.log(10.0)


def ssim(y_true, y_pred):
    """Structural similarity, `(batch,)`, 1 for equal pictures; `tf.image.ssim` over the three channels.

    Raises:
        ValueError: for pictures under 11x11.
    """
    check_size(y_true)
    return tf.image.ssim(tf.cast(y_true, tf.float32), round_to_8_bit(y_pred), max_val=1.0)


def check_size(pictures):
    """Raises a ValueError if the static size of the pictures is under SSIM's window."""
    height, width = pictures.shape[1:3]
    if min(height or SSIM_WINDOW, width or SSIM_WINDOW) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs pictures of at least 11x11. Received: shape={tuple(pictures.shape)}")
