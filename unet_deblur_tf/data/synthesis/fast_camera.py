"""What a fast camera makes of light: a frame with noise, sharpened and compressed, as the frames behind GoPro's pairs.

GoPro's blurred pictures are means of 7 to 13 frames at 240 a second (Nah, Kim, Lee, CVPR 2017). In daylight each was
exposed for a part of its interval only, and the camera sharpened and compressed each before it was averaged. So the
blurred pictures show separate copies of thin lines, and the sharp ones have the halos of that sharpening.
"""

from typing import NamedTuple

import cv2
import numpy as np

GAMMA = 2.2
DUTY = (0.05, 0.8)  # least and largest part of a frame's interval that it is exposed for, drawn log-uniformly
LARGEST_NOISE = 2.0  # levels of 255 at mid-grey
LARGEST_SHARPENING, RADIUS = 1.2, 1.2  # of an unsharp mask; the radius is the deviation of its Gaussian, in pixels
COMPRESSED = 0.8  # share of the cameras that write JPEG-like frames
QUALITIES = (75, 95)


class Settings(NamedTuple):
    """How one camera develops its frames.

    Attributes:
        noise: standard deviation at mid-grey, in levels of 255.
        sharpening: weight of the unsharp mask.
        quality: of JPEG, or None for frames that are not compressed.
    """

    noise: float
    sharpening: float
    quality: int | None


def draw_settings(rng):
    """The `Settings` of a camera, from a `numpy.random.Generator`."""
    noise, sharpening = rng.uniform(0, LARGEST_NOISE), rng.uniform(0, LARGEST_SHARPENING)
    quality = int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))
    return Settings(noise, sharpening, quality if rng.random() < COMPRESSED else None)


def develop(rng, light, settings):
    """A frame as the camera writes it.

    Args:
        rng: `numpy.random.Generator`, for the noise.
        light: float32 `(height, width, 3)`, linear RGB; what is above 1 is clipped.
        settings: `Settings`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    picture = np.clip(light, 0, 1) ** (1 / GAMMA)
    deviation = settings.noise / 255 * np.sqrt(0.2 + 1.6 * picture)
    picture = picture + deviation * rng.standard_normal(picture.shape, dtype=np.float32)
    picture = picture + settings.sharpening * (picture - cv2.GaussianBlur(picture, (0, 0), RADIUS))
    picture = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    if settings.quality is None:
        return picture
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, settings.quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
