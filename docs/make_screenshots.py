"""Takes the README's pictures of the app and of the page in the browser.

pip install -e ".[app,browser,export]"
python docs/make_screenshots.py

The photo is the blurred crop in before_after.jpg. It needs Chromium, or its path in CHROMIUM, and Node.js.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.append(str(Path(__file__).parents[1] / "tests"))
sys.path.append(str(Path(__file__).parents[1] / "tests/browser"))

import actions
import chromium
import page_site
from app_server import AppServer

DOCS = Path(__file__).parent
BLURRED = (6, 6, 446, 336)  # left, top, right, bottom in before_after.jpg


def app(browser, photo, folder):
    """The app with a restored photo."""
    with AppServer(folder) as server:
        page = browser.new_page(viewport={"width": 1100, "height": 1240})
        page.goto(server.address)
        page.set_input_files("#uploads input[type=file]", photo)
        page.get_by_text("street.png").first.wait_for()
        page.click("#start")
        page.wait_for_selector("#slider img", timeout=4 * actions.MINUTE)
        page.wait_for_timeout(2000)  # the progress bar goes
        return shot(page)


def in_the_browser(browser, photo, folder):
    """The page with a restored photo, on a desktop and on a phone, side by side."""
    page_site.build(folder)
    pictures = []
    with page_site.served(folder, page_site.headers_of(folder)) as address:
        for size in ((1200, 800), (400, 800)):
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.goto(address)
            actions.restore(page, photo)
            pictures.append(shot(page))
    desktop, phone = pictures
    both = Image.new("RGB", (desktop.width + 24 + phone.width, desktop.height), "white")
    both.paste(desktop, (0, 0))
    both.paste(phone, (desktop.width + 24, 0))
    return both


def shot(page):
    """What a window shows."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        photo = Path(folder, "street.png")
        Image.open(DOCS / "before_after.jpg").crop(BLURRED).save(photo)
        browser = chromium.launch(playwright)
        for take in (app, in_the_browser):
            path = DOCS / f"{take.__name__}.jpg"
            place = Path(folder, take.__name__)
            place.mkdir()
            take(browser, photo, place).save(path, quality=85)
            print(path)


if __name__ == "__main__":
    main()
