"""Draws pictures of the documentation: pairs of each difficulty, the scene of the heat maps, the README's photo.

python docs/make_pictures.py
python docs/make_pictures.py --gopro GOPRO          before_after.jpg as well, from GOPRO/test/
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from unet_deblur_tf import Restorer
from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.utils.sheets import comparison_sheet

DOCS = Path(__file__).parent
# Of the five official test pictures that docs/results.md scores, the one with the median gain.
SEQUENCE, FRAME = "GOPR0384_11_00", "000001.png"
CROP = (slice(160, 490), slice(840, 1280))  # rows, columns


def psnr(picture, sharp):
    """PSNR in dB of a uint8 picture."""
    return float(metrics.psnr(sharp[np.newaxis] / 255.0, picture[np.newaxis] / 255.0)[0])


def before_after(gopro):
    """The README's photo: the same crop of a GoPro test picture, blurred and restored."""
    blurred, sharp = (read_picture(Path(gopro, "test", SEQUENCE, kind, FRAME)) for kind in ("blur", "sharp"))
    restored = Restorer("unet")(blurred)
    print(f"whole picture: {psnr(blurred, sharp):.2f} dB blurred, {psnr(restored, sharp):.2f} dB restored")
    row = [
        (picture[CROP], f"{name}, PSNR {psnr(picture[CROP], sharp[CROP]):.1f} dB")
        for name, picture in (("blurred", blurred), ("restored", restored))
    ]
    return comparison_sheet([row])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gopro", type=Path, metavar="DIR", help="folder with GoPro's test/")
    gopro = parser.parse_args().gopro
    for name, columns in (("quick", 4), ("gopro", 2)):
        difficulty = DIFFICULTIES[name]
        above, below = [], []
        for number in range(columns):
            rng = np.random.default_rng([1, number])
            scenes = [scene(rng, *canvas_size(difficulty)) for _ in range(2)]
            blurred, sharp = blurred_pair(rng, *scenes, difficulty)
            above.append((blurred, f"blurred  {psnr(blurred, sharp):.1f} dB"))
            below.append((sharp, "sharp"))
        path = DOCS / f"{name}.jpg"
        comparison_sheet([above, below]).save(path, quality=85)
        print(path)
    difficulty = dataclasses.replace(DIFFICULTIES["quick"], width=480, height=320)
    rng = np.random.default_rng([1, 0])
    blurred, _ = blurred_pair(rng, *(scene(rng, *canvas_size(difficulty)) for _ in range(2)), difficulty)
    path = DOCS / "scene.png"
    Image.fromarray(blurred).save(path, optimize=True)
    print(path)
    if gopro:
        path = DOCS / "before_after.jpg"
        before_after(gopro).save(path, quality=90)
        print(path)


if __name__ == "__main__":
    main()
