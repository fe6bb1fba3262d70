"""Fixtures. Tests that use real data read its folder from UNET_DEBLUR_DATA and are skipped without it."""

import gc
import os
import random
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # the processes of pytest-xdist use the cores already
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
sys.path.append(str(Path(__file__).parents[1] / "experiments"))  # they are scripts, not a package

import helpers
import keras
import numpy as np
import pytest

from unet_deblur_tf.acceleration import levels, winograd
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.exporting.saved_model import publish


def pytest_collection_finish():
    """What was imported lives to the end: Python need not look through it for garbage, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(autouse=True)
def _same_start():
    """Each test starts from the same random numbers, and in float32 whatever the one before set.

    The initializers of Keras draw their seeds from Python's. TensorFlow's own seed stays: nothing here depends on it,
    and to set it throws away every operation and function that is ready to run, in each test again.
    """
    random.seed(0)
    np.random.seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The tests' processes share a cache folder, which is not the user's: converted networks are in it."""
    base = tmp_path_factory.getbasetemp()
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield


@pytest.fixture
def faster_forms(monkeypatch):
    """Of thin networks, too, every convolution is evaluated as those of wide ones are."""
    monkeypatch.setattr(levels, "MIN_UPSAMPLED_CHANNELS", 1)
    monkeypatch.setattr(winograd, "MIN_CHANNEL_RATIO", 1)


@pytest.fixture(scope="session")
def picture():
    """A scene, uint8 (96, 112, 3)."""
    return np.round(scene(np.random.default_rng(7), 96, 112) * 255).astype(np.uint8)


@pytest.fixture
def save_picture():
    """Is `helpers.save_picture`."""

    return helpers.save_picture


@pytest.fixture
def make_pairs(tmp_path, picture):
    """Makes a folder of pairs from relative paths of frames, such as "train/A/{}/1.png"; blurred ones are darker."""

    def make(*frames, root="pairs", content=picture):
        for frame in frames:
            helpers.save_pair(tmp_path / root, frame, content // 2, content)
        return tmp_path / root

    return make


@pytest.fixture(scope="session")
def inverter(tmp_path_factory):
    """The file of a network that puts out 1 - input."""
    path = tmp_path_factory.mktemp("model") / "inverter.keras"
    helpers.inverting_network().save(path)
    return path


@pytest.fixture(scope="session")
def trained_models(tmp_path_factory, inverter):
    """A folder `saved_models` as training leaves it, with version 1 of the network that puts out 1 - input."""
    folder = tmp_path_factory.mktemp("trained") / "saved_models"
    publish(helpers.inverting_network(), folder / "inverter", {"model.keras": inverter}, warmup_sizes=())
    return folder


@pytest.fixture
def trained_here(tmp_path, trained_models):
    """A folder to run commands in, with `saved_models/inverter/1`."""
    shutil.copytree(trained_models, tmp_path / "saved_models")
    return tmp_path


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data, or the test is skipped."""
    folder = os.environ.get("UNET_DEBLUR_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("UNET_DEBLUR_DATA names no folder of real data")
    return Path(folder)
