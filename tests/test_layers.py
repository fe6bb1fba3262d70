"""The layers against NumPy and TensorFlow."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf

from unet_deblur_tf.layers import BilinearUpsampling2D, CropLike, ReflectPadding2D, SqueezeExcitation

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (8, 17), (15, 16), (33, 31)])
def test_reflect_padding_equals_numpy(size):
    x = RNG.random((2, *size, 3), dtype=np.float32)
    padded = np.asarray(ReflectPadding2D(16)(x))
    border = [(0, -extent % 16) for extent in size]
    np.testing.assert_array_equal(padded, np.pad(x, [(0, 0), *border, (0, 0)], mode="reflect"))


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
    layer = SqueezeExcitation()
    x = RNG.normal(size=(2, 9, 7, channels)).astype(np.float32)
    result = np.asarray(layer(x))
    arrays = [np.asarray(weight, float) for weight in layer.get_weights()]
    assert [array.shape for array in arrays] == [(channels, max(1, channels // 16)), (max(1, channels // 16), channels)]
    for picture, scaled in zip(x, result):
        np.testing.assert_allclose(scaled, reference.squeeze_excitation(picture.astype(float), arrays), atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_squeeze_excitation_averages_large_pictures_in_float32(precision):
    # Half a million values of about 1 sum to infinity in float16.
    layer = SqueezeExcitation(ratio=1, dtype=precision)
    layer.build((None, None, None, 4))
    layer.set_weights([np.eye(4), np.eye(4)])
    x = tf.cast(RNG.normal([0.5, 1, 1.5, 2], 1, (1, 720, 720, 4)), layer.compute_dtype)
    expected = 1 / (1 + np.exp(-np.asarray(x, float).mean(axis=(1, 2))))
    np.testing.assert_allclose(tf.cast(layer.gate(x), tf.float32)[:, 0, 0], expected, atol=4e-3)


@pytest.mark.parametrize("layer", [ReflectPadding2D(8), CropLike(), BilinearUpsampling2D(), SqueezeExcitation(ratio=4)])
def test_configuration_round_trip(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(("layer", "argument"), [(ReflectPadding2D, "multiple"), (SqueezeExcitation, "ratio")])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_wrong_arguments_are_named(layer, argument, value):
    with pytest.raises(ValueError, match=f"{argument}={value}"):
        layer(**{argument: value})
