"""How much of the coarse result a blend of two scales takes, and the sizes at all scales: `scales` without Keras.

With y what a network makes of the picture x, and h what it makes of x at half the size:

    ratio = mean |h - half(x)| / max(mean |y - x|, LEAST_CORRECTION)
    share = clip(SLOPE * (ratio - THRESHOLD), 0, 1)

The ratio says how much the coarse pass still corrects, compared with the fine one. Small blur is gone at half the size:
it gives a small ratio and no share. docs/history.md says how the constants were chosen.
"""

import numpy as np

SLOPE, THRESHOLD = 1.4, 0.6
LEAST_CORRECTION = 2.5 / 255  # a fine pass that corrects less says that the picture is sharp
# In an ensemble over flips and turns, the low frequencies of y are better already, so it takes half of the share.
ENSEMBLE_FACTOR = 0.5


def blend_share(fine, coarse, ops=np):
    """The share of the coarse result.

    Args:
        fine, coarse: the mean corrections mean |y - x| and mean |h - half(x)|, numbers or arrays.
        ops: the module that computes: `numpy` or `keras.ops`.

    Returns:
        The share, in 0..1.
    """
    return ops.clip(SLOPE * (coarse / ops.maximum(fine, LEAST_CORRECTION) - THRESHOLD), 0.0, 1.0)


def sizes_at(scales: int, height: int, width: int) -> list[tuple[int, int]]:
    """The (height, width) of a picture at each of a number of scales, from the largest to the smallest."""
    return [(-(-height // 2**halvings), -(-width // 2**halvings)) for halvings in range(scales)]
