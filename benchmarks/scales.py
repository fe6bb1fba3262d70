"""How long one picture takes at one, two and three scales: `deblur.py --scales`.

python benchmarks/scales.py [--models unet lite multiscale naf] [--size 1280x720] [--repeat 7]

A model is a network of the package, or a variant, which then has fresh weights. All are timed in turns in one process:
medians of the seconds, and of the time relative to the first one at one scale.
"""

import argparse
import statistics
import time

import numpy as np
from common import tensorflow
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.utils import scripts


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["unet", "lite", "multiscale"], help="default: %(default)s")
    parser.add_argument("--size", type=flags.size, default="1280x720", help="of the picture (default: %(default)s)")
    parser.add_argument("--repeat", type=flags.positive_int, default=7, help="default: %(default)s")
    parser.add_argument("--threads", type=flags.positive_int, default=2, help="default: %(default)s")
    return parser.parse_args()


def main(arguments):
    tensorflow(arguments.threads)

    from unet_deblur_tf.configs import VARIANTS
    from unet_deblur_tf.models import pretrained
    from unet_deblur_tf.models.unet import build
    from unet_deblur_tf.restoring.restorer import Restorer

    networks = {
        name: build(name, norm="none", activation="leaky_relu")
        if name in VARIANTS and not pretrained.find(name)
        else name
        for name in arguments.models
    }
    restorers = {
        (name, scales): Restorer(network, tile=0, scales=scales, runtime="tensorflow")
        for name, network in networks.items()
        for scales in (1, 2, 3)
    }
    picture = np.random.default_rng(0).integers(0, 256, (*arguments.size, 3), np.uint8)
    seconds = {key: [] for key in restorers}
    for turn in tqdm(range(arguments.repeat + 1), unit="turn", leave=False):
        for key, restore in restorers.items():
            begin = time.perf_counter()
            restore(picture)
            if turn:  # the first one traces
                seconds[key].append(time.perf_counter() - begin)
    first = seconds[arguments.models[0], 1]
    print("| | 1 | 2 | 3 |\n|---|---|---|---|")
    for name in arguments.models:
        cells = []
        for scales in (1, 2, 3):
            own = seconds[name, scales]
            ratio = statistics.median(mine / other for mine, other in zip(own, first))
            cells.append(f"{statistics.median(own):.2f} s ({ratio:.2f})")
        print(f"| `{name}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
