"""The page of web/ in a real browser: `pytest -m browser` (the extra `browser`, Chromium and Node.js)."""

import re

import numpy as np
import page_site
import pytest
from actions import download, encoded, png, restore, set_range, shown, wait_for
from PIL import Image

from unet_deblur_tf import Restorer

pytestmark = pytest.mark.browser

AXE = page_site.WEB / "node_modules/axe-core/axe.min.js"


@pytest.fixture(scope="module")
def python():
    """What the page is compared with."""
    return Restorer("lite", memory=8e9, precision="float32")


def assert_same(actual, expected, blurred):
    """The bounds leave room for weights in float16 and for rounding, and for nothing else."""
    assert actual.shape == expected.shape
    difference = np.abs(actual.astype(int) - expected)
    print(f"{actual.shape[1]}x{actual.shape[0]}: at most {difference.max()} levels, {difference.mean():.4f} on average")
    assert difference.max() <= 2
    assert difference.mean() <= 0.1
    assert np.abs(expected.astype(int) - blurred).mean() > 1  # there was something to do


@pytest.mark.parametrize(
    ("height", "width", "tile"), [(96, 112, None), (131, 217, None), (1, 37, None), (301, 419, 128), (423, 300, 160)]
)
def test_the_result_is_that_of_python(new_page, address, blurred_photo, python, height, width, tile):
    """Of odd sizes too, and in tiles."""
    page = new_page()
    page.goto(f"{address}?tile={tile or ''}")
    blurred = blurred_photo(height, width)
    restore(page, png(blurred))
    name, restored = download(page)
    assert name == "photo-deblurred.png"
    expected = python(blurred)
    if tile:
        # Tiles this small overlap by less than the network sees, in Python as well.
        expected = Restorer("lite", tile=tile, precision="float32")(blurred)
    assert_same(restored, expected, blurred)


def test_the_larger_network(new_page, address, blurred_photo):
    page = new_page()
    page.goto(address)
    blurred = blurred_photo(129, 190)
    restore(page, png(blurred))
    page.get_by_role("radio", name="Better").check()
    wait_for(page, "working")
    wait_for(page, "done")
    assert_same(download(page)[1], Restorer("unet", precision="float32")(blurred), blurred)


def test_large_blur_takes_the_coarse_result(new_page, address, blurred_photo):
    """Where the share of the coarse result is not 0."""
    blurred = blurred_photo(200, 301, length=41)
    expected = Restorer("lite", precision="float32")(blurred)
    alone = Restorer("lite", scales=1, precision="float32")(blurred)
    assert np.abs(expected.astype(int) - alone).max() > 3
    page = new_page()
    page.goto(address)
    restore(page, png(blurred))
    assert_same(download(page)[1], expected, blurred)


def test_strength_and_divider(new_page, address, blurred_photo):
    page = new_page(viewport={"width": 1000, "height": 800})
    page.goto(address)
    blurred = blurred_photo(160, 240)
    restore(page, png(blurred))
    full = download(page)[1].astype(float)
    set_range(page, "#strength", 40)
    half = download(page)[1]
    np.testing.assert_allclose(half, blurred + 0.4 * (full - blurred), atol=0.51)
    # On the screen: left of the divider the photo before, right of it the result.
    set_range(page, ".compare", 100)
    before = shown(page, "#stage")
    set_range(page, ".compare", 0)
    weak = shown(page, "#stage")
    set_range(page, "#strength", 100)
    strong = shown(page, "#stage")
    middle = np.s_[100:-100, 100:-100]  # without labels and divider
    np.testing.assert_allclose(weak[middle], (before + 0.4 * (strong - before))[middle], atol=3)
    assert np.abs(strong - before)[middle].mean() > 1
    set_range(page, ".compare", 50)
    cut = shown(page, "#stage")
    width = cut.shape[1]
    np.testing.assert_allclose(cut[100:-100, 100 : width // 2 - 30], before[100:-100, 100 : width // 2 - 30], atol=1)
    np.testing.assert_allclose(cut[100:-100, width // 2 + 30 : -100], strong[100:-100, width // 2 + 30 : -100], atol=1)


def test_zoom_by_keyboard_wheel_and_buttons(new_page, address, blurred_photo):
    page = new_page(viewport={"width": 1000, "height": 800})
    page.goto(address)
    restore(page, png(blurred_photo(64, 96)))

    def percent():
        return int(page.locator("#zoom-label").inner_text().split()[0])

    fitted = percent()
    page.locator("#stage").focus()
    page.keyboard.press("1")
    assert percent() in (100, fitted)  # a small picture is not made smaller than it fits
    page.keyboard.press("+")
    assert percent() > fitted
    for _ in range(12):
        page.get_by_role("button", name="Zoom in").click()
    assert percent() == 3200
    # A pixel of the picture is 32 of the screen, and all of them have its colour.
    box = shown(page, "#stage")[150:198, 60:108]  # beside the divider
    changes = np.flatnonzero(np.abs(np.diff(box, axis=1)).sum(axis=(0, 2)))
    assert 1 <= len(changes) <= 2
    before = page.locator("#stage").get_attribute("style")
    page.locator("#stage").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#stage").get_attribute("style") != before
    page.keyboard.press("0")
    assert percent() == fitted
    page.locator("#stage").hover()
    page.mouse.wheel(0, -300)
    assert percent() > fitted


@pytest.mark.parametrize("orientation", [1, 6, 8, 2])
def test_exif_orientation(new_page, address, blurred_photo, python, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = blurred_photo(90, 150)
    stored = {1: upright, 6: np.rot90(upright, 1), 8: np.rot90(upright, -1), 2: upright[:, ::-1]}[orientation]
    file = encoded(
        np.ascontiguousarray(stored), "phone.jpg", "JPEG", "image/jpeg", quality=97, subsampling=0, exif=exif
    )
    page = new_page()
    page.goto(address)
    restore(page, file)
    name, restored = download(page)
    assert name == "phone-deblurred.png"
    assert restored.shape == upright.shape
    # JPEG decoders differ by a level or two, and a mirrored or turned picture differs by far more.
    assert np.abs(restored.astype(int) - python(upright)).mean() < 3


def test_transparency_is_kept(new_page, address, blurred_photo):
    page = new_page()
    page.goto(address)
    picture = np.dstack([blurred_photo(60, 80), np.full((60, 80), 255, np.uint8)])
    picture[:, :40, 3] = 0
    restore(page, png(picture))
    page.locator("#format").select_option("png")
    with page.expect_download() as waiting:
        page.locator("#download").click()
    with Image.open(waiting.value.path()) as image:
        np.testing.assert_array_equal(np.asarray(image)[..., 3], picture[..., 3])
    _, jpeg = download(page, "jpeg")
    assert jpeg[:, :30].min() > 250  # white


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_other_formats(new_page, address, blurred_photo, format):
    page = new_page()
    page.goto(address)
    restore(page, png(blurred_photo(80, 100), "a.b.png"))
    _, exact = download(page)
    name, lossy = download(page, format)
    assert name == f"a.b-deblurred.{'jpg' if format == 'jpeg' else format}"
    assert 0 < np.abs(lossy.astype(int) - exact).mean() < 4


@pytest.fixture
def slow_to_save(new_page, address, blurred_photo):
    """A page with a restored photo of 60x80 pixels, which takes a second and a half to write a file."""
    page = new_page()
    page.goto(address)
    restore(page, png(blurred_photo(60, 80)))
    page.workers[0].evaluate(
        """() => {
            const convert = OffscreenCanvas.prototype.convertToBlob;
            OffscreenCanvas.prototype.convertToBlob = async function (options) {
                await new Promise((resolve) => setTimeout(resolve, 1500));
                if (self.fails) throw new Error("as a browser that runs out of memory");
                return convert.call(this, options);
            };
        }"""
    )
    return page


def click_download(page, format):
    """Begins a download."""
    page.locator("#format").select_option(format)
    page.locator("#download").click()


def test_a_second_download_does_not_get_the_file_of_the_first(slow_to_save):
    page, saved = slow_to_save, []
    page.on("download", lambda each: saved.append(each))
    click_download(page, "png")
    page.locator("#format").select_option("jpeg")
    page.locator("#download").press("Enter")  # a click would wait for the first
    assert page.evaluate("document.activeElement.id") == "download"
    page.get_by_text("Saved as").wait_for()
    page.wait_for_timeout(2000)
    assert [each.suggested_filename for each in saved] == ["photo-deblurred.png"]
    with Image.open(saved[0].path()) as image:
        assert image.format == "PNG"
    name, _ = download(page, "jpeg")
    assert name == "photo-deblurred.jpg"


def test_a_download_that_fails_can_be_tried_again(slow_to_save):
    page = slow_to_save
    page.workers[0].evaluate("self.fails = true")
    click_download(page, "png")
    page.get_by_role("alert").wait_for()
    page.workers[0].evaluate("self.fails = false")
    assert download(page)[1].shape == (60, 80, 3)


def test_another_photo_ends_a_download(slow_to_save, blurred_photo):
    page = slow_to_save
    click_download(page, "png")
    page.locator("#pick-another").set_input_files(png(blurred_photo(50, 70), "other.png"))
    page.get_by_role("heading", name="other.png").wait_for()
    wait_for(page, "done")
    assert download(page)[0] == "other-deblurred.png"


def test_a_damaged_photo_that_ends_a_download_leaves_the_photo_before(slow_to_save, blurred_photo):
    page = slow_to_save
    click_download(page, "png")
    whole = png(blurred_photo(400, 500))
    page.locator("#pick-another").set_input_files({**whole, "buffer": whole["buffer"][: len(whole["buffer"]) // 3]})
    page.get_by_role("alert").get_by_text("damaged").wait_for()
    if page.locator("body").get_attribute("data-state") == "open":
        page.get_by_role("button", name="Restore", exact=True).click()
        wait_for(page, "done")
    assert download(page)[1].shape == (60, 80, 3)


def broken_files(picture):
    """(name, file, what the sentence says)."""
    whole = png(picture)["buffer"]
    bomb = bytearray(png(np.zeros((1, 1, 3), np.uint8))["buffer"])
    return [
        ("cut.png", whole[: len(whole) // 3], "damaged"),
        ("header.png", whole[:20], "damaged"),
        ("noise.jpg", b"\xff\xd8\xff" + bytes(range(256)) * 9, "damaged"),
        ("text.png", b"This is not a picture.", "not a picture"),
        ("empty.png", b"", "not a picture"),
        ("<img src=x onerror=alert(1)>.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        ("large.bmp", bmp_header(30_000, 30_000) + bytes(bomb), "too large|damaged"),
    ]


def bmp_header(width, height):
    """The header of a BMP file of 24 bits per pixel, which claims a size."""
    size = (54 + 3 * width * height) % 2**32
    head = b"BM" + size.to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    sides = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return head + sides + (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(24)


def test_bad_files_give_a_sentence(new_page, address, blurred_photo):
    """And what is on the page stays as it is: first nothing, then a result."""
    page = new_page()
    page.goto(address)
    picture = blurred_photo(40, 50)
    for state in ("empty", "done"):
        for name, content, pattern in broken_files(picture):
            page.locator("input[type=file]:visible").first.set_input_files(
                {"name": name, "mimeType": "image/png", "buffer": content}
            )
            alert = page.get_by_role("alert")
            alert.wait_for()
            assert re.search(pattern, alert.inner_text()), name
            assert page.locator("body").get_attribute("data-state") == state
            assert not re.search(r"Error|undefined|at \w+ \(", page.locator("body").inner_text())
            page.evaluate("document.getElementById('alert').hidden = true")
        if state == "empty":
            restore(page, png(picture))
            assert page.get_by_role("alert").count() == 0
            _, before = download(page)
    assert (download(page)[1] == before).all()


def test_a_picture_of_too_many_pixels(new_page, address):
    page = new_page()
    page.goto(address)
    page.locator("#pick").set_input_files(png(np.zeros((5100, 5000), np.uint8)))
    page.get_by_role("alert").wait_for()
    assert "25 megapixels" in page.get_by_role("alert").inner_text()


def test_cancel_and_again(new_page, address, blurred_photo):
    page = new_page()
    page.goto(f"{address}?tile=128")
    blurred = blurred_photo(500, 700)
    page.locator("#pick").set_input_files(png(blurred, "<b>&.png"))
    page.get_by_text(re.compile(r"Part \d+ of \d+")).wait_for()
    page.get_by_role("button", name="Cancel").click()
    wait_for(page, "open")
    assert "Stopped" in page.locator("#status").inner_text()
    assert page.locator("#photo-name").inner_text() == "<b>&.png"
    assert page.locator("#download").is_disabled()
    page.get_by_role("button", name="Restore", exact=True).click()
    wait_for(page, "done", 4)
    assert download(page)[1].shape == blurred.shape


def test_dropped_and_pasted(new_page, address, blurred_photo):
    page = new_page()
    page.goto(address)
    give = """([bytes, type]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], `${type}.png`, {type: 'image/png'}));
        const options = {bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data};
        document.body.dispatchEvent(new (type === 'drop' ? DragEvent : ClipboardEvent)(type, options));
    }"""
    for type, size in (("drop", (30, 40)), ("paste", (35, 55))):
        page.evaluate(give, [list(png(blurred_photo(*size))["buffer"]), type])
        page.get_by_role("heading", name=f"{type}.png").wait_for()
        wait_for(page, "done")
        assert download(page)[1].shape == (*size, 3)


def test_the_camera_is_offered_to_fingers(new_page, address):
    page = new_page(has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    page.goto(address)
    assert page.get_by_text("Take a photo").is_visible()
    assert page.locator("#camera").get_attribute("capture") == "environment"


def test_it_runs_in_threads_and_sends_nothing_elsewhere(new_page, dist, blurred_photo):
    page = new_page()
    requests, loaded = [], []
    page.context.on("request", lambda request: requests.append((request.method, request.url)))
    with page_site.served(dist, page_site.headers_of(dist), loaded) as address:
        page.goto(address)
        assert page.evaluate("crossOriginIsolated")
        restore(page, png(blurred_photo(40, 50)))
    # Of WebAssembly and networks, only what is needed: the other build is for WebGPU, the other network larger.
    large = sorted(path.split("/")[-1].split("-")[0] for path in loaded if path.endswith((".wasm", ".onnx")))
    assert large == ["lite", "ort"]
    assert not any("asyncify" in path for path in loaded if path.endswith(".wasm"))
    body = page.locator("body")
    assert body.get_attribute("data-device") == "wasm"
    cores = page.evaluate("navigator.hardwareConcurrency")
    assert int(body.get_attribute("data-threads")) == min(cores, 8)
    assert all(method == "GET" and url.startswith((address, "blob:")) for method, url in requests), requests
    blocked = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)")
    assert blocked == "TypeError"
    assert new_page.errors
    assert all("Content Security Policy" in error for error in new_page.errors)
    new_page.errors.clear()


@pytest.mark.parametrize(("width", "height", "touch"), [(360, 740, True), (1440, 900, False), (3840, 2160, False)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_sticks_out(new_page, address, blurred_photo, width, height, touch, scheme):
    page = new_page(viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=touch)
    page.goto(address)
    page.evaluate(AXE.read_text())

    def check():
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(found["passes"]) > 5
        assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    check()
    restore(page, png(blurred_photo(90, 120), "a photo with quite a long name that does not fit into the panel.png"))
    check()
    page.locator("#pick-another").set_input_files({"name": "x", "mimeType": "image/png", "buffer": b"x"})
    page.get_by_role("alert").wait_for()
    check()


def test_everything_can_be_done_by_keyboard(new_page, address, blurred_photo):
    page = new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pick"
    restore(page, png(blurred_photo(60, 90)))
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    wanted = ["stage", "compare", "zoom-out", "zoom-in", "zoom-fit", "zoom-pixels", "strength", "format", "download"]
    assert [each for each in reached if each in wanted][: len(wanted)] == wanted
    page.locator(".compare").focus()
    before = float(page.locator(".compare").input_value())
    page.keyboard.press("ArrowRight")
    assert float(page.locator(".compare").input_value()) > before
