"""What a training run fills in by itself."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from unet_deblur_tf.data.pairs import measure_pairs
from unet_deblur_tf.data.trees.tree import find_pairs
from unet_deblur_tf.training import checkpoints, distribution, train


@pytest.mark.parametrize(("smaller", "crop"), [(None, 256), ((255, 300), 64)])
def test_crops_fit_into_every_picture(make_pairs, save_picture, smaller, crop):
    root = make_pairs("{}/1.png", "{}/2.png", content=np.zeros((256, 300, 3), np.uint8))
    if smaller:
        for kind in ("blur", "sharp"):
            save_picture(root / kind / "2.png", smaller)
    assert train.fill_defaults(unset(batch_size=4), measure_pairs(find_pairs(root)[""])).crop == crop


def unset(**settings):
    """Settings that are None but for those given."""
    return train.Settings(**dict.fromkeys(field.name for field in dataclasses.fields(train.Settings)) | settings)


@pytest.mark.parametrize(
    ("given", "recorded", "cache", "expected"),
    [(None, None, "memory", 1), (None, None, "none", 12), (None, 12, "memory", 12), (3, None, "none", 3)],
)
def test_crops_of_a_decoded_picture(tmp_path, given, recorded, cache, expected):
    if recorded:
        checkpoints.begin(tmp_path / "work", {"crops_per_picture": recorded})
        np.savez(tmp_path / "work/epoch-0001.npz")
    settings = unset(crops_per_picture=given)
    strategy = tf.distribute.get_strategy()
    found = train.choose_crops_per_picture(settings, tmp_path / "work", strategy, cache, fresh=False)
    assert found.crops_per_picture == expected


def test_a_machine_with_less_memory_takes_as_many_crops_as_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(distribution, "broadcast_from_chief", lambda strategy, value: 1)
    assert train.choose_crops_per_picture(unset(), tmp_path, None, "none", fresh=False).crops_per_picture == 1
