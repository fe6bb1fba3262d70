"""Builds the `tf.data` pipelines for `fit`: random crops with flips and quarter turns, and validation pictures.

The seed and the number of a batch determine its pictures, crops and flips. So a resumed run can start at batch N and
gets the same batches as an uninterrupted run.
"""

import functools

import cv2
import numpy as np
import tensorflow as tf

from unet_deblur_tf.data.store import POOL, PictureStore
from unet_deblur_tf.errors import InputError


def training_batches(
    store: PictureStore,
    batch_size: int,
    crop: int,
    seed: int = 0,
    first_step: int = 0,
    crops_per_picture: int = 1,
    share: tuple[int, int, int] = (0, 1, 1),
) -> tf.data.Dataset:
    """Creates an endless dataset of augmented crops.

    Args:
        store: `PictureStore`. No picture may be smaller than `crop`.
        batch_size: int, number of crops of all replicas together; a multiple of the number of replicas.
        crop: int, side of the crops in pixels.
        seed: int, seed of the random numbers.
        first_step: int, number of batches to skip, for a resumed run.
        crops_per_picture: int, number of crops from a picture before another picture takes its place, see
            `picture_numbers`.
        share: (first replica, number of replicas of this process, number of all replicas), see `distribution.Share`.
            The elements of the dataset are the parts of each batch for the replicas of this process, in turn.

    Returns:
        `tf.data.Dataset` of (blurred, sharp), each float32 `(batch_size / replicas, crop, crop, 3)` in 0..1.
    """
    first, here, total = share
    part = batch_size // total  # crops of each replica

    def crops(element):
        # One call makes all crops of an element: a call into Python takes as long as several crops.
        step, replica = element // here, first + element % here
        mine = slice(replica * part, (replica + 1) * part)
        counters = np.arange(step * batch_size, (step + 1) * batch_size)[mine]
        numbers = picture_numbers(counters, len(store), seed, max(POOL, batch_size), crops_per_picture)
        dice = _generator(seed, 0, step).random((batch_size, 5))[mine]
        chances = _generator(seed, 2, step).random(batch_size)[mine]
        batch = np.empty((2, part, crop, crop, 3), np.uint8)
        for index, (number, drawn, chance) in enumerate(zip(numbers, dice, chances)):
            for picture, place in zip(store.crop(number, drawn[:2], crop, chance), batch[:, index]):
                augment(picture, *(drawn[2:] < 0.5), out=place)
        return batch

    def to_batch(element):
        batch = tf.numpy_function(crops, [element], tf.uint8, stateful=False)
        batch.set_shape((2, part, crop, crop, 3))
        return to_float(batch)

    elements = tf.data.Dataset.range(first_step * here, np.iinfo(np.int64).max)
    return elements.map(to_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def picture_numbers(
    counters: np.ndarray, count: int, seed: int = 0, pool: int = POOL, crops_per_picture: int = 1
) -> list[int]:
    """Returns the number of the picture that each training crop is taken from.

    The crops go in turn through `pool` places (or `count`, if there are fewer pictures). A place keeps its picture for
    `crops_per_picture` crops. So two crops of one picture are `pool` crops apart, and every picture gets a place before
    any picture gets its second. In each round, about the same number of places change their picture, which spreads out
    the decoding. For that, the first pictures of some places get fewer crops.

    Args:
        counters: int array, numbers of the crops since the start of training, from 0.
        count: int, number of pictures.
        seed: int, seed of the order of the pictures, which differs from pass to pass.
        pool: int, number of pictures that are in use at a time.
        crops_per_picture: int, number of crops from a picture before another takes its place.

    Returns:
        List of int, one for each of `counters`.
    """
    pool = min(pool, count)
    visit, place = np.divmod(counters, pool)
    head_start = np.arange(pool) % crops_per_picture
    turn = (visit + head_start[place]) // crops_per_picture
    # Within a turn, the places that change first take the first pictures.
    rank = np.argsort(np.argsort(-head_start, kind="stable"))
    passes, position = np.divmod(turn * pool + rank[place], count)
    return [_order(count, seed, number)[index] for number, index in zip(passes.tolist(), position.tolist())]


@functools.lru_cache(maxsize=4)
def _order(count, seed, pass_number):
    """The order of the pictures in one pass over them."""
    return _generator(seed, 1, pass_number).permutation(count).tolist()


def _generator(seed, purpose, number):
    """An independent random generator for each purpose (0: places and flips, 1: order, 2: chances) and number."""
    return np.random.Generator(np.random.Philox(key=[seed + (purpose << 32), number]))


def augment(
    picture: np.ndarray, mirrored: bool, upside_down: bool, turned: bool, out: np.ndarray | None = None
) -> np.ndarray:
    """Applies one of the eight flips and quarter turns to a square picture.

    Args:
        picture: uint8 `(side, side, 3)`.
        mirrored: bool, whether to flip left and right.
        upside_down: bool, whether to flip top and bottom.
        turned: bool, whether to transpose the picture afterwards.
        out: array for the result; None for a new array.

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


def to_float(pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Converts uint8 `(2, ...)` to (blurred, sharp), each float32 in 0..1."""
    pictures = tf.cast(pictures, tf.float32) / 255
    return pictures[0], pictures[1]


def validation_pictures(store: PictureStore, share: tuple[int, int, int] = (0, 1, 1)) -> tf.data.Dataset:
    """Creates a dataset of the pairs in order.

    Args:
        store: `PictureStore`.
        share: see `training_batches`. The replicas take the pairs in turn; the dataset has those for the replicas of
            this process. The last pairs are left out if there is not one for every replica.

    Returns:
        `tf.data.Dataset` of (blurred, sharp), each float32 `(1, height, width, 3)` in 0..1.

    Raises:
        InputError: if there are fewer pairs than replicas.
    """
    first, here, total = share
    if len(store) < total:
        raise InputError(f"{len(store)} validation pairs cannot be divided over {total} devices")
    rounds = len(store) // total

    def centres():
        for number in (turn * total + first + replica for turn in range(rounds) for replica in range(here)):
            yield store.load(number)

    dataset = tf.data.Dataset.from_generator(centres, output_signature=tf.TensorSpec((2, None, None, 3), tf.uint8))
    dataset = dataset.map(to_float).batch(1).prefetch(2)
    return dataset.apply(tf.data.experimental.assert_cardinality(rounds * here))
