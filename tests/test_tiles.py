"""Tiles: they cover a picture, and are used only where they know all that the whole picture would tell."""

import itertools

import numpy as np
import pytest
from helpers import lively_network, randomise, untrained

from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.models.scales import scales_of, trunk_of
from unet_deblur_tf.models.transforms import receptive_radius
from unet_deblur_tf.restoring.tiles import TAPER, spans, tapers


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("length", [1, 255, 256, 257, 1000, 1056, 1057, 1500, 8001])
@pytest.mark.parametrize("tile", [128, 256, 512, 1056, 2048])
def test_tiles_cover_the_picture(length, tile, scale):
    found = spans(length, tile, 16 * scale, 160 * scale)
    assert found[0][0] == 0
    assert found[-1][1] == length
    total = np.zeros(length)
    for (begin, end), weights in zip(found, tapers(found)):
        assert begin % (16 * scale) == 0
        assert end - begin <= tile
        total[begin:end] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for (_, end), (begin, _) in itertools.pairwise(found):
        assert end - begin >= min(2 * 160 * scale + TAPER, tile // 3)


@pytest.mark.parametrize(("step", "margin", "tile"), [(16, 160, 1056), (32, 320, 2112), (16, 288, 2112)])
def test_large_tiles_are_used_only_beyond_the_receptive_field(step, margin, tile):
    found = spans(5000, tile, step, margin)
    for number, ((begin, end), weights) in enumerate(zip(found, tapers(found))):
        used = np.flatnonzero(weights) + begin
        assert number == 0 or used[0] >= begin + margin
        assert number == len(found) - 1 or used[-1] < end - margin


@pytest.mark.parametrize(
    ("variant", "radius"),
    [
        # Down 2 (1 + 2 + 4 + 8 + 16), pooling 15, up 2 (1 + 2 + 4 + 8), upsampling 2 + 4 + 8 + 16: 137.
        ("unet", 144),
        ("concat", 144),
        ("concat_reduce", 144),
        # 137 at half the resolution, one pixel of a block, and a 3x3 convolution of blocks at the end: 277.
        ("lite", 288),
        # 137 + 96 in three blocks, at both sizes; and what halving and doubling reach.
        ("multiscale", 240 * 3 + 16),
        # Convolutions at each size 1 + 1 + 1 + 2 + 2 + 4 + 4 + 8 + 16 + 8 + 4 + 2 + 1 + 1, and 28 * 8.
        ("naf", 288),
    ],
)
def test_the_receptive_radius_by_hand(variant, radius):
    assert receptive_radius(untrained(variant)) == radius


SEES_NOT_ALL = [name for name, arguments in VARIANTS.items() if not arguments.get("attention") and name != "naf"]


@pytest.mark.parametrize("variant", SEES_NOT_ALL)
def test_the_receptive_radius_is_an_upper_bound(variant):
    network = lively_network(variant, norm="none")
    if variant == "multiscale":
        randomise(trunk_of(network))
    radius = receptive_radius(network)
    width = -(-5 * radius // 64) * 64
    picture = np.random.default_rng(0).random((1, 32, width, 3), dtype=np.float32)
    changed = picture.copy()
    middle = picture.shape[2] // 2
    changed[:, :, middle : middle + 2] = 1 - changed[:, :, middle : middle + 2]
    difference = np.abs(np.asarray(network(changed)) - np.asarray(network(picture))).max(axis=(0, 1, 3))
    reached = np.flatnonzero(difference > 0)
    assert middle - radius <= reached[0]
    assert reached[-1] <= middle + 1 + radius
    # Nor is it far too large, which would cost time.
    assert reached[-1] - reached[0] > (radius if scales_of(network) == 1 else 0.7 * radius)
