"""Restoring pictures of any size: with and without tiles, pooling, the ensemble, strength, and memory."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL_WIDTHS, few, lively_network, mean_over_turns, thin

from unet_deblur_tf.configs import POOLINGS, VARIANTS
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.transforms import squeeze_layers, with_local_pooling
from unet_deblur_tf.models.unet import build
from unet_deblur_tf.restoring import restorer
from unet_deblur_tf.restoring.memory import RESTORING_BYTES, restoring_bytes_per_pixel
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.restoring.runtimes import OutOfMemory
from unet_deblur_tf.restoring.runtimes.keras_parts import facts_of
from unet_deblur_tf.restoring.runtimes.tensorflow_network import TensorFlowNetwork

ATTENTIVE = [name for name, arguments in VARIANTS.items() if arguments.get("attention")]


def strip(height, width):
    """A scene in 16 bits, so that differences of 1e-4 show."""
    return np.round(scene(np.random.default_rng(5), height, width) * 65535).astype(np.uint16)


@pytest.mark.parametrize(
    ("variant", "window", "shape"),
    [
        *(pytest.param(name, None, (48, 1500), marks=() if name == "lite" else pytest.mark.slow) for name in VARIANTS),
        *(pytest.param(name, 96, (1483, 40), marks=pytest.mark.slow) for name in ATTENTIVE),
        pytest.param("unet", None, (1200, 1130), marks=pytest.mark.slow),
    ],
)
def test_tiles_equal_the_whole_picture(variant, window, shape):
    network = lively_network(variant)
    if window:
        network = with_local_pooling(network, window)
    picture = strip(*shape)
    whole = Restorer(network, tile=0, scales=1)(picture).astype(int)
    tiled = Restorer(network, tile=1056, scales=1)(picture).astype(int)
    assert np.abs(whole - picture).mean() > 300
    assert np.abs(whole - tiled).max() <= 65535 * 1e-4


@pytest.mark.slow
def test_small_tiles_leave_a_network_that_does_nothing_exact():
    picture = strip(300, 333)
    restored = Restorer(build("unet"), tile=128)(picture)
    np.testing.assert_array_equal(restored, picture)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ATTENTIVE)
def test_a_window_over_the_whole_picture_is_global_pooling(variant):
    network = lively_network(variant, widths=SMALL_WIDTHS)
    picture = strip(100, 130)
    globally = Restorer(network, scales=1)(picture).astype(int)
    np.testing.assert_allclose(Restorer(with_local_pooling(network, 144), scales=1)(picture), globally, atol=2)
    assert np.abs(Restorer(with_local_pooling(network, 32), scales=1)(picture) - globally).max() > 20


@pytest.mark.slow
@pytest.mark.parametrize("variant", ATTENTIVE)
def test_pooling_shares_weights_and_survives_saving(variant, tmp_path):
    network = lively_network(variant, widths=SMALL_WIDTHS)
    local = with_local_pooling(network, 90)
    assert local.name == variant
    assert [layer.window for layer in squeeze_layers(local)] == [96] * 4
    assert [layer.window for layer in squeeze_layers(network)] == [None] * 4
    assert local.count_params() == network.count_params()
    assert {id(weight) for weight in local.weights} == {id(weight) for weight in network.weights}
    local.save(tmp_path / "model.keras")
    restore = Restorer(tmp_path / "model.keras", scales=1)
    assert restore.pooling == "local (96 px)"
    picture = strip(64, 200)
    np.testing.assert_array_equal(restore(picture), Restorer(local, scales=1)(picture))
    np.testing.assert_array_equal(
        Restorer(tmp_path / "model.keras", pooling="global", scales=1)(picture), Restorer(network, scales=1)(picture)
    )


def test_local_pooling_takes_its_window_from_the_training_crop(tmp_path):
    build("concat_se").save(tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"needs the training crop, which .*run\.json should say"):
        Restorer(tmp_path / "model.keras", pooling="local")
    (tmp_path / "run.json").write_text(json.dumps({"settings": {"crop": 100}}))
    assert Restorer(tmp_path / "model.keras", pooling="local").pooling == "local (160 px)"


def test_pooling_of_a_network_without_squeeze_and_excitation(tmp_path):
    build("unet").save(tmp_path / "model.keras")
    for pooling in POOLINGS:
        assert Restorer(tmp_path / "model.keras", pooling=pooling).pooling == "none"


@pytest.mark.parametrize(("tile", "shape"), [(0, (80, 48)), pytest.param(1056, (48, 1500), marks=pytest.mark.slow)])
def test_the_ensemble_is_the_mean_over_flips_and_turns(tile, shape):
    network = lively_network("concat_se", widths=SMALL_WIDTHS)
    picture = strip(*shape) // 4 + 20_000  # far from what would be clipped
    alone = Restorer(network, tile=0, scales=1)
    expected = mean_over_turns(alone, picture)
    restored = Restorer(network, tile=tile, ensemble=True, scales=1)(picture)  # of several scales: test_scales.py
    np.testing.assert_allclose(restored, expected, atol=3)
    assert np.abs(restored.astype(int) - alone(picture)).max() > 100


@pytest.mark.parametrize("variant", few(["concat_se", "lite"], "lite"))
@pytest.mark.parametrize("options", [dict(tile=0), dict(tile=256), dict(tile=0, ensemble=True)], ids=str)
def test_strength_is_the_share_of_the_correction(variant, options):
    network = lively_network(variant, widths=SMALL_WIDTHS)
    picture = strip(80, 300) // 4 + 20_000
    restore = Restorer(network, **options, scales=1)
    whole = restore(picture).astype(float)
    restore.options = dataclasses.replace(restore.options, strength=0.3)
    some = restore(picture)
    assert np.abs(whole - picture).max() > 1000
    np.testing.assert_allclose(some, 0.7 * picture + 0.3 * whole, atol=1)


@pytest.mark.parametrize("strength", [0, -1, 1.5, float("nan")])
def test_strength_has_limits(strength):
    with pytest.raises(InputError, match=f"above 0 and at most 1, not {strength}"):
        Restorer(lively_network("lite"), strength=strength)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_type_stays_and_values_are_rounded(dtype):
    largest = np.iinfo(dtype).max
    network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(-1.2, 1.1)])
    picture = np.random.default_rng(0).integers(0, largest, (20, 30, 3), dtype, endpoint=True)
    restored = Restorer(network)(picture)
    assert restored.dtype == dtype
    expected = np.clip(np.float32(1.1) - np.float32(1.2) * (picture / np.float32(largest)), 0, 1) * largest
    assert np.abs(restored - expected).max() < 0.51


def test_tiles_are_as_large_as_memory_allows(monkeypatch):
    monkeypatch.setattr(restorer, "restoring_bytes_per_pixel", lambda facts, runtime: 1000)
    restore = Restorer(build("unet"), scales=1)
    for budget, tile in ((1e9, None), (0.5e9, 688), (1e7, 512)):
        restore._memory = budget + 6 * 3 * 1000 * 900
        assert restore.tile_for(1000, 900) == tile
    # Rows of tiles across a wide picture count, too: 3000^2 * 1000 + 2 * 12 * 100_000 * 3000 bytes.
    restore._memory = 16.2e9 + 6 * 3 * 100_000 * 5000
    assert restore.tile_for(5000, 100_000) == 3000 // 16 * 16
    # As do the results of several scales: 24 bytes per pixel.
    two_scales = Restorer(build("unet"), scales=2)
    two_scales._memory = restore._memory + 24 * 100_000 * 5000
    assert two_scales.tile_for(5000, 100_000) == 3000 // 16 * 16
    assert Restorer(build("unet"), tile=0).tile_for(100_000, 100_000) is None
    assert Restorer(build("unet"), tile=500).tile_for(1000, 900) == 512
    assert Restorer(build("unet"), tile=500).tile_for(500, 512) is None


def test_a_memory_limit_leads_to_tiles():
    assert Restorer(build("unet"), memory=1).tile_for(600, 600) == 512
    assert Restorer(build("unet"), memory=1e15).tile_for(4000, 4000) is None


def test_out_of_memory_leads_to_smaller_tiles():
    network, picture = lively_network("unet"), strip(64, 2112)
    restore = Restorer(network, memory=1e15, scales=1)
    expected = restore(picture).astype(int)
    run, widths = restore._tiled._part("whole"), []

    def limited(image):
        widths.append(image.shape[2])
        if image.shape[2] > 1056:
            raise OutOfMemory
        return run(image)

    restore._tiled._part = lambda name: limited
    assert np.abs(restore(picture) - expected).max() <= 65535 * 1e-4
    assert widths[:2] == [2112, 1056]
    restore._tiled._part = lambda name: lambda image: limited(np.zeros((1, 64, 2000, 3)))
    with pytest.raises(InputError, match="Not enough memory for 2112x64 pixels"):
        restore(picture)


def test_what_tensorflow_says_when_memory_is_out(monkeypatch):
    part = TensorFlowNetwork(lively_network("lite")).part("whole")

    def constant(value):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(tf, "constant", constant)
    with pytest.raises(OutOfMemory):
        part(np.zeros((1, 16, 16, 3), np.float32))


def test_a_damaged_model_file_is_named(tmp_path):
    build("unet").save(tmp_path / "model.keras")
    data = bytearray((tmp_path / "model.keras").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 1000] = bytes(1000)
    for content in (data, data[: len(data) // 2], b"nonsense"):
        (tmp_path / "model.keras").write_bytes(content)
        with pytest.raises(InputError, match=r"model\.keras cannot be loaded as a model"):
            Restorer(tmp_path / "model.keras")


def test_a_tile_that_is_too_small_is_named():
    with pytest.raises(InputError, match="--tile must be 0 or at least 128, not 127"):
        Restorer(build("unet"), tile=127)


@pytest.mark.parametrize("variant", VARIANTS)
def test_memory_is_known_for_every_variant(variant):
    full, mixed, in_onnxruntime, in_openvino = RESTORING_BYTES[variant]
    facts = facts_of(thin(variant))
    assert restoring_bytes_per_pixel(facts) == full
    assert restoring_bytes_per_pixel(facts, "onnxruntime") == in_onnxruntime
    assert restoring_bytes_per_pixel(facts, "openvino") == in_openvino
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert restoring_bytes_per_pixel(facts_of(thin(variant))) == mixed
    foreign = keras.Sequential([keras.Input((None, None, 3)), keras.layers.ReLU()], name="foreign")
    assert restoring_bytes_per_pixel(facts_of(foreign)) >= full
