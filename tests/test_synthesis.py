"""Scenes, trajectories and the averaging of moments."""

import dataclasses

import numpy as np
import pytest
from helpers import psnr

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.synthesis import generated
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size, trajectory
from unet_deblur_tf.data.synthesis.scenes import scene, texture

QUICK = DIFFICULTIES["quick"]
# Pure translation of a known scene: nothing but the camera's path is left.
PLAIN = dataclasses.replace(QUICK, width=48, height=40, rotation=0, objects=0, gamma=1.0, noise=0, blur=(6, 6))


def rng(*seed):
    return np.random.default_rng(seed)


def test_scenes_are_deterministic_and_differ():
    first, again, other = scene(rng(1), 60, 80), scene(rng(1), 60, 80), scene(rng(2), 60, 80)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (60, 80, 3)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.abs(first - other).mean() > 0.02


def test_scenes_have_the_spectrum_of_photographs():
    # Amplitude falls about as 1/f, so power as 1/f^2 (noise would give 0, flat pictures -4 and less).
    slopes = []
    for seed in range(12):
        grey = scene(rng(seed), 128, 128).mean(axis=2)
        power = np.abs(np.fft.fft2((grey - grey.mean()) * np.outer(np.hanning(128), np.hanning(128)))) ** 2
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
        used = (frequency > 0.02) & (frequency < 0.4)
        slopes.append(np.polyfit(np.log(frequency[used]), np.log(power[used] + 1e-12), 1)[0])
    assert -3.2 < np.mean(slopes) < -1.5


def test_texture_is_normalised():
    noise = texture(rng(0), 64, 90)
    assert noise.shape == (64, 90)
    assert abs(noise.mean()) < 1e-4
    assert noise.std() == pytest.approx(1, abs=1e-3)


def test_a_trajectory_has_the_length_asked_for_and_is_zero_in_the_middle():
    for seed in range(20):
        path = trajectory(rng(seed), 17.0, 33)
        assert np.linalg.norm(np.diff(path, axis=0), axis=1).sum() == pytest.approx(17.0)
        np.testing.assert_allclose(path[16], 0, atol=1e-9)
    assert np.all(trajectory(rng(0), 0.0, 17) == 0)


def test_the_blurred_picture_is_the_mean_along_the_path():
    # A horizontal ramp moves without changing shape: the mean of its moments is the ramp at the mean offset.
    height, width = canvas_size(PLAIN)
    ramp = np.broadcast_to(np.linspace(0.2, 0.8, width, dtype=np.float32)[None, :, None], (height, width, 3))
    found, expected = [], []
    for seed in range(8):
        blurred, sharp = blurred_pair(rng(seed), ramp, ramp, PLAIN)
        again = rng(seed)
        again.uniform()  # the length is drawn first
        path = trajectory(again, 6.0, 17)
        found.append(np.mean(sharp[10:-10, 10:-10] / 255.0 - blurred[10:-10, 10:-10] / 255.0))
        expected.append(path[:, 0].mean() * 0.6 / (width - 1))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_objects_have_no_outlines_of_their_own():
    # Objects cut from the same grey as the backdrop, moving and turning, cannot be seen.
    shaking = dataclasses.replace(PLAIN, objects=2, rotation=1.0)
    grey = np.full((*canvas_size(shaking), 3), 128 / 255, np.float32)
    for seed in range(12):
        for picture in blurred_pair(rng(seed), grey, grey, shaking):
            assert np.abs(picture.astype(int) - 128).max() <= 1


def test_objects_move_on_their_own():
    # Without the camera's share, the backdrop stays sharp and what is in front of it does not.
    backdrop = np.full((*canvas_size(PLAIN), 3), 0.2, np.float32)
    front = np.full_like(backdrop, 0.8)
    seen = []
    for seed in range(20):
        blurred, sharp = blurred_pair(rng(seed), backdrop, front, dataclasses.replace(PLAIN, objects=2))
        seen.append((sharp == 204).mean() > 0.02)
        if seen[-1]:
            assert ((blurred > 60) & (blurred < 195)).any()
    assert 0.3 < np.mean(seen) < 0.95


def test_the_camera_turns():
    turning = dataclasses.replace(PLAIN, rotation=8.0, blur=(1e-3, 1e-3), width=96, height=96)
    backdrop = scene(rng(3), *canvas_size(turning))
    blurred, sharp = blurred_pair(rng(5), backdrop, backdrop, turning)
    error = np.abs(blurred.astype(int) - sharp).mean(axis=2)
    rows, columns = np.mgrid[:96, :96]
    far = np.hypot(rows - 48, columns - 48) > 35
    near = np.hypot(rows - 48, columns - 48) < 10
    assert error[far].mean() > 2 * error[near].mean()


def test_without_motion_both_pictures_are_equal():
    backdrop = scene(rng(3), *canvas_size(PLAIN))
    blurred, sharp = blurred_pair(rng(4), backdrop, backdrop, PLAIN, moving=False)
    np.testing.assert_array_equal(blurred, sharp)
    edge = (canvas_size(PLAIN)[0] - PLAIN.height) // 2
    original = backdrop[edge : edge + PLAIN.height, edge : edge + PLAIN.width]
    lit = original.max(axis=2) < 0.9  # brighter parts are lifted and clip
    np.testing.assert_allclose(sharp[lit] / 255.0, original[lit], atol=0.51 / 255)


def test_light_is_averaged_and_not_its_encoding():
    # Between codes 0.2 and 0.8, half of each light is code ((0.2^2.2 + 0.8^2.2) / 2)^(1/2.2) = 0.60,
    # while the mean of the codes is 0.5: averaging light brightens, averaging codes does not.
    moving = dataclasses.replace(PLAIN, blur=(16, 16))
    stripes = np.full((*canvas_size(moving), 3), 0.2, np.float32)
    stripes[:, (np.arange(stripes.shape[1]) // 3) % 2 == 0] = 0.8
    brighter = {}
    for gamma in (1.0, 2.2):
        difficulty = dataclasses.replace(moving, gamma=gamma)
        pairs = [blurred_pair(rng(seed), stripes, stripes, difficulty) for seed in range(6)]
        brighter[gamma] = np.mean([blurred.mean() - sharp.mean() for blurred, sharp in pairs])
    assert abs(brighter[1.0]) < 2
    assert brighter[2.2] > 8


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("quick", 24, 31),
        ("mixed", 23, 31),
        *(pytest.param(name, 23, 27, marks=pytest.mark.slow) for name in ("gopro", "large")),
    ],
)
def test_difficulty_gives_the_input_quality_it_promises(name, low, high):
    difficulty = DIFFICULTIES[name]
    values = []
    for seed in range(24 if name == "quick" else 10):
        generator = rng(0, generated.SPLIT_NUMBERS["test"], seed)  # the first pairs of the test split itself
        scenes = [scene(generator, *canvas_size(difficulty)) for _ in range(2)]
        values.append(psnr(*blurred_pair(generator, *scenes, difficulty)))
    assert low < np.mean(values) < high


def test_wrong_canvas_is_named():
    with pytest.raises(ValueError, match=r"Scenes must be .* Received: \(8, 8, 3\)"):
        blurred_pair(rng(0), np.zeros((8, 8, 3)), np.zeros((8, 8, 3)), QUICK)


TINY = dataclasses.replace(QUICK, width=48, height=48, scenes={"train": 6, "val": 2, "test": 3}, unblurred=0.5)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_a_split_is_made_once_and_the_same_everywhere(tmp_path):
    folder = generated.make_split("train", TINY, cache_dir=tmp_path / "a")
    stamps = [path.stat().st_mtime_ns for path in folder.rglob("*.png")]
    assert generated.make_split("train", TINY, cache_dir=tmp_path / "a") == folder
    assert [path.stat().st_mtime_ns for path in folder.rglob("*.png")] == stamps
    elsewhere = generated.make_split("train", TINY, cache_dir=tmp_path / "b")
    assert contents(folder) == contents(elsewhere)
    assert len(contents(folder)) == 12


def test_splits_and_seeds_have_scenes_of_their_own(tmp_path):
    folders = [generated.make_split(split, TINY, cache_dir=tmp_path) for split in ("train", "val", "test")]
    folders.append(generated.make_split("test", TINY, seed=1, cache_dir=tmp_path))
    sharp = [content for folder in folders for name, content in contents(folder).items() if "sharp" in name]
    assert len(set(sharp)) == len(sharp) == 6 + 2 + 3 + 3


def test_a_share_of_the_training_pairs_is_unblurred(tmp_path):
    still = dataclasses.replace(TINY, unblurred=1.0, noise=0)
    for split, equal in (("train", True), ("test", False)):
        folder = generated.make_split(split, still, cache_dir=tmp_path)
        for path in (folder / "blur").glob("*.png"):
            same = (read_picture(path) == read_picture(folder / "sharp" / path.name)).all()
            assert same == equal


def test_an_interrupted_split_does_not_pass_for_complete(tmp_path, monkeypatch):
    def fail(folder, number, *rest):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(generated, "_write_pair", fail)
        with pytest.raises(KeyboardInterrupt):
            generated.make_split("test", TINY, cache_dir=tmp_path)
    assert not list(tmp_path.rglob("test*"))
    assert len(contents(generated.make_split("test", TINY, cache_dir=tmp_path))) == 6


def test_photos_are_cut_and_reduced_to_sharp_scenes(tmp_path, save_picture):
    photo = np.zeros((200, 300, 3), np.uint8)
    photo[:, :150] = (200, 40, 90)
    photo[:, 150:] = (20, 140, 190)
    path = save_picture(tmp_path / "photo.png", photo)
    folder = generated.make_split("test", TINY, [path], cache_dir=tmp_path / "cache")
    colours = np.concatenate([read_picture(path).reshape(-1, 3) for path in (folder / "sharp").glob("*.png")])
    near = [np.abs(colours.astype(int) - colour).max(axis=1) <= 2 for colour in ((200, 40, 90), (20, 140, 190))]
    assert np.mean(near[0] | near[1]) > 0.9
