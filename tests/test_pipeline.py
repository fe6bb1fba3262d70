"""The stream of windows: exact values, the same window of both pictures, order, determinism."""

import numpy as np
import pytest
import tensorflow as tf

from unet_deblur_tf.configs import CACHES
from unet_deblur_tf.data.pairs import measure_pairs
from unet_deblur_tf.data.pipeline import augment, picture_numbers, training_batches, validation_pictures
from unet_deblur_tf.data.store import Centres, InMemory, PictureStore, open_store
from unet_deblur_tf.data.trees.tree import find_pairs
from unet_deblur_tf.errors import InputError

HEIGHT, WIDTH = 40, 56


@pytest.fixture
def coded(tmp_path, save_picture):
    """Ten pairs whose pixels say where they come from: row, column, and number of the picture (+100 if sharp)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(10):
        for folder, offset in (("blur", 0), ("sharp", 100)):
            picture = np.stack([rows, columns, np.full_like(rows, number + offset)], axis=-1).astype(np.uint8)
            save_picture(tmp_path / folder / f"{number}.png", picture)
    return find_pairs(tmp_path)[""]


def levels(batch):
    """Back to uint8, exactly."""
    scaled = np.asarray(batch) * 255
    np.testing.assert_allclose(scaled, np.round(scaled), atol=1e-4)
    return np.round(scaled).astype(int)


def examples(dataset, count):
    return [
        (blurred, sharp)
        for batch in dataset.take(-(-count // 4))
        for blurred, sharp in zip(levels(batch[0]), levels(batch[1]))
    ][:count]


@pytest.mark.parametrize("cache", CACHES)
def test_both_pictures_show_the_same_window(coded, cache, tmp_path):
    orientations, places = set(), set()
    for blurred, sharp in examples(training_batches(open_store(coded, cache, tmp_path / "cache"), 4, 16), 200):
        np.testing.assert_array_equal(blurred + (0, 0, 100), sharp)
        rows, columns = blurred[..., 0], blurred[..., 1]
        # A window of consecutive rows and columns, in one of eight orientations.
        assert sorted(set(rows.ravel())) == list(range(rows.min(), rows.min() + 16))
        assert sorted(set(columns.ravel())) == list(range(columns.min(), columns.min() + 16))
        orientations.add((np.sign(rows[1, 0] - rows[0, 0]), np.sign(rows[0, 1] - rows[0, 0]),
                          np.sign(columns[1, 0] - columns[0, 0]), np.sign(columns[0, 1] - columns[0, 0])))  # fmt: skip
        places.add((rows.min(), columns.min()))
    assert len(orientations) == 8
    # Every window, the first and the last included, can come up.
    assert {row for row, _ in places} <= set(range(HEIGHT - 15))
    assert {column for _, column in places} <= set(range(WIDTH - 15))
    assert min(row for row, _ in places) <= 1
    assert max(row for row, _ in places) >= HEIGHT - 17
    assert len(places) > 100


@pytest.mark.parametrize("batch_size", [3, 4])
def test_each_picture_comes_once_per_pass(coded, batch_size):
    stream = training_batches(InMemory(coded), batch_size, 16)
    order = [number for blurred, _ in stream.take(20) for number in levels(blurred)[:, 0, 0, 2]][:50]
    passes = [order[start : start + 10] for start in range(0, 50, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) > 1


@pytest.mark.parametrize(
    ("count", "pool", "crops"), [(200, 64, 1), (200, 64, 8), (30, 64, 8), (64, 16, 3), (7, 5, 4), (1, 64, 8)]
)
def test_pictures_take_turns(count, pool, crops):
    numbers = picture_numbers(np.arange(20 * count * crops), count, seed=3, pool=pool, crops_per_picture=crops)
    pool = min(pool, count)
    # A place keeps its picture for `crops` visits, the first one for fewer in some places.
    taken = []
    for place in range(pool):
        visits = numbers[place::pool]
        for start in range(-(place % crops), len(visits) - crops + 1, crops):
            assert len(set(visits[max(0, start) : start + crops])) == 1
            taken.append((start, place, visits[max(0, start)]))
    # In the order in which they were taken up, each picture comes once per pass.
    order = [number for _, _, number in sorted(taken)]
    passes = [order[start : start + count] for start in range(0, len(order) - count, count)]
    assert len(passes) > 15
    assert all(sorted(one) == list(range(count)) for one in passes)


def test_changes_of_picture_are_spread_evenly():
    numbers = np.array(picture_numbers(np.arange(64 * 80), 1000, pool=64, crops_per_picture=8)).reshape(80, 64)
    assert ((numbers[1:] != numbers[:-1]).sum(axis=1) == 8).all()


@pytest.mark.parametrize("crops", [1, 8])
def test_a_batch_holds_no_two_windows_of_a_picture(crops):
    # Within a pass over the pictures; where two passes meet, both may show a picture.
    numbers = picture_numbers(np.arange(64 * 15 * crops), 64 * 16, pool=64, crops_per_picture=crops)
    for start in range(len(numbers) - 63):
        assert len(set(numbers[start : start + 64])) == 64


@pytest.mark.parametrize("crops", [1, 8])
def test_the_same_seed_gives_the_same_batches_whatever_the_cache(coded, tmp_path, crops):
    def stream(seed, cache):
        store = open_store(coded, cache, tmp_path / "cache")
        batches = training_batches(store, 4, 16, seed, crops_per_picture=crops).take(100)
        return np.array([levels(both) for both in batches])

    first = stream(5, "memory")
    np.testing.assert_array_equal(first, stream(5, "memory"))
    np.testing.assert_array_equal(first, stream(5, "disk"))
    np.testing.assert_array_equal(first, stream(5, "none"))
    assert (first != stream(6, "memory")).any()


@pytest.mark.parametrize("crops", [1, 8])
def test_a_resumed_stream_goes_on_where_it_stopped(coded, crops):
    store = InMemory(coded)
    whole = examples(training_batches(store, 4, 16, seed=2, crops_per_picture=crops), 80)
    rest = examples(training_batches(store, 4, 16, seed=2, first_step=7, crops_per_picture=crops), 52)
    np.testing.assert_array_equal(np.array(whole[28:]), np.array(rest))


@pytest.mark.parametrize("flips", list(np.ndindex(2, 2, 2)))
def test_augment_eagerly_and_inside_a_dataset(flips):
    picture = np.arange(3 * 3 * 3).reshape(3, 3, 3).astype(np.uint8)
    expected = picture
    if flips[0]:
        expected = expected[:, ::-1]
    if flips[1]:
        expected = expected[::-1]
    if flips[2]:
        expected = expected.transpose(1, 0, 2)
    np.testing.assert_array_equal(augment(picture, *flips), expected)
    # Into a part of a larger array, from a part of a larger picture, as the stream does it.
    batch = np.zeros((2, 3, 3, 3), np.uint8)
    augment(np.pad(picture, ((1, 1), (2, 2), (0, 0)))[1:-1, 2:-2], *flips, out=batch[1])
    np.testing.assert_array_equal(batch, [np.zeros_like(expected), expected])
    dataset = tf.data.Dataset.from_tensors(picture).map(
        lambda some: tf.numpy_function(lambda inside: augment(inside, *flips), [some], tf.uint8)
    )
    np.testing.assert_array_equal(next(iter(dataset)), expected)


def test_the_eight_orientations_differ():
    picture = np.arange(3 * 3 * 3).reshape(3, 3, 3).astype(np.uint8)
    assert len({augment(picture, *flips).tobytes() for flips in np.ndindex(2, 2, 2)}) == 8


def test_values_are_exactly_the_files(coded):
    for number, (blurred, sharp) in enumerate(validation_pictures(PictureStore(coded))):
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        expected = np.stack([rows, columns, np.full_like(rows, number)], axis=-1)
        np.testing.assert_array_equal(levels(blurred[0]), expected)
        np.testing.assert_array_equal(levels(sharp[0]), expected + (0, 0, 100))


def test_validation_is_cut_to_the_middle(coded):
    dataset = validation_pictures(Centres(coded, 20))
    assert len(dataset) == 10
    blurred, _ = next(iter(dataset))
    assert blurred.shape == (1, 20, 20, 3)
    assert levels(blurred)[0, 0, 0, :2].tolist() == [10, 18]


def test_validation_pictures_are_divided_over_replicas(coded):
    def numbers(share):
        return [int(levels(blurred)[0, 0, 0, 2]) for blurred, _ in validation_pictures(InMemory(coded), share=share)]

    assert numbers((0, 1, 3)) == [0, 3, 6]
    assert numbers((1, 2, 3)) == [1, 2, 4, 5, 7, 8]
    with pytest.raises(InputError, match="10 validation pairs cannot be divided over 11"):
        validation_pictures(InMemory(coded), share=(0, 1, 11))


@pytest.mark.parametrize("shares", [[(0, 1, 2), (1, 1, 2)], [(0, 2, 2)], [(0, 1, 3), (1, 2, 3)]])
def test_replicas_together_see_what_one_alone_would(coded, shares):
    store, size = InMemory(coded), 6
    whole = examples(training_batches(store, size, 16, seed=2, first_step=3), 4 * size)
    parts = {}
    for first, here, total in shares:
        stream = training_batches(store, size, 16, seed=2, first_step=3, share=(first, here, total)).take(4 * here)
        for element, (blurred, _) in enumerate(stream):
            assert blurred.shape[0] == size // total
            parts[element // here, first + element % here] = levels(blurred)
    joined = np.concatenate([parts[key] for key in sorted(parts)])
    np.testing.assert_array_equal(joined, np.array([blurred for blurred, _ in whole]))


def test_validation_is_the_same_each_time(coded):
    first, again = ([levels(both) for both in validation_pictures(Centres(coded, 20))] for _ in range(2))
    np.testing.assert_array_equal(np.array(first), np.array(again))


def test_a_window_as_large_as_the_picture(coded):
    for blurred, _ in examples(training_batches(InMemory(coded), 4, HEIGHT), 12):
        assert sorted(set(blurred[..., 0].ravel())) == list(range(HEIGHT))


def test_a_damaged_file_is_named_when_the_stream_meets_it(coded):
    data = coded[6].sharp.read_bytes()
    coded[6].sharp.write_bytes(data[: len(data) // 2])
    measure_pairs(coded)  # its header is intact
    store = PictureStore(coded)
    with pytest.raises(tf.errors.OpError):
        examples(training_batches(store, 4, 16), 20)
    assert isinstance(store.error, InputError)
    assert "sharp/6.png cannot be read" in str(store.error)
