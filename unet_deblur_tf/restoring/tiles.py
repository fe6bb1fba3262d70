"""Tiles that cover a picture and leave no seams: where they lie, and how one fades into the next."""

import itertools

import numpy as np

from unet_deblur_tf.models.layers import CELL
from unet_deblur_tf.models.transforms import receptive_radius

TAPER = 32  # pixels over which one tile fades into the next


def spans(length, tile, scale=1):
    """Where tiles begin and end along a side.

    Args:
        length: of the side in pixels.
        tile: of the tiles, a multiple of 16 times the scale.
        scale: of the network, see `models.unet`.

    Returns:
        List of (begin, end): every begin a multiple of 16 times the scale, the last end
        `length`. Tiles overlap by twice the receptive radius and the taper, or by a third
        of small tiles, which leaves them a margin of less than the receptive field.
    """
    step = scale * CELL
    if length <= tile:
        return [(0, length)]
    overlap = min(2 * receptive_radius(scale) + TAPER, tile // 3)
    last = -(-(length - tile) // step) * step
    steps = -(-last // ((tile - overlap) // step * step))
    begins = [number * last // steps // step * step for number in range(steps + 1)]
    return [(begin, min(begin + tile, length)) for begin in begins]


def tapers(tiles):
    """The weight of each tile at each of its pixels along a side: where tiles overlap, weights add up to 1.

    One tile fades into the next over `TAPER` pixels in the middle of their overlap.

    Args:
        tiles: list of (begin, end), see `spans`.

    Returns:
        List of float32 arrays.
    """
    weights = [np.ones(end - begin, np.float32) for begin, end in tiles]
    for number in range(1, len(tiles)):
        (before, end), (begin, _) = tiles[number - 1], tiles[number]
        ramp = np.clip((np.arange(begin, end) + 0.5 - (begin + end) / 2) / TAPER + 0.5, 0, 1).astype(np.float32)
        weights[number][: end - begin] *= ramp
        weights[number - 1][begin - before :] *= 1 - ramp
    return weights


def seams(tiles):
    """The cells along a side that are taken from each tile: (first of each, end of each)."""
    middles = [(begin + end) // 2 // CELL for (_, end), (begin, _) in itertools.pairwise(tiles)]
    return [0, *middles], [*middles, -(-tiles[-1][1] // CELL)]


def crop_means(means, top, bottom, left, right):
    """What a tile needs of them: all, where they are of the whole picture."""
    if means.shape[1:3] == (1, 1):
        return means
    return means[:, top // CELL : -(-bottom // CELL), left // CELL : -(-right // CELL)]
