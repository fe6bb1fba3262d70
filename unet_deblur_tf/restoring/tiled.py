"""Runs a network over a picture, whole or in overlapping tiles, band by band, with the same result.

The overlap is larger than the network's receptive field (except for small tiles, see `tiles.spans`). The means that
squeeze-and-excitation takes over the picture are computed first, tile by tile. The network gets them with each tile.
Only NAFNet's blocks take means of what depends on earlier means, so there each tile takes its own.
"""

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np

from unet_deblur_tf.configs import CELL
from unet_deblur_tf.restoring.tiles import crop_means, seams, spans, tapers

if TYPE_CHECKING:
    from unet_deblur_tf.restoring.runtimes.converted import ConvertedNetwork
    from unet_deblur_tf.restoring.runtimes.tensorflow_network import TensorFlowNetwork


class TiledNetwork:
    """A network of one scale, run over whole pictures or in tiles.

    Args:
        network: as `runtimes.open_network` returns it.
    """

    def __init__(self, network: "TensorFlowNetwork | ConvertedNetwork"):
        self._facts = network.facts
        self._part = functools.cache(network.part)

    @property
    def means_channels(self) -> int:
        """The number of channels whose means are kept for every cell of the picture, in float32."""
        return sum(channels for _, channels in self._facts.squeezes)

    def steps(self, height: int, width: int, tile: int) -> int:
        """The number of times that a tile goes through the network."""
        count = len(self._spans(height, tile)) * len(self._spans(width, tile))
        return count * (2 if self._facts.squeezes else 1)

    def _spans(self, length, tile):
        return spans(length, tile, self._facts.step, self._facts.radius)

    def bands(
        self, picture: np.ndarray, tile: int | None, done: Callable, correction: np.ndarray | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Restores a picture band by band, from top to bottom.

        Args:
            picture: `(height, width, 3)`, uint8, uint16, or float32 in 0..1.
            tile: side of the tiles in pixels; None for the whole picture at once, in one band.
            done: function without arguments, called after each tile.
            correction: for a guided network float32 `(height / 2, width / 2, 3)`, rounded up, the coarse correction;
                None for no correction.

        Yields:
            (top row, float32 `(rows, width, 3)`).
        """
        height, width, _ = picture.shape

        def inputs_of(top, bottom, left, right):
            image = to_floats(picture[top:bottom, left:right])
            if not self._facts.guided:
                return [image]
            if correction is None:
                return [image, np.zeros_like(image)]
            return [image, doubled(correction, top, bottom, left, right)[np.newaxis]]

        if tile is None:
            (restored,) = self._part("whole")(*inputs_of(0, height, 0, width))
            yield 0, restored[0]
            return
        rows, columns = self._spans(height, tile), self._spans(width, tile)
        means = self._means((height, width), inputs_of, rows, columns, done) if self._facts.squeezes else []
        run = self._part("rest" if means else "whole")
        overlap = np.zeros((0, width, 3), np.float32)  # what the tiles above add to the top of the next band
        for (top, bottom), fade_rows, (end, _) in zip(rows, tapers(rows), [*rows[1:], (height, height)]):
            band = np.zeros((bottom - top, width, 3), np.float32)
            band[: len(overlap)] = overlap
            for (left, right), fade_columns in zip(columns, tapers(columns)):
                cropped = [crop_means(level, top, bottom, left, right) for level in means]
                (restored,) = run(*inputs_of(top, bottom, left, right), *cropped)
                weights = fade_rows[:, np.newaxis, np.newaxis] * fade_columns[:, np.newaxis]
                band[:, left:right] += restored[0] * weights
                done()
            yield top, band[: end - top]
            overlap = band[end - top :]

    def _means(self, size, inputs_of, rows, columns, done):
        """The output of each `Squeeze` layer for the whole picture, computed tile by tile: a list of arrays."""
        measure = self._part("means")
        grid = [-(-side // CELL) for side in size]
        means = [np.empty((1, *grid, channels), np.float32) for _, channels in self._facts.squeezes]
        for (top, bottom), upper, lower in zip(rows, *seams(rows)):
            for (left, right), first, last in zip(columns, *seams(columns)):
                cells = measure(*inputs_of(top, bottom, left, right))
                for whole, part in zip(means, cells):
                    inside = part[
                        :, upper - top // CELL : lower - top // CELL, first - left // CELL : last - left // CELL
                    ]
                    whole[:, upper:lower, first:last] = inside
                done()
        if self._facts.squeezes[0][0] is None:
            # The padded picture consists of whole cells, so its mean is the mean of the cells.
            return [cells.mean(axis=(1, 2), keepdims=True) for cells in means]
        from unet_deblur_tf.models.layers import window_means  # imports Keras, which nothing else here needs

        for cells, (window, channels) in zip(means, self._facts.squeezes):
            count = window // CELL
            for channel in range(0, channels, 16):  # 16 channels at a time: it takes several times their memory
                cells[..., channel : channel + 16] = window_means(cells[..., channel : channel + 16], count)
        return means


def to_floats(picture: np.ndarray) -> np.ndarray:
    """A batch of one picture, as float32 in 0..1."""
    if picture.dtype == np.float32:
        return np.ascontiguousarray(picture[np.newaxis])
    return picture[np.newaxis].astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)


def doubled(small: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """A part of a picture of twice the size, interpolated bilinearly, as `BilinearUpsampling2D` does.

    Args:
        small: float32 `(rows, columns, channels)`.
        top, bottom, left, right: int, the part in pixels of the larger picture.

    Returns:
        float32 `(bottom - top, right - left, channels)`.
    """
    above, before = max(top // 2 - 1, 0), max(left // 2 - 1, 0)  # one pixel more on each side, for the interpolation
    part = small[above : -(-bottom // 2) + 1, before : -(-right // 2) + 1]
    rows, columns, _ = part.shape
    larger = cv2.resize(part, (2 * columns, 2 * rows), interpolation=cv2.INTER_LINEAR)
    return larger[top - 2 * above : bottom - 2 * above, left - 2 * before : right - 2 * before]
