"""Restores pictures of any size with a trained network.

    from unet_deblur_tf import Restorer

    restore = Restorer("unet")
    sharp = restore(blurred)                   # from and to uint8 or uint16 (height, width, 3)

A picture that does not fit in memory is restored in overlapping tiles. The overlap is larger than the network's
receptive field (except for small tiles, see `tiles.spans`), so the result is the same as without tiles. The means that
squeeze-and-excitation takes over the picture are computed first, tile by tile. The network gets them with each tile.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import psutil
import tensorflow as tf
from tqdm import tqdm

from unet_deblur_tf.acceleration.inference import PICTURE, for_inference
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.layers import CELL, window_means
from unet_deblur_tf.models.loading import ForeignSavedModel, adapt_network, find_model, load_network
from unet_deblur_tf.models.transforms import pooling_of, scale_of, squeeze_layers, with_local_pooling
from unet_deblur_tf.restoring.memory import restoring_bytes_per_pixel
from unet_deblur_tf.restoring.options import RestoringOptions
from unet_deblur_tf.restoring.tiles import crop_means, seams, spans, tapers
from unet_deblur_tf.utils.hardware import advice, free_memory

SMALLEST_CHOSEN = 256  # pixels: the smallest tiles that are chosen, however little memory there is
RESERVE = 0.1e9  # bytes of memory that are left unused


class Restorer:
    """Restores pictures with a trained network: `restore = Restorer("unet"); sharp = restore(blurred)`.

    Args:
        model: the name of a network that comes with the package, such as "unet"; None for the default one; a path, see
            `loading.find_model`; or a `keras.Model`. A SavedModel that training wrote contains its Keras model, which
            is used.
        **options: the fields of `RestoringOptions`.

    Attributes:
        options: `RestoringOptions`.
        pooling: str, the pooling as reports name it, see `transforms.pooling_of`.
        advice: str, a note for the user about a faster precision, or "", see `hardware.advice`.

    Raises:
        InputError: if there is no such model, the file cannot be loaded, a file that comes with the package was
            changed, an option is out of range, or the network cannot take the pooling or precision.
    """

    def __init__(self, model: str | Path | keras.Model | None = None, **options):
        self.options = RestoringOptions(**options)
        pooling, precision = self.options.pooling, self.options.precision
        if isinstance(model, str | Path | None):
            network = load_network(find_model(model), pooling, precision)
        else:
            network = adapt_network(model, pooling, precision)
        self.pooling = pooling_of(network)
        self.advice = advice(network)
        self._scale = scale_of(network)
        self._step = self._scale * CELL  # pixels: tiles are aligned with the network's coarsest features
        tile = self.options.tile
        self._tile = None if tile is None else -(-tile // self._step) * self._step
        self._bytes_per_pixel = restoring_bytes_per_pixel(network)
        self._memory = _memory_to_use(self.options.memory)
        turns = list(itertools.product((False, True), repeat=3))  # see `_turned`
        self._turns = turns if self.options.ensemble else turns[:1]

        self._network = network
        fast = network if isinstance(network, ForeignSavedModel) else for_inference(network)
        self._run: Callable = tf.function(lambda image: fast(image, training=False), input_signature=[PICTURE])
        self._squeezes = [(layer.window, layer.output.shape[-1]) for layer in squeeze_layers(network)]

    @functools.cached_property
    def _statistics_and_output(self):
        """The network in two parts, for tiles with squeeze-and-excitation.

        Returns:
            (function from a picture to the means of its cells for each `Squeeze` layer, function from a picture and the
            outputs of the `Squeeze` layers to the restored picture).
        """
        by_cell = with_local_pooling(self._network, CELL)
        measure = for_inference(keras.Model(by_cell.input, [layer.output for layer in squeeze_layers(by_cell)]))
        squeezed = [layer.output for layer in squeeze_layers(self._network)]
        finish = for_inference(keras.Model([self._network.input, *squeezed], self._network.output))
        means = [tf.TensorSpec(tensor.shape, tf.float32) for tensor in squeezed]
        return (
            tf.function(lambda image: measure(image, training=False), input_signature=[PICTURE]),
            tf.function(lambda image, means: finish([image, *means], training=False), input_signature=[PICTURE, means]),
        )

    def __call__(self, picture: np.ndarray, progress: bool = False) -> np.ndarray:
        """Restores a picture.

        Args:
            picture: uint8 or uint16 `(height, width, 3)` RGB.
            progress: bool, whether to show a bar over tiles or passes, if there are several.

        Returns:
            The restored picture, of the same type and shape.

        Raises:
            InputError: if there is not enough memory, or a SavedModel does not take so many pixels.
        """
        height, width, _ = picture.shape
        tile = self.tile_for(height, width, picture.itemsize)
        while True:
            try:
                return self._restore(picture, tile, progress)
            except tf.errors.ResourceExhaustedError as error:
                # The free memory of a GPU is not known beforehand, so try again with smaller tiles.
                tile = (tile or max(height, width)) // 2 // self._step * self._step
                if self._tile is not None or tile < SMALLEST_CHOSEN:
                    raise InputError(f"Not enough memory for {width}x{height} pixels: try a smaller --tile") from error
            except tf.errors.InvalidArgumentError as error:
                if not isinstance(self._network, ForeignSavedModel):
                    raise
                # The SavedModel has a limit of its own, see `saved_model.export`.
                side = tile or max(height, width)
                raise InputError(f"The SavedModel does not take {side} pixels at once: try a smaller --tile") from error

    def _restore(self, picture, tile, progress):
        """Restores a picture in tiles of a side in pixels, or as a whole if `tile` is None."""
        height, width, _ = picture.shape
        steps, unit = (1, "Passes") if tile is None else (self._steps(height, width, tile), "Tiles")
        total = len(self._turns) * steps
        with tqdm(total=total, desc=unit, leave=False, disable=not progress or total == 1) as bar:
            if len(self._turns) == 1:
                restored = np.empty(picture.shape, picture.dtype)
                for top, band in self._bands(picture, tile, bar.update):
                    rows = slice(top, top + len(band))
                    restored[rows] = _to_integers(band, picture[rows], self.options.strength)
                return restored
            summed = np.zeros(picture.shape, np.float32)
            for turn in self._turns:
                turned = _turned(summed, turn)  # a view, so adding to it changes `summed`
                for top, band in self._bands(_turned(picture, turn), tile, bar.update):
                    turned[top : top + len(band)] += band
            return _to_integers(summed / len(self._turns), picture, self.options.strength)

    def tile_for(self, height: int, width: int, itemsize: int = 1) -> int | None:
        """Chooses the tiles for a picture.

        Args:
            height, width: int, size of the picture in pixels.
            itemsize: int, bytes per sample of the picture.

        Returns:
            Side of the tiles in pixels; None if the picture is restored as a whole.
        """
        if self._tile is not None:
            return self._tile if 0 < self._tile < max(height, width) else None
        pixels = height * width
        # The picture and the result are in memory twice each, while they are read and written. An ensemble adds its sum
        # in float32.
        budget = self._memory - 4 * 3 * itemsize * pixels - (12 * pixels if len(self._turns) > 1 else 0)
        if pixels * self._bytes_per_pixel <= budget:
            return None
        # With tiles there are also two bands of tiles across the picture in float32, and with squeeze-and-excitation
        # the means of all cells.
        band_row_bytes = 2 * 12 * width
        means_bytes = pixels / CELL**2 * 4 * sum(channels for _, channels in self._squeezes)
        # Solve side^2 * bytes_per_pixel + side * band_row_bytes = budget - means_bytes.
        half = band_row_bytes / self._bytes_per_pixel / 2
        side = (half**2 + max(0, budget - means_bytes) / self._bytes_per_pixel) ** 0.5 - half
        side = max(int(side) // self._step * self._step, SMALLEST_CHOSEN)
        return side if side < max(height, width) else None

    def _steps(self, height, width, tile):
        """The number of times that a tile goes through the network."""
        count = len(spans(height, tile, self._scale)) * len(spans(width, tile, self._scale))
        return count * (2 if self._squeezes else 1)

    def _bands(self, picture, tile, done) -> Iterator[tuple[int, np.ndarray]]:
        """Restores a picture band by band, from top to bottom; without tiles, in one band.

        Args:
            picture: `(height, width, 3)`.
            tile: side of the tiles in pixels, or None.
            done: function without arguments, called after each step.

        Yields:
            (top row, float32 `(rows, width, 3)`).
        """
        if tile is None:
            yield 0, self._run(_to_floats(picture))[0].numpy()
            done()
            return
        height, width, _ = picture.shape
        rows, columns = spans(height, tile, self._scale), spans(width, tile, self._scale)
        run, means = self._run, None
        if self._squeezes:
            measure, run = self._statistics_and_output
            means = self._means(measure, picture, rows, columns, done)
        overlap = np.zeros((0, width, 3), np.float32)  # what the tiles above add to the top of the next band
        for (top, bottom), fade_rows, (end, _) in zip(rows, tapers(rows), [*rows[1:], (height, height)]):
            band = np.zeros((bottom - top, width, 3), np.float32)
            band[: len(overlap)] = overlap
            for (left, right), fade_columns in zip(columns, tapers(columns)):
                image = _to_floats(picture[top:bottom, left:right])
                inputs = [image]
                if means is not None:
                    inputs.append([crop_means(level, top, bottom, left, right) for level in means])
                restored = run(*inputs)
                weights = fade_rows[:, np.newaxis, np.newaxis] * fade_columns[:, np.newaxis]
                band[:, left:right] += restored[0].numpy() * weights
                done()
            yield top, band[: end - top]
            overlap = band[end - top :]

    def _means(self, measure, picture, rows, columns, done):
        """The output of each `Squeeze` layer for the whole picture, computed tile by tile: a list of arrays."""
        grid = [-(-side // CELL) for side in picture.shape[:2]]
        means = [np.empty((1, *grid, channels), np.float32) for _, channels in self._squeezes]
        for (top, bottom), upper, lower in zip(rows, *seams(rows)):
            for (left, right), first, last in zip(columns, *seams(columns)):
                cells = measure(_to_floats(picture[top:bottom, left:right]))
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


def _memory_to_use(limit):
    """Bytes that restoring can use: up to a limit for the whole process (bytes), or half of the free memory if None."""
    if limit is None:
        return free_memory() / 2 - RESERVE
    return max(0, limit - psutil.Process().memory_info().rss) - RESERVE


def _turned(picture, turn):
    """A view of a picture, flipped and transposed; `turn` is three bools (upside down, mirrored, transposed)."""
    upside_down, mirrored, transposed = turn
    picture = picture[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    return picture.transpose(1, 0, 2) if transposed else picture


def _to_floats(picture):
    """A batch of one picture, as float32 in 0..1."""
    return tf.constant(picture[np.newaxis].astype(np.float32) / np.float32(np.iinfo(picture.dtype).max))


def _to_integers(restored, picture, strength):
    """The restored picture in the type of the original, with only a share `strength` of the correction."""
    restored = np.clip(restored, 0, 1) * np.iinfo(picture.dtype).max
    if strength < 1:
        restored = picture + strength * (restored - picture)
    return np.round(restored).astype(picture.dtype)
