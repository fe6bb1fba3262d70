"""Real GoPro pairs, where there are any: UNET_DEBLUR_DATA names a folder with `gopro/` in the official layout."""

import numpy as np

from unet_deblur_tf.data.pairs import measure_pairs, require_size
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.sources import load_pairs
from unet_deblur_tf.evaluation.report import summarise
from unet_deblur_tf.evaluation.scoring import score


def test_real_pairs_load_and_score_as_they_should(real_data):
    pairs = load_pairs(real_data / "gopro", "test")
    require_size(measure_pairs(pairs), 720, "here")
    summary = summarise(score(lambda picture: picture, pairs, progress=False))
    # GoPro's blurred test pictures have 20 to 33 dB, 25.6 dB in the mean over all 1,111.
    assert 22 < summary["input"]["psnr"] < 28
    assert 0.65 < summary["input"]["ssim"] < 0.9
    assert summary["gain"] == {"psnr": 0, "ssim": 0}


def test_training_and_test_sequences_do_not_mix(real_data):
    splits = {split: load_pairs(real_data / "gopro", split) for split in ("train", "val", "test")}
    sequences = [{pair.sequence for pair in pairs} for pairs in splits.values()]
    assert all(sequences)
    assert sum(map(len, sequences)) == len(set.union(*sequences))


def test_gopros_blur_folder_averages_codes_not_light(real_data):
    # Why the "gopro" difficulty has gamma 1: averaging light would brighten the picture, by 1.8 levels in `blur_gamma`.
    for pair in load_pairs(real_data / "gopro", "test"):
        assert abs(read_picture(pair.blur).mean() - read_picture(pair.sharp).mean()) < 0.5
    gamma = real_data / "gopro/test/GOPR0396_11_00/blur_gamma/000001.png"
    sharp = real_data / "gopro/test/GOPR0396_11_00/sharp/000001.png"
    assert np.mean(read_picture(gamma)) - np.mean(read_picture(sharp)) > 1
