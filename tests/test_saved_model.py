"""Exports, run as TensorFlow Serving runs them: through a TF1 session, by `saved_model_cli`."""

import io
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL_WIDTHS, clipped_output, encoded, few, inverting_network, random_pictures, randomise, thin
from PIL import Image
from tensorflow.python.tools import saved_model_cli

from unet_deblur_tf.acceleration import levels
from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.exporting.saved_model import export, publish
from unet_deblur_tf.models.finding import next_version, versions
from unet_deblur_tf.models.transforms import with_local_pooling
from unet_deblur_tf.models.unet import unet


@pytest.fixture(scope="module", params=few([*VARIANTS, "concat_se, local", "concat_reduce_se, local"], "lite"))
def exported(request, tmp_path_factory):
    """(network, its SavedModel folder), for every variant at a small width, and with local pooling."""
    keras.utils.set_random_seed(0)  # or the weights would depend on the tests before: see `_same_start` in conftest.py
    variant, _, pooling = request.param.partition(", ")
    model = randomise(thin(variant, name=variant))
    if pooling:
        model = with_local_pooling(model, 32)
    folder = tmp_path_factory.mktemp(variant) / "1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "MIN_UPSAMPLED_CHANNELS", 1)  # thin as they are, in the form of the wide ones
        export(model, folder)
    return model, folder


def test_loads_in_python(exported):
    model, folder = exported
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    for size in ((17, 31), (64, 48)):
        image = random_pictures(*size, count=2)
        restored = serve(image=tf.constant(image))["restored"]
        assert restored.dtype == tf.float32
        np.testing.assert_allclose(restored, clipped_output(model, image), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("exported", ["concat_se"], indirect=True)
def test_saved_model_cli_runs_it(exported, tmp_path):
    model, folder = exported
    image = random_pictures(33, 20)
    np.save(tmp_path / "image.npy", image)
    cli = Path(sys.executable).with_name("saved_model_cli")
    subprocess.run(
        [cli, "run", "--dir", folder, "--tag_set", "serve", "--signature_def", "serving_default",
         "--inputs", f"image={tmp_path / 'image.npy'}", "--outdir", tmp_path],
        check=True, capture_output=True,
    )  # fmt: skip
    np.testing.assert_allclose(np.load(tmp_path / "restored.npy"), clipped_output(model, image), atol=1e-5)


def test_runs_through_the_session_of_saved_model_cli(exported, tmp_path):
    """What the tool does, without its start-up."""
    model, folder = exported
    for size in ((33, 20), (48, 64)):
        image = random_pictures(*size, count=2)
        restored = in_session(folder, "serving_default", {"image": image}, tmp_path)
        np.testing.assert_allclose(restored, clipped_output(model, image), atol=1e-5)


def in_session(folder, signature, inputs, outdir):
    saved_model_cli.run_saved_model_with_feed_dict(
        str(folder), "serve", signature, inputs, str(outdir), overwrite_flag=True
    )
    (name,) = tf.saved_model.load(str(folder)).signatures[signature].structured_outputs
    return np.load(outdir / f"{name}.npy", allow_pickle=True)


def test_bytes_of_mixed_sizes_and_formats_in_one_request(exported, tmp_path, picture):
    model, folder = exported
    grey = picture[:40, :50, 0]
    with_alpha = np.dstack([picture, picture[..., :1]])[:33]
    files = [
        encoded(picture, "PNG"),
        encoded(picture[:20, :70], "BMP"),
        encoded(picture[:17, :31], "WEBP", lossless=True),
        encoded(picture, "JPEG", quality=95),
        encoded(grey, "GIF"),
        encoded(grey, "PNG"),
        encoded(with_alpha, "PNG"),
    ]
    restored = in_session(folder, "serving_bytes", {"image_bytes": np.array(files, object)}, tmp_path)
    assert len(restored) == len(files)
    for sent, received in zip(files, restored):
        assert received.startswith(b"\x89PNG")
        answer = np.asarray(Image.open(io.BytesIO(received)))
        decoded = tf.io.decode_image(sent, channels=3, expand_animations=False)
        expected = np.round(clipped_output(model, tf.cast(decoded, tf.float32)[tf.newaxis] / 255)[0] * 255)
        # The network in a session and in Python differ by some 1e-6: at a half, that is one level.
        assert np.abs(answer - expected).max() <= 1
        assert (answer != expected).mean() < 1e-3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A SavedModel folder."""
    folder = tmp_path_factory.mktemp("tiny") / "1"
    export(inverting_network(), folder)
    return folder


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"no picture", r"image_bytes\[1\] of 10 bytes is not a PNG"),
        (b"", r"image_bytes\[1\] of 0 bytes is not a PNG"),
        ("truncated", "Invalid PNG"),
    ],
)
def test_a_broken_picture_gets_an_error_that_says_so(tiny, tmp_path, picture, broken, message):
    whole = encoded(picture, "PNG")
    files = np.array([whole, whole[:200] if broken == "truncated" else broken], object)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        in_session(tiny, "serving_bytes", {"image_bytes": files}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_exports_float32(precision, tmp_path):
    keras.config.set_dtype_policy(precision)
    model = randomise(unet(skips="all", attention=True, widths=SMALL_WIDTHS))
    export(model, tmp_path / "1")
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    assert signature.structured_outputs["restored"].dtype == tf.float32
    image = random_pictures(24, 24)
    restored = in_session(tmp_path / "1", "serving_default", {"image": image}, tmp_path)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, clipped_output(model, image), atol=2e-2)


def test_versions_are_numbered_and_complete(tmp_path):
    base = tmp_path / "net"
    extra = tmp_path / "run.json"
    extra.write_text("{}")
    model = inverting_network()
    assert publish(model, base, {"run.json": extra}) == base / "1"
    (base / "7").mkdir()  # taken, though it holds no model
    assert publish(model, base) == base / "8"
    assert versions(base) == [1, 8]
    assert next_version(base) == 9
    assert (base / "1/assets.extra/run.json").read_text() == "{}"
    assert sorted(path.name for path in base.iterdir()) == ["1", "7", "8"]


def test_a_failed_export_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        publish(inverting_network(), tmp_path, {"run.json": tmp_path / "missing.json"})
    assert list(tmp_path.iterdir()) == []
