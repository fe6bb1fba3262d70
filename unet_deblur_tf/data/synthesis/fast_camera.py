"""Simulates the frames of a high-speed camera, soft, sharpened and compressed, like those behind GoPro's pairs.

GoPro's blurred pictures are means of 7 to 13 frames at 240 frames per second. In daylight, the camera exposed each
frame for only a part of its interval, and it sharpened and compressed each frame before the authors averaged them. So
the blurred pictures show separate copies of thin lines, and the sharp pictures show the halos of the sharpening. Photos
that were reduced have more fine detail than such a camera sees. `SOFTNESS` takes it away: the spectrum of the sharp
pictures is then that of GoPro's training part (`experiments/compare_blur.py` draws both).

References:
    Nah, Kim, Lee, "Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring", CVPR 2017.
"""

from typing import NamedTuple

import cv2
import numpy as np

GAMMA = 2.2
SOFTNESS = (0.3, 1.0)  # blur of the lens and the sensor: standard deviation of a Gaussian, in pixels
DUTY = (0.05, 0.8)  # (smallest, largest) exposed share of a frame's interval, drawn log-uniformly
LARGEST_NOISE = 2.0  # largest standard deviation at mid-grey, in levels of 255
LARGEST_SHARPENING, RADIUS = 1.2, 1.2  # unsharp mask: largest weight, and standard deviation of the Gaussian in pixels
COMPRESSED = 0.8  # share of the cameras that compress their frames as JPEG
QUALITIES = (75, 95)  # (lowest, highest) JPEG quality


class Settings(NamedTuple):
    """How a camera processes its frames.

    Attributes:
        softness: float, standard deviation of the blur of the lens and the sensor, in pixels.
        noise: float, standard deviation of the noise at mid-grey, in levels of 255.
        sharpening: float, weight of the unsharp mask.
        quality: int, JPEG quality; None for no compression.
    """

    softness: float
    noise: float
    sharpening: float
    quality: int | None


def draw_settings(rng: np.random.Generator) -> Settings:
    """Draws the settings of a camera at random."""
    softness = rng.uniform(*SOFTNESS)
    noise, sharpening = rng.uniform(0, LARGEST_NOISE), rng.uniform(0, LARGEST_SHARPENING)
    quality = int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))
    return Settings(softness, noise, sharpening, quality if rng.random() < COMPRESSED else None)


def develop(rng, light, settings):
    """Simulates how the camera turns light into a frame: softness, encoding, noise, sharpening, compression.

    Args:
        rng: `numpy.random.Generator`, for the noise.
        light: float32 `(height, width, 3)`, linear RGB. Values above 1 are clipped.
        settings: `Settings`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    if settings.softness:
        light = cv2.GaussianBlur(light, (0, 0), settings.softness)
    picture = np.clip(light, 0, 1) ** (1 / GAMMA)
    deviation = settings.noise / 255 * np.sqrt(0.2 + 1.6 * picture)
    picture = picture + deviation * rng.standard_normal(picture.shape, dtype=np.float32)
    picture = picture + settings.sharpening * (picture - cv2.GaussianBlur(picture, (0, 0), RADIUS))
    picture = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    if settings.quality is None:
        return picture
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, settings.quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
