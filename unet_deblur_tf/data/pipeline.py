"""From pairs on disk to batches for `fit`: random windows, flips and quarter turns, as `tf.data`.

The training stream is a pure function of (seed, number of the example): which picture,
which window, which flip. A resumed run therefore starts at example N and sees what an
uninterrupted run would have seen, and each picture comes once per pass before any repeats.
"""

import numpy as np
import psutil
import tensorflow as tf

from unet_deblur_tf.data.pairs import picture_size, read_picture, spread
from unet_deblur_tf.errors import InputError

MEMORY_SHARE = 0.4  # of the free memory that decoded pictures may take


class PictureStore:
    """Decoded pairs by number; kept in memory after the first use if all of them fit.

    Args:
        pairs: list of `Pair`.
        keep: bool, whether to keep them; by default if they fit in 40 % of the free memory.

    Attributes:
        error: the first `InputError` met while reading, None before. TensorFlow turns
            exceptions from inside its pipeline into its own; this keeps the original.
    """

    def __init__(self, pairs, keep=None):
        self.pairs = pairs
        self.error = None
        self._kept = {}
        self._keep = _fits_in_memory(pairs) if keep is None else keep

    def __len__(self):
        return len(self.pairs)

    def load(self, number):
        """One pair: uint8 `(2, height, width, 3)`, blurred first.

        Raises:
            InputError: naming the file, if it cannot be decoded or the twins differ in size.
        """
        if number in self._kept:
            return self._kept[number]
        try:
            pair = self.pairs[number]
            blurred, sharp = read_picture(pair.blur), read_picture(pair.sharp)
            if blurred.shape != sharp.shape:
                raise InputError(f"{pair.blur} is {blurred.shape} but its twin {pair.sharp} is {sharp.shape}")
        except InputError as error:
            self.error = self.error or error
            raise
        pictures = np.stack([blurred, sharp])
        if self._keep:
            self._kept[number] = pictures
        return pictures

    def window(self, number, place, size):
        """A square of a pair: uint8 `(2, size, size, 3)`.

        Args:
            number: which pair.
            place: (y, x), each in 0..1, from the first window that fits to the last.
            size: side in pixels.
        """
        pictures = self.load(number)
        top, left = (int(at * (extent - size + 1)) for at, extent in zip(place, pictures.shape[1:3]))
        return pictures[:, top : top + size, left : left + size]


def _fits_in_memory(pairs):
    # Pictures of a set are mostly of one size: ten of them, spread out, tell.
    sample = [width * height for width, height in (picture_size(pair.sharp) for pair in spread(pairs, 10))]
    both_in_rgb = 2 * 3 * np.mean(sample) * len(pairs)
    return both_in_rgb < MEMORY_SHARE * psutil.virtual_memory().available


def training_batches(store, batch_size, crop, seed=0, first_step=0):
    """An endless stream of augmented windows.

    Args:
        store: a `PictureStore`; no picture may be smaller than `crop`.
        batch_size: int.
        crop: side of the windows in pixels.
        seed: int; the stream is deterministic in it.
        first_step: number of batches to begin after, for a run that goes on.

    Returns:
        `tf.data.Dataset` of (blurred, sharp), float32 `(batch_size, crop, crop, 3)` in 0..1.
    """

    def example(counter):
        run = tf.constant(seed, tf.int64)
        passes, position = counter // len(store), counter % len(store)
        number = tf.random.experimental.index_shuffle(position, tf.stack([run, passes]), len(store) - 1)
        dice = tf.random.stateless_uniform([5], tf.stack([run, counter]))
        pictures = tf.numpy_function(
            lambda number, place: store.window(number, place, crop), [number, dice[:2]], tf.uint8, stateful=False
        )
        pictures.set_shape((2, crop, crop, 3))
        return to_float(augment(pictures, dice[2:]))

    # Both pictures of a pair go through `augment` as one tensor, so they cannot come apart.
    counters = tf.data.Dataset.range(first_step * batch_size, np.iinfo(np.int64).max)
    return (
        counters.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def augment(pictures, dice):
    """One of the eight flips and quarter turns, the same for all pictures.

    Args:
        pictures: `(n, side, side, channels)`, squares of any type.
        dice: float32 `(3,)` in 0..1: mirrored left-right if the first is at least 1/2,
            upside down if the second is, a quarter turn if the third is.
    """
    pictures = tf.where(dice[0] < 0.5, pictures, pictures[:, :, ::-1])
    pictures = tf.where(dice[1] < 0.5, pictures, pictures[:, ::-1])
    return tf.where(dice[2] < 0.5, pictures, tf.transpose(pictures, (0, 2, 1, 3)))


def to_float(pictures):
    """uint8 `(2, ...)` to (blurred, sharp), float32 in 0..1."""
    pictures = tf.cast(pictures, tf.float32) / 255
    return pictures[0], pictures[1]


def validation_pictures(store, largest=512, batch_size=1):
    """The pairs in order, each cut to its middle where it is larger than `largest`.

    Args:
        store: a `PictureStore`.
        largest: greatest height and width in pixels.
        batch_size: int; above 1, all are cut to the smallest height and width among
            them, and those that fill no batch are left out.

    Returns:
        `tf.data.Dataset` of (blurred, sharp), float32 `(batch_size, height, width, 3)` in 0..1.

    Raises:
        InputError: if there are fewer pairs than `batch_size`.
    """
    if len(store) < batch_size:
        raise InputError(f"{len(store)} validation pairs cannot be divided over {batch_size} devices")
    height = width = largest
    if batch_size > 1:
        smallest = np.min([store.load(number).shape[1:3] for number in range(len(store))], axis=0)
        height, width = np.minimum(smallest, largest)

    def middles():
        for number in range(len(store)):
            pictures = store.load(number)
            top, left = max(0, pictures.shape[1] - height) // 2, max(0, pictures.shape[2] - width) // 2
            yield pictures[:, top : top + height, left : left + width]

    dataset = tf.data.Dataset.from_generator(middles, output_signature=tf.TensorSpec((2, None, None, 3), tf.uint8))
    dataset = dataset.map(to_float).batch(batch_size, drop_remainder=True).prefetch(2)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(store) // batch_size))
