"""Divides a picture into overlapping tiles that leave no seams: their positions and their weights."""

import itertools

import numpy as np

from unet_deblur_tf.configs import CELL

TAPER = 32  # pixels over which one tile fades into the next


def spans(length: int, tile: int, step: int, radius: int) -> list[tuple[int, int]]:
    """Computes where tiles begin and end along one side of a picture.

    Tiles overlap by twice the radius plus `TAPER`, or by a third of the tile if that is less. In the latter case the
    overlap is smaller than the receptive field.

    Args:
        length: int, the side of the picture in pixels.
        tile: int, the side of the tiles in pixels, a multiple of `step`.
        step: int, pixels of the picture per pixel of the network's coarsest features.
        radius: int, how far the network sees, in pixels, see `transforms.receptive_radius`.

    Returns:
        List of (begin, end). Each begin is a multiple of `step`; the last end is `length`.
    """
    if length <= tile:
        return [(0, length)]
    overlap = min(2 * radius + TAPER, tile // 3)
    last = -(-(length - tile) // step) * step
    steps = -(-last // ((tile - overlap) // step * step))
    begins = [number * last // steps // step * step for number in range(steps + 1)]
    return [(begin, min(begin + tile, length)) for begin in begins]


def tapers(tiles: list[tuple[int, int]]) -> list[np.ndarray]:
    """Computes the weight of each pixel of each tile along one side.

    One tile fades into the next over `TAPER` pixels in the middle of their overlap. The weights of all tiles add up to
    1 at every pixel.

    Args:
        tiles: list of (begin, end), as `spans` returns it.

    Returns:
        List of float32 arrays, one per tile.
    """
    weights = [np.ones(end - begin, np.float32) for begin, end in tiles]
    for number in range(1, len(tiles)):
        (begin_before, end), (begin, _) = tiles[number - 1], tiles[number]
        ramp = np.clip((np.arange(begin, end) + 0.5 - (begin + end) / 2) / TAPER + 0.5, 0, 1).astype(np.float32)
        weights[number][: end - begin] *= ramp
        weights[number - 1][begin - begin_before :] *= 1 - ramp
    return weights


def seams(tiles: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Divides the cells (16x16 pixels, `layers.CELL`) along one side among the tiles.

    Args:
        tiles: list of (begin, end), as `spans` returns it.

    Returns:
        (first cell of each tile, end of the cells of each tile). The border is in the middle of each overlap.
    """
    middles = [(begin + end) // 2 // CELL for (_, end), (begin, _) in itertools.pairwise(tiles)]
    return [0, *middles], [*middles, -(-tiles[-1][1] // CELL)]


def crop_means(means: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """Crops means on the grid of cells to a tile. Means over the whole picture are returned as they are.

    Args:
        means: `(1, rows, columns, channels)`, or `(1, 1, 1, channels)` for the whole picture.
        top, bottom, left, right: int, the tile in pixels.
    """
    if means.shape[1:3] == (1, 1):
        return means
    return means[:, top // CELL : -(-bottom // CELL), left // CELL : -(-right // CELL)]
