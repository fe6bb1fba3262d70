"""Blur like GoPro's: separate frames of a fast camera, each sharpened and compressed."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.synthesis import blur, fast_camera
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.fast_camera import GAMMA, Settings, develop, draw_settings
from unet_deblur_tf.data.synthesis.generated import describe
from unet_deblur_tf.data.synthesis.scenes import scene

FRAMES = dataclasses.replace(
    DIFFICULTIES["quick"], width=96, height=64, blur=(30, 30.1), rotation=0, objects=0, noise=0, frames=(7,)
)


def test_a_plain_camera_only_encodes():
    light = np.random.default_rng(0).uniform(0, 1.2, (20, 30, 3)).astype(np.float32)
    expected = 255 * np.minimum(light, 1) ** (1 / 2.2)
    found = develop(np.random.default_rng(1), light, Settings(softness=0, noise=0, sharpening=0, quality=None))
    assert np.abs(found - expected).max() <= 0.5 + 1e-3


def test_sharpening_is_an_unsharp_mask():
    light = np.random.default_rng(0).uniform(0.2, 0.5, (40, 50, 3)).astype(np.float32)
    encoded = light ** (1 / GAMMA)
    # OpenCV cuts the Gaussian off earlier than SciPy does, which is under a level here.
    smooth = scipy.ndimage.gaussian_filter(encoded, (1.2, 1.2, 0), mode="mirror")
    expected = np.clip(255 * (encoded + 0.9 * (encoded - smooth)), 0, 255)
    found = develop(np.random.default_rng(1), light, Settings(softness=0, noise=0, sharpening=0.9, quality=None))
    assert np.abs(found - expected).max() <= 1.5


def test_softness_is_a_gaussian_blur_of_the_light():
    light = np.random.default_rng(0).uniform(0.2, 0.5, (40, 50, 3)).astype(np.float32)
    expected = 255 * scipy.ndimage.gaussian_filter(light, (0.9, 0.9, 0), mode="mirror") ** (1 / GAMMA)
    found = develop(np.random.default_rng(1), light, Settings(softness=0.9, noise=0, sharpening=0, quality=None))
    assert np.abs(found - expected).max() <= 1


def test_noise_has_the_deviation_asked_for():
    light = np.full((200, 200, 3), 0.5**GAMMA, np.float32)  # mid-grey once encoded
    found = develop(np.random.default_rng(0), light, Settings(softness=0, noise=2.0, sharpening=0, quality=None))
    assert found.mean() == pytest.approx(127.5, abs=0.1)
    assert found.std() == pytest.approx(2.0, rel=0.05)


def test_compression_keeps_colours_in_their_channels():
    light = np.zeros((32, 32, 3), np.float32)
    light[..., 0] = 1
    found = develop(np.random.default_rng(0), light, Settings(softness=0, noise=0, sharpening=0, quality=90))
    assert np.abs(found.astype(int) - [255, 0, 0]).max() < 5


def test_settings_stay_within_their_ranges():
    drawn = [draw_settings(np.random.default_rng(seed)) for seed in range(300)]
    assert {settings.quality for settings in drawn if settings.quality} == set(range(75, 96))
    assert 0.7 < np.mean([settings.quality is not None for settings in drawn]) < 0.9
    assert max(settings.sharpening for settings in drawn) <= 1.2
    assert 0.3 <= min(settings.softness for settings in drawn) < 0.35
    assert 0.95 < max(settings.softness for settings in drawn) <= 1.0


def straight(monkeypatch, duty):
    """The camera moves straight to the right, and its frames are exposed for this part of their interval."""

    def trajectory(rng, length, moments):
        path = np.zeros((moments, 2))
        path[:, 0] = np.linspace(-length / 2, length / 2, moments)
        return path

    monkeypatch.setattr(blur, "trajectory", trajectory)
    monkeypatch.setattr(fast_camera, "DUTY", (duty, duty * 1.001))
    monkeypatch.setattr(fast_camera, "draw_settings", lambda rng: Settings(0, 0, 0, None))


def line(difficulty, width):
    """A bright upright line in the middle of a dark scene."""
    backdrop = np.zeros((*canvas_size(difficulty), 3), np.float32)
    middle = backdrop.shape[1] // 2
    backdrop[:, middle : middle + width] = 0.8
    return backdrop


@pytest.mark.parametrize("count", [7, 9, 13])
def test_short_frames_leave_separate_copies(monkeypatch, count):
    straight(monkeypatch, 0.05)
    difficulty = dataclasses.replace(FRAMES, blur=(60, 60.1), width=128, frames=(count,))
    backdrop = line(difficulty, 1)
    blurred, sharp = blurred_pair(np.random.default_rng(0), backdrop, backdrop, difficulty)
    row = blurred[32, :, 0].astype(int)
    copies, _ = scipy.ndimage.label(row > row.max() / 2)
    assert copies.max() == count
    assert scipy.ndimage.label(sharp[32, :, 0] > 100)[1] == 1


def test_long_frames_run_together(monkeypatch):
    straight(monkeypatch, 0.8)
    backdrop = line(FRAMES, 8)
    blurred, _ = blurred_pair(np.random.default_rng(0), backdrop, backdrop, FRAMES)
    row = blurred[32, :, 0].astype(int)
    assert scipy.ndimage.label(row > row.max() / 4)[1] == 1


def test_the_sharp_picture_is_the_middle_frame(monkeypatch):
    """The copies are as far to its left as to its right, and the mean of the light of all is that of one."""
    straight(monkeypatch, 0.05)
    backdrop = line(FRAMES, 2)
    pair = blurred_pair(np.random.default_rng(0), backdrop, backdrop, FRAMES)
    blurred, sharp = (picture[32, :, 0].astype(float) for picture in pair)
    place = np.arange(len(sharp))
    assert (place * blurred).sum() / blurred.sum() == pytest.approx((place * sharp).sum() / sharp.sum(), abs=0.5)
    assert blurred.sum() == pytest.approx(sharp.sum(), rel=0.1)  # as encoded: no brighter than one frame


def test_pairs_are_deterministic_and_without_motion_alike():
    rng = np.random.default_rng(3)
    backdrop, fill = (scene(rng, *canvas_size(FRAMES)) for _ in range(2))
    first, again = (blurred_pair(np.random.default_rng(5), backdrop, fill, FRAMES) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    blurred, sharp = blurred_pair(np.random.default_rng(5), backdrop, fill, FRAMES, moving=False)
    assert np.abs(blurred.astype(int) - sharp).mean() < 3


def test_pairs_of_a_continuous_exposure_are_still_found_in_the_cache():
    assert "frames" not in describe(DIFFICULTIES["large"])
    assert describe(DIFFICULTIES["gopro"])["frames"] == (7, 9, 11, 13)
    assert describe(FRAMES)["frames"] == (7,)
