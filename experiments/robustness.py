"""How much networks still gain on real pairs when the blurred picture is noisy or went through JPEG.

python experiments/robustness.py unet lite --pairs GOPRO

Gain in PSNR over the same noisy or compressed picture: mean, and the smallest of a picture. Noise is Gaussian, its
standard deviation in levels of 255. Of folders that have a part `test/`, that part is taken.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from gather import pairs_to
from PIL import Image
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.utils import scripts

NOISE, JPEG = (2, 5, 10, 15), (90, 75, 50)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as `deblur.py --model` takes them")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of real pairs")
    flags.add_scales_argument(parser)
    return parser.parse_args()


def main(arguments):
    scripts.quiet_tensorflow()
    from unet_deblur_tf.models.finding import find_model
    from unet_deblur_tf.restoring.restorer import Restorer

    pairs = [(read_picture(pair.blur), read_picture(pair.sharp)) for pair in pairs_to("test", arguments.pairs)]
    restorers = {model: Restorer(find_model(model), scales=arguments.scales) for model in arguments.models}
    print(f"| gain in PSNR, {len(pairs)} pictures | {' | '.join(restorers)} |\n|---|{'---|' * len(restorers)}")
    for name, spoil in spoilers():
        gains = [
            [gain(restore, spoil(blurred), sharp) for blurred, sharp in tqdm(pairs, desc=name, leave=False)]
            for restore in restorers.values()
        ]
        cells = [f"{np.mean(each):+.2f} (at least {np.min(each):+.2f})" for each in gains]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def spoilers():
    """Yields names, and functions of a uint8 picture to a worse one."""
    yield "as it is", lambda picture: picture
    for deviation in NOISE:
        yield f"noise of {deviation}", lambda picture, deviation=deviation: noisy(picture, deviation)
    for quality in JPEG:
        yield f"JPEG, quality {quality}", lambda picture, quality=quality: compressed(picture, quality)


def noisy(picture, deviation):
    noise = np.random.default_rng(0).normal(0, deviation, picture.shape)
    return np.clip(np.round(picture + noise), 0, 255).astype(np.uint8)


def compressed(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def gain(restore, blurred, sharp):
    """In dB."""
    errors = [np.mean((picture.astype(np.float64) - sharp) ** 2) for picture in (blurred, restore(blurred))]
    return 10 * np.log10(errors[0] / errors[1])


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
