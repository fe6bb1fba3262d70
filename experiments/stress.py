"""Looks for networks that blow up: the greatest correction of a pixel on harder blur than networks are trained on.

python experiments/stress.py saved_models/lite lite --photos PHOTOS

Two sets of up to 300 pictures of 320x180 from sharp photos: `hard`, a shaking and turning camera with paths of 6 to 30
pixels, and `forward`, a camera that moves forward or back, 3 to 20 % of the distance. A pixel is 0..1, so a sound
correction is well below 1. Of folders that have a part `train/`, that part alone is taken.
"""

import argparse
import dataclasses
from pathlib import Path

import cv2
import numpy as np
from gather import training_photos
from tqdm import tqdm

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.synthesis.generated import make_split
from unet_deblur_tf.data.trees.tree import find_pairs
from unet_deblur_tf.utils import scripts

COUNT, WIDTH, HEIGHT = 300, 320, 180
BATCH = 10
HARD = dataclasses.replace(
    DIFFICULTIES["quick"].with_training_pairs(COUNT),
    width=WIDTH, height=HEIGHT, blur=(6, 30), rotation=1.5, unblurred=0.0,
)  # fmt: skip


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as `deblur.py --model` takes them")
    parser.add_argument("--photos", type=Path, required=True, help="sharp photos")
    return parser.parse_args()


def main(arguments):
    scripts.quiet_tensorflow()
    from unet_deblur_tf.models.finding import find_model
    from unet_deblur_tf.models.loading import at_chosen_scales, load_network

    photos = training_photos(arguments.photos)
    sets = {"hard": hard_pairs(photos), "forward": forward_pairs(photos)}
    networks = {model: at_chosen_scales(load_network(find_model(model))) for model in arguments.models}
    print("model, set: greatest correction (median, 99 %, all), mean and smallest gain in dB")
    for model, network in networks.items():
        for name, pairs in sets.items():
            corrections, gains = measure(network, pairs, f"{model}, {name}")
            quantiles = ", ".join(f"{value:.2f}" for value in np.quantile(corrections, [0.5, 0.99, 1]))
            print(f"{model}, {name}: {quantiles}; {np.mean(gains):+.2f}, {np.min(gains):+.2f}")


def hard_pairs(photos):
    """(blurred, sharp), float32 `(count, height, width, 3)` in 0..1."""
    pairs = find_pairs(make_split("train", HARD, photos, seed=77))[""]
    return tuple(
        np.stack([read_picture(getattr(pair, kind)) for pair in pairs]).astype(np.float32) / 255
        for kind in ("blur", "sharp")
    )


def forward_pairs(photos):
    """The same, blurred by a camera that moves forward or back, and a little aside."""
    rng = np.random.default_rng(3)
    pairs = []
    for number in tqdm(range(COUNT), desc="Moving forward", unit="pair"):
        sharp = _region(rng, read_picture(photos[number % len(photos)]))
        height, width, _ = sharp.shape
        growth = rng.uniform(0.03, 0.2) * rng.choice([-1, 1])
        centre = width / 2 + rng.normal(0, 40), height / 2 + rng.normal(0, 25)
        aside = rng.normal(0, 4, 2)
        light, total = sharp**2.2, 0
        for moment in np.linspace(-0.5, 0.5, 33):
            matrix = cv2.getRotationMatrix2D(centre, 0, 1 + growth * moment)
            matrix[:, 2] += moment * aside
            total += cv2.warpAffine(
                light, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
            )
        blurred = np.clip(total / 33, 0, 1) ** (1 / 2.2)
        top, left = (height - HEIGHT) // 2, (width - WIDTH) // 2
        if top >= 0 and left >= 0:
            cut = slice(top, top + HEIGHT), slice(left, left + WIDTH)
            pairs.append([np.round(picture[cut] * 255) / 255 for picture in (blurred, sharp)])
    return tuple(np.stack(pictures).astype(np.float32) for pictures in zip(*pairs))


def _region(rng, photo):
    """A random region of up to 360x220, at a random scale, never enlarged."""
    photo = photo.astype(np.float32) / 255
    scale = max(400 / photo.shape[1], 250 / photo.shape[0])
    scale = min(1, scale * rng.uniform(1, 1.6))
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width, _ = photo.shape
    top = rng.integers(0, height - 220 + 1) if height > 220 else 0
    left = rng.integers(0, width - 360 + 1) if width > 360 else 0
    return photo[top : top + 220, left : left + 360]


def measure(network, pairs, title):
    """Of each picture the greatest correction of a pixel, and the gain in PSNR."""
    import tensorflow as tf

    run = tf.function(lambda image: network(image, training=False))
    corrections, gains = [], []
    for begin in tqdm(range(0, len(pairs[0]), BATCH), desc=title, unit="batch", leave=False):
        blurred, sharp = (pictures[begin : begin + BATCH] for pictures in pairs)
        restored = run(blurred).numpy()
        corrections.extend(np.abs(restored - blurred).max((1, 2, 3)))
        errors = [np.mean((np.clip(each, 0, 1) - sharp) ** 2, axis=(1, 2, 3)) for each in (blurred, restored)]
        gains.extend(10 * np.log10(errors[0] / errors[1]))
    return corrections, gains


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
