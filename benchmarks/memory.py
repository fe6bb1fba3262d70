"""Peak memory of restoring, in bytes per pixel of the picture: what `unet_deblur_tf/memory.py` plans tiles with.

python benchmarks/memory.py [--variant unet]

Each row is the slope between a picture of 0.26 and one of 1.05 million pixels, each in a process of its own,
beyond what the process had after loading.
"""

import argparse
import json

import psutil
from common import in_own_process, peak_memory

from unet_deblur_tf.restoring.memory import RESTORING_BYTES
from unet_deblur_tf.utils import scripts

PRECISIONS = ("float32", "mixed_bfloat16")
SIDES = (512, 1024)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=RESTORING_BYTES, nargs="*", default=list(RESTORING_BYTES))
    parser.add_argument("--one", help=argparse.SUPPRESS)  # in its own process: variant;precision;side
    return parser.parse_args()


def peak(variant, precision, side):
    """Bytes that restoring one picture adds to what the process has."""
    import keras
    import numpy as np

    from unet_deblur_tf.models.transforms import with_local_pooling
    from unet_deblur_tf.models.unet import build
    from unet_deblur_tf.restoring.restorer import Restorer

    keras.config.set_dtype_policy(precision)
    variant, _, local = variant.partition(", ")
    restore = Restorer(with_local_pooling(build(variant), 144 if local else None), tile=0)
    restore(np.zeros((64, 64, 3), np.uint8))
    before = psutil.Process().memory_info().rss
    for _ in range(2):
        restore(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))
    return peak_memory() - before


def main(arguments):
    if arguments.one:
        variant, precision, side = arguments.one.split(";")
        scripts.quiet_tensorflow()
        print(json.dumps(peak(variant, precision, int(side))))
        return
    print(f"{'bytes per pixel':20}" + "".join(f"{precision:>16}" for precision in PRECISIONS))
    for variant in arguments.variant:
        row = []
        for precision in PRECISIONS:
            small, large = (in_own_process(__file__, "--one", f"{variant};{precision};{side}") for side in SIDES)
            row.append((large - small) / (SIDES[1] ** 2 - SIDES[0] ** 2))
        print(f"{variant:20}" + "".join(f"{value:16.0f}" for value in row), flush=True)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
