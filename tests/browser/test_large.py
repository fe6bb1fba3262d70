"""Time and memory of the page: `pytest tests/browser -m "browser and slow" -n 0 -s` prints the figures of the docs."""

import contextlib
import statistics
import threading
import time

import numpy as np
import page_site
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
    print(f"\n12 megapixels: {peak[0] / 1e9:.2f} GB in the tab, {page.locator('body').get_attribute('data-seconds')} s")
    assert 0.1e9 < peak[0] < MOST_MEMORY
    difference = np.abs(restored.astype(int) - Restorer("lite", memory=6e9, precision="float32")(blurred))
    print(f"12 megapixels: at most {difference.max()} levels from Python, {difference.mean():.4f} on average")
    # The page's tiles overlap by a third, which is less than `lite` can see; Python restored the whole picture.
    assert difference.max() <= 4
    assert difference.mean() <= 0.1


def test_a_frame_beside_python(new_page, dist, blurred_photo):
    """1280x720 with `lite`: time, parity, and what is downloaded; in turns, since other programs may run as well."""
    blurred = blurred_photo(720, 1280)
    python = Restorer("lite", precision="float32")
    expected = python(blurred)
    page = new_page()
    loaded, times = [], {"page": [], "Python": []}
    with page_site.served(dist, page_site.headers_of(dist), loaded) as url:
        page.goto(url)
        restore(page, png(blurred))  # loads and prepares the network
        for _ in range(3):
            begin = time.perf_counter()
            python(blurred)
            times["Python"].append(time.perf_counter() - begin)
            restore_again(page, blurred)
            times["page"].append(float(page.locator("body").get_attribute("data-seconds")))
        _, restored = download(page)
    print("\n1280x720:", {name: f"{statistics.median(each):.2f} s" for name, each in times.items()})
    difference = np.abs(restored.astype(int) - expected)
    print(f"1280x720: at most {difference.max()} levels from Python, {difference.mean():.4f} on average")
    files = {path.split("?")[0].strip("/") or "index.html" for path in loaded}
    megabytes = {file: (dist / file).stat().st_size / 1e6 for file in files if (dist / file).is_file()}
    print(f"downloaded: {sum(megabytes.values()):.1f} MB, without compression, in {len(megabytes)} files")
    assert difference.max() <= 2
    assert difference.mean() <= 0.1
    assert sum(megabytes.values()) < 20


def restore_again(page, picture):
    """Chooses a file in a page that shows a result."""
    page.locator("#pick-another").set_input_files(png(picture))
    page.wait_for_selector("body[data-state=working]")
    page.wait_for_selector("body[data-state=done]", timeout=240_000)
