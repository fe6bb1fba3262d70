"""Interrupted runs: killed, stopped, out of disk, bereft of their data, and how each goes on."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    FRAMES,
    ROOT,
    load_trained,
    read_history,
    save_pair,
    save_picture,
    wait_until,
)

from unet_deblur_tf.errors import InputError, Stopped
from unet_deblur_tf.training import callbacks, checkpoints, train

SETTINGS = {
    "variant": "lite", "data": "pairs", "blur": "blur", "difficulty": "quick", "epochs": 2, "steps_per_epoch": 1,
    "batch_size": 2, "crop": 32, "norm": "none", "head": "residual", "activation": "relu", "loss": "l1",
    "optimizer": "adam", "learning_rate": 1e-4, "schedule": "cosine", "precision": "float32", "seed": 0,
}  # fmt: skip
RUN = ["--variant", "lite", "--data", "pairs", "--batch-size", "2", "--crop", "32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, picture):
    """A working folder with pairs; every picture is another one, so that the order of crops matters."""
    work = tmp_path_factory.mktemp("work")
    for number, frame in enumerate(FRAMES):
        save_pair(work / "pairs", frame, picture // 2, np.roll(picture, 7 * number, axis=1))
    return work


def start(folder, *flags):
    command = [sys.executable, ROOT / "train.py", *RUN, *map(str, flags)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_at_ten_random_moments_a_run_ends_as_if_it_had_not_been(folder):
    flags = ["--epochs", "3", "--steps-per-epoch", "4", "--schedule", "plateau", "--output"]
    began = time.monotonic()
    process = start(folder, *flags, "whole")
    assert process.wait() == 0, process.stderr.read()
    seconds = time.monotonic() - began
    rng = np.random.default_rng(0)
    base, killed = folder / "killed/lite", 0
    while killed < 10:
        process = start(folder, *flags, "killed")
        try:
            # Every moment has its turn: from the start of Python to the export.
            process.wait(timeout=rng.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        else:
            assert process.returncode == 0, process.stderr.read()
            if killed < 10:
                shutil.rmtree(folder / "killed")  # it was faster than the kill: once more from the start
        assert not (base / "1").exists() or (base / "1/saved_model.pb").exists()
    process = start(folder, *flags, "killed")
    assert process.wait() == 0, process.stderr.read()
    for ours, theirs in zip(load_trained(folder / "whole/lite").get_weights(), load_trained(base).get_weights()):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    whole, resumed = read_history(folder / "whole/lite"), read_history(base)
    assert [row["epoch"] for row in whole] == [row["epoch"] for row in resumed] == ["0", "1", "2"]
    for ours, theirs in zip(whole, resumed):
        assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), abs=1e-5)
        assert ours["learning_rate"] == theirs["learning_rate"]
    tf.saved_model.load(str(base / str(max(int(path.name) for path in base.glob("[0-9]*")))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_stops_at_the_next_step_and_says_how_to_go_on(folder, number, status, word):
    """Meanwhile a second run is told to go elsewhere."""
    flags = ["--epochs", "1000", "--steps-per-epoch", "3", "--output", f"stopped{status}"]
    work = folder / f"stopped{status}/lite/.training"
    process = start(folder, *flags)
    wait_until(lambda: checkpoints.completed_epochs(work) > 0, process)
    with pytest.raises(InputError, match=r"Another run is training in .*: wait for it, or give another --output"):
        checkpoints.run_lock(work.parent).__enter__()
    process.send_signal(number)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == status, complaints
    done = checkpoints.completed_epochs(work)
    last = complaints.strip().splitlines()[-1]
    assert last == f"train.py: {word}: The same command goes on after epoch {done} of 1000"
    with checkpoints.run_lock(work.parent):
        pass
    assert "Traceback" not in complaints
    assert len(list(work.glob("epoch-*"))) == 1
    assert not list(work.glob(".*"))


@pytest.mark.slow
def test_pictures_that_vanish_are_named(folder):
    shutil.copytree(folder / "pairs", folder / "vanishing")
    for copy in range(50):  # more pairs than are held decoded
        shutil.copytree(folder / "pairs/train", folder / f"vanishing/train/copy{copy}")
    flags = ["--data", "vanishing", "--epochs", "1000", "--steps-per-epoch", "3", "--output", "bereft"]
    flags += ["--cache", "none", "--crops-per-picture", "1"]  # so that each crop is decoded anew
    process, work = start(folder, *flags), folder / "bereft/lite/.training"
    wait_until(lambda: checkpoints.completed_epochs(work) > 0, process)
    (folder / "vanishing/train").rename(folder / "vanished")
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 2, complaints
    last = complaints.strip().splitlines()[-1]
    assert last.startswith("train.py: error:")
    assert "vanishing/train/" in last
    # Put back, it goes on.
    (folder / "vanished").rename(folder / "vanishing/train")
    done = checkpoints.completed_epochs(work)
    assert done > 0
    process = start(folder, *flags)
    wait_until(lambda: checkpoints.completed_epochs(work) > done, process)
    process.send_signal(signal.SIGTERM)
    said, complaints = process.communicate(timeout=120)
    assert process.returncode == 143, complaints
    assert f"Going on after epoch {done} of 1000" in said
    epochs = [int(row["epoch"]) for row in read_history(work)]
    assert epochs == list(range(len(epochs)))
    assert len(epochs) > done


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a file system of some MB; only root can."""
    mounted = []

    def mount(megabytes):
        place = tmp_path / f"disk{megabytes}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place], capture_output=True)
        if done.returncode:
            pytest.skip("file systems cannot be mounted here")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", place], check=True)


# While the best network is saved, the state after it, the second epoch's state, and in the export.
@pytest.mark.slow
@pytest.mark.parametrize(("megabytes", "epochs"), [(1, 0), (10, 0), (18, 1), (26, 2)])
def test_a_full_disk(folder, small_disk, megabytes, epochs):
    disk = small_disk(megabytes)
    flags = ["--epochs", "2", "--steps-per-epoch", "2", "--output", disk / "models"]
    process = start(folder, *flags)
    _, complaints = process.communicate(timeout=300)
    assert process.returncode == 2, complaints
    assert complaints.strip().splitlines()[-1] == (
        f"train.py: error: Cannot write to {disk / 'models/lite'}: No space left on device. "
        f"The same command goes on after epoch {epochs} of 2"
    )
    assert not list((disk / "models/lite").glob("[0-9]*"))
    assert not list((disk / "models/lite").rglob("*partial*"))
    # With room, the same command goes on.
    subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
    process = start(folder, *flags)
    said, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    assert ("Going on after epoch" in said) == (epochs > 0)
    assert len(read_history(disk / "models/lite")) == 2


@pytest.mark.parametrize(
    "again", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["by hand", "after a worker was lost"]
)
def test_fresh_is_for_the_first_start(folder, tmp_path, monkeypatch, again):
    """What started again by itself goes on; to people it is said how."""
    settings = SETTINGS | {"data": str(folder / "pairs")}

    class Halt(callbacks.StopAtStep):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.received = signal.SIGTERM

    monkeypatch.setattr(callbacks, "StopAtStep", Halt)
    with pytest.raises(Stopped) as stopped:
        train.train(tmp_path, fresh=True, **settings)
    assert stopped.value.advice == "The same command without --fresh goes on after epoch 1 of 2"
    work = tmp_path / "lite/.training"
    if again:
        monkeypatch.setenv("UNET_DEBLUR_STARTS", "1")
    else:  # what cannot start discards nothing
        with pytest.raises(InputError, match="No such model: nowhere"):
            train.train(tmp_path, fresh=True, **settings | {"start_from": "nowhere"})
        assert checkpoints.completed_epochs(work) == 1
    begun = []
    monkeypatch.setattr(train, "fit", lambda run: begun.append(run.epochs_done) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.train(tmp_path, fresh=True, **settings)
    assert begun == [1 if again else 0] == [checkpoints.completed_epochs(work)]


def test_nothing_is_taken_over_from_a_run_without_an_epoch(folder, tmp_path, monkeypatch):
    work = tmp_path / "lite/.training"
    work.mkdir(parents=True)
    (work / "settings.json").write_text(json.dumps(SETTINGS | {"crops_per_picture": 12}))
    begun = []
    monkeypatch.setattr(train, "compile_model", lambda _, settings: begun.append(settings.crops_per_picture) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.train(tmp_path, **SETTINGS | {"data": str(folder / "pairs")})
    assert begun == [1]


def test_a_network_that_training_did_not_write_stays(folder, tmp_path):
    (tmp_path / "lite").mkdir()
    (tmp_path / "lite/model.keras").write_text("precious")
    with pytest.raises(InputError, match="was not made by training here, and would be replaced at the end"):
        train.train(tmp_path, **SETTINGS | {"data": str(folder / "pairs")})
    assert (tmp_path / "lite/model.keras").read_text() == "precious"


@pytest.mark.slow
def test_a_run_beside_a_finished_one_says_that_it_starts_anew(folder, tmp_path, monkeypatch, capsys):
    settings = SETTINGS | {"data": str(folder / "pairs"), "epochs": 1}
    train.train(tmp_path, **settings)
    assert "holds a finished run" not in capsys.readouterr().out
    monkeypatch.setattr(train, "build_network", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.train(tmp_path, **settings | {"epochs": 3})
    base = tmp_path / "lite"
    said = f"{base} holds a finished run; this one starts anew and becomes version 2 (--start-from {base} goes on"
    assert said in capsys.readouterr().out
    with pytest.raises(ZeroDivisionError):
        train.train(tmp_path, **settings | {"epochs": 3, "start_from": str(base)})
    assert "holds a finished run" not in capsys.readouterr().out


@pytest.mark.slow
def test_fresh_forgets_the_logs_of_the_interrupted_run(folder, tmp_path, monkeypatch):
    settings = SETTINGS | {"data": str(folder / "pairs")}

    class Halt(callbacks.StopAtStep):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.received = signal.SIGTERM

    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "StopAtStep", Halt)
        with pytest.raises(Stopped):
            train.train(tmp_path, **settings)
    events = {path.name for path in (tmp_path / "lite/logs/1").rglob("events.*")}
    assert events
    train.train(tmp_path, fresh=True, **settings)
    left = {path.name for path in (tmp_path / "lite/logs/1").rglob("events.*")}
    assert left
    assert not left & events


def test_frames_are_known_by_their_folder(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(train.checkpoints, "epochs_to_resume", lambda work, settings: seen.append(settings) or 1 / 0)
    for name in ("A", "B"):
        for split in ("train", "val", "test"):
            for number in range(16):
                save_picture(tmp_path / f"{name}/{split}/1/{number:02}.png", (32, 32))
        with pytest.raises(ZeroDivisionError):
            train.train(tmp_path / "models", data_dir=tmp_path / name, **SETTINGS | {"data": "frames", "blur": None})
    assert [settings["data_dir"] for settings in seen] == [str(tmp_path / "A"), str(tmp_path / "B")]
