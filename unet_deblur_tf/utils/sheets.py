"""Sheets of captioned pictures."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SMALLEST, LARGEST = 320, 640  # pixels across, of a picture on a sheet
GAP, CAPTION = 6, 22


def comparison_sheet(rows):
    """Draws rows of pictures with a caption under each.

    Args:
        rows: list of rows, each a list of (uint8 `(height, width, 3)`, caption).

    Returns:
        `PIL.Image.Image`, white where there is nothing.
    """
    rows = [[(_resize(picture), caption) for picture, caption in row] for row in rows]
    cell = max(picture.width for row in rows for picture, _ in row) + GAP
    heights = [max(picture.height for picture, _ in row) + CAPTION + GAP for row in rows]
    sheet = Image.new("RGB", (GAP + cell * max(len(row) for row in rows), GAP + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    top = GAP
    for row, height in zip(rows, heights):
        for column, (picture, caption) in enumerate(row):
            left = GAP + column * cell
            sheet.paste(picture, (left, top))
            draw.text((left, top + picture.height + 3), caption, fill="black", font=font)
        top += height
    return sheet


def _resize(picture):
    """Enlarges small pictures by whole pixels, so that nobody takes interpolation for blur; reduces large ones."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    factor = min(-(-SMALLEST // image.width), 2 * LARGEST // image.height)
    if factor > 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    scale = min(LARGEST / image.width, 2 * LARGEST / image.height)
    if scale < 1:
        size = (max(1, round(side * scale)) for side in image.size)
        return image.resize(tuple(size), Image.Resampling.LANCZOS)
    return image
