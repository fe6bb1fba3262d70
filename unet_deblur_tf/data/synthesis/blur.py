"""Blurs sharp scenes as a camera does: it averages many sharp moments of a moving scene.

GoPro's pairs average 7 to 13 consecutive video frames and use the middle frame as the sharp picture. Here, the moments
are rendered: a shaking camera sees a sharp backdrop and, in front of it, objects that move on their own. The moments
are averaged in linear light (or as encoded, like GoPro's `blur` folder) and clipped, and the blurred picture gets
sensor noise.

The exposure is continuous, like that of a camera. With `Difficulty.frames`, it consists of separate frames of a
high-speed camera, like those of GoPro (see `fast_camera`).

    blurred, sharp = blurred_pair(rng, scene(rng, ...), scene(rng, ...), DIFFICULTIES["quick"])
"""

from typing import NamedTuple

import cv2
import numpy as np

from unet_deblur_tf.configs import Difficulty
from unet_deblur_tf.data.synthesis import fast_camera
from unet_deblur_tf.data.synthesis.scenes import blob_mask

INTERVAL = 24  # moments from one frame of a high-speed camera to the next


def margin(difficulty: Difficulty) -> int:
    """Returns the width in pixels of the scene around the picture, the space in which the camera moves.

    The few paths that leave this space see the scene mirrored.
    """
    forward = 0.5 * difficulty.forward * max(difficulty.width, difficulty.height)
    return int(np.ceil(0.5 * difficulty.blur[1] + forward)) + 2


def canvas_size(difficulty: Difficulty) -> tuple[int, int]:
    """Returns the (height, width) of the scenes that `blurred_pair` takes."""
    return difficulty.height + 2 * margin(difficulty), difficulty.width + 2 * margin(difficulty)


def blurred_pair(
    rng: np.random.Generator,
    backdrop: np.ndarray,
    object_fill: np.ndarray,
    difficulty: Difficulty,
    moving: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Simulates a photo of a scene, with a moving camera and moving objects.

    Args:
        rng: `numpy.random.Generator`. The pair depends only on its state and the other arguments.
        backdrop: float32 `(*canvas_size(difficulty), 3)`, gamma-encoded RGB in 0..1.
        object_fill: another scene of the same shape, from which the moving objects are cut.
        difficulty: `configs.Difficulty`.
        moving: bool, whether the camera and the objects move. The blurred picture gets noise in any case.

    Returns:
        (blurred, sharp), both uint8 `(height, width, 3)`. The sharp picture is the middle of the exposure.

    Raises:
        ValueError: if a scene has the wrong shape.
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
        length: float, length of its path across the picture, in pixels.
        reach: float, length of the longest path of any point of the backdrop across the picture, in pixels.
        ahead: (x, y) in pixels, the point on the backdrop towards which the camera moves and about which it rotates.
        forward: float, its forward motion, as a fraction of the distance to the scene.
    """

    length: float
    reach: float
    ahead: np.ndarray
    forward: float


def _expose_at_once(rng, backdrop, object_fill, difficulty, moving, way):
    """Simulates one continuous exposure.

    Returns:
        (blurred, sharp), both float32 in 0..1, gamma-encoded.
    """
    # Two moments per pixel of the longest path, 16 to 64: with fewer, the mean shows separate copies instead of blur.
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
    """Simulates the frames of a high-speed camera.

    Returns:
        (mean of the encoded frames, middle frame), both float32 in 0..1, gamma-encoded.
    """
    count = int(rng.choice(difficulty.frames))
    duty = np.exp(rng.uniform(*np.log(fast_camera.DUTY)))
    moments = count * INTERVAL + 1
    # `way.length` is the length of the path from the first frame to the last.
    camera = trajectory(rng, way.length * count / (count - 1), moments)
    film = _Film(rng, backdrop, object_fill, difficulty, fast_camera.GAMMA, moving, way, camera)
    settings = fast_camera.draw_settings(rng)
    per_frame = int(np.clip(np.ceil(2 * way.reach * duty / count), 1, 7)) | 1  # moments that make up a frame
    offsets = (np.arange(per_frame) - per_frame // 2) / per_frame * duty * INTERVAL
    frames = []
    for frame in range(count):
        exposed = np.round(INTERVAL * (frame + 0.5) + offsets).astype(int)
        light = sum(film.render(moment) for moment in exposed) / per_frame
        frames.append(fast_camera.develop(rng, light, settings))
    return np.mean(frames, axis=0, dtype=np.float32) / 255, frames[count // 2] / np.float32(255)


class _Film:
    """A moving scene in front of a moving camera, which `render` renders moment by moment.

    Args:
        gamma: float, gamma of the encoding of the scenes.
        way: `Way`.
        camera: `(moments, 2)`, the path of the camera, see `trajectory`.
        rng, backdrop, object_fill, difficulty, moving: see `blurred_pair`.
    """

    def __init__(self, rng, backdrop, object_fill, difficulty, gamma, moving, way, camera):
        self.difficulty, self.way = difficulty, way
        self.time = np.linspace(-0.5, 0.5, len(camera))
        self.turn = self.time * (rng.normal(0, difficulty.rotation) if moving else 0.0)
        self.layers = [(_to_light(rng, backdrop, gamma), None, camera)]
        for _ in range(rng.integers(0, difficulty.objects + 1)):
            self.layers.append(_moving_object(rng, object_fill, difficulty, gamma, camera, way.length))

    def render(self, moment):
        """Renders one moment in linear light: float32 `(height, width, 3)`."""
        zoom = 1 + self.way.forward * self.time[moment]
        view = cv2.getRotationMatrix2D(self.way.ahead.tolist(), float(self.turn[moment]), zoom)
        return _render(self.layers, moment, view, self.difficulty)


def trajectory(rng: np.random.Generator, length: float, moments: int) -> np.ndarray:
    """Draws the path of a shaking camera.

    The path is that of a point with inertia. Its heading drifts at random and is sometimes jolted. The kinds of motion
    are those of Boracchi and Foi.

    Args:
        rng: `numpy.random.Generator`.
        length: float, length of the whole path in pixels.
        moments: int, number of positions, evenly spaced in time.

    Returns:
        `(moments, 2)` offsets in pixels, zero in the middle of the exposure.

    References:
        Boracchi, Foi, "Modeling the performance of image restoration from motion blur", IEEE TIP 2012.
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
    """Cuts an object out of the scene `fill` and gives it a path of its own.

    Returns:
        (light, opacity, path), a layer for `_render`.
    """
    height, width, _ = fill.shape
    radius = min(difficulty.height, difficulty.width) * rng.uniform(0.08, 0.25)
    centre = margin(difficulty) + rng.random(2) * (difficulty.width, difficulty.height)
    mask = blob_mask(rng, height, width, radius, centre)[..., None]
    motion = trajectory(rng, length * rng.uniform(0, 1.0), len(camera))
    return mask * _to_light(rng, fill, gamma), mask, camera + motion


def _render(layers, moment, view, difficulty):
    """Renders one sharp moment in linear light.

    Args:
        layers: list of (light, opacity, path), from back to front. The opacity of the backdrop is None.
        moment: int, index of the moment.
        view: `(2, 3)` matrix of the camera's rotation and zoom. Each layer is also shifted along its path.
        difficulty: `configs.Difficulty`.
    """
    size, edge = (difficulty.width, difficulty.height), margin(difficulty)
    frame = None
    for light, opacity, path in layers:
        matrix = view.copy()
        matrix[:, 2] += path[moment] - edge
        # Cubic, because linear interpolation would soften each moment. Light and opacity need the same interpolation:
        # otherwise objects get an outline.
        light, opacity = (
            part if part is None else cv2.warpAffine(part, matrix, size, None, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101)
            for part in (light, opacity)
        )
        frame = light if opacity is None else light + (1 - opacity[..., None]) * frame
    return np.maximum(frame, 0)


def _to_light(rng, picture, gamma):
    """Decodes a scene to linear light, and raises near-white parts above 1, like lamps and skies: they clip later."""
    brightest = picture.max(axis=2, keepdims=True)
    lift = 1 + rng.uniform(0, 1.5) * np.clip((brightest - 0.92) / 0.08, 0, 1)
    return (picture**gamma * lift).astype(np.float32)


def _add_noise(rng, picture, largest):
    """Adds shot and read noise. Its standard deviation at mid-grey is drawn from 0 to `largest`, in levels of 255."""
    strength = rng.uniform(0, largest) / 255
    deviation = strength * np.sqrt(0.2 + 1.6 * picture)
    return picture + deviation * rng.standard_normal(picture.shape, dtype=np.float32)


def _to_uint8(picture):
    """Clips to 0..1 and converts to uint8, rounded."""
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
