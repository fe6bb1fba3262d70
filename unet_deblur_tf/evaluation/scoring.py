"""Restores and scores pairs, picture by picture.

The main protocol ("full"): full-size RGB, the restored picture rounded to 8 bit, PSNR and SSIM per picture, then the
mean, with the blurred input as a row of its own. "aligned" aligns each picture with the sharp one first, as RealBlur's
authors do (`alignment.py`). The original project's protocol ("original"), for continuity only:
both pictures are resized to 224x224 first, and MS-SSIM takes the place of SSIM.
"""

import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.evaluation.alignment import aligned_scores
from unet_deblur_tf.evaluation.restored_folder import RestoredFolder

ORIGINAL_SIZE = (224, 224)
SSIM_NAMES = {"full": "SSIM", "aligned": "SSIM", "original": "MS-SSIM"}


class Score(NamedTuple):
    """One picture's figures: PSNR in dB and SSIM, before and after, and the seconds that restoring took."""

    sequence: str
    name: str
    width: int
    height: int
    input_psnr: float
    input_ssim: float
    restored_psnr: float
    restored_ssim: float
    seconds: float


def read_pair(pair, protocol):
    """A pair as the protocol takes it: (blurred, sharp), uint8."""
    pictures = read_picture(pair.blur), read_picture(pair.sharp)
    return tuple(map(resize, pictures)) if protocol == "original" else pictures


def resize(picture):
    """A picture at the size of the original protocol."""
    return np.asarray(Image.fromarray(picture).resize(ORIGINAL_SIZE, Image.Resampling.BILINEAR))


def score(restore, pairs, protocol="full", progress=True):
    """Restores and scores every pair.

    Args:
        restore: function from and to uint8 `(height, width, 3)`, or a `RestoredFolder`.
        pairs: list of `Pair`.
        protocol: one of `configs.PROTOCOLS`.
        progress: bool, show a bar.

    Returns:
        A list of `Score`, in the order of `pairs`.
    """
    scores, sizes_seen = [], set()
    for pair in tqdm(pairs, desc="Restoring", unit="picture", disable=not progress):
        blurred, sharp = read_pair(pair, protocol)
        if not isinstance(restore, RestoredFolder) and blurred.shape not in sizes_seen:
            # The first picture of a size also pays for set-up: not part of the seconds per picture.
            sizes_seen.add(blurred.shape)
            restore(blurred)
        start = time.perf_counter()
        restored = restored_picture(restore, pair, blurred, protocol)
        seconds = time.perf_counter() - start
        figures = [figure for picture in (blurred, restored) for figure in compare(sharp, picture, protocol)]
        height, width, _ = sharp.shape
        scores.append(Score(pair.sequence, pair.name, width, height, *figures, seconds))
    return scores


def restored_picture(restore, pair, blurred, protocol):
    """A pair's restored picture as the protocol takes it; the arguments are those of `score`."""
    if not isinstance(restore, RestoredFolder):
        return restore(blurred)
    if protocol == "original":
        return resize(restore.read(pair, read_picture(pair.blur).shape))
    return restore.read(pair, blurred.shape)


def compare(sharp, picture, protocol):
    """PSNR in dB and SSIM of a picture, uint8 `(height, width, 3)`, by a protocol."""
    if protocol == "aligned":
        return aligned_scores(sharp, picture)
    similarity = metrics.ssim if protocol == "full" else _multiscale_ssim
    truth, picture = _batch(sharp), _batch(picture)
    return float(metrics.psnr(truth, picture)[0]), float(similarity(truth, picture)[0])


def _batch(picture):
    return tf.constant(picture[np.newaxis].astype(np.float32) / 255)


def _multiscale_ssim(y_true, y_pred):
    return tf.image.ssim_multiscale(y_true, y_pred, max_val=1.0)
