"""Training and scoring by the scripts, from a first run to what they say to bad input."""

import json
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    FRAMES,
    ROOT,
    TWO_DEVICES,
    assert_one_line_error,
    load_trained,
    read_history,
    run_script,
    run_script_here,
    save_pair,
    wait_until,
)

from unet_deblur_tf.configs import RECIPES, VARIANTS
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.training import publishing, train
from unet_deblur_tf.training.checkpoints import completed_epochs

SMALL_RUN = ["--epochs", "3", "--steps-per-epoch", "2", "--batch-size", "2", "--crop", "32", "--schedule", "cosine"]
UNCACHED = ["--cache", "none", "--crops-per-picture", "3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, picture):
    """A working folder in which `lite` was trained on pairs for three short epochs, and what was said."""
    folder = tmp_path_factory.mktemp("work")
    for frame in FRAMES:
        save_pair(folder / "pairs", frame, picture // 2, picture)
    done = run_script_here("train.py", "--variant", "lite", "--data", "pairs", *SMALL_RUN, *UNCACHED, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_training_leaves_everything_the_contract_names(trained):
    folder, said = trained
    base = folder / "saved_models/lite"
    assert {path.name for path in base.iterdir()} == {
        "1", "model.keras", "history.csv", "run.json", "comparison.png", "logs", ".training.lock",
    }  # fmt: skip
    assert {path.name for path in (base / "1/assets.extra").iterdir()} == {
        "model.keras", "history.csv", "run.json", "comparison.png", "tf_serving_warmup_requests",
    }  # fmt: skip
    assert {path.name for path in base.parent.iterdir()} == {
        "lite", "models.config", "monitoring.config", "batching.config",
    }  # fmt: skip
    assert [row["epoch"] for row in read_history(base)] == ["0", "1", "2"]
    recorded = json.loads((base / "run.json").read_text())
    best = max(read_history(base), key=lambda row: float(row["val_psnr"]))
    assert recorded["best_epoch"] == int(best["epoch"])
    assert recorded["epochs_completed"] == 3
    assert recorded["settings"]["variant"] == "lite"
    assert recorded["settings"]["seed"] == 0
    assert recorded["score"]["images"] == 3
    assert recorded["pooling"] is None  # without squeeze-and-excitation
    assert "Cache: none (as asked for), 3 crops in a row per picture" in said
    assert recorded["versions"]["tensorflow"] == tf.__version__
    assert f"{recorded['score']['input']['psnr']:.2f}" in said
    assert "python evaluate.py --model saved_models/lite --data pairs --report reports/lite/1" in said
    assert "3 train pairs, 3 val pairs, 3 test pairs" in said


def test_the_exported_network_is_the_saved_one(trained):
    folder, _ = trained
    blurred = read_picture(folder / "pairs/test/S0/blur/0.png")
    base = folder / "saved_models/lite"
    of_keras, of_saved_model = (Restorer(base / name)(blurred) for name in ("model.keras", "1"))
    assert np.abs(of_keras.astype(int) - of_saved_model).max() <= 1


def test_tensorboard_gets_pictures(trained):
    folder, _ = trained
    (events,) = (folder / "saved_models/lite/logs/1/pictures").iterdir()
    tags = {
        value.tag
        for record in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }
    assert tags == {f"blurred, restored, sharp/{number}" for number in range(3)}


def test_evaluate_takes_the_newest_model_and_reports_what_training_did(trained):
    folder, _ = trained
    done = run_script_here("evaluate.py", "--data", "pairs", "--report", "report", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "saved_models/lite/1 on 3 pairs" in done.stdout
    assert "blurred input" in done.stdout
    found = json.loads((folder / "report/metrics.json").read_text())
    recorded = json.loads((folder / "saved_models/lite/run.json").read_text())["score"]
    for row in ("input", "restored"):
        assert found[row]["psnr"] == pytest.approx(recorded[row]["psnr"], abs=0.01)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(trained):
    folder, _ = trained
    flags = ["--variant", "lite", "--data", "pairs", *SMALL_RUN, "--output", "again"]
    command = [sys.executable, ROOT / "train.py", *flags, *UNCACHED]
    work = folder / "again/lite/.training"
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: completed_epochs(work), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "again/lite/1").exists()

    other = run_script("train.py", *flags, "--seed", "1", cwd=folder)
    assert other.returncode == 2
    assert "seed 0 (now 1)" in other.stderr

    # By now memory has room for the pictures, which must not change how often each is used in a row.
    done = run_script("train.py", *flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Cache: memory" in done.stdout
    assert "Going on after epoch" in done.stdout
    whole, resumed = read_history(folder / "saved_models/lite"), read_history(folder / "again/lite")
    assert [row["epoch"] for row in resumed] == ["0", "1", "2"]
    for key in ("loss", "val_psnr", "val_ssim"):
        values = [[float(row[key]) for row in rows] for rows in (whole, resumed)]
        np.testing.assert_allclose(values[0], values[1], rtol=1e-3)


@pytest.mark.slow
def test_starting_from_a_trained_network(trained):
    folder, _ = trained
    flags = ["--data", "pairs", "--crop", "32", "--batch-size", "2", "--epochs", "1", "--steps-per-epoch", "1"]
    flags += ["--start-from", "saved_models/lite", "--output", "further"]
    # So small a step leaves the weights as they came.
    done = run_script("train.py", "--variant", "lite", *flags, "--learning-rate", "1e-12", cwd=folder)
    assert done.returncode == 0, done.stderr
    start, further = (load_trained(folder / base / "lite") for base in ("saved_models", "further"))
    for ours, theirs in zip(start.trainable_weights, further.trainable_weights):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)
    done = run_script("train.py", "--variant", "unet", *flags, cwd=folder)
    assert_one_line_error(done, "is a lite with other layers than this unet")


@pytest.mark.slow
def test_the_seed_recipe_and_mixed_precision(trained):
    folder, _ = trained
    done = run_script(
        "train.py", "--recipe", "original", "--precision", "mixed_bfloat16", "--data", "pairs", "--epochs", "1",
        "--steps-per-epoch", "1", "--crop", "32", "--output", "original", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = json.loads((folder / "original/unet/run.json").read_text())["settings"]
    assert (settings["loss"], settings["norm"], settings["head"], settings["optimizer"], settings["schedule"]) == (
        "ssim", "batch", "sigmoid", "adam", "plateau",
    )  # fmt: skip
    assert [float(row["learning_rate"]) for row in read_history(folder / "original/unet")] == pytest.approx([1e-3])


def test_unknown_variant(tmp_path):
    assert_one_line_error(run_script_here("train.py", "--variant", "resnet", cwd=tmp_path), "resnet", *VARIANTS)


def test_no_such_folder(tmp_path):
    assert_one_line_error(run_script_here("train.py", "--data", "nowhere", cwd=tmp_path), "No such folder: 'nowhere'")


def test_evaluate_with_a_model_that_is_not_there(tmp_path):
    assert_one_line_error(
        run_script_here("evaluate.py", "--model", "none", cwd=tmp_path), "No such model: none", "lite"
    )


@pytest.mark.parametrize("script", ["deblur.py", "evaluate.py"])
def test_impossible_strength(script, tmp_path):
    inputs = ["photo.jpg"] if script == "deblur.py" else []
    assert_one_line_error(
        run_script_here(script, *inputs, "--strength", "1.5", cwd=tmp_path), "above 0 and at most 1, not 1.5"
    )


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_text("a file where a folder should be")
    assert_one_line_error(
        run_script_here("train.py", "--output", "taken/models", cwd=tmp_path), "Cannot write to taken/models"
    )
    assert (tmp_path / "taken").read_text() == "a file where a folder should be"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--crop", "8"], "--crop must be at least 11"),
        (["--seed", "-1"], "under 2^32"),
        (["--epochs", "0"], "at least 1"),
    ],
)
def test_impossible_settings(trained, flags, message):
    folder, _ = trained
    assert_one_line_error(
        run_script_here("train.py", "--data", "pairs", *flags, "--output", "impossible", cwd=folder), message
    )


@pytest.mark.slow
def test_a_mistake_does_not_stand_in_the_way_of_the_next_try(trained):
    folder, _ = trained
    assert_one_line_error(
        run_script_here("train.py", "--data", "nowhere", "--output", "tries", cwd=folder), "No such folder"
    )
    diverging = run_script_here(
        "train.py", "--data", "pairs", *SMALL_RUN, "--output", "tries", "--learning-rate", "1e30", cwd=folder
    )
    assert_one_line_error(diverging, "diverged at a learning rate of 1e+30: try a smaller one")
    assert list((folder / "tries/unet").glob("[0-9]*")) == []
    done = run_script("train.py", "--data", "pairs", *SMALL_RUN, "--output", "tries", cwd=folder)
    assert done.returncode == 0, done.stderr


def test_a_picture_smaller_than_the_crop(trained):
    folder, _ = trained
    done = run_script_here("train.py", "--data", "pairs", "--crop", "100", "--output", "crop", cwd=folder)
    assert_one_line_error(done, "blur/0.png is 112x96: at least 100x100 is needed by --crop")


@pytest.mark.slow
def test_a_truncated_picture_met_in_mid_run(trained, make_pairs):
    folder, _ = trained
    root = make_pairs(*FRAMES)
    damaged = root / "train/S1/blur/1.png"
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    done = run_script_here("train.py", "--data", root, *SMALL_RUN, "--output", "damaged", cwd=folder)
    assert_one_line_error(done, "train/S1/blur/1.png cannot be read as a picture")


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_help_is_quick(script, tmp_path):
    # It must not wait for TensorFlow: that is, not import it.
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{script!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / script)!r}, run_name='__main__')\n"
        "except SystemExit:\n"
        "    print('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
    assert "--data" in done.stdout


@pytest.mark.slow
def test_training_on_two_devices(trained, tmp_path, picture):
    folder, _ = trained
    code = TWO_DEVICES + (
        "from unet_deblur_tf.configs import RECIPES\n"
        "from unet_deblur_tf.training import train\n"
        "settings = dict(RECIPES['default'], variant='unet', data='pairs', blur='blur', difficulty='quick',\n"
        "                epochs=2, steps_per_epoch=2, batch_size=4, crop=32, precision='float32', seed=0)\n"
        f"folder, summary = train.train({str(tmp_path)!r}, **settings)\n"
        "assert summary['images'] == 3\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in read_history(tmp_path / "unet")] == ["0", "1"]
    of_keras, of_saved_model = (Restorer(tmp_path / "unet" / name)(picture // 2) for name in ("model.keras", "1"))
    assert np.abs(of_keras.astype(int) - of_saved_model).max() <= 1
    # The sharp pictures are twice as bright.
    assert of_keras.mean() > (picture // 2).mean()


@pytest.mark.slow
def test_a_run_killed_while_exporting_goes_on_without_training_again(trained, tmp_path, monkeypatch):
    folder, _ = trained
    monkeypatch.chdir(folder)
    settings = dict(
        RECIPES["default"], variant="unet", data="pairs", blur="blur", difficulty="quick",
        epochs=1, steps_per_epoch=2, crop=32, precision="float32", seed=0,
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(publishing.saved_model, "publish", lambda *arguments, **keywords: sys.exit("killed"))
        with pytest.raises(SystemExit):
            train.train(tmp_path, **settings)
    base = tmp_path / "unet"
    assert not (base / "1").exists()
    best = (base / ".training/best.keras").read_bytes()
    version, _ = train.train(tmp_path, **settings)
    assert version == base / "1"
    assert len(read_history(base)) == 1
    weights = load_trained(base).get_weights()
    (tmp_path / "best.keras").write_bytes(best)
    for ours, theirs in zip(weights, keras.saving.load_model(tmp_path / "best.keras", compile=False).get_weights()):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_training_squeeze_and_excitation_chooses_the_pooling(trained):
    folder, _ = trained
    flags = ["--data", "pairs", *SMALL_RUN, *UNCACHED, "--output", "attentive"]
    done = run_script("train.py", "--variant", "concat_se", *flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    base = folder / "attentive/concat_se"
    recorded = json.loads((base / "run.json").read_text())["pooling"]
    assert set(recorded["validation_psnr"]) == {"global", "local"}
    assert recorded["exported"] == Restorer(base / "model.keras").pooling
    blurred = read_picture(folder / "pairs/test/S0/blur/0.png")
    of_keras, of_saved_model = (Restorer(base / name)(blurred) for name in ("model.keras", "1"))
    assert np.abs(of_keras.astype(int) - of_saved_model).max() <= 1


@pytest.mark.slow
def test_the_first_command_of_the_readme_improves_on_the_blurred_input(tmp_path):
    done = run_script("train.py", "--variant", "concat_se", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    score = json.loads((tmp_path / "saved_models/concat_se/run.json").read_text())["score"]
    assert score["images"] == 48
    assert 24 < score["input"]["psnr"] < 31
    assert score["gain"]["psnr"] > 1.0
    assert score["gain"]["ssim"] > 0
