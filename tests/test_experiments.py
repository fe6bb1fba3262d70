"""What the experiments are made of, as far as it can be told without training."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import average
import gather
import keras
import long_training
import numpy as np
import pytest
import robustness
import stream
import stress
import unpack
from helpers import SMALL_WIDTHS, randomise

from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.trees.tree import find_pairs
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.loading import load, load_network
from unet_deblur_tf.models.scales import trunk_of
from unet_deblur_tf.models.unet import unet

NAMES = ("train/a/{}/0.png", "train/a/{}/1.png", "test/b/{}/2.png")


@pytest.fixture
def arguments(tmp_path, make_pairs, save_picture, picture, monkeypatch):
    monkeypatch.setitem(gather.SETS, "few", (("quick", True, 0, 2), ("quick", True, 1, 3, dict(width=200))))
    for number in range(10):
        save_picture(tmp_path / f"photos/train/{number}.png", picture)
    save_picture(tmp_path / "photos/test/held.png", picture)
    pairs = [make_pairs(*NAMES)]
    return argparse.Namespace(
        output=tmp_path / "mixture", set="few", photos=tmp_path / "photos", pairs=pairs, video=[], repeat=2
    )


def test_nothing_to_test_with_gets_into_training(arguments, monkeypatch):
    used = []
    monkeypatch.setattr(gather, "make_split", lambda *given: used.extend(given[2]) or arguments.photos)
    gather.main(arguments)
    assert {path.stem for path in used} == {str(number) for number in range(10)}
    train = arguments.output / "train"
    assert {path.name for path in train.iterdir()} == {"quick_photos_0", "quick_photos_1", "pairs0_a_0", "pairs0_a_1"}
    for turn in range(2):
        assert {path.name for path in (train / f"pairs0_a_{turn}/blur").iterdir()} == {"0.png", "1.png"}
    with pytest.raises(InputError, match="is there already"):
        gather.main(arguments)


def test_a_set_says_how_many_pairs_and_what_differs(arguments, monkeypatch):
    made = {}
    monkeypatch.setattr(
        gather, "make_split", lambda *given: made.setdefault((given[0], *given[3:]), given[1]) and arguments.photos
    )
    gather.main(arguments)
    sizes = {seed: (made["train", seed].scenes["train"], made["train", seed].width) for seed in range(2)}
    assert sizes == {0: (2, 160), 1: (3, 200)}


def test_pairs_to_test_with_alone_are_refused(arguments, make_pairs, monkeypatch):
    monkeypatch.setattr(gather, "make_split", lambda *_: arguments.photos)
    arguments.pairs = [make_pairs(NAMES[-1], root="others")]
    with pytest.raises(InputError, match="others has no pairs to train on; it has test"):
        gather.main(arguments)
    assert not arguments.output.exists()


@pytest.mark.slow
def test_an_average_of_weights(tmp_path):
    networks = [randomise(unet(widths=SMALL_WIDTHS)), randomise(unet(widths=SMALL_WIDTHS))]
    for number, network in enumerate(networks):
        network.save(tmp_path / f"{number}.keras")
    made = argparse.Namespace(models=[tmp_path / "0.keras", tmp_path / "1.keras"], output=tmp_path / "mean.keras")
    average.main(made)
    for found, one, other in zip(load_network(made.output).weights, *(network.weights for network in networks)):
        np.testing.assert_allclose(found, (one.numpy() + other.numpy()) / 2, rtol=1e-6)
    with pytest.raises(InputError, match="not there yet"):
        average.main(made)
    unet(widths=SMALL_WIDTHS, skips="all").save(tmp_path / "other.keras")
    made = argparse.Namespace(models=[tmp_path / "0.keras", tmp_path / "other.keras"], output=tmp_path / "none.keras")
    with pytest.raises(InputError, match="has other layers than"):
        average.main(made)


def test_stress_measures_corrections_and_gains(tmp_path, save_picture, monkeypatch):
    """Of a network that lifts what it is given by a known amount."""
    rng = np.random.default_rng(0)
    for number in range(3):
        save_picture(tmp_path / f"photos/{number}.png", rng.integers(40, 200, (300, 500, 3), np.uint8))
    monkeypatch.setattr(stress, "COUNT", 3)
    blurred, sharp = stress.forward_pairs(sorted((tmp_path / "photos").iterdir()))
    assert blurred.shape == sharp.shape == (3, stress.HEIGHT, stress.WIDTH, 3)
    assert 1e-3 < np.mean((blurred - sharp) ** 2) < 0.1
    lift = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1.0, 0.125)])
    corrections, gains = stress.measure(lift, (blurred, sharp), "lift")
    assert corrections == pytest.approx([0.125] * 3, abs=1e-6)
    error, lifted = (np.mean((np.clip(each, 0, 1) - sharp) ** 2, axis=(1, 2, 3)) for each in (blurred, blurred + 0.125))
    assert gains == pytest.approx(list(-10 * np.log10(lifted / error)), abs=1e-3)


@pytest.mark.slow
def test_what_is_trained_on_jax_is_a_network_for_tensorflow(tmp_path, make_pairs, save_picture, picture):
    for number in range(3):
        save_picture(tmp_path / f"photos/{number}.png", picture)
    scripts = Path(stress.__file__).parent
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(*command):
        subprocess.run([sys.executable, *map(str, command)], check=True, env=environment)

    stream, trained = tmp_path / "stream", tmp_path / "trained"
    flags = ("--photos", tmp_path / "photos", "--pairs", make_pairs(*NAMES), "--workers", 2, "--pairs-at-most", 12)
    run(scripts / "stream.py", stream, *flags)
    files = [np.load(path) for path in stream.glob("*/*.npy")]
    assert {array.shape[1:] for array in files} == {(2, 320, 320, 3)}
    assert sum(map(len, files)) == 14  # with the two real pairs to train on

    first = scripts.parent / "unet_deblur_tf/weights/lite.keras"
    flags = ("--crop", 64, "--batch-size", 2, "--capacity", 60, "--start-from", first)
    run(scripts / "train_on_jax.py", "lite", "--stream", stream, "--output", trained, "--steps", 20, *flags)
    before = load_network(first)
    for name in ("last", "average"):
        network = load_network(trained / f"{name}.keras")
        for ours, theirs in zip(network.get_weights(), before.get_weights(), strict=True):
            assert 0 < np.abs(ours - theirs).max() < 0.1
    settings = json.loads((trained / "run.json").read_text())["settings"]
    assert settings["variant"] == "lite"
    assert settings["steps"] == 20


def test_spoilt_pictures_are_as_bad_as_they_are_said_to_be(picture):
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert abs(np.std(robustness.noisy(grey, 10).astype(float) - 128) - 10) < 0.3
    errors = [np.mean((robustness.compressed(picture, quality).astype(float) - picture) ** 2) for quality in (95, 50)]
    assert 0 < errors[0] < errors[1]
    # Half the error: 20 log10(2) dB.
    restored = robustness.gain(lambda blurred: blurred - 5, grey + 10, grey)
    assert abs(restored - 6.0206) < 1e-3


def test_what_is_unpacked_are_the_crops(tmp_path):
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 2, 8, 8, 3), np.uint8)
    for group, some in zip(("small", "pairs"), crops):
        (tmp_path / "stream" / group).mkdir(parents=True)
        np.save(tmp_path / "stream" / group / "0-1.npy", some)
    arguments = argparse.Namespace(stream=tmp_path / "stream", output=tmp_path / "out", at_most=[("pairs", 1)])
    unpack.main(arguments)
    found = find_pairs(tmp_path / "out")[""]
    assert sorted(pair.sequence for pair in found) == ["pairs/0-1", *["small/0-1"] * 3]  # a name ends with a frame
    pair = next(pair for pair in found if pair.sequence == "small/0-1" and pair.name == "0-1-0002")
    np.testing.assert_array_equal(read_picture(pair.blur), crops[0, 2, 0])
    np.testing.assert_array_equal(read_picture(pair.sharp), crops[0, 2, 1])


def test_a_step_has_the_same_crops_in_every_training(tmp_path):
    for number, name in enumerate(long_training.SHARES):
        (tmp_path / name).mkdir()
        crops = np.random.default_rng(number).integers(0, 256, (3, 2, stream.SIDE, stream.SIDE, 3), np.uint8)
        np.save(tmp_path / name / "0-1.npy", crops)
    first, again, other = (long_training.Windows(tmp_path, seed) for seed in (0, 0, 1))
    first.draw(6, 2, 64)  # whatever came before
    drawn = first.draw(7, 2, 64)
    np.testing.assert_array_equal(drawn, again.draw(7, 2, 64))
    assert not np.array_equal(drawn, first.draw(8, 2, 64))
    assert not np.array_equal(drawn, other.draw(7, 2, 64))


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "start"), [("lite", "lite"), ("multiscale", "unet")])
def test_a_long_training_goes_on_where_it_stopped(variant, start, tmp_path, save_picture, picture, monkeypatch):
    for number in range(11):
        save_picture(tmp_path / f"photos/{number}.png", np.kron(picture, np.ones((4, 4, 1), np.uint8)))
    small = {name: group._replace(changes={**group.changes, "blur": (2, 6)}) for name, group in stream.GROUPS.items()}
    monkeypatch.setattr(stream, "GROUPS", small)
    monkeypatch.setattr(long_training, "GROUPS", small)
    monkeypatch.setattr(stream, "PER_FILE", 1)
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path / "run"), "--photos", str(tmp_path / "photos"), "--workers", "2",
                                      "--crop", "32", "--batch-size", "2", "--variant", variant, "--start-from", start,
                                      "--precision", "float32", "--seconds", "1"])  # fmt: skip
    arguments = long_training.parse_arguments()
    long_training.main(arguments)
    state = tmp_path / "run/state.npz"
    with np.load(state) as saved:
        first = {name: saved[name] for name in saved.files}
    assert first["step"] >= 1
    assert list((tmp_path / "run/crops/frames").glob("*.npy"))
    average = trunk_of(load_network(tmp_path / "run/average.keras")).get_layer("inc_conv2").kernel
    assert 0 < np.abs(average - trunk_of(load(start)).get_layer("inc_conv2").kernel).max() < 0.01

    long_training.main(arguments)
    with np.load(state) as saved:
        assert saved["step"] > first["step"]
        assert np.abs(saved["v0"] - first["v0"]).max() > 0
    before = state.read_bytes()
    arguments.finish = 2
    long_training.main(arguments)
    assert state.read_bytes() == before
    finished = load_network(tmp_path / "run/finished.keras")
    first, given = (trunk_of(network).get_layer("inc_conv2").kernel for network in (finished, load(start)))
    assert 0 < np.abs(first - given).max() < 0.01
    assert json.loads((tmp_path / "run/run.json").read_text())["settings"]["variant"] == variant
    arguments.variant, arguments.start_from = "unet", None
    with pytest.raises(InputError, match=f"is of the variant {variant}, not unet"):
        long_training.main(arguments)
