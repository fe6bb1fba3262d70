"""A trained network as a function from a blurred picture of any size to a restored one.

    restore = Restorer("unet")
    sharp = restore(blurred)                   # uint8 or uint16 (height, width, 3) -> the same

A picture that does not fit in memory is restored in overlapping tiles. Beyond the
network's receptive field a tile knows all that the whole picture would have told it, so
tiles change nothing. What squeeze-and-excitation takes from the whole picture is gathered
beforehand, tile by tile, and handed to each.
"""

import functools
import itertools
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

SMALLEST_CHOSEN = 256  # pixels: no smaller tiles are chosen, however little memory there is
RESERVE = 0.1e9  # bytes that are left alone


class Restorer:
    """Restores pictures with a trained network: `restore = Restorer("unet"); sharp = restore(blurred)`.

    Args:
        model: the name of a network that comes with the package, such as "unet" (None for its default); a path, see
            `loading.find_model`; or a `keras.Model`. Of a SavedModel that training wrote, the Keras model inside
            it is taken.
        **options: the fields of `RestoringOptions`.

    Attributes:
        pooling: str for reports, see `transforms.pooling_of`.
        advice: str for people, see `hardware.advice`.

    Raises:
        InputError: if the file cannot be loaded or is not as it was shipped, an option is out of range, or pooling or
            precision cannot be had from the network.
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
        self._step = self._scale * CELL  # pixels: tiles begin where the network's coarsest features do
        tile = self.options.tile
        self._tile = None if tile is None else -(-tile // self._step) * self._step
        self._bytes_per_pixel = restoring_bytes_per_pixel(network)
        self._memory = _memory_to_use(self.options.memory)
        flips = list(itertools.product((False, True), repeat=3))
        self._turns = flips if self.options.ensemble else flips[:1]

        self._network = network
        fast = network if isinstance(network, ForeignSavedModel) else for_inference(network)
        self._run = tf.function(lambda image: fast(image, training=False), input_signature=[PICTURE])
        self._squeezes = [(layer.window, layer.output.shape[-1]) for layer in squeeze_layers(network)]

    @functools.cached_property
    def _statistics_and_output(self):
        """For tiles, with squeeze-and-excitation: picture to means of its cells; picture and means to the result."""
        cells = with_local_pooling(self._network, CELL)
        measure = for_inference(keras.Model(cells.input, [layer.output for layer in squeeze_layers(cells)]))
        pooled = [layer.output for layer in squeeze_layers(self._network)]
        finish = for_inference(keras.Model([self._network.input, *pooled], self._network.output))
        means = [tf.TensorSpec(tensor.shape, tf.float32) for tensor in pooled]
        return (
            tf.function(lambda image: measure(image, training=False), input_signature=[PICTURE]),
            tf.function(lambda image, means: finish([image, *means], training=False), input_signature=[PICTURE, means]),
        )

    def __call__(self, picture: np.ndarray, progress: bool = False) -> np.ndarray:
        """Restores a picture.

        Args:
            picture: uint8 or uint16 `(height, width, 3)` RGB.
            progress: bool, a bar over tiles or passes, if there are several.

        Returns:
            The same type and shape, clipped and rounded.
        """
        height, width, _ = picture.shape
        tile = self.tile_for(height, width, picture.itemsize)
        while True:
            try:
                return self._restore(picture, tile, progress)
            except tf.errors.ResourceExhaustedError as error:
                # Of a GPU's memory nothing is known beforehand.
                tile = (tile or max(height, width)) // 2 // self._step * self._step
                if self._tile is not None or tile < SMALLEST_CHOSEN:
                    raise InputError(f"Not enough memory for {width}x{height} pixels: try a smaller --tile") from error
            except tf.errors.InvalidArgumentError as error:
                if not isinstance(self._network, ForeignSavedModel):
                    raise
                # Its own limit, see `saved_model.export`.
                side = tile or max(height, width)
                raise InputError(f"The SavedModel does not take {side} pixels at once: try a smaller --tile") from error

    def _restore(self, picture, tile, progress):
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
                # A view: what is added to it lands in the upright picture.
                turned = _turned(summed, turn)
                for top, band in self._bands(_turned(picture, turn), tile, bar.update):
                    turned[top : top + len(band)] += band
            return _to_integers(summed / len(self._turns), picture, self.options.strength)

    def tile_for(self, height, width, itemsize=1):
        """The side of the tiles that a picture is restored in, None for the whole at once.

        Args:
            height, width: int.
            itemsize: bytes per sample of the picture.
        """
        if self._tile is not None:
            return self._tile if 0 < self._tile < max(height, width) else None
        pixels = height * width
        # The picture and the result, each twice while they are read and written; for tiles, two rows of them in float32
        # across the picture (bytes per pixel of a tile's side), and with squeeze-and-excitation the means of all cells.
        rows = 2 * 12 * width
        cells = pixels / CELL**2 * 4 * sum(channels for _, channels in self._squeezes)
        budget = self._memory - 4 * 3 * itemsize * pixels - (12 * pixels if len(self._turns) > 1 else 0)
        if pixels * self._bytes_per_pixel <= budget:
            return None
        # The side at which side^2 * bytes per pixel + side * rows is what there is.
        half = rows / self._bytes_per_pixel / 2
        side = (half**2 + max(0, budget - cells) / self._bytes_per_pixel) ** 0.5 - half
        side = max(int(side) // self._step * self._step, SMALLEST_CHOSEN)
        return side if side < max(height, width) else None

    def _steps(self, height, width, tile):
        count = len(spans(height, tile, self._scale)) * len(spans(width, tile, self._scale))
        return count * (2 if self._squeezes else 1)

    def _bands(self, picture, tile, done):
        """Yields (top row, float32 rows across the picture) from top to bottom; without tiles, all at once."""
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
        begun = np.zeros((0, width, 3), np.float32)
        for (top, bottom), fade_rows, (end, _) in zip(rows, tapers(rows), [*rows[1:], (height, height)]):
            band = np.zeros((bottom - top, width, 3), np.float32)
            band[: len(begun)] = begun  # what the tiles above left here
            for (left, right), fade_columns in zip(columns, tapers(columns)):
                image = _to_floats(picture[top:bottom, left:right])
                given = [] if means is None else [[crop_means(some, top, bottom, left, right) for some in means]]
                restored = run(image, *given)
                weights = fade_rows[:, np.newaxis, np.newaxis] * fade_columns[:, np.newaxis]
                band[:, left:right] += restored[0].numpy() * weights
                done()
            yield top, band[: end - top]
            begun = band[end - top :]

    def _means(self, measure, picture, rows, columns, done):
        """What each `Squeeze` would put out for the whole picture."""
        grid = [-(-side // CELL) for side in picture.shape[:2]]
        found = [np.empty((1, *grid, channels), np.float32) for _, channels in self._squeezes]
        for (top, bottom), upper, lower in zip(rows, *seams(rows)):
            for (left, right), first, last in zip(columns, *seams(columns)):
                cells = measure(_to_floats(picture[top:bottom, left:right]))
                for whole, part in zip(found, cells):
                    inside = part[
                        :, upper - top // CELL : lower - top // CELL, first - left // CELL : last - left // CELL
                    ]
                    whole[:, upper:lower, first:last] = inside
                done()
        if self._squeezes[0][0] is None:
            # The padded picture consists of whole cells, so their mean is its mean.
            return [cells.mean(axis=(1, 2), keepdims=True) for cells in found]
        for cells, (window, channels) in zip(found, self._squeezes):
            count = window // CELL
            for channel in range(0, channels, 16):  # some at a time, since it takes several times their memory
                cells[..., channel : channel + 16] = window_means(cells[..., channel : channel + 16], count)
        return found


def _memory_to_use(limit):
    """Bytes for restoring: up to a limit of the whole process, or half of what is free."""
    if limit is None:
        return free_memory() / 2 - RESERVE
    return max(0, limit - psutil.Process().memory_info().rss) - RESERVE


def _turned(picture, turn):
    """A view of a picture, flipped and transposed."""
    upside_down, mirrored, transposed = turn
    picture = picture[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    return picture.transpose(1, 0, 2) if transposed else picture


def _to_floats(picture):
    return tf.constant(picture[np.newaxis].astype(np.float32) / np.float32(np.iinfo(picture.dtype).max))


def _to_integers(restored, picture, strength):
    """The picture with a share of its correction, in its own type."""
    restored = np.clip(restored, 0, 1) * np.iinfo(picture.dtype).max
    if strength < 1:
        restored = picture + strength * (restored - picture)
    return np.round(restored).astype(picture.dtype)
