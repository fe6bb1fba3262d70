"""Blurs sharp scenes the way a camera does: many sharp moments of a moving scene, averaged.

GoPro's pairs average 7-13 consecutive video frames and keep the middle one as the
truth. Here the frames are rendered: a sharp background under a shaking camera, with
objects that move on their own in front of it, averaged in linear light (or as
encoded, like GoPro's `blur` folder), clipped, with sensor noise on the blurred side.

The exposure is continuous, as a camera's is, or made of separate frames of a fast camera, as
GoPro's pairs were made (`Difficulty.frames`, `fast_camera`).

    blurred, sharp = blurred_pair(rng, scene(rng, ...), scene(rng, ...), DIFFICULTIES["quick"])
"""

from typing import NamedTuple

import cv2
import numpy as np

from unet_deblur_tf.data.synthesis import fast_camera
from unet_deblur_tf.data.synthesis.scenes import blob_mask

INTERVAL = 24  # moments from one frame of a fast camera to the next


def margin(difficulty):
    """Pixels of scene around the picture for the camera to move in; the few paths that leave them see it mirrored."""
    forward = 0.5 * difficulty.forward * max(difficulty.width, difficulty.height)
    return int(np.ceil(0.5 * difficulty.blur[1] + forward)) + 2


def canvas_size(difficulty):
    """Height and width of the backdrop that `blurred_pair` takes."""
    return difficulty.height + 2 * margin(difficulty), difficulty.width + 2 * margin(difficulty)


def blurred_pair(rng, backdrop, object_fill, difficulty, moving=True):
    """Photographs a scene with a moving camera and moving objects.

    Args:
        rng: `numpy.random.Generator`; the pair is deterministic in it.
        backdrop: float32 `(*canvas_size(difficulty), 3)`, gamma-encoded RGB in 0..1.
        object_fill: another scene of the same shape, what the moving objects are cut from.
        difficulty: a `Difficulty`.
        moving: False gives a pair without any motion (noise stays).

    Returns:
        (blurred, sharp), uint8 `(height, width, 3)`; sharp is the middle of the exposure.

    Raises:
        ValueError: if a scene has another size.
    """
    expected = (*canvas_size(difficulty), 3)
    if backdrop.shape != expected or object_fill.shape != expected:
        raise ValueError(f"Scenes must be {expected}. Received: {backdrop.shape} and {object_fill.shape}")
    length = float(np.exp(rng.uniform(*np.log(difficulty.blur)))) if moving else 0.0
    size = np.array([difficulty.width, difficulty.height])
    ahead, forward = size / 2 + margin(difficulty), 0.0
    if moving and difficulty.forward:
        ahead += rng.normal(0, 0.25, 2) * size
        forward = rng.normal(0, difficulty.forward)
    reach = length + abs(forward) * np.hypot(*size) / 2
    expose = _expose_frames if difficulty.frames else _expose_at_once
    blurred, sharp = expose(rng, backdrop, object_fill, difficulty, moving, Way(length, reach, ahead, forward))
    return _to_uint8(_add_noise(rng, blurred, difficulty.noise)), _to_uint8(sharp)


class Way(NamedTuple):
    """How far the camera moves during the exposure.

    Attributes:
        length: of its path, in pixels.
        reach: of the longest way that anything takes across the picture, in pixels.
        ahead: (x, y) on the backdrop, where it looks.
        forward: its way forward, as a part of the distance of what it sees.
    """

    length: float
    reach: float
    ahead: np.ndarray
    forward: float


def _expose_at_once(rng, backdrop, object_fill, difficulty, moving, way):
    """One continuous exposure: (blurred, sharp), float32 in 0..1, encoded."""
    # Two moments per pixel of path, up to 64: fewer, and the average shows copies instead of a blur.
    moments = int(np.clip(np.ceil(2 * way.reach), 16, 64)) | 1
    camera = trajectory(rng, way.length, moments)
    film = _Film(rng, backdrop, object_fill, difficulty, difficulty.gamma, moving, way, camera)
    total = np.zeros((difficulty.height, difficulty.width, 3), np.float32)
    for moment in range(moments):
        frame = film.render(moment)
        total += frame
        if moment == moments // 2:
            sharp = frame.copy()
    return tuple(np.clip(light, 0, 1) ** (1 / difficulty.gamma) for light in (total / moments, sharp))


def _expose_frames(rng, backdrop, object_fill, difficulty, moving, way):
    """Separate frames of a fast camera, averaged as encoded, and the middle one: (blurred, sharp), float32 in 0..1."""
    count = int(rng.choice(difficulty.frames))
    duty = np.exp(rng.uniform(*np.log(fast_camera.DUTY)))
    moments = count * INTERVAL + 1
    # The path's length is that from the first frame to the last.
    camera = trajectory(rng, way.length * count / (count - 1), moments)
    film = _Film(rng, backdrop, object_fill, difficulty, fast_camera.GAMMA, moving, way, camera)
    settings = fast_camera.draw_settings(rng)
    each = int(np.clip(np.ceil(2 * way.reach * duty / count), 1, 7)) | 1  # moments of a frame
    within = (np.arange(each) - each // 2) / each * duty * INTERVAL
    frames = []
    for frame in range(count):
        places = np.round(INTERVAL * (frame + 0.5) + within).astype(int)
        light = sum(film.render(moment) for moment in places) / each
        frames.append(fast_camera.develop(rng, light, settings))
    return np.mean(frames, axis=0, dtype=np.float32) / 255, frames[count // 2] / np.float32(255)


class _Film:
    """A moving scene in front of a moving camera, rendered moment by moment."""

    def __init__(self, rng, backdrop, object_fill, difficulty, gamma, moving, way, camera):
        self.difficulty, self.way = difficulty, way
        self.time = np.linspace(-0.5, 0.5, len(camera))
        self.turn = self.time * (rng.normal(0, difficulty.rotation) if moving else 0.0)
        self.layers = [(_to_light(rng, backdrop, gamma), None, camera)]
        for _ in range(rng.integers(0, difficulty.objects + 1)):
            self.layers.append(_moving_object(rng, object_fill, difficulty, gamma, camera, way.length))

    def render(self, moment):
        """One moment in light, float32 `(height, width, 3)`."""
        zoom = 1 + self.way.forward * self.time[moment]
        view = cv2.getRotationMatrix2D(self.way.ahead.tolist(), float(self.turn[moment]), zoom)
        return _render(self.layers, moment, view, self.difficulty)


def trajectory(rng, length, moments):
    """The path of a shaking camera: `(moments, 2)` offsets in pixels, zero in the middle of the exposure.

    A point with inertia whose heading drifts at random and, now and then, is jolted;
    the kinds of motion are those of Boracchi, Foi, "Modeling the performance of image
    restoration from motion blur", IEEE TIP 2012.

    Args:
        rng: `numpy.random.Generator`.
        length: of the whole path, in pixels.
        moments: int, number of positions, evenly spaced in time.
    """
    restlessness = np.exp(rng.uniform(np.log(0.3), np.log(4)))
    drift = rng.normal(0, restlessness / np.sqrt(moments), moments)
    jolts = (rng.random(moments) < 1.0 / moments) * rng.normal(0, 1.5, moments)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(drift + jolts)
    speed = np.exp(np.cumsum(rng.normal(0, 1.0 / np.sqrt(moments), moments)))
    steps = speed[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    path = np.cumsum(steps, axis=0) * length / speed[1:].sum()
    return path - path[moments // 2]


def _moving_object(rng, fill, difficulty, gamma, camera, length):
    """A blob cut from `fill`, on a path of its own: (light, opacity, path)."""
    height, width, _ = fill.shape
    radius = min(difficulty.height, difficulty.width) * rng.uniform(0.08, 0.25)
    centre = margin(difficulty) + rng.random(2) * (difficulty.width, difficulty.height)
    mask = blob_mask(rng, height, width, radius, centre)[..., None]
    own = trajectory(rng, length * rng.uniform(0, 1.0), len(camera))
    return mask * _to_light(rng, fill, gamma), mask, camera + own


def _render(layers, moment, view, difficulty):
    """One sharp moment, in light: each layer seen by the camera's `(2, 3)` view and shifted, the later in front."""
    size, edge = (difficulty.width, difficulty.height), margin(difficulty)
    frame = None
    for light, opacity, path in layers:
        matrix = view.copy()
        matrix[:, 2] += path[moment] - edge
        # Cubic, since linear interpolation would soften each moment by itself; the same
        # for light and opacity, or objects get an outline that no camera makes.
        light, opacity = (
            part if part is None else cv2.warpAffine(part, matrix, size, None, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101)
            for part in (light, opacity)
        )
        frame = light if opacity is None else light + (1 - opacity[..., None]) * frame
    return np.maximum(frame, 0)


def _to_light(rng, picture, gamma):
    """Decodes to linear light, and lifts near-white parts above 1, as lamps and skies are: they clip again later."""
    brightest = picture.max(axis=2, keepdims=True)
    lift = 1 + rng.uniform(0, 1.5) * np.clip((brightest - 0.92) / 0.08, 0, 1)
    return (picture**gamma * lift).astype(np.float32)


def _add_noise(rng, picture, largest):
    """Shot and read noise, `largest` levels of 255 at mid-grey at most; grain is uniform in strength per picture."""
    strength = rng.uniform(0, largest) / 255
    deviation = strength * np.sqrt(0.2 + 1.6 * picture)
    return picture + deviation * rng.standard_normal(picture.shape, dtype=np.float32)


def _to_uint8(picture):
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
