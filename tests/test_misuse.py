"""What people get wrong or set elsewhere is answered by a sentence: channels, ranges, weights, settings of Keras."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import few

import unet_deblur_tf
from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.exporting.saved_model import export


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """The signature of an exported network that leaves pictures as they are."""
    folder = tmp_path_factory.mktemp("exported") / "1"
    export(unet_deblur_tf.build("lite", norm="none", widths=(4, 4, 4, 4, 4)), folder)
    saved = tf.saved_model.load(str(folder))
    yield saved.signatures["serving_default"]
    del saved


@pytest.mark.parametrize("variant", few(VARIANTS, "unet", "concat_se", "lite"))
@pytest.mark.parametrize("channels", [1, 4])
def test_keras_names_the_channels(variant, channels):
    network = unet_deblur_tf.build(variant, widths=(4, 4, 4, 4, 4))
    with pytest.raises(ValueError, match=rf"(have value 3|\(None, None, None, 3\)).*32, {channels}\)"):
        network(np.zeros((1, 32, 32, channels), np.float32))


@pytest.mark.parametrize("channels", [1, 4])
def test_the_saved_model_names_the_channels(serve, channels):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"image has {channels} channels; this model takes 3"):
        serve(image=tf.zeros((1, 32, 32, channels)))


@pytest.mark.parametrize(
    ("value", "said"), [(255.0, "from 255 to 255"), (-3.0, "from -3 to -3"), (float("nan"), "from nan to nan")]
)
def test_the_saved_model_refuses_values_far_outside_its_range(serve, value, said):
    message = f"image has values {said}; this model takes 0 to 1: divide levels of 0 to 255 by 255"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        serve(image=tf.fill((1, 32, 32, 3), value))


def test_the_saved_model_takes_values_a_little_outside(serve):
    image = np.random.default_rng(0).uniform(-0.1, 1.1, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(serve(image=tf.constant(image))["restored"], np.clip(image, 0, 1), atol=1e-6)


def test_weights_bring_the_activation_that_they_were_trained_with(picture):
    """`load_weights` into the usual activation runs without a word, and gives another picture."""
    image = picture[None].astype(np.float32) / 255
    trained = unet_deblur_tf.load("lite")
    np.testing.assert_array_equal(unet_deblur_tf.build("lite", weights="lite")(image), trained(image))
    wrong = unet_deblur_tf.build("lite", norm="none")
    wrong.set_weights(trained.get_weights())
    assert np.abs(wrong(image) - trained(image)).max() > 0.05


def test_weights_of_another_variant_are_refused():
    with pytest.raises(ValueError, match=r"of the variant .lite.\. Received: variant=.unet."):
        unet_deblur_tf.build("unet", weights="lite")
    with pytest.raises(ValueError, match=r"weights decide what a network is like\. Received besides: norm"):
        unet_deblur_tf.build("lite", weights="lite", norm="batch")


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="set_image_data_format"):
            unet_deblur_tf.build("lite")
    finally:
        keras.config.set_image_data_format("channels_last")


def deblur(folder, picture, runtime="tensorflow", **environment):
    keras.utils.save_img(folder / "photo.png", picture, scale=False)
    command = [sys.executable, "-m", "unet_deblur_tf", "deblur", "photo.png", "--model", "lite", "--overwrite"]
    command += ["--runtime", runtime]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "restored/photo.png").exists()
    said = [line for line in done.stderr.splitlines() if line and "Restoring" not in line]
    return said, (folder / "restored/photo.png").read_bytes()


@pytest.mark.slow
def test_keras_settings_from_elsewhere_are_set_aside(tmp_path, picture):
    (tmp_path / "home").mkdir()
    settings = {"floatx": "float16", "image_data_format": "channels_first", "backend": "torch", "epsilon": 1e-7}
    (tmp_path / "home/keras.json").write_text(json.dumps(settings))
    nothing, expected = deblur(tmp_path, picture, TF_CPP_MIN_LOG_LEVEL="3")
    assert nothing == []
    said, found = deblur(tmp_path, picture, KERAS_HOME=str(tmp_path / "home"))
    assert said == [
        "image_data_format 'channels_first' of keras.json is set aside: this command takes 'channels_last'",
        "floatx 'float16' of keras.json is set aside: this command takes 'float32'",
    ]
    assert found == expected
    said, found = deblur(tmp_path, picture, KERAS_BACKEND="torch")
    assert said == ["KERAS_BACKEND=torch is set aside: this command runs on TensorFlow"]
    assert found == expected
    # The conversion for another runtime does not take them either.
    expected = deblur(tmp_path, picture, "onnxruntime")[1]
    settings = dict(KERAS_HOME=str(tmp_path / "home"), KERAS_BACKEND="torch", XDG_CACHE_HOME=str(tmp_path / "empty"))
    assert deblur(tmp_path, picture, "onnxruntime", **settings)[1] == expected
