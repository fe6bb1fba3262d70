"""Makes sharp scenes in code: shapes of all sizes that cover each other, with the statistics of photographs.

Dead leaves pictures consist of shapes with power-law sizes that cover each other. Filled with 1/f textures, they have
the edge and scale statistics of natural images. Networks that were trained on them restore photographs nearly as well
as networks that were trained on photographs. Letters are added, because signs are what people most want to read.

Every function takes a `numpy.random.Generator`, and its result depends only on the state of that generator and the
arguments. Pictures are float32 `(height, width, 3)` RGB, gamma-encoded, in 0..1.

References:
    Achddou, Gousseau, Ladjal, "Synthetic images as a regularity prior for image restoration neural networks", SSVM
    2021.
"""

import string

import cv2
import numpy as np


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Makes noise with a 1/f^a amplitude spectrum, with a drawn from 0.7 to 1.6.

    Returns:
        float32 `(height, width)` with mean 0 and standard deviation 1.
    """
    size = max(height, width, 8)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf  # removes the mean
    spectrum = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    noise = np.fft.irfft2(spectrum / frequency ** rng.uniform(0.7, 1.6), s=(size, size))[:height, :width]
    return ((noise - noise.mean()) / (noise.std() + 1e-6)).astype(np.float32)


def scene(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Makes a sharp scene: a street or a plain backdrop, leaves of all sizes, and up to two signs.

    Returns:
        float32 `(height, width, 3)` in 0..1.
    """
    picture = np.empty((height, width, 3), np.float32)
    sky = _palette(rng)[:2]
    shade = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    picture[:] = sky[0] + shade * (sky[1] - sky[0])
    picture += rng.uniform(0.01, 0.08) * texture(rng, height, width)[..., None]
    palette = _palette(rng)
    grain = [texture(rng, height, width) for _ in range(3)]
    if rng.random() < 0.7:
        _paint_street(rng, picture, palette, grain)
    _paint_leaves(rng, picture, palette, grain)
    for _ in range(rng.integers(0, 3)):
        _paint_sign(rng, picture, palette, grain)
    return np.clip(picture, 0, 1)


def blob_mask(rng: np.random.Generator, height: int, width: int, radius: float, centre) -> np.ndarray:
    """Draws a smooth closed shape.

    Args:
        rng: `numpy.random.Generator`.
        height, width: int, size of the mask in pixels.
        radius: float, approximate radius of the shape in pixels.
        centre: (x, y) of its centre in pixels.

    Returns:
        float32 `(height, width)` in 0..1, antialiased.
    """
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    wobble = sum(
        rng.normal(0, 0.25 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi)) for order in range(1, 6)
    )
    reach = radius * np.clip(1 + wobble, 0.3, 2)
    stretch = np.exp(rng.normal(0, 0.3))
    outline = np.stack([reach * np.cos(angles) * stretch, reach * np.sin(angles) / stretch], axis=1) + centre
    return _polygon_mask((height, width), outline)


def _palette(rng):
    """Draws eight colours from dark to light around one or two hues, as in photographs, and sometimes a vivid one.

    Returns:
        float32 `(8, 3)`.
    """
    levels = rng.permutation(np.linspace(0.08, 0.9, 8)) + rng.normal(0, 0.06, 8)
    tints = rng.normal(0, 0.07, (2, 3))
    colours = levels[:, None] + tints[rng.integers(2, size=8)] + rng.normal(0, 0.025, (8, 3))
    vivid = rng.random(8) < 0.06
    colours[vivid] = rng.beta(1.2, 1.2, (vivid.sum(), 3))
    return np.clip(colours, 0.02, 0.98).astype(np.float32)


def _paint_street(rng, picture, palette, grain):
    """Paints house fronts with rows of windows, above a ground with stripes that run to the horizon."""
    height, width, _ = picture.shape
    horizon = rng.uniform(0.55, 0.85) * height
    left = -rng.uniform(0, 0.3) * width
    while left < width:
        breadth, rise = rng.uniform(0.15, 0.5) * width, rng.uniform(0.25, 1) * horizon
        top = horizon - rise
        _fill(rng, picture, _rectangle(left, top, left + breadth, horizon), palette, grain)
        columns, rows = rng.integers(2, 8), rng.integers(2, 8)
        glass = palette[rng.integers(len(palette))]
        gap = rng.uniform(0.15, 0.4)
        for row in range(rows):
            for column in range(columns):
                x = left + breadth * (column + gap) / columns
                y = top + rise * (row + gap) / rows
                pane = _rectangle(x, y, x + breadth * (1 - 2 * gap) / columns, y + rise * (1 - 2 * gap) / rows)
                _fill(rng, picture, pane, palette, grain, colour=glass)
        left += breadth * rng.uniform(0.9, 1.2)
    _fill(rng, picture, _rectangle(-1, horizon, width + 1, height + 1), palette, grain)
    vanishing = np.array([rng.uniform(0, width), horizon])
    for foot in np.arange(-width, 2 * width, rng.uniform(0.1, 0.4) * width):
        stripe = np.array([vanishing, [foot, height + 1], [foot + 0.05 * width, height + 1]])
        _fill(rng, picture, stripe, palette, grain)


def _paint_leaves(rng, picture, palette, grain):
    """Paints ellipses and polygons that cover each other, with radii of density r^-2.5, large ones mostly behind."""
    height, width, _ = picture.shape
    shorter = min(height, width)
    smallest, largest = 0.012 * shorter, 0.25 * shorter
    count = int(rng.uniform(15, 110) * height * width / shorter**2)
    power = -1.5
    radii = (largest**power + rng.random(count) * (smallest**power - largest**power)) ** (1 / power)
    behind = radii * np.exp(rng.normal(0, 0.7, count))
    for radius in radii[np.argsort(-behind)]:
        stretch = np.exp(rng.normal(0, 0.5))
        if rng.random() < 0.5:
            corners = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        else:
            corners = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
        shape = radius * np.stack([stretch * np.cos(corners), np.sin(corners) / stretch], axis=1)
        outline = _turn(shape, rng.uniform(0, 2 * np.pi)) + rng.random(2) * (width, height)
        _fill(rng, picture, outline, palette, grain)


def _paint_sign(rng, picture, palette, grain):
    """Paints a board with random letters and digits."""
    height, width, _ = picture.shape
    word = "".join(rng.choice(list(string.ascii_letters + string.digits), rng.integers(2, 9)))
    scale = min(height, width) / 200 * np.exp(rng.uniform(-0.9, 0.7))
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX]))
    thickness = max(1, round(scale * rng.uniform(1, 3)))
    (breadth, rise), below = cv2.getTextSize(word, font, scale, thickness)
    x, y = int(rng.uniform(-0.1, 0.8) * width), int(rng.uniform(0.1, 1) * height)
    ground, ink = palette[rng.choice(len(palette), 2, replace=False)]
    board = _rectangle(x - below, y - rise - below, x + breadth + below, y + 2 * below)
    _fill(rng, picture, board, palette, grain, colour=ground)
    mask = np.zeros((height, width), np.uint8)
    cv2.putText(mask, word, (x, y), font, scale, 255, thickness, cv2.LINE_AA)
    picture += mask[..., None].astype(np.float32) / 255 * (ink - picture)


def _fill(rng, picture, outline, palette, grain, colour=None):
    """Paints a polygon with a colour, some grain and some shading.

    Args:
        rng: `numpy.random.Generator`.
        picture: float32 `(height, width, 3)`, which is changed.
        outline: `(n, 2)` vertices as (x, y) in pixels.
        palette: `(colours, 3)`.
        grain: list of textures `(height, width)`.
        colour: `(3,)`; None for a random colour of the palette.
    """
    height, width, _ = picture.shape
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 2, (width, height))
    if right <= left or bottom <= top:
        return
    if colour is None:
        colour = palette[rng.integers(len(palette))]
    region = np.s_[top:bottom, left:right]
    surface = rng.exponential(0.025) * grain[rng.integers(len(grain))][region]
    surface = surface + rng.normal(0, 0.06) * np.linspace(-1, 1, bottom - top, dtype=np.float32)[:, None]
    mask = _polygon_mask((bottom - top, right - left), outline - (left, top))[..., None]
    picture[region] += mask * (colour + surface[..., None].astype(np.float32) - picture[region])


def _rectangle(left, top, right, bottom):
    """The outline of a rectangle."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def _turn(points, angle):
    """Rotates points about the origin by an angle in radians."""
    return points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _polygon_mask(size, outline):
    """Draws an antialiased polygon with the vertices `outline`, see `_fill`: float32 of shape `size` in 0..1."""
    mask = np.zeros(size, np.uint8)
    shift = 4  # number of fractional bits in OpenCV's fixed-point vertices
    cv2.fillPoly(mask, [np.round(outline * 2**shift).astype(np.int32)], 255, cv2.LINE_AA, shift)
    return mask.astype(np.float32) / 255
