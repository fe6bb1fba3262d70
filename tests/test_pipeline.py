"""The stream of windows: exact values, the same window of both pictures, order, determinism."""

import numpy as np
import pytest
import tensorflow as tf

from unet_deblur_tf.data.pairs import check_pairs, find_pairs
from unet_deblur_tf.data.pipeline import PictureStore, augment, training_batches, validation_pictures
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


@pytest.mark.parametrize("keep", [True, False])
def test_both_pictures_show_the_same_window(coded, keep):
    orientations, places = set(), set()
    for blurred, sharp in examples(training_batches(PictureStore(coded, keep), 4, 16), 200):
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


def test_each_picture_comes_once_per_pass(coded):
    order = [blurred[0, 0, 2] for blurred, _ in examples(training_batches(PictureStore(coded), 4, 16), 50)]
    passes = [order[start : start + 10] for start in range(0, 50, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_the_same_seed_gives_the_same_batches(coded):
    first, again, other = (
        np.array([blurred for blurred, _ in examples(training_batches(PictureStore(coded), 4, 16, seed), 400)])
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_resumed_stream_goes_on_where_it_stopped(coded):
    whole = examples(training_batches(PictureStore(coded), 4, 16, seed=2), 80)
    rest = examples(training_batches(PictureStore(coded), 4, 16, seed=2, first_step=7), 52)
    np.testing.assert_array_equal(np.array(whole[28:]), np.array(rest))


def test_augment_eagerly_and_inside_a_dataset():
    pictures = np.arange(2 * 3 * 3 * 1).reshape(2, 3, 3, 1).astype(np.uint8)
    seen = set()
    for dice in np.ndindex(2, 2, 2):
        expected = pictures
        if dice[0]:
            expected = expected[:, :, ::-1]
        if dice[1]:
            expected = expected[:, ::-1]
        if dice[2]:
            expected = expected.transpose(0, 2, 1, 3)
        dice = tf.constant(dice, tf.float32) * 0.6
        np.testing.assert_array_equal(augment(pictures, dice), expected)
        dataset = tf.data.Dataset.from_tensors(pictures).map(lambda some, dice=dice: augment(some, dice))
        np.testing.assert_array_equal(next(iter(dataset)), expected)
        seen.add(expected[0].tobytes())
    assert len(seen) == 8


def test_values_are_exactly_the_files(coded):
    for number, (blurred, sharp) in enumerate(validation_pictures(PictureStore(coded))):
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        expected = np.stack([rows, columns, np.full_like(rows, number)], axis=-1)
        np.testing.assert_array_equal(levels(blurred[0]), expected)
        np.testing.assert_array_equal(levels(sharp[0]), expected + (0, 0, 100))


def test_validation_is_cut_to_the_middle(coded):
    dataset = validation_pictures(PictureStore(coded), largest=20)
    assert len(dataset) == 10
    blurred, _ = next(iter(dataset))
    assert blurred.shape == (1, 20, 20, 3)
    assert levels(blurred)[0, 0, 0, :2].tolist() == [10, 18]


def test_validation_in_batches_for_several_devices(coded, save_picture):
    for path in (coded[4].blur, coded[4].sharp):
        save_picture(path, (HEIGHT, 30))
    batches = [blurred.shape for blurred, _ in validation_pictures(PictureStore(coded), batch_size=4)]
    assert batches == [(4, HEIGHT, 30, 3)] * 2
    with pytest.raises(InputError, match="10 validation pairs cannot be divided over 11"):
        validation_pictures(PictureStore(coded), batch_size=11)


def test_a_window_as_large_as_the_picture(coded):
    store = PictureStore(coded)
    assert store.window(3, (0.999999, 0.999999), HEIGHT).shape == (2, HEIGHT, HEIGHT, 3)


def test_pictures_are_kept_only_if_asked_or_small(coded):
    kept = PictureStore(coded)
    assert kept.load(1) is kept.load(1)
    passing = PictureStore(coded, keep=False)
    assert passing.load(1) is not passing.load(1)


def test_a_damaged_file_is_named_when_the_stream_meets_it(coded):
    data = coded[6].sharp.read_bytes()
    coded[6].sharp.write_bytes(data[: len(data) // 2])
    check_pairs(coded)  # its header is intact
    store = PictureStore(coded)
    with pytest.raises(tf.errors.OpError):
        examples(training_batches(store, 4, 16), 20)
    assert isinstance(store.error, InputError)
    assert "sharp/6.png cannot be read" in str(store.error)
