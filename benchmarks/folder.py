"""What a folder of photos takes beside the network: reading, writing, and starting.

python benchmarks/folder.py [--models unet lite] [--runtimes tensorflow onnxruntime] [--count 50]

It restores photos of mixed sizes and formats with `unet_deblur_tf.deblur`, and prints how much of the time the network
ran, from the first photo on. The network is traced or loaded before.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from unet_deblur_tf import Restorer, deblur
from unet_deblur_tf.commands import flags
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.restoring import deblur as deblurring
from unet_deblur_tf.utils import scripts

SIZES = ((480, 640), (720, 1280), (600, 800), (1080, 810))
ENDINGS = (".png", ".jpg", ".jpg", ".webp", ".tif")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["unet", "lite"], help="default: %(default)s")
    parser.add_argument("--runtimes", nargs="+", default=["tensorflow", "onnxruntime"], help="default: %(default)s")
    parser.add_argument("--count", type=flags.positive_int, default=50, help="of photos (default: %(default)s)")
    return parser.parse_args()


class Timed:
    """A `Restorer` that counts the seconds in which it runs."""

    def __init__(self, restore):
        self.restore, self.seconds = restore, 0.0

    def __call__(self, *arguments):
        begin = time.perf_counter()
        try:
            return self.restore(*arguments)
        finally:
            self.seconds += time.perf_counter() - begin

    def __getattr__(self, name):
        return getattr(self.restore, name)


def main(arguments):
    scripts.quiet_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for number, size, ending in zip(range(arguments.count), itertools.cycle(SIZES), itertools.cycle(ENDINGS)):
            pixels = np.round(scene(np.random.default_rng(number), *size) * 255).astype(np.uint8)
            Image.fromarray(pixels).save(photos / f"{number}{ending}", quality=95)
        print("| | Seconds | A photo | In the network |\n|---|---|---|---|")
        for model, runtime in itertools.product(arguments.models, arguments.runtimes):
            restore = Timed(Restorer(model, runtime=runtime))
            restore.restore(np.zeros((64, 64, 3), np.uint8))
            deblurring.Restorer = lambda *_, restore=restore, **__: restore
            begin = time.perf_counter()
            outcome = deblur(photos, model, Path(folder) / f"{model}-{runtime}", progress=False)
            seconds = time.perf_counter() - begin
            assert len(outcome.written) == arguments.count, outcome.failed
            share = restore.seconds / seconds
            print(
                f"| `{model}`, {runtime} | {seconds:.1f} | {seconds / arguments.count:.2f} | {share:.1%} |", flush=True
            )


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
