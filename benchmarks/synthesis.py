"""Pairs that one process synthesises a second, from scenes made in code, by difficulty.

python benchmarks/synthesis.py [--count 24]

The median of the seconds of single pairs; scenes are made and blurred, nothing is written. What the
training pipeline then reads is for `input_pipeline.py`.
"""

import argparse
import statistics
import time

import numpy as np
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.utils import scripts


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=flags.positive_int, default=12, help="pairs of each (default: %(default)s)")
    return parser.parse_args()


def pair_seconds(number, difficulty):
    """Seconds that one pair takes: the scene, and what moves in front of it."""
    rng = np.random.default_rng(number)
    canvas = canvas_size(difficulty)
    start = time.perf_counter()
    blurred_pair(rng, scene(rng, *canvas), scene(rng, *canvas), difficulty)
    return time.perf_counter() - start


def main(arguments):
    for name, difficulty in DIFFICULTIES.items():
        numbers = tqdm(range(arguments.count), name, unit="pair", leave=False)
        seconds = statistics.median(pair_seconds(number, difficulty) for number in numbers)
        print(f"{name:8} {difficulty.width}x{difficulty.height} {1 / seconds:8.1f} pairs/s", flush=True)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
