"""What an interrupted run leaves behind: the rows of its history, its settings."""

import json
import os

import numpy as np
import pytest

from unet_deblur_tf.training import checkpoints


def test_rows_of_an_epoch_cut_short_are_forgotten(tmp_path):
    path = tmp_path / "history.csv"
    assert checkpoints.past_epochs(path, 0) == []
    path.write_text("epoch,loss\n0,0.5\n1,0.25\n2,0.125\n")
    assert checkpoints.past_epochs(path, 2) == [{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": 0.25}]
    assert path.read_text().splitlines() == ["epoch,loss", "0,0.5", "1,0.25"]


def test_other_settings_are_named(tmp_path):
    work = tmp_path / "work"
    assert checkpoints.epochs_to_resume(work, {"seed": 0, "crop": 64}) == 0
    checkpoints.begin(work, {"seed": 0, "crop": 64})
    np.savez(work / "epoch-0002.npz")
    assert checkpoints.epochs_to_resume(work, {"seed": 0, "crop": 64}) == 2
    with pytest.raises(ValueError, match=r"seed 0 \(now 1\)\. Use the same ones"):
        checkpoints.epochs_to_resume(work, {"seed": 1, "crop": 64})
    assert json.loads((work / "settings.json").read_text())["seed"] == 0
    checkpoints.begin(work, {"seed": 1, "crop": 64})
    assert os.listdir(work) == ["settings.json"]
    assert json.loads((work / "settings.json").read_text())["seed"] == 1
