"""Draws sheets of captioned pictures."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SMALLEST, LARGEST = 320, 640  # pixels, width of a picture on a sheet
GAP, CAPTION = 6, 22


def comparison_sheet(rows: list[list[tuple[np.ndarray, str]]]) -> Image.Image:
    """Draws rows of pictures on white, with a caption under each picture.

    Args:
        rows: list of rows, each a list of (uint8 `(height, width, 3)`, caption).

    Returns:
        `PIL.Image.Image`.
    """
    images = [[(_resize(picture), caption) for picture, caption in row] for row in rows]
    cell = max(image.width for row in images for image, _ in row) + GAP
    heights = [max(image.height for image, _ in row) + CAPTION + GAP for row in images]
    sheet = Image.new("RGB", (GAP + cell * max(len(row) for row in images), GAP + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    top = GAP
    for row, height in zip(images, heights):
        for column, (image, caption) in enumerate(row):
            left = GAP + column * cell
            sheet.paste(image, (left, top))
            draw.text((left, top + image.height + 3), caption, fill="black", font=font)
        top += height
    return sheet


def _resize(picture):
    """Repeats the pixels of small pictures, since interpolation could be mistaken for blur; reduces large pictures."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    factor = min(-(-SMALLEST // image.width), 2 * LARGEST // image.height)
    if factor > 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    scale = min(LARGEST / image.width, 2 * LARGEST / image.height)
    if scale < 1:
        size = (max(1, round(side * scale)) for side in image.size)
        return image.resize(tuple(size), Image.Resampling.LANCZOS)
    return image
