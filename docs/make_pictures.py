"""Draws the pictures of the README, pairs of each difficulty made in code, and the scene that heat maps are shown of.

python docs/make_pictures.py
"""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.scenes import scene
from unet_deblur_tf.data.synthesis import blurred_pair, canvas_size
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.utils.sheets import comparison_sheet


def psnr(blurred, sharp):
    return float(metrics.psnr(sharp[np.newaxis] / 255.0, blurred[np.newaxis] / 255.0)[0])


def main():
    for name, columns in (("quick", 4), ("gopro", 2)):
        difficulty = DIFFICULTIES[name]
        above, below = [], []
        for number in range(columns):
            rng = np.random.default_rng([1, number])
            scenes = [scene(rng, *canvas_size(difficulty)) for _ in range(2)]
            blurred, sharp = blurred_pair(rng, *scenes, difficulty)
            above.append((blurred, f"blurred  {psnr(blurred, sharp):.1f} dB"))
            below.append((sharp, "sharp"))
        path = Path(__file__).with_name(f"{name}.jpg")
        comparison_sheet([above, below]).save(path, quality=85)
        print(path)
    difficulty = dataclasses.replace(DIFFICULTIES["quick"], width=480, height=320)
    rng = np.random.default_rng([1, 0])
    blurred, _ = blurred_pair(rng, *(scene(rng, *canvas_size(difficulty)) for _ in range(2)), difficulty)
    path = Path(__file__).with_name("scene.png")
    Image.fromarray(blurred).save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
