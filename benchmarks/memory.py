"""Peak memory of restoring, in bytes per pixel of the picture: what `restoring/memory.py` plans tiles with.

python benchmarks/memory.py [--variant unet]

Each number is the slope between a picture of 0.26 and one of 1.05 million pixels, each in a process of its own,
beyond what the process had after loading. It needs the extras `onnxruntime` and `openvino`.
"""

import argparse
import json
import tempfile
from pathlib import Path

import psutil
from common import in_own_process, peak_memory

from unet_deblur_tf.restoring.memory import COLUMNS, RESTORING_BYTES
from unet_deblur_tf.utils import scripts

SIDES = (512, 1024)
OPTIONS = {  # of each column
    "float32": dict(runtime="tensorflow", precision="float32"),
    "mixed": dict(runtime="tensorflow", precision="mixed_bfloat16"),
    "onnxruntime": dict(runtime="onnxruntime"),
    "openvino": dict(runtime="openvino"),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=RESTORING_BYTES, nargs="*", default=list(RESTORING_BYTES))
    parser.add_argument("--column", choices=COLUMNS, nargs="*", default=list(COLUMNS))
    parser.add_argument("--save", help=argparse.SUPPRESS)  # in its own process: variant;file
    parser.add_argument("--one", help=argparse.SUPPRESS)  # in its own process: file;column;side
    return parser.parse_args()


def save(variant, path):
    """Writes a network with fresh weights."""
    from unet_deblur_tf.models.transforms import with_local_pooling
    from unet_deblur_tf.models.unet import build

    variant, _, local = variant.partition(", ")
    with_local_pooling(build(variant), 144 if local else None).save(path)


def peak(path, column, side):
    """Bytes that restoring one picture adds to what the process has."""
    import numpy as np

    from unet_deblur_tf.restoring.restorer import Restorer

    restore = Restorer(path, tile=0, **OPTIONS[column])
    restore(np.zeros((64, 64, 3), np.uint8))
    before = psutil.Process().memory_info().rss
    for _ in range(2):
        restore(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))
    return peak_memory() - before


def main(arguments):
    if arguments.save:
        scripts.quiet_tensorflow()
        save(*arguments.save.split(";"))
        print("{}")
        return
    if arguments.one:
        path, column, side = arguments.one.split(";")
        if OPTIONS[column]["runtime"] == "tensorflow":
            scripts.quiet_tensorflow()
        print(json.dumps(peak(path, column, int(side))))
        return
    print(f"{'bytes per pixel':24}" + "".join(f"{column:>13}" for column in arguments.column))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        for variant in arguments.variant:
            in_own_process(__file__, "--save", f"{variant};{path}")
            row = []
            for column in arguments.column:
                small, large = (in_own_process(__file__, "--one", f"{path};{column};{side}") for side in SIDES)
                row.append((large - small) / (SIDES[1] ** 2 - SIDES[0] ** 2))
            print(f"{variant:24}" + "".join(f"{value:13.0f}" for value in row), flush=True)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
