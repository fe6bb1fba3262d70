"""Coarse to fine: next to the formulas in NumPy, in tiles, in exports, and started from a network without it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL_WIDTHS, clipped_output, few, lively_network, mean_over_turns, random_pictures, randomise
from reference import blend, half

from unet_deblur_tf.acceleration.inference import for_inference
from unet_deblur_tf.commands import flags
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.exporting.onnx_litert import export_onnx
from unet_deblur_tf.exporting.saved_model import export
from unet_deblur_tf.models import blending
from unet_deblur_tf.models.blending import blend_share
from unet_deblur_tf.models.loading import at_chosen_scales
from unet_deblur_tf.models.scales import at_scales, inputs_of_trunk, scales_of, trunk_of
from unet_deblur_tf.models.transforms import in_precision, with_local_pooling
from unet_deblur_tf.models.unet import build, unet
from unet_deblur_tf.restoring import restorer
from unet_deblur_tf.restoring.memory import RESTORING_BYTES
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.restoring.tiled import doubled


@pytest.fixture
def always_shared(monkeypatch):
    """A share in between of the coarse result, whatever the picture."""
    monkeypatch.setattr(blending, "SLOPE", 0.1)
    monkeypatch.setattr(blending, "THRESHOLD", -3)


def strip(height, width):
    """A scene in 16 bits, so that differences of 1e-4 show."""
    return np.round(scene(np.random.default_rng(5), height, width) * 65535).astype(np.uint16)


@pytest.mark.parametrize(
    ("fine", "coarse", "share"),
    [
        (0.02, 0.02, 1.4 * 0.4),
        (0.02, 0.012, 0),  # just as much as the threshold
        (0.02, 0.001, 0),
        (0.01, 0.05, 1),
        (0.001, 0.01, 1.4 * (0.01 / (2.5 / 255) - 0.6)),  # the fine pass hardly corrects: a sharp picture
    ],
)
def test_the_share_by_hand(fine, coarse, share):
    assert float(blend_share(fine, coarse)) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("size", few([(32, 48), (33, 51), (1, 1), (2, 5)], (33, 51), (1, 1)))
def test_the_blend_equals_the_reference(size):
    network = randomise(unet(widths=SMALL_WIDTHS, norm="none"))
    for picture in random_pictures(*size, count=3):

        def run(image):
            return np.asarray(network(image[np.newaxis]), float)[0]

        small = half(picture)
        two = blend(picture, run(picture), run(small))
        np.testing.assert_allclose(at_scales(network, 2)(picture[np.newaxis])[0], two, atol=1e-5)
        three = blend(picture, run(picture), blend(small, run(small), run(half(small))))
        np.testing.assert_allclose(at_scales(network, 3)(picture[np.newaxis])[0], three, atol=1e-5)


def test_each_picture_of_a_batch_has_its_own_share():
    network = at_scales(randomise(unet(widths=SMALL_WIDTHS, norm="none")), 2)
    pictures = np.concatenate([random_pictures(32, 40), strip(32, 40)[np.newaxis] / np.float32(65535)])
    together = np.asarray(network(pictures))
    for picture, restored in zip(pictures, together):
        np.testing.assert_allclose(network(picture[np.newaxis])[0], restored, atol=1e-6)


@pytest.mark.parametrize("guided", [False, True])
def test_keras_saves_and_loads_several_scales(guided, tmp_path):
    network = at_scales(randomise(unet(widths=SMALL_WIDTHS, guided=guided)), 2)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    picture = random_pictures(31, 50)
    np.testing.assert_allclose(loaded(picture), network(picture), atol=1e-6)
    assert (scales_of(loaded), loaded.name) == (2, network.name)
    assert loaded.count_params() == trunk_of(network).count_params()
    assert scales_of(at_chosen_scales(loaded)) == 2
    assert scales_of(at_chosen_scales(loaded, 3)) == 3


def test_a_network_of_one_scale_is_blended_by_default():
    network = unet(widths=SMALL_WIDTHS)
    assert scales_of(network) == 1
    assert scales_of(at_chosen_scales(network)) == 2
    once = at_chosen_scales(network, 1)
    assert (scales_of(once), scales_of(at_chosen_scales(once)), trunk_of(once)) == (1, 1, network)
    foreign = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1)])
    assert at_chosen_scales(foreign) is foreign
    image = keras.Input((None, None, 3))
    for other in (
        keras.Model(image, keras.layers.Conv2D(3, 3, padding="same")(image)),
        keras.Model(image, keras.layers.Rescaling(0.5)(network(image))),  # more than the network that is inside
    ):
        assert trunk_of(other) is other
        assert at_chosen_scales(other) is other
    with pytest.raises(InputError, match="--scales 2 needs a network that this package built"):
        at_chosen_scales(foreign, 2)
    with pytest.raises(ValueError, match="scales must be a positive int"):
        at_scales(network, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "number", "shape"),
    [
        ("unet", 2, (49, 1501)),
        ("lite", 3, (48, 2501)),
        ("multiscale", 2, (48, 1501)),
        ("multiscale", 1, (48, 1501)),
        ("multiscale", 3, (49, 1501)),
        ("concat_se", 2, (1483, 41)),
        ("unet", 3, (1201, 1131)),
    ],
)
def test_tiles_equal_the_whole_picture(variant, number, shape, always_shared):
    network, picture = lively_network(variant), strip(*shape)
    whole = Restorer(network, tile=0, scales=number)(picture).astype(int)
    tiled = Restorer(network, tile=2112 if variant == "lite" else 1056, scales=number)(picture).astype(int)
    assert np.abs(whole - picture).mean() > 300
    assert np.abs(whole - tiled).max() <= 65535 * 1e-4
    if number > 1:
        once = Restorer(network, tile=0, scales=1)(picture).astype(int)
        assert np.abs(whole - once).mean() > 10


def test_parts_of_a_doubled_picture():
    small = random_pictures(13, 20)[0]
    whole = tf.image.resize(small, (26, 40)).numpy()
    for top, bottom, left, right in ((0, 26, 0, 40), (16, 25, 0, 7), (2, 9, 30, 39), (0, 1, 16, 40)):
        np.testing.assert_allclose(doubled(small, top, bottom, left, right), whole[top:bottom, left:right], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("tile", [0, 1056])
def test_the_ensemble_is_the_mean_over_flips_and_turns(tile, always_shared, monkeypatch):
    network = lively_network("unet", widths=SMALL_WIDTHS)
    picture = strip(48, 1500) // 4 + 20_000  # far from what would be clipped
    monkeypatch.setattr(restorer, "ENSEMBLE_FACTOR", 1)
    alone = Restorer(network, tile=0, scales=2)
    expected = mean_over_turns(alone, picture)
    restored = Restorer(network, tile=tile, ensemble=True, scales=2)(picture)
    np.testing.assert_allclose(restored, expected, atol=4)


def test_memory_is_planned_for_the_network_inside():
    for network, bytes_per_pixel in (
        (with_local_pooling(build("concat_se"), 96), RESTORING_BYTES["concat_se, local"][0]),
        (in_precision(build("lite"), "mixed_bfloat16"), RESTORING_BYTES["lite"][1]),
        (build("multiscale"), RESTORING_BYTES["multiscale"][0]),
    ):
        assert Restorer(network)._bytes_per_pixel == bytes_per_pixel


@pytest.mark.parametrize("tile", few([0, 1056], 0))
def test_an_ensemble_takes_half_of_the_share(tile, always_shared):
    network, picture = lively_network("unet", widths=SMALL_WIDTHS), strip(48, 1500)
    restore = Restorer(network, tile=tile, scales=2, ensemble=True)
    restore._turns = restore._turns[:1]  # of the mean, the picture as it is
    once, half = Restorer(network, tile=tile, scales=1)(picture).astype(float), restore(picture)
    inside = (once > 0) & (once < 65535)  # not clipped
    whole = Restorer(network, tile=tile, scales=2)(picture)
    inside &= (whole > 0) & (whole < 65535)
    assert np.abs(whole - once)[inside].mean() > 10
    np.testing.assert_allclose(half[inside], ((once + whole) / 2)[inside], atol=3)


@pytest.mark.slow
@pytest.mark.parametrize("guided", [False, True])
def test_exports_contain_the_scales(guided, tmp_path, always_shared):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = at_scales(randomise(unet(widths=SMALL_WIDTHS, norm="none", guided=guided)), 2)
    export(network, tmp_path / "1")
    export_onnx(network, tmp_path / "model.onnx")
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for size in ((17, 31), (64, 48)):
        image = random_pictures(*size, count=2)
        expected = clipped_output(network, image)
        assert np.abs(expected - clipped_output(at_scales(trunk_of(network), 1), image)).mean() > 1e-3
        np.testing.assert_allclose(serve(image=tf.constant(image))["restored"], expected, atol=1e-5)
        np.testing.assert_allclose(session.run(["restored"], {"image": image})[0], expected, atol=1e-4)


def test_the_fast_form_keeps_every_kernel_once():
    network = at_scales(unet(guided=True), 2)
    fast = for_inference(network)
    own = sum(np.prod(weight.shape) for weight in for_inference(trunk_of(network)).weights)
    assert sum(np.prod(weight.shape) for weight in fast.weights) == own


def test_the_guide_is_what_the_coarse_pass_corrects():
    network = at_scales(randomise(unet(widths=SMALL_WIDTHS, guided=True)), 2)
    picture = random_pictures(31, 50)
    inputs = inputs_of_trunk(network, picture)
    np.testing.assert_allclose(trunk_of(network)(inputs), network(picture), atol=1e-6)
    small = half(picture[0])[np.newaxis].astype(np.float32)
    coarse = trunk_of(network)([small, np.zeros_like(small)])
    expected = tf.image.resize(coarse - small, (32, 50))[:, :31]
    np.testing.assert_allclose(inputs[1], expected, atol=1e-5)


def test_the_flag():
    assert [flags.scales(text) for text in ("auto", "1", "2", "3")] == [None, 1, 2, 3]
    for text in ("0", "4", "x", "-1"):
        with pytest.raises(Exception, match="must be auto, 1, 2, 3, not"):
            flags.scales(text)
    with pytest.raises(InputError, match="--scales must be 1 to 3 or auto, not 4"):
        Restorer(unet(widths=SMALL_WIDTHS), scales=4)
