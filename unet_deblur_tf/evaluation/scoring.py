"""Restores and scores pairs of pictures by one of three protocols.

- "full", the main protocol: PSNR and SSIM of each full-size RGB picture, rounded to 8 bits, then the mean over the
  pictures. The blurred input is scored in the same way.
- "aligned": as "full", but each picture is first aligned with the sharp one, as the authors of RealBlur do (see
  `alignment`).
- "original", the protocol of the original student project, only for comparison with it: both pictures are first resized
  to 224x224, and MS-SSIM replaces SSIM.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from unet_deblur_tf.data.pairs import Pair
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.evaluation.alignment import aligned_scores
from unet_deblur_tf.evaluation.restored_folder import RestoredFolder

ORIGINAL_SIZE = (224, 224)
SSIM_NAMES = {"full": "SSIM", "aligned": "SSIM", "original": "MS-SSIM"}


class Score(NamedTuple):
    """The scores of one picture, PSNR in dB and SSIM, before and after restoring, and the seconds that it took."""

    sequence: str
    name: str
    width: int
    height: int
    input_psnr: float
    input_ssim: float
    restored_psnr: float
    restored_ssim: float
    seconds: float


def read_pair(pair: Pair, protocol: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads a pair as the protocol needs it.

    Args:
        pair: `Pair`.
        protocol: one of `configs.PROTOCOLS`.

    Returns:
        (blurred, sharp), both uint8 `(height, width, 3)`.
    """
    blurred, sharp = read_picture(pair.blur), read_picture(pair.sharp)
    return (resize(blurred), resize(sharp)) if protocol == "original" else (blurred, sharp)


def resize(picture: np.ndarray) -> np.ndarray:
    """Resizes a picture to the size of the protocol "original"."""
    return np.asarray(Image.fromarray(picture).resize(ORIGINAL_SIZE, Image.Resampling.BILINEAR))


def score(
    restore: Callable[[np.ndarray], np.ndarray] | RestoredFolder,
    pairs: list[Pair],
    protocol: str = "full",
    progress: bool = True,
) -> list[Score]:
    """Restores and scores every pair.

    Args:
        restore: function from and to uint8 `(height, width, 3)`, or a `RestoredFolder`.
        pairs: list of `Pair`.
        protocol: one of `configs.PROTOCOLS`.
        progress: bool, whether to show a bar.

    Returns:
        List of `Score`, in the order of `pairs`.
    """
    scores: list[Score] = []
    sizes_seen = set()
    for pair in tqdm(pairs, desc="Restoring", unit="picture", disable=not progress):
        blurred, sharp = read_pair(pair, protocol)
        if not isinstance(restore, RestoredFolder) and blurred.shape not in sizes_seen:
            # Restore the first picture of each size once before, so that set-up does not count as restoring.
            sizes_seen.add(blurred.shape)
            restore(blurred)
        start = time.perf_counter()
        restored = restored_picture(restore, pair, blurred, protocol)
        seconds = time.perf_counter() - start
        before, after = compare(sharp, blurred, protocol), compare(sharp, restored, protocol)
        height, width, _ = sharp.shape
        scores.append(Score(pair.sequence, pair.name, width, height, *before, *after, seconds))
    return scores


def restored_picture(restore, pair, blurred, protocol):
    """The restored picture of a pair, as the protocol needs it; for the arguments see `score`."""
    if not isinstance(restore, RestoredFolder):
        return restore(blurred)
    if protocol == "original":
        return resize(restore.read(pair, read_picture(pair.blur).shape))
    return restore.read(pair, blurred.shape)


def compare(sharp: np.ndarray, picture: np.ndarray, protocol: str) -> tuple[float, float]:
    """Scores a picture by a protocol.

    Args:
        sharp, picture: uint8 `(height, width, 3)`.
        protocol: one of `configs.PROTOCOLS`.

    Returns:
        (PSNR in dB, SSIM), floats.
    """
    if protocol == "aligned":
        return aligned_scores(sharp, picture)
    similarity = metrics.ssim if protocol == "full" else _multiscale_ssim
    truth, picture = _batch(sharp), _batch(picture)
    return float(metrics.psnr(truth, picture)[0]), float(similarity(truth, picture)[0])


def _batch(picture):
    """A batch of one picture, as a float32 tensor in 0..1."""
    return tf.constant(picture[np.newaxis].astype(np.float32) / 255)


def _multiscale_ssim(y_true, y_pred):
    return tf.image.ssim_multiscale(y_true, y_pred, max_val=1.0)
