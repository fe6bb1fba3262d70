"""The layers against NumPy and TensorFlow."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf

from unet_deblur_tf.models.layers import (
    BilinearUpsampling2D,
    CropLike,
    Excitation,
    FusedBatchNormalization,
    PixelShuffle,
    PixelUnshuffle,
    ReflectPadding2D,
    Squeeze,
    window_means,
)

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (8, 17), (15, 16), (33, 31)])
def test_reflect_padding_equals_numpy(size):
    x = RNG.random((2, *size, 3), dtype=np.float32)
    padded = np.asarray(ReflectPadding2D(16)(x))
    border = [(0, -extent % 16) for extent in size]
    np.testing.assert_array_equal(padded, np.pad(x, [(0, 0), *border, (0, 0)], mode="reflect"))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("shape", [(2, 9, 7, 5), (1, 1, 2, 3), (4, 16, 16, 32)])
def test_fused_batch_norm_trains_as_keras_own(shape, precision):
    keras.config.set_dtype_policy(precision)
    rng = np.random.default_rng(4)
    batches = rng.normal(3, 2, (2, *shape)).astype(np.float32)
    weights = rng.normal(size=shape).astype(np.float32)
    found = []
    for kind in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-5)
        layer.build(shape)
        layer.gamma.assign(np.linspace(0.5, 2, shape[-1]))
        layer.beta.assign(np.linspace(-1, 1, shape[-1]))
        for batch in batches:
            batch = tf.constant(batch)
            with tf.GradientTape() as tape:
                tape.watch(batch)
                outputs = layer(batch, training=True)
                loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
            assert outputs.dtype == layer.compute_dtype
        gradients = tape.gradient(loss, [batch, layer.gamma.value, layer.beta.value])
        found.append(
            [tf.cast(each, tf.float32) for each in (outputs, *gradients)]
            + [layer.moving_mean.numpy(), layer.moving_variance.numpy(), layer(batch, training=False)]
        )
    close = dict(atol=1e-4, rtol=1e-4) if precision == "float32" else dict(atol=0.03, rtol=0.03)
    for own, keras_own in zip(*found):
        np.testing.assert_allclose(own, keras_own, **close)
    assert np.abs(found[0][4]).max() > 0.1  # the means have moved


def test_a_frozen_or_synchronised_batch_norm_is_keras_own(monkeypatch):
    called = []
    monkeypatch.setattr(tf.compat.v1.nn, "fused_batch_norm", lambda *_, **__: called.append(True))
    image = np.ones((2, 4, 4, 3), np.float32)
    frozen = FusedBatchNormalization(trainable=False)
    frozen(image, training=True)
    synchronised = FusedBatchNormalization(synchronized=True)
    synchronised(image, training=True)
    FusedBatchNormalization()(image, training=False)
    assert called == []


def test_crop_undoes_padding():
    x = RNG.random((1, 21, 35, 3), dtype=np.float32)
    np.testing.assert_array_equal(CropLike()([ReflectPadding2D(16)(x), x]), x)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 7), (16, 8)])
def test_bilinear_upsampling(size):
    x = RNG.normal(size=(2, *size, 5)).astype(np.float32)
    upsampled = np.asarray(BilinearUpsampling2D()(x))
    for picture, result in zip(x, upsampled):
        np.testing.assert_allclose(result, reference.upsample(picture.astype(float)), atol=1e-5)
    np.testing.assert_allclose(
        upsampled, keras.layers.UpSampling2D(interpolation="bilinear")(x), atol=1e-5
    )  # Keras' own, which cannot be exported with unknown sizes


def test_bilinear_upsampling_by_hand():
    row = np.array([0.0, 4.0], np.float32).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(np.ravel(BilinearUpsampling2D()(row)[0, 0]), [0, 1, 3, 4], atol=1e-6)


@pytest.mark.parametrize("channels", [8, 32, 64])
def test_squeeze_excitation_equals_the_reference(channels):
    layer = Excitation()
    x = RNG.normal(size=(2, 9, 7, channels)).astype(np.float32)
    result = np.asarray(layer([x, Squeeze()(x)]))
    arrays = [np.asarray(weight, float) for weight in layer.get_weights()]
    assert [array.shape for array in arrays] == [(channels, max(1, channels // 16)), (max(1, channels // 16), channels)]
    for picture, scaled in zip(x, result):
        np.testing.assert_allclose(scaled, reference.squeeze_excitation(picture.astype(float), arrays), atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("window", [None, 1600])
def test_squeeze_averages_large_pictures_in_float32(precision, window):
    # Half a million values of about 1 sum to infinity in float16.
    keras.config.set_dtype_policy(precision)
    x = tf.cast(RNG.normal([0.5, 1, 1.5, 2], 1, (1, 720, 720, 4)), keras.config.dtype_policy().compute_dtype)
    means = Squeeze(window=window)(x)
    assert means.dtype == tf.float32
    np.testing.assert_allclose(means[:, 0, 0], np.asarray(x, float).mean(axis=(1, 2)), atol=1e-4)


def local_means(x, stride, window):
    """By brute force: for each 16x16 square of the picture the mean over a window that is kept inside it."""
    cell, count = 16 // stride, window // 16
    height, width, _ = x.shape
    result = np.zeros((height // cell, width // cell, x.shape[-1]))
    for row in range(height // cell):
        for column in range(width // cell):
            ranges = []
            for at, cells in ((row, height // cell), (column, width // cell)):
                first = min(max(at - min(count, cells) // 2, 0), cells - min(count, cells))
                ranges.append(slice(first * cell, (first + min(count, cells)) * cell))
            result[row, column] = x[tuple(ranges)].mean(axis=(0, 1))
    return result


@pytest.mark.parametrize("stride", [1, 2, 8, 16])
@pytest.mark.parametrize("window", [16, 32, 48, 96, 4096])
def test_local_means_by_brute_force(stride, window):
    x = RNG.normal(1, 1, (2, 112 // stride, 80 // stride, 3)).astype(np.float32)
    means = np.asarray(Squeeze(stride, window)(x))
    assert means.shape == (2, 7, 5, 3)
    for picture, result in zip(x, means):
        np.testing.assert_allclose(result, local_means(picture.astype(float), stride, window), atol=1e-5)
    if window == 4096:
        np.testing.assert_allclose(means, np.broadcast_to(Squeeze(stride)(x), means.shape), atol=1e-5)


def test_window_means_by_hand():
    row = np.array([1.0, 2.0, 4.0, 8.0, 16.0], np.float32).reshape(1, 1, 5, 1)
    np.testing.assert_allclose(np.ravel(window_means(row, 3)), [7 / 3, 7 / 3, 14 / 3, 28 / 3, 28 / 3], rtol=1e-6)
    np.testing.assert_allclose(np.ravel(window_means(row, 1)), [1, 2, 4, 8, 16])


def test_each_cell_has_its_own_gate():
    layer = Excitation(ratio=1)
    x = RNG.normal(size=(2, 12, 8, 4)).astype(np.float32)
    means = RNG.normal(size=(2, 3, 2, 4)).astype(np.float32)
    result = np.asarray(layer([x, means]))
    for row in range(3):
        for column in range(2):
            part = (slice(None), slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
            alone = layer([x[part], means[:, row : row + 1, column : column + 1]])
            np.testing.assert_allclose(result[part], alone, atol=1e-6)


def test_pixel_unshuffle_by_hand():
    x = np.arange(2 * 4 * 3, dtype=np.float32).reshape(1, 2, 4, 3)
    blocks = np.asarray(PixelUnshuffle(2)(x))
    # Upper row of the block first: pixels 0 and 1, then 4 and 5 below them, three channels each.
    np.testing.assert_array_equal(blocks[0, 0, 0], [0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17])
    assert blocks.shape == (1, 1, 2, 12)


@pytest.mark.parametrize("block", [2, 3])
def test_pixel_shuffle_undoes_unshuffle_and_both_equal_their_form_for_other_backends(block, monkeypatch):
    x = RNG.random((2, 4 * block, 5 * block, 3), dtype=np.float32)
    there, back = PixelUnshuffle(block), PixelShuffle(block)
    blocks = there(x)
    np.testing.assert_array_equal(back(blocks), x)
    with monkeypatch.context() as patch:
        patch.setattr(keras.config, "backend", lambda: "another")
        elsewhere = there.call(keras.ops.convert_to_tensor(x))
        np.testing.assert_array_equal(back.call(elsewhere), x)
    np.testing.assert_array_equal(blocks, elsewhere)


@pytest.mark.parametrize(
    "layer",
    [
        ReflectPadding2D(8),
        CropLike(),
        BilinearUpsampling2D(),
        Squeeze(4, 96),
        Excitation(ratio=4),
        PixelShuffle(2),
        PixelUnshuffle(4),
    ],
)
def test_configuration_round_trip(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("layer", "argument"),
    [(ReflectPadding2D, "multiple"), (Excitation, "ratio"), (PixelShuffle, "block"), (PixelUnshuffle, "block")],
)
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_wrong_arguments_are_named(layer, argument, value):
    with pytest.raises(ValueError, match=f"{argument}={value}"):
        layer(**{argument: value})


@pytest.mark.parametrize("arguments", [{"stride": 3}, {"stride": 32}, {"window": 0}, {"window": 100}])
def test_wrong_arguments_of_squeeze_are_named(arguments):
    with pytest.raises(ValueError, match="=".join(map(str, next(iter(arguments.items()))))):
        Squeeze(**arguments)
