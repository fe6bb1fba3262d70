"""What a training run fills in by itself."""

import dataclasses

import numpy as np
import pytest

from unet_deblur_tf.data.pairs import measure_pairs
from unet_deblur_tf.data.trees.tree import find_pairs
from unet_deblur_tf.training import train


@pytest.mark.parametrize(("smaller", "crop"), [(None, 256), ((255, 300), 64)])
def test_crops_fit_into_every_picture(make_pairs, save_picture, smaller, crop):
    root = make_pairs("{}/1.png", "{}/2.png", content=np.zeros((256, 300, 3), np.uint8))
    if smaller:
        for kind in ("blur", "sharp"):
            save_picture(root / kind / "2.png", smaller)
    fields = dict.fromkeys(field.name for field in dataclasses.fields(train.Settings))
    settings = train.Settings(**fields | {"batch_size": 4})
    assert train.fill_defaults(settings, measure_pairs(find_pairs(root)[""]), "memory").crop == crop
