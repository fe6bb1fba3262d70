"""Restores pictures of any size with a trained network.

    from unet_deblur_tf import Restorer

    restore = Restorer("unet")
    sharp = restore(blurred)                   # from and to uint8 or uint16 (height, width, 3)

The network runs at several sizes of the picture, from coarse to fine (see `models.scales`). A picture that does not fit
in memory is restored in tiles, with the same result if they are large (docs/restoring.md; not for NAFNet, see `tiled`).
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from tqdm import tqdm

from unet_deblur_tf.configs import CELL
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.blending import ENSEMBLE_FACTOR, blend_share, sizes_at
from unet_deblur_tf.restoring.memory import restoring_bytes_per_pixel
from unet_deblur_tf.restoring.options import RestoringOptions
from unet_deblur_tf.restoring.runtimes import OutOfMemory, TooManyPixels, open_network
from unet_deblur_tf.restoring.tiled import TiledNetwork, doubled
from unet_deblur_tf.utils.hardware import free_memory
from unet_deblur_tf.utils.precision import advice

if TYPE_CHECKING:
    import keras

SMALLEST_CHOSEN = 512  # pixels: the smallest tiles that are chosen, however little memory there is
RESERVE = 0.1e9  # bytes of memory that are left unused
ROWS = 256  # of a picture, which are blended at once
# Bytes per pixel that several scales keep beside the tiles, in float32: the picture and its results, small and large.
SCALES_BYTES = 24


class Restorer:
    """Restores pictures with a trained network: `restore = Restorer("unet"); sharp = restore(blurred)`.

    Args:
        model: the name of a network that comes with the package, such as "unet"; None for the default one; a path, see
            `finding.find_model`; or a `keras.Model`. A SavedModel that training wrote contains its Keras model, which
            is used.
        progress: bool, whether to say on standard error that a network is converted for another runtime.
        **options: the fields of `RestoringOptions`.

    Attributes:
        options: `RestoringOptions`.
        runtime: str, what computes: "tensorflow", "onnxruntime" or "openvino".
        pooling: str, the pooling as reports name it, see `transforms.pooling_of`.
        precision: str, the number format of most layers, one of `configs.PRECISIONS`.
        advice: str, a note for the user if float32 is faster here, or "", see `utils.precision.advice`.
        scales: int, at how many sizes of the picture the network runs; None for a SavedModel without its Keras model,
            which has them built in.

    Raises:
        InputError: if there is no such model, the file cannot be loaded, a file that comes with the package was
            changed, an option is out of range, or the network cannot take the pooling, precision or runtime.
    """

    def __init__(self, model: "str | Path | keras.Model | None" = None, progress: bool = False, **options):
        self.options = RestoringOptions(**options)
        network = open_network(model, self.options, progress)
        facts = network.facts
        self.runtime, self.pooling, self.precision, self.scales = (
            network.runtime, facts.pooling, facts.precision, facts.scales
        )  # fmt: skip
        self.advice = advice(facts.precision)
        self._facts = facts
        self._scales = facts.scales or 1
        self._factor = ENSEMBLE_FACTOR if self.options.ensemble else 1.0
        self._tiled = TiledNetwork(network)
        self._step = facts.step
        tile = self.options.tile
        self._tile = None if tile is None else -(-tile // self._step) * self._step
        self._bytes_per_pixel = restoring_bytes_per_pixel(facts, network.runtime)
        self._memory = _memory_to_use(self.options.memory)
        turns = list(itertools.product((False, True), repeat=3))  # see `_turned`
        self._turns = turns if self.options.ensemble else turns[:1]

    @property
    def about(self) -> str:
        """How it restores, in words for the user."""
        return f"pooling {self.pooling}, scales {self.scales or 'built in'}, {self.precision} in {self.runtime}"

    def __call__(
        self, picture: np.ndarray, progress: bool = False, on_step: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """Restores a picture.

        Args:
            picture: uint8 or uint16 `(height, width, 3)` RGB.
            progress: bool, whether to show a bar over tiles or passes, if there are several.
            on_step: function that is called after each tile or pass with two ints, how many are done and how many there
                are; for a progress bar of another kind. What it raises ends the restoration.

        Returns:
            The restored picture, of the same type and shape.

        Raises:
            InputError: if there is not enough memory, or a SavedModel does not take so many pixels.
        """
        height, width, _ = picture.shape
        tile = self.tile_for(height, width, picture.itemsize)
        while True:
            try:
                return self._restore(picture, tile, progress, on_step)
            except OutOfMemory as error:
                # The free memory of a GPU is not known beforehand, so try again with smaller tiles.
                tile = (tile or max(height, width)) // 2 // self._step * self._step
                if self._tile is not None or tile < SMALLEST_CHOSEN:
                    raise InputError(f"Not enough memory for {width}x{height} pixels: try a smaller --tile") from error
            except TooManyPixels as error:
                side = tile or max(height, width)
                raise InputError(f"The SavedModel does not take {side} pixels at once: try a smaller --tile") from error

    def _restore(self, picture, tile, progress, on_step):
        """Restores a picture in tiles of a side in pixels, or as a whole if `tile` is None."""
        height, width, _ = picture.shape
        steps, unit = (1, "Passes") if tile is None else (self._steps(height, width, tile), "Tiles")
        total = len(self._turns) * steps
        with tqdm(total=total, desc=unit, leave=False, disable=not progress or total == 1) as bar:
            done = _counting(bar.update, on_step, total)

            def bands(turned):
                yield from self._bands(turned, tile, done, self._scales)
                if tile is None:  # the passes of all scales are one step
                    done()

            if len(self._turns) == 1:
                restored = np.empty(picture.shape, picture.dtype)
                for top, band in bands(picture):
                    rows = slice(top, top + len(band))
                    restored[rows] = _to_integers(band, picture[rows], self.options.strength)
                return restored
            summed = np.zeros(picture.shape, np.float32)
            for turn in self._turns:
                turned = _turned(summed, turn)  # a view, so adding to it changes `summed`
                for top, band in bands(_turned(picture, turn)):
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
        # The picture and the result are in memory twice each, while they are read and written, as are the result before
        # them and the picture after them once. An ensemble adds its sum in float32.
        budget = self._memory - 6 * 3 * itemsize * pixels - (12 * pixels if len(self._turns) > 1 else 0)
        if pixels * self._bytes_per_pixel <= budget:
            return None
        # With tiles there are also two bands of tiles across the picture in float32, with squeeze-and-excitation the
        # means of all cells, and with several scales the results of the smaller ones.
        band_row_bytes = 2 * 12 * width
        kept_bytes = pixels / CELL**2 * 4 * self._tiled.means_channels
        if self._scales > 1:
            kept_bytes += SCALES_BYTES * pixels
        # Solve side^2 * bytes_per_pixel + side * band_row_bytes = budget - kept_bytes.
        half = band_row_bytes / self._bytes_per_pixel / 2
        side = (half**2 + max(0, budget - kept_bytes) / self._bytes_per_pixel) ** 0.5 - half
        side = max(int(side) // self._step * self._step, SMALLEST_CHOSEN)
        return side if side < max(height, width) else None

    def _steps(self, height, width, tile):
        """The number of times that a tile goes through the network."""
        return sum(self._tiled.steps(*size, tile) for size in sizes_at(self._scales, height, width))

    def _bands(self, picture, tile, done, scales) -> Iterator[tuple[int, np.ndarray]]:
        """Restores a picture band by band, from top to bottom: what `scales.at_scales` computes, pass by pass.

        TensorFlow then traces and optimizes the network once, and not once for each scale.

        Args:
            picture: `(height, width, 3)`.
            tile: side of the tiles in pixels; None for whole pictures, in one band.
            done: function without arguments, called after each tile.
            scales: int, the number of scales from this size on.

        Yields:
            (top row, float32 `(rows, width, 3)`).
        """
        if scales == 1:
            yield from self._tiled.bands(picture, tile, done)
            return
        small = half_size(picture)
        coarse = _assembled(small.shape, self._bands(small, tile, done, scales - 1))
        if self._facts.guided:
            yield from self._tiled.bands(picture, tile, done, coarse - small)
            return
        fine = _assembled(picture.shape, self._tiled.bands(picture, tile, done))
        share = self._factor * blend_share(_mean_change(fine, picture), _mean_change(coarse, small))
        exchanged = share * (coarse - half_size(fine))
        height, width, _ = picture.shape
        for top in range(0, height, ROWS):
            bottom = min(top + ROWS, height)
            yield top, fine[top:bottom] + doubled(exchanged, top, bottom, 0, width)


def _counting(advance, on_step, total):
    """A function without arguments to call after each step, which advances the bar and tells `on_step`."""
    numbers = itertools.count(1)

    def done():
        advance()
        if on_step:
            on_step(next(numbers), total)

    return done


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


def _assembled(shape, bands):
    """A picture of its bands, float32."""
    whole = np.empty(shape, np.float32)
    for top, band in bands:
        whole[top : top + len(band)] = band
    return whole


def half_size(picture):
    """Halves a picture as `scales` does: means of 2x2 pixels; a last odd row or column is mirrored.

    Args:
        picture: `(height, width, 3)`, uint8, uint16, or float32 in 0..1.

    Returns:
        float32 `(height / 2, width / 2, 3)`, rounded up, in 0..1.
    """
    height, width, _ = picture.shape
    # Reflection repeats the last row but one, where there is one.
    rows, columns = ([*range(side), max(side - 2, 0)][: side + side % 2] for side in (height, width))
    odd = height % 2 or width % 2
    even = picture[np.ix_(rows, columns)] if odd else picture
    parts = (even[row::2, column::2] for row in (0, 1) for column in (0, 1))
    total = sum(part.astype(np.float32) for part in parts)
    return total / np.float32(4 * _largest(picture))


def _mean_change(restored, picture):
    """The mean absolute difference of a float32 picture to a picture of any type, computed by rows."""
    largest = np.float32(_largest(picture))
    rows = (slice(top, top + ROWS) for top in range(0, len(picture), ROWS))
    return sum(np.abs(restored[part] - picture[part] / largest).sum(dtype=np.float64) for part in rows) / picture.size


def _largest(picture):
    """The value of white."""
    return 1 if picture.dtype == np.float32 else np.iinfo(picture.dtype).max


def _to_integers(restored, picture, strength):
    """The restored picture in the type of the original, with only a share `strength` of the correction."""
    restored = np.clip(restored, 0, 1) * np.iinfo(picture.dtype).max
    if strength < 1:
        restored = picture + strength * (restored - picture)
    return np.round(restored).astype(picture.dtype)
