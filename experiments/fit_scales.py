"""Fits the constants of the blend of two scales (`unet_deblur_tf/models/scales.py`) on photos that were held out.

python experiments/fit_scales.py unet lite --photos PHOTOS

Every tenth photo of the part `train/` was left out of training. They are blurred in the ways of `KINDS`. For each
picture, the gain in PSNR is tabulated by the share of the coarse result. Then all combinations of the constants are
compared by the mean gain over kinds and networks, plus a twentieth of the mean of the worst losses. The script prints
the best ones, and what the constants of the package give.
"""

import argparse
import dataclasses
import itertools
from pathlib import Path

import numpy as np
from gather import training_photos
from tqdm import tqdm

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.generated import largest_scale, region
from unet_deblur_tf.utils import scripts

# Name: (difficulty, what else differs, number of pictures, zoom of the photos).
SMALL, MEDIUM = dict(width=320, height=184), dict(width=640, height=368)
KINDS = {
    "hardly blurred": ("quick", dict(width=480, height=320, blur=(0.5, 2)), 16, (0.8, 4)),
    "quick": ("quick", SMALL, 16, (0.8, 4)),
    "2-12 px": ("quick", dict(**SMALL, blur=(2, 12)), 16, (0.8, 4)),
    "mixed": ("mixed", {}, 16, (0.8, 3)),
    "gopro": ("gopro", MEDIUM, 16, (0.8, 2)),
    "large": ("large", MEDIUM, 16, (0.8, 2)),
    "large, 1280x720": ("large", {}, 8, (0.7, 1)),
}
SHARES = np.arange(0, 1.21, 0.1)
SLOPES, THRESHOLDS, LARGEST = np.arange(0.8, 2.5, 0.2), np.arange(0.5, 0.9, 0.05), (0.6, 0.8, 1.0)
LEAST_CORRECTIONS = (0, 1, 1.5, 2, 2.5, 3)  # levels of 255


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as `deblur.py --model` takes them")
    parser.add_argument("--photos", type=Path, required=True, help="folder of sharp photos")
    return parser.parse_args()


def main(arguments):
    scripts.quiet_tensorflow()
    from unet_deblur_tf.models import blending

    photos = [read_picture(path) for path in training_photos(arguments.photos)[::10]]
    pictures = {name: make(photos, *kind) for name, kind in KINDS.items()}
    measured = {
        (model, name): [measure(run, *pair) for pair in tqdm(pairs, desc=f"{model}, {name}", leave=False)]
        for model, run in ((model, runner(model)) for model in arguments.models)
        for name, pairs in pictures.items()
    }
    constants = sorted(
        itertools.product(SLOPES, THRESHOLDS, LARGEST, LEAST_CORRECTIONS),
        key=lambda each: merit(measured, *each),
        reverse=True,
    )
    own = (blending.SLOPE, blending.THRESHOLD, 1.0, blending.LEAST_CORRECTION * 255)
    print("slope, threshold, largest share, least correction: merit; gain of each network and kind (worst picture)")
    for each in [*constants[:5], own]:
        cells = [f"{model} {name} {gain.mean():+.3f} ({gain.min():+.2f})"
                 for (model, name), gain in gains(measured, *each).items()]  # fmt: skip
        print(f"{each[0]:.1f}, {each[1]:.2f}, {each[2]:.1f}, {each[3]:.1f}: {merit(measured, *each):.4f}")
        print("   " + "; ".join(cells), flush=True)


def make(photos, difficulty, changes, count, zoom):
    """(blurred, sharp) pictures of a kind, uint8."""
    rng = np.random.default_rng(5)
    difficulty = dataclasses.replace(DIFFICULTIES[difficulty], **changes)
    size, pairs = canvas_size(difficulty), []
    for number in range(count):
        backdrop, fill = (
            region(rng, photo, size, min(largest_scale(photo, size), np.exp(rng.uniform(*np.log(zoom)))))
            for photo in (photos[number % len(photos)], photos[(7 * number + 3) % len(photos)])
        )
        pairs.append(blurred_pair(rng, backdrop, fill, difficulty))
    return pairs


def runner(model):
    """The network at one scale, as a function from and to float32 `(height, width, 3)` in 0..1."""
    import tensorflow as tf

    from unet_deblur_tf.acceleration.inference import PICTURE, for_inference
    from unet_deblur_tf.models.loading import load

    network = for_inference(load(model))
    run = tf.function(lambda image: network(image, training=False), input_signature=[PICTURE])
    return lambda picture: run(picture[np.newaxis])[0].numpy()


def measure(run, blurred, sharp):
    """(mean correction at half the size and at full size, in levels; gain over one scale by each of `SHARES`)."""
    from unet_deblur_tf.restoring.restorer import half_size
    from unet_deblur_tf.restoring.tiled import doubled

    image, sharp = (picture.astype(np.float32) / 255 for picture in (blurred, sharp))
    fine, small = run(image), half_size(image)
    coarse = run(small)
    exchanged = doubled(coarse - half_size(fine), 0, image.shape[0], 0, image.shape[1])
    errors = [np.mean((np.clip(fine + share * exchanged, 0, 1) - sharp) ** 2) for share in SHARES]
    corrections = (255 * float(np.abs(one - other).mean()) for one, other in ((coarse, small), (fine, image)))
    return *corrections, 10 * np.log10(errors[0] / np.array(errors))


def gains(measured, slope, threshold, largest, least):
    """The gain over one scale of each picture, by network and kind."""

    def gain(coarse, fine, by_share):
        share = np.clip(slope * (coarse / max(fine, least, 1e-9) - threshold), 0, largest)
        return np.interp(share, SHARES, by_share)

    return {key: np.array([gain(*picture) for picture in pictures]) for key, pictures in measured.items()}


def merit(measured, *constants):
    """What is maximised."""
    found = gains(measured, *constants).values()
    return np.mean([each.mean() for each in found]) + 0.05 * np.mean([min(0, each.min()) for each in found])


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
