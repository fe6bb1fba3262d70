"""A trained network as a function from a blurred picture of any size to a restored one.

restore = load_restorer("saved_models/concat_se")
sharp = restore(blurred)                   # uint8 or uint16 (height, width, 3) -> the same

A picture that does not fit in memory is restored in overlapping tiles. Beyond the
network's receptive field a tile knows all that the whole picture would have told it, so
tiles change nothing. What squeeze-and-excitation takes from the whole picture is gathered
beforehand, tile by tile, and handed to each.
"""

import functools
import itertools
import json
from pathlib import Path

import keras
import numpy as np
import psutil
import tensorflow as tf
from tqdm import tqdm

from unet_deblur_tf import shipped
from unet_deblur_tf.errors import InputError, first_line
from unet_deblur_tf.inference import for_inference
from unet_deblur_tf.layers import CELL, window_means
from unet_deblur_tf.memory import free_memory, restoring_bytes_per_pixel
from unet_deblur_tf.models import in_precision, pool_within, receptive_radius, scale_of, squeezes
from unet_deblur_tf.processor import advice
from unet_deblur_tf.serving import PICTURE, versions

MODELS = Path("saved_models")
POOLING_WINDOW = 1.5  # times the training crop, as Chu et al. found best (ECCV 2022)
TAPER = 32  # pixels over which one tile fades into the next
SMALLEST_TILE, SMALLEST_CHOSEN = 128, 256  # asked for, and chosen however little memory there is


def find_model(path=None, models=MODELS):
    """The `.keras` file or SavedModel version folder that a `--model` value stands for.

    Args:
        path: a `.keras` file, a SavedModel folder, a folder of numbered versions (the
            newest is taken), or the name of a network that comes with the package, such
            as "lite"; None for the newest version under `models`, or if there is none
            for the package's own default.
        models: folder of model base paths.

    Raises:
        InputError: if there is none, saying what there is.
    """
    if path is None:
        found = [base / str(number) for base in Path(models).glob("*/") for number in versions(base)]
        return max(found, key=lambda folder: folder.stat().st_mtime_ns) if found else shipped.find()
    named, path = str(path), Path(path)
    if (path.is_file() and path.suffix == ".keras") or (path / "saved_model.pb").is_file():
        return path
    if versions(path):
        return path / str(versions(path)[-1])
    if path.exists():
        raise InputError(f"{path} is neither a .keras file nor a SavedModel folder, nor does it hold numbered versions")
    if shipped.find(named):
        return shipped.find(named)
    raise InputError(
        f"No such model: {named}. It takes a .keras file, a folder that train.py wrote, "
        f"or one that comes with the package: {', '.join(shipped.manifest()['networks'])}"
    )


def load_restorer(path, pooling="auto", tile=None, memory=None, ensemble=False, precision=None, strength=1.0):
    """Loads what `find_model` found.

    Of a SavedModel that `train.py` wrote, the Keras model inside it is taken.

    Args:
        path: a `.keras` file or a SavedModel folder.
        pooling: for squeeze-and-excitation: "local" takes means over a window of 1.5
            times the training crop (TLC), "global" over the whole picture, "auto" as the
            model was saved, which is what measured better after training.
        tile: side of the tiles in pixels; 0 for none; None for as large as `memory` allows.
        memory: bytes that this process should stay within; by default what it has plus
            half of what is free.
        ensemble: bool, the mean over the eight flips and quarter turns, at eight times the cost.
        precision: one of `recipes.PRECISIONS`; None for that of the model.
        strength: above 0 and up to 1, the share of the correction that is made.

    Returns:
        A `Restorer`.

    Raises:
        InputError: if the file cannot be loaded or is not as it was shipped, or pooling or precision cannot be had
            from it.
    """
    return Restorer(load_network(Path(path), pooling, precision), tile, memory, ensemble, strength)


def load_network(path, pooling="auto", precision=None):
    """The Keras model of what `find_model` found, or of a foreign SavedModel something that is called like one.

    Args:
        path: `Path` of a `.keras` file or a SavedModel folder.
        pooling, precision: see `load_restorer`.

    Raises:
        InputError: if the file cannot be loaded or is not as it was shipped, or pooling or precision cannot be had
            from it.
    """
    file = _keras_file(path)
    shipped.check(file)
    try:
        network = keras.saving.load_model(file, compile=False) if file.exists() else _SavedModel(path)
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(f"{path} cannot be loaded as a model: {first_line(error)}") from error
    for flag, value, usual in (("pooling", pooling, "auto"), ("precision", precision, None)):
        if isinstance(network, _SavedModel) and value != usual:
            raise InputError(f"{path} has its {flag} built in: --{flag} {value} needs the model.keras it came from")
    if precision is not None:
        network = in_precision(network, precision)
    if pooling == "auto":
        return network
    if pooling == "global" or not squeezes(network):
        return pool_within(network, None)
    return pool_within(network, POOLING_WINDOW * _training_crop(file.with_name("run.json")))


def keras_file(path):
    """The `.keras` file of what `find_model` found.

    Raises:
        InputError: for a foreign SavedModel, which has none.
    """
    if not _keras_file(path).exists():
        raise InputError(f"{path} is a SavedModel without the model.keras it came from: name a .keras file")
    return _keras_file(path)


def _keras_file(path):
    return path if path.suffix == ".keras" else path / "assets.extra/model.keras"


def _training_crop(run):
    try:
        return json.loads(run.read_text())["settings"]["crop"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--pooling local needs the training crop, which {run} should say, and does not") from error


class _SavedModel:
    """The signature of a SavedModel, called like a Keras model."""

    name, layers = "", ()

    def __init__(self, path):
        self._saved = tf.saved_model.load(str(path))  # the signature alone does not keep its variables alive
        self._serve = self._saved.signatures["serving_default"]
        if list(self._serve.structured_outputs) != ["restored"]:
            raise ValueError(f"its outputs are {list(self._serve.structured_outputs)}, not 'restored'")

    def __call__(self, image, training=False):
        return self._serve(image=image)["restored"]


def pooling_of(network):
    """For reports: such as "local (144 px)", "global", or "none" for a network without squeeze-and-excitation."""
    windows = [layer.window for layer in squeezes(network)]
    if not windows:
        return "none"
    return f"local ({windows[0]} px)" if windows[0] else "global"


class Restorer:
    """See `load_restorer`.

    Attributes:
        pooling: str for reports, see `pooling_of`.
        advice: str for people, see `processor.advice`.
    """

    def __init__(self, network, tile=None, memory=None, ensemble=False, strength=1.0):
        self.pooling = pooling_of(network)
        self.advice = advice(network)
        if tile is not None and tile != 0 and tile < SMALLEST_TILE:
            raise InputError(f"--tile must be 0 or at least {SMALLEST_TILE}, not {tile}")
        if not 0 < strength <= 1:
            raise InputError(f"--strength must be above 0 and at most 1, not {strength}")
        self._strength = strength
        self._scale = scale_of(network)
        self._step = self._scale * CELL  # pixels: tiles begin where the network's coarsest features do
        self._tile = None if tile is None else -(-tile // self._step) * self._step
        self._bytes_per_pixel = restoring_bytes_per_pixel(network)
        used = psutil.Process().memory_info().rss
        self._memory = (free_memory() / 2 if memory is None else max(0, memory - used)) - 0.1e9
        self._turns = list(itertools.product((False, True), repeat=3)) if ensemble else [(False, False, False)]

        self._network = network
        fast = network if isinstance(network, _SavedModel) else for_inference(network)
        self._run = tf.function(lambda image: fast(image, training=False), input_signature=[PICTURE])
        self._squeezes = [(layer.window, layer.output.shape[-1]) for layer in squeezes(network)]

    @functools.cached_property
    def _halves(self):
        """For tiles, with squeeze-and-excitation: picture to means of its cells; picture and means to the result."""
        cells = pool_within(self._network, CELL)
        measure = for_inference(keras.Model(cells.input, [layer.output for layer in squeezes(cells)]))
        pooled = [layer.output for layer in squeezes(self._network)]
        finish = for_inference(keras.Model([self._network.input, *pooled], self._network.output))
        means = [tf.TensorSpec(tensor.shape, tf.float32) for tensor in pooled]
        return (
            tf.function(lambda image: measure(image, training=False), input_signature=[PICTURE]),
            tf.function(lambda image, means: finish([image, *means], training=False), input_signature=[PICTURE, means]),
        )

    def __call__(self, picture, progress=False):
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
                if not isinstance(self._network, _SavedModel):
                    raise
                # Its own limit, see `serving.export`.
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
                    restored[rows] = _to_integers(band, picture[rows], self._strength)
                return restored
            summed = np.zeros(picture.shape, np.float32)
            for turn in self._turns:
                # A view: what is added to it lands in the upright picture.
                turned = _turned(summed, turn)
                for top, band in self._bands(_turned(picture, turn), tile, bar.update):
                    turned[top : top + len(band)] += band
            return _to_integers(summed / len(self._turns), picture, self._strength)

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
            measure, run = self._halves
            means = self._means(measure, picture, rows, columns, done)
        begun = np.zeros((0, width, 3), np.float32)
        for (top, bottom), fade_rows, (end, _) in zip(rows, tapers(rows), [*rows[1:], (height, height)]):
            band = np.zeros((bottom - top, width, 3), np.float32)
            band[: len(begun)] = begun  # what the tiles above left here
            for (left, right), fade_columns in zip(columns, tapers(columns)):
                image = _to_floats(picture[top:bottom, left:right])
                given = [] if means is None else [[_part(some, top, bottom, left, right) for some in means]]
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
        for (top, bottom), upper, lower in zip(rows, *_seams(rows)):
            for (left, right), first, last in zip(columns, *_seams(columns)):
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


def _seams(tiles):
    """The cells along a side that are taken from each tile: (first of each, end of each)."""
    middles = [(begin + end) // 2 // CELL for (_, end), (begin, _) in itertools.pairwise(tiles)]
    return [0, *middles], [*middles, -(-tiles[-1][1] // CELL)]


def _part(means, top, bottom, left, right):
    """What a tile needs of them: all, where they are of the whole picture."""
    if means.shape[1:3] == (1, 1):
        return means
    return means[:, top // CELL : -(-bottom // CELL), left // CELL : -(-right // CELL)]


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
