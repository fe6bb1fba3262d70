"""The page of `unet-deblur app` in Chromium: a photo goes up, the result is compared and comes down."""

import io
import os
import shutil
import urllib.parse

import numpy as np
import pytest
from app_server import AppServer
from helpers import encoded, png_bomb, read_pixels, save_picture
from PIL import Image

from unet_deblur_tf.restoring.restorer import Restorer

pytestmark = pytest.mark.browser
pytest.importorskip("gradio", reason="needs the extra app")
WAIT = 240_000  # milliseconds, for the network to be loaded and to run on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The app, with limits that small files reach."""
    with AppServer(tmp_path_factory.mktemp("app"), "--max-megabytes", "1", "--max-megapixels", "0.5") as server:
        yield server


@pytest.fixture
def open_page(browser, server):
    """Opens the page in a window of a width; at the end, no request may have gone elsewhere."""
    hosts, contexts = set(), []

    def open_it(width=1440):
        context = browser.new_context(viewport={"width": width, "height": 900})
        context.on("request", lambda request: hosts.add(urllib.parse.urlsplit(request.url).hostname))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(server.address)
        page.wait_for_selector("#start")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert hosts <= {"127.0.0.1", None}  # data: and blob: have no host
    assert "127.0.0.1" in hosts


@pytest.fixture(scope="module")
def photo(tmp_path_factory, picture):
    """A PNG file with a larger scene, blurred by a horizontal motion."""
    scene = np.tile(picture, (2, 3, 1))
    blurred = np.mean([np.roll(scene, shift, axis=1) for shift in range(-3, 4)], axis=0)
    return save_picture(tmp_path_factory.mktemp("photos") / "photo.png", np.round(blurred).astype(np.uint8))


def upload(page, *files):
    """Adds photos and waits until they are listed."""
    page.set_input_files("#uploads input[type=file]", files)
    for file in files:
        page.wait_for_function(
            "name => document.querySelector('#uploads').textContent.includes(name)", arg=os.fspath(file.stem)
        )


def restore(page, *files):
    """Restores photos with `lite` and waits for the result."""
    upload(page, *files)
    page.get_by_label("Three times as fast (lite)").check()
    page.click("#start")
    page.wait_for_selector("#slider img", timeout=WAIT)


def downloaded(page, button="#download"):
    """What a button saves: (file name, bytes)."""
    with page.expect_download() as download:
        page.click(button)
    with open(download.value.path(), "rb") as file:
        return download.value.suggested_filename, file.read()


def set_strength(page, value):
    """Moves the slider; returns the opacity of the restored picture on the page."""
    page.locator("#strength input[type=range]").fill(str(value))
    page.wait_for_function("value => getComputedStyle(document.querySelector('#slider img.fixed')).opacity == value",
                           arg=str(value))  # fmt: skip


def test_a_photo_is_restored_compared_and_downloaded(open_page, server, photo):
    page = open_page()
    restore(page, photo)
    blurred, expected = read_pixels(photo), Restorer("lite")(read_pixels(photo))
    assert np.abs(blurred.astype(int) - expected).mean() > 2
    # Both pictures are on the page at full resolution.
    sizes = page.eval_on_selector_all(
        "#slider img", "async all => { await Promise.all(all.map(i => i.decode())); "
        "return all.map(i => [i.naturalHeight, i.naturalWidth]); }"
    )  # fmt: skip
    assert sizes == [[*blurred.shape[:2]]] * 2

    name, file = downloaded(page)
    assert name == "photo.png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))), expected)

    # The strength asks the server nothing until the photo is downloaded.
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    set_strength(page, 0.4)
    assert not requests
    _, file = downloaded(page)
    weaker = np.asarray(Image.open(io.BytesIO(file))).astype(int)
    assert np.abs(weaker - Restorer("lite", strength=0.4)(blurred)).max() <= 1

    # The mouse wheel zooms.
    page.hover("#slider .slider-wrap", position={"x": 60, "y": 60})
    page.mouse.wheel(0, -500)
    page.wait_for_function("() => !document.querySelector('#slider img').style.transform.includes('scale(1)')")


def test_a_damaged_file_is_named_and_the_others_are_restored(open_page, tmp_path, picture, photo):
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(encoded(picture, "JPEG")[:2000])
    second = save_picture(tmp_path / "second.png", picture)
    page = open_page()
    restore(page, photo, damaged, second)
    assert page.inner_text("#messages li") == "damaged.jpg ends too early. Part of the photo is missing."
    name, file = downloaded(page, "#download-all")
    assert name == "restored.zip"
    assert file[:2] == b"PK"
    page.click("#chosen input")
    page.get_by_role("option", name="second.png").click()
    page.wait_for_function("width => document.querySelector('#slider img').naturalWidth == width", arg=picture.shape[1])
    name, file = downloaded(page)
    assert name == "second.png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))), Restorer("lite")(picture))


def test_a_photo_with_too_many_pixels_is_refused_in_a_sentence(open_page, tmp_path):
    (tmp_path / "large.png").write_bytes(png_bomb(2000, 1000))
    page = open_page()
    upload(page, tmp_path / "large.png")
    page.click("#start")
    page.wait_for_selector("#messages li", timeout=WAIT)
    said = "large.png has 2000 x 1000 pixels. The limit here is 0.5 million pixels."
    assert page.inner_text("#messages li") == said
    assert not page.is_visible("#slider")


def test_a_file_with_too_many_bytes_is_refused_when_it_is_dropped(open_page, tmp_path):
    (tmp_path / "heavy.png").write_bytes(bytes(1_500_000))
    page = open_page()
    page.set_input_files("#uploads input[type=file]", tmp_path / "heavy.png")
    page.get_by_text("exceed the maximum allowed size").first.wait_for()


def test_without_a_photo_the_page_says_what_to_do(open_page):
    page = open_page()
    page.click("#start")
    page.get_by_text("Add a photo first.").wait_for()


def test_results_stay_until_there_are_others_and_a_sentence_says_when_they_are_gone(open_page, server, photo):
    page = open_page()
    restore(page, photo)
    page.get_by_label("Clear").first.click()
    page.click("#start")
    page.get_by_text("Add a photo first.").wait_for()
    assert downloaded(page)[0] == "photo.png"
    for folder in server.folder.glob("unet-deblur-app-*/work/photo-*"):
        shutil.rmtree(folder)
    page.click("#download")
    page.get_by_role("alert").get_by_text("photo.png has been deleted here. Restore it again.").wait_for()
    restore(page, photo)
    page.wait_for_selector("#failure", state="hidden", timeout=WAIT)
    assert downloaded(page)[0] == "photo.png"


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_is_cut_off_at_any_width(open_page, photo, width):
    page = open_page(width)
    restore(page, photo)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for part in ("#uploads", "#network", "#start", "#slider", "#strength", "#download"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0, part
        assert box["x"] + box["width"] <= width, part
    font = page.evaluate("getComputedStyle(document.querySelector('h1')).fontFamily")
    assert font.startswith("system-ui")
