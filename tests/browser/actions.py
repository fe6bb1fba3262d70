"""What people do with the page, for the tests."""

import io

import helpers
import numpy as np
from PIL import Image

MINUTE = 60_000  # milliseconds


def png(picture, name="photo.png"):
    """A picture as a file that the page's inputs take."""
    return encoded(picture, name, "PNG", "image/png")


def encoded(picture, name, format, type, **options):
    """The same in any format of Pillow."""
    return {"name": name, "mimeType": type, "buffer": helpers.encoded(picture, format, **options)}


def restore(page, file, minutes=4):
    """Chooses a file and waits for the result."""
    page.locator("#pick").set_input_files(file)
    wait_for(page, "done", minutes)


def wait_for(page, state, minutes=1):
    """Waits for a state of the page, see main.ts."""
    page.wait_for_selector(f"body[data-state={state}]", timeout=minutes * MINUTE)


def download(page, format="png"):
    """Downloads the result. Returns (file name, picture)."""
    page.locator("#format").select_option(format)
    with page.expect_download() as waiting:
        page.locator("#download").click()
    with Image.open(waiting.value.path()) as image:
        assert image.format.lower() == format
        return waiting.value.suggested_filename, np.asarray(image.convert("RGB"))


def set_range(page, selector, value):
    """Moves a slider, as a drag does."""
    page.locator(selector).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})) }", value
    )


def shown(page, selector):
    """What a part of the page looks like, float32 `(height, width, 3)` in levels of 255."""
    with Image.open(io.BytesIO(page.locator(selector).screenshot())) as image:
        return np.asarray(image.convert("RGB")).astype(np.float32)
