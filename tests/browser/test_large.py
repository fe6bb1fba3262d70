"""A photo of 12 megapixels in the page: `pytest -m "browser and slow" -n 0 -s` prints what it takes."""

import contextlib
import threading

import numpy as np
import psutil
import pytest
from actions import download, png, restore

from unet_deblur_tf import Restorer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MOST_MEMORY = 1.5e9  # bytes


@contextlib.contextmanager
def memory_of_the_tab():
    """Measures the largest memory that a renderer of the browser has for itself; yields a list that receives it."""
    peak, over = [0], threading.Event()

    def watch():
        while not over.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if "--type=renderer" in process.cmdline():
                        peak[0] = max(peak[0], process.memory_full_info().uss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def test_twelve_megapixels(new_page, address, blurred_photo):
    blurred = np.tile(blurred_photo(750, 1000), (4, 4, 1))
    page = new_page()
    page.goto(address)
    with memory_of_the_tab() as peak:
        restore(page, png(blurred), minutes=20)
        _, restored = download(page)
    print(f"{peak[0] / 1e9:.2f} GB in the tab; {page.locator('#status').inner_text()}")
    assert 0.1e9 < peak[0] < MOST_MEMORY
    difference = np.abs(restored.astype(int) - Restorer("lite", memory=6e9, precision="float32")(blurred))
    print(f"at most {difference.max()} levels from Python, {difference.mean():.4f} on average")
    assert difference.max() <= 2
    assert difference.mean() <= 0.1
