"""Runs a network over a picture, whole or in overlapping tiles, band by band, with the same result.

The overlap is larger than the network's receptive field (except for small tiles, see `tiles.spans`). The means that
squeeze-and-excitation takes over the picture are computed first, tile by tile. The network gets them with each tile.
Only NAFNet's blocks take means of what depends on earlier means, so there each tile takes its own.
"""

import functools
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.acceleration.inference import PICTURE, for_inference
from unet_deblur_tf.models.layers import CELL, double_size, window_means
from unet_deblur_tf.models.loading import ForeignSavedModel
from unet_deblur_tf.models.scales import is_guided
from unet_deblur_tf.models.transforms import (
    has_naf_blocks,
    receptive_radius,
    scale_of,
    squeeze_layers,
    with_local_pooling,
)
from unet_deblur_tf.restoring.tiles import crop_means, seams, spans, tapers


class TiledNetwork:
    """A network of one scale, run over whole pictures or in tiles.

    Args:
        network: `keras.Model` as `models.unet.unet` builds it, guided or not, or a `ForeignSavedModel`.

    Attributes:
        guided: bool, whether the network takes a coarse correction beside the picture.
        step: int, pixels: tiles are aligned with the network's coarsest features.
    """

    def __init__(self, network: "keras.Model | ForeignSavedModel"):
        self.guided = is_guided(network)
        self.step = scale_of(network) * CELL
        self._radius = receptive_radius(network)
        self._network = network
        squeezes = [] if has_naf_blocks(network) else squeeze_layers(network)
        self._squeezes = [(layer.window, layer.output.shape[-1]) for layer in squeezes]

    @functools.cached_property
    def _run(self) -> Callable:
        """The network as a function from its inputs, each a float32 batch of one, to the restored batch."""
        network = self._network
        fast = network if isinstance(network, ForeignSavedModel) else for_inference(network)
        return self._function(fast, [])

    @functools.cached_property
    def _statistics_and_output(self):
        """The network in two parts, for squeeze-and-excitation.

        Returns:
            (function from the inputs to the means of the picture's cells for each `Squeeze` layer, function from the
            inputs and the outputs of the `Squeeze` layers to the restored picture).
        """
        by_cell = with_local_pooling(self._network, CELL)
        measure = for_inference(keras.Model(by_cell.inputs, [layer.output for layer in squeeze_layers(by_cell)]))
        squeezed = [layer.output for layer in squeeze_layers(self._network)]
        finish = for_inference(keras.Model([*self._network.inputs, *squeezed], self._network.output))
        means = [tf.TensorSpec(tensor.shape, tf.float32) for tensor in squeezed]
        return self._function(measure, []), self._function(finish, means)

    def _function(self, network, further):
        signature = [PICTURE, PICTURE] if self.guided else [PICTURE]

        def call(*inputs):
            return network(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

        return tf.function(call, input_signature=[*signature, *further])

    @property
    def means_channels(self) -> int:
        """The number of channels whose means are kept for every cell of the picture, in float32."""
        return sum(channels for _, channels in self._squeezes)

    def steps(self, height: int, width: int, tile: int) -> int:
        """The number of times that a tile goes through the network."""
        count = len(self._spans(height, tile)) * len(self._spans(width, tile))
        return count * (2 if self._squeezes else 1)

    def _spans(self, length, tile):
        return spans(length, tile, self.step, self._radius)

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
            if not self.guided:
                return [image]
            if correction is None:
                return [image, tf.zeros_like(image)]
            return [image, tf.constant(doubled(correction, top, bottom, left, right)[np.newaxis])]

        if tile is None:
            yield 0, self._run(*inputs_of(0, height, 0, width))[0].numpy()
            return
        rows, columns = self._spans(height, tile), self._spans(width, tile)
        if self._squeezes:
            _, run = self._statistics_and_output
            means = self._means((height, width), inputs_of, rows, columns, done)
        else:
            run, means = self._run, []
        overlap = np.zeros((0, width, 3), np.float32)  # what the tiles above add to the top of the next band
        for (top, bottom), fade_rows, (end, _) in zip(rows, tapers(rows), [*rows[1:], (height, height)]):
            band = np.zeros((bottom - top, width, 3), np.float32)
            band[: len(overlap)] = overlap
            for (left, right), fade_columns in zip(columns, tapers(columns)):
                cropped = [crop_means(level, top, bottom, left, right) for level in means]
                restored = run(*inputs_of(top, bottom, left, right), *cropped)
                weights = fade_rows[:, np.newaxis, np.newaxis] * fade_columns[:, np.newaxis]
                band[:, left:right] += restored[0].numpy() * weights
                done()
            yield top, band[: end - top]
            overlap = band[end - top :]

    def _means(self, size, inputs_of, rows, columns, done):
        """The output of each `Squeeze` layer for the whole picture, computed tile by tile: a list of arrays."""
        measure, _ = self._statistics_and_output
        grid = [-(-side // CELL) for side in size]
        means = [np.empty((1, *grid, channels), np.float32) for _, channels in self._squeezes]
        for (top, bottom), upper, lower in zip(rows, *seams(rows)):
            for (left, right), first, last in zip(columns, *seams(columns)):
                cells = measure(*inputs_of(top, bottom, left, right))
                for whole, part in zip(means, cells):
                    inside = part[
                        :, upper - top // CELL : lower - top // CELL, first - left // CELL : last - left // CELL
                    ]
                    whole[:, upper:lower, first:last] = inside
                done()
        if self._squeezes[0][0] is None:
            # The padded picture consists of whole cells, so its mean is the mean of the cells.
            return [cells.mean(axis=(1, 2), keepdims=True) for cells in means]
        for cells, (window, channels) in zip(means, self._squeezes):
            count = window // CELL
            for channel in range(0, channels, 16):  # 16 channels at a time: it takes several times their memory
                cells[..., channel : channel + 16] = window_means(cells[..., channel : channel + 16], count)
        return means


def to_floats(picture: np.ndarray) -> tf.Tensor:
    """A batch of one picture, as float32 in 0..1."""
    if picture.dtype == np.float32:
        return tf.constant(picture[np.newaxis])
    return tf.constant(picture[np.newaxis].astype(np.float32) / np.float32(np.iinfo(picture.dtype).max))


def doubled(small: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """A part of a picture of twice the size, interpolated as `BilinearUpsampling2D` does.

    Args:
        small: float32 `(rows, columns, channels)`.
        top, bottom, left, right: int, the part in pixels of the larger picture.

    Returns:
        float32 `(bottom - top, right - left, channels)`.
    """
    above, before = max(top // 2 - 1, 0), max(left // 2 - 1, 0)  # one pixel more on each side, for the interpolation
    part = small[above : -(-bottom // 2) + 1, before : -(-right // 2) + 1]
    larger = double_size(tf.constant(part[np.newaxis]))[0].numpy()
    return larger[top - 2 * above : bottom - 2 * above, left - 2 * before : right - 2 * before]
