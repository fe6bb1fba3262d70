"""The networks that come with the package: whole, loadable by name, and worth having."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import robustness
from helpers import clipped_output, few, psnr

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.sources import load_pairs
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.evaluation.report import summarise
from unet_deblur_tf.evaluation.scoring import score
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.models.finding import find_model
from unet_deblur_tf.models.loading import initialize_from, load_network
from unet_deblur_tf.models.scales import trunk_of
from unet_deblur_tf.models.transforms import in_precision, squeeze_layers
from unet_deblur_tf.models.unet import build
from unet_deblur_tf.restoring.restorer import Restorer

NETWORKS = pretrained.manifest()["networks"]
USUAL = few(NETWORKS, "lite")


@pytest.mark.parametrize("name", NETWORKS)
def test_each_is_what_the_manifest_says(name):
    entry = NETWORKS[name]
    path = find_model(name)
    assert path.stat().st_size == entry["bytes"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    network = load_network(path)
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    settings = entry["settings"]
    style = {key: settings[key] for key in ("norm", "head", "activation")}
    fresh = build(entry["variant"], **style)
    assert [weight.shape for weight in network.weights] == [weight.shape for weight in fresh.weights]
    assert network.count_params() == entry["parameters"]
    assert "/" not in json.dumps(settings)


def test_together_they_are_small():
    assert sum(path.stat().st_size for path in pretrained.FOLDER.iterdir()) < 40e6


def test_the_default_is_taken_where_there_is_no_other(tmp_path):
    assert find_model(None, tmp_path) == pretrained.find() == find_model(pretrained.manifest()["default"])


def test_a_damaged_file_is_refused(tmp_path):
    shutil.copytree(pretrained.FOLDER, tmp_path / "weights")
    path = pretrained.find("lite", tmp_path / "weights")
    pretrained.check(path, tmp_path / "weights")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"lite.keras is damaged: its SHA-256 is"):
        pretrained.check(path, tmp_path / "weights")
    path.unlink()
    with pytest.raises(InputError, match=r"lite.keras is missing"):
        pretrained.check(path, tmp_path / "weights")


def test_what_is_shipped_is_checked_when_it_is_loaded(tmp_path, monkeypatch):
    shutil.copytree(pretrained.FOLDER, tmp_path / "weights")
    path = pretrained.find("lite", tmp_path / "weights")
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(pretrained.check, "__defaults__", (tmp_path / "weights",))
    with pytest.raises(InputError, match=r"lite.keras is damaged"):
        load_network(path)


def test_the_manifest_tells_the_window_of_local_pooling():
    windows = {layer.window for layer in squeeze_layers(load_network(find_model("concat_se"), "local"))}
    assert windows == {1.5 * NETWORKS["concat_se"]["settings"]["crop"]}


def test_a_foreign_manifest_is_of_no_concern(tmp_path):
    """Web apps and others have a `manifest.json`, too."""
    (tmp_path / "manifest.json").write_text('{"name": "app"}')
    shutil.copy(pretrained.find("lite"), tmp_path)
    load_network(tmp_path / "lite.keras")


@pytest.fixture(scope="module")
def blurred_scenes():
    """Three pairs made in code, blurred along paths of 8 pixels: a list of (blurred, sharp)."""
    difficulty = dataclasses.replace(DIFFICULTIES["mixed"], width=192, height=160, blur=(8, 8))
    generators = [np.random.default_rng(seed) for seed in range(3)]
    size = canvas_size(difficulty)
    return [blurred_pair(rng, scene(rng, *size), scene(rng, *size), difficulty) for rng in generators]


# Somewhat less than they gain, in dB of PSNR: in the mean over the scenes, and on the worst of them.
SCENE_GAINS = {"lite": (2.3, 1.7), "unet": (3.4, 2.2), "concat_se": (3.3, 2.2)}


@pytest.mark.parametrize("name", few(NETWORKS, "unet", "lite"))
def test_blurred_scenes_get_better_and_their_sharp_twins_stay(name, blurred_scenes):
    restore = Restorer(name)
    gains = [psnr(restore(blurred), sharp) - psnr(blurred, sharp) for blurred, sharp in blurred_scenes]
    mean, worst = SCENE_GAINS[name]
    assert np.mean(gains) > mean
    assert min(gains) > worst
    assert min(psnr(restore(sharp), sharp) for _, sharp in blurred_scenes) > 50


@pytest.mark.parametrize("name", USUAL)
def test_sharp_scenes_stay_as_they_are(name, picture):
    """Do no harm."""
    assert psnr(Restorer(name)(picture), picture) > 38


# Somewhat less than what docs/results.md has: dB on REDS and on GoPro.
GAINS = {"lite": (1.9, 1.8), "unet": (2.5, 2.5), "concat_se": (2.5, 2.5)}


@pytest.mark.parametrize("gopro", few([1, 5], 1))  # how many, since they are large
@pytest.mark.parametrize("name", USUAL)
def test_real_pictures_that_it_never_saw_get_better(name, gopro, real_data):
    restore = Restorer(name)
    for folder, count, gain in zip(("reds_320x180", "gopro"), (5, gopro), GAINS[name]):
        pairs = load_pairs(str(real_data / folder), "test")
        found = summarise(score(restore, pairs[:: len(pairs) // count], progress=False))
        assert found["gain"]["psnr"] > gain
        assert found["gain"]["ssim"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_noise_does_not_stop_them(name, real_data):
    restore = Restorer(name)
    pairs = load_pairs(str(real_data / "gopro"), "test")[::2]
    gains = [
        robustness.gain(restore, robustness.noisy(read_picture(pair.blur), 5), read_picture(pair.sharp))
        for pair in pairs
    ]
    assert np.mean(gains) > 1


# Pixels: a picture's sides are filled up to a multiple of this.
CELLS = {"lite": 32, "unet": 16, "concat_se": 16}


@pytest.mark.parametrize("name", NETWORKS)
def test_any_size(name, blurred_scenes):
    """A network restores a picture as if it went on beyond its lower and right edge, mirrored."""
    network = load_network(find_model(name))
    (blurred, sharp), *_ = blurred_scenes
    for height, width in ((1, 1), (31, 70)):
        image = blurred[np.newaxis, :height, :width].astype(np.float32) / 255
        padding = [(0, -side % CELLS[name]) for side in (height, width)]
        filled = np.pad(image, [(0, 0), *padding, (0, 0)], mode="reflect")
        restored = np.asarray(network(image))
        np.testing.assert_allclose(restored, network(filled)[:, :height, :width], atol=1e-5)
        # Of a single pixel nothing is known but its colour.
        assert np.abs(restored - image).max() < (0.01 if height == 1 else 0.5)
    part = np.s_[:height, :width]
    assert psnr(clipped_output(network, image)[0] * 255, sharp[part]) > psnr(blurred[part], sharp[part]) + 0.5


@pytest.mark.parametrize("style", [dict(head="sigmoid"), dict(activation="relu"), dict(norm="batch")])
def test_training_does_not_begin_with_a_network_of_another_style(style):
    network = build("lite", **{"norm": "none", "activation": "leaky_relu", **style})
    with pytest.raises(InputError, match="--variant, --norm, --head and --activation must be those"):
        initialize_from(network, "lite")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite", "unet"])  # which are stored in float32
def test_weights_in_float16_score_the_same(name, blurred_scenes, tmp_path):
    network = load_network(find_model(name))
    in_precision(network, "float16").save(tmp_path / "half.keras")
    assert (tmp_path / "half.keras").stat().st_size < 0.6 * 4 * network.count_params()
    half = load_network(tmp_path / "half.keras")
    assert {weight.dtype for weight in half.weights} == {"float32"}
    assert {layer.compute_dtype for layer in trunk_of(half).layers} == {"float32"}
    assert any(np.any(one != other) for one, other in zip(half.get_weights(), network.get_weights()))
    for blurred, sharp in blurred_scenes:
        scores = [psnr(Restorer(each)(blurred), sharp) for each in (network, half)]
        assert scores[1] == pytest.approx(scores[0], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_and_other_runtimes_score_the_same(name, blurred_scenes):
    """So that `--precision auto` and `--runtime auto` can choose by time alone."""
    ways = [dict(precision="float32"), dict(precision="mixed_bfloat16"), dict(runtime="onnxruntime")]
    float32, bfloat16, onnxruntime = (Restorer(name, **{"runtime": "tensorflow", **way}) for way in ways)
    for blurred, sharp in blurred_scenes:
        expected = psnr(float32(blurred), sharp)
        assert psnr(bfloat16(blurred), sharp) == pytest.approx(expected, abs=0.05)
        assert psnr(onnxruntime(blurred), sharp) == pytest.approx(expected, abs=0.001)
