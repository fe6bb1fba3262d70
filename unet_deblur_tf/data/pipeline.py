"""From decoded pairs to batches for `fit`: random crops, flips and quarter turns, as `tf.data`.

The training stream is a pure function of (seed, number of the batch): which pictures,
which crops, which flips. A resumed run therefore starts at batch N and sees what an
uninterrupted run would have seen.
"""

import functools

import cv2
import numpy as np
import tensorflow as tf

from unet_deblur_tf.data.store import POOL
from unet_deblur_tf.errors import InputError


def training_batches(store, batch_size, crop, seed=0, first_step=0, crops_per_picture=1, share=(0, 1, 1)):
    """An endless stream of augmented crops.

    Args:
        store: a `PictureStore`; no picture may be smaller than `crop`.
        batch_size: int, of all replicas together; a multiple of their number.
        crop: side of the crops in pixels.
        seed: int; the stream is deterministic in it.
        first_step: number of batches to begin after, for a run that goes on.
        crops_per_picture: how often a picture is used before another takes its place,
            see `picture_numbers`.
        share: (first replica, how many here, how many in all), as
            `distribution.Share`: the elements are these replicas' parts of each batch, in turn.

    Returns:
        `tf.data.Dataset` of (blurred, sharp), float32 `(batch_size / replicas, crop, crop, 3)` in 0..1.
    """
    first, here, total = share
    part = batch_size // total

    def crops(element):
        # One call for a whole batch: a call into Python costs as much as several crops.
        step, replica = element // here, first + element % here
        mine = slice(replica * part, (replica + 1) * part)
        counters = np.arange(step * batch_size, (step + 1) * batch_size)[mine]
        numbers = picture_numbers(counters, len(store), seed, max(POOL, batch_size), crops_per_picture)
        dice = _generator(seed, 0, step).random((batch_size, 5))[mine]
        chances = _generator(seed, 2, step).random(batch_size)[mine]
        batch = np.empty((2, part, crop, crop, 3), np.uint8)
        for index, (number, rolled, chance) in enumerate(zip(numbers, dice, chances)):
            for picture, place in zip(store.crop(number, rolled[:2], crop, chance), batch[:, index]):
                augment(picture, *(rolled[2:] < 0.5), out=place)
        return batch

    def to_batch(element):
        batch = tf.numpy_function(crops, [element], tf.uint8, stateful=False)
        batch.set_shape((2, part, crop, crop, 3))
        return to_float(batch)

    elements = tf.data.Dataset.range(first_step * here, np.iinfo(np.int64).max)
    return elements.map(to_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def picture_numbers(counters, count, seed=0, pool=POOL, crops_per_picture=1):
    """Which picture each example of the stream is cut from.

    There are `pool` places (or as many as pictures), visited in turn, each holding one
    picture for `crops_per_picture` visits. So the crops of one picture are `pool`
    examples apart, and every picture gets a place once before any does again. An equal
    number of places change their pictures in each round, so that decoding is spread
    out; the very first pictures of some places are therefore used less often.

    Args:
        counters: int array, numbers of the examples from 0.
        count: number of pictures.
        seed: int; each pass has an order of its own.
        pool, crops_per_picture: int.

    Returns:
        int array, picture numbers.
    """
    pool = min(pool, count)
    visit, place = np.divmod(counters, pool)
    head_start = np.arange(pool) % crops_per_picture
    turn = (visit + head_start[place]) // crops_per_picture
    # Within a turn, places take pictures in the order in which they come to change.
    rank = np.argsort(np.argsort(-head_start, kind="stable"))
    passes, position = np.divmod(turn * pool + rank[place], count)
    return [_order(count, seed, one_pass)[at] for one_pass, at in zip(passes.tolist(), position.tolist())]


@functools.lru_cache(maxsize=4)
def _order(count, seed, one_pass):
    return _generator(seed, 1, one_pass).permutation(count).tolist()


def _generator(seed, purpose, number):
    return np.random.Generator(np.random.Philox(key=[seed + (purpose << 32), number]))


def augment(picture, mirrored, upside_down, turned, out=None):
    """One of the eight flips and quarter turns of a square.

    Args:
        picture: uint8 `(side, side, 3)`.
        mirrored, upside_down: bool, left-right and top-bottom.
        turned: bool, transposed after that.
        out: array for the result, a new one by default.

    Returns:
        `out`.
    """
    out = np.empty(picture.shape, picture.dtype) if out is None else out
    flipped = out if not turned else None
    if mirrored or upside_down:
        picture = cv2.flip(picture, -1 if mirrored and upside_down else 1 if mirrored else 0, dst=flipped)
    elif not turned:
        out[...] = picture
    if turned:
        cv2.transpose(picture, dst=out)
    return out


def to_float(pictures):
    """uint8 `(2, ...)` to (blurred, sharp), float32 in 0..1."""
    pictures = tf.cast(pictures, tf.float32) / 255
    return pictures[0], pictures[1]


def validation_pictures(store, largest=512, share=(0, 1, 1)):
    """The pairs in order, each cut to its middle where it is larger than `largest`.

    Args:
        store: a `PictureStore`.
        largest: greatest height and width in pixels.
        share: as in `training_batches`: of each run of as many pairs as there are
            replicas, the elements are those of the replicas here. A rest that is not enough for
            all is left out.

    Returns:
        `tf.data.Dataset` of (blurred, sharp), float32 `(1, height, width, 3)` in 0..1.

    Raises:
        InputError: if there are fewer pairs than replicas.
    """
    first, here, total = share
    if len(store) < total:
        raise InputError(f"{len(store)} validation pairs cannot be divided over {total} devices")
    rounds = len(store) // total

    def middles():
        for number in (turn * total + first + replica for turn in range(rounds) for replica in range(here)):
            pictures = store.load(number)
            top, left = (max(0, extent - largest) // 2 for extent in pictures.shape[1:3])
            yield pictures[:, top : top + largest, left : left + largest]

    dataset = tf.data.Dataset.from_generator(middles, output_signature=tf.TensorSpec((2, None, None, 3), tf.uint8))
    dataset = dataset.map(to_float).batch(1).prefetch(2)
    return dataset.apply(tf.data.experimental.assert_cardinality(rounds * here))
