"""The app: what happens to uploaded photos, its limits and errors, and the page as Gradio serves it."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from app_server import AppServer, Visitor
from helpers import ROOT, encoded, png_bomb, read_pixels, save_picture
from PIL import Image, ImageCms

from unet_deblur_tf.app import jobs, networks, server
from unet_deblur_tf.app.limits import Limits
from unet_deblur_tf.app.page import as_list
from unet_deblur_tf.data.photos import Photo, read_photo, write_photo
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.restoring.restorer import Restorer

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif():
    """EXIF data with the name of a camera."""
    data = Image.Exif()
    data[0x0110] = "Camera X"
    return data.tobytes()


@pytest.fixture
def work(tmp_path):
    """The folder for the files of all visitors."""
    return tmp_path / "work"


@pytest.fixture(scope="module")
def inverting(inverter):
    """A restorer whose result is the negative, so that every pixel says whether it was restored."""
    return Restorer(inverter, scales=1)


def only_restored(upload, work, restore, limits=None):
    """The result of one photo that must not fail."""
    (result,), failed = jobs.restore_files([upload], work, restore, limits or Limits())
    assert not failed
    return result


# What is kept of a file


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_format_and_metadata_are_kept(suffix, tmp_path, work, picture, inverting):
    upload = tmp_path / f"photo{suffix}"
    Image.fromarray(picture).save(upload, exif=exif(), icc_profile=PROFILE, quality=95)
    file = jobs.write_result(only_restored(upload, work, inverting), 1)
    assert file.name == upload.name
    with Image.open(file) as written, Image.open(upload) as original:
        assert written.format == original.format
        assert written.getexif()[0x0110] == "Camera X"
        assert written.info["icc_profile"] == PROFILE
        # JPEG and WebP lose a little each time.
        apart = np.abs(255 - np.asarray(original).astype(int) - np.asarray(written)).mean()
    assert apart < (3 if suffix in (".jpg", ".webp") else 1e-9)


@pytest.mark.parametrize("strength", [1, 0.4])
def test_alpha_and_16_bits_are_kept(strength, tmp_path, work, inverting):
    rng = np.random.default_rng(0)
    pixels, alpha = rng.integers(0, 65536, (40, 56, 3), np.uint16), rng.integers(0, 65536, (40, 56), np.uint16)
    write_photo(tmp_path / "deep.png", Photo(pixels, alpha, False, {}, []))
    written = read_photo(jobs.write_result(only_restored(tmp_path / "deep.png", work, inverting), strength))
    np.testing.assert_array_equal(written.alpha, alpha)
    assert written.pixels.dtype == np.uint16
    expected = pixels + strength * (65535 - 2 * pixels.astype(float))
    np.testing.assert_allclose(written.pixels, expected, atol=1)


def test_what_is_shown_is_upright_white_behind_and_in_the_profile_of_the_photo(tmp_path, work, inverting):
    turned = Image.Exif()
    turned[0x0112] = 6
    pixels = np.zeros((40, 56, 4), np.uint8)
    pixels[:, 28:, 3] = 255  # black at the right, transparent at the left
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=turned.tobytes(), icc_profile=PROFILE)
    blurred, restored = only_restored(tmp_path / "photo.png", work, inverting).shown
    assert read_pixels(blurred).shape == read_pixels(restored).shape == (56, 40, 3)
    assert read_pixels(blurred)[:20].min() > 250
    assert read_pixels(blurred)[36:].max() < 5
    assert read_pixels(restored)[36:].min() > 250
    with Image.open(blurred) as shown:
        assert shown.info["icc_profile"] == PROFILE
        assert not shown.getexif()


# Strength


@pytest.mark.parametrize(("dtype", "strength"), [(np.uint8, 0.35), (np.uint16, 0.7)])
def test_a_blend_is_what_the_restorer_returns(dtype, strength, picture):
    blurred = picture.astype(dtype) * (257 if dtype == np.uint16 else 1)
    blended = jobs.blend(blurred, Restorer("lite")(blurred), strength)
    expected = Restorer("lite", strength=strength)(blurred)
    assert blended.dtype == dtype
    assert np.abs(blended.astype(int) - expected).max() <= 1


def test_a_download_follows_the_strength_without_the_network(tmp_path, work, picture, inverting):
    calls = []

    def restore(pixels, **options):
        calls.append(pixels.shape)
        return inverting(pixels, **options)

    result = only_restored(save_picture(tmp_path / "photo.png", picture), work, restore)
    for strength in (1, 0.25, 0.5):
        restored = read_pixels(jobs.write_result(result, strength)).astype(float)
        np.testing.assert_allclose(restored, picture + strength * (255 - 2.0 * picture), atol=1)
    assert calls == [picture.shape]
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="The strength is 0 to 1, not"):
            jobs.write_result(result, strength)


# Several photos


def test_one_bad_file_does_not_stop_the_others(tmp_path, work, picture, inverting):
    good = save_picture(tmp_path / "good.png", picture)
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes(encoded(picture, "JPEG")[:1500])
    (tmp_path / "damaged.png").write_bytes(encoded(picture, "PNG")[:2000])
    save_picture(tmp_path / "last.png", picture)
    names = ["text.jpg", "cut.jpg", good.name, "damaged.png", "last.png"]
    reports = []
    restored, failed = jobs.restore_files(
        [tmp_path / name for name in names], work, inverting, Limits(), lambda *what: reports.append(what)
    )
    assert [result.name for result in restored] == ["good.png", "last.png"]
    assert failed.keys() == {"text.jpg", "cut.jpg", "damaged.png"}
    for name, reason in failed.items():
        assert reason.startswith(f"{name} ")
        assert str(tmp_path) not in reason
        assert "--" not in reason  # a visitor has no command line
        assert "0x" not in reason
    assert reports[0] == (0, "text.jpg", 0)
    assert (2, "good.png", 1.0) in reports
    assert reports[-1] == (4, "last.png", 1.0)


def test_an_error_that_nobody_thought_of_is_a_sentence_too(tmp_path, work, picture):
    def restore(pixels, on_step):
        raise ZeroDivisionError("by zero\nmore")

    upload = save_picture(tmp_path / "photo.png", picture)
    restored, failed = jobs.restore_files([upload], work, restore, Limits())
    assert not restored
    assert failed == {"photo.png": "photo.png could not be restored: ZeroDivisionError: by zero"}


def test_what_is_said_of_the_files_is_not_taken_for_html(tmp_path):
    said = as_list([jobs.Restored("<b>.png", tmp_path, ["<i>"])], {"<script>": "<script> is damaged"})
    assert said == '<ul><li class="failed">&lt;script&gt; is damaged</li><li>&lt;b&gt;.png: &lt;i&gt;</li></ul>'
    assert as_list([jobs.Restored("a.png", tmp_path, [])], {}) == ""


def test_equal_names_are_numbered(tmp_path, work, picture, inverting):
    uploads = [save_picture(tmp_path / f"{number}/photo.png", picture // (number + 1)) for number in range(2)]
    uploads.append(tmp_path / "photo.gif")
    Image.fromarray(picture).save(uploads[-1])
    restored, _ = jobs.restore_files(uploads, work, inverting, Limits())
    assert [result.name for result in restored] == ["photo.png", "photo (2).png", "photo.gif"]
    assert [result.notes for result in restored] == [[], [], ["written as .png"]]
    with zipfile.ZipFile(jobs.write_zip(restored, 1, work / "all.zip")) as archive:
        assert archive.namelist() == ["photo.png", "photo (2).png", "photo (3).png"]
        with Image.open(io.BytesIO(archive.read("photo (2).png"))) as second:
            np.testing.assert_array_equal(np.asarray(second), 255 - picture // 2)


# Limits


@pytest.mark.parametrize(
    ("name", "content", "limits", "sentence"),
    [
        ("large.png", png_bomb(3000, 2000), Limits(megapixels=5.5), "has 3000 x 2000 pixels. The limit here is 5.5 mi"),
        ("long.png", b"\x89PNG" + bytes(2_000_001), Limits(megabytes=2), "has more than 2 MB, which is the limit here"),
        ("film.mp4", b"", Limits(), "does not end like the name of a photo"),
        ("photo", b"", Limits(), "does not end like the name of a photo"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_decoded(name, content, limits, sentence, tmp_path, work):
    (tmp_path / name).write_bytes(content)
    restored, failed = jobs.restore_files([tmp_path / name], work, None, limits)
    assert not restored
    assert failed[name].startswith(f"{name} {sentence}")
    assert not [*work.iterdir()]


@pytest.mark.parametrize(("count", "sentence"), [(0, "Add a photo first."), (3, "These are 3 photos. At most 2 can")])
def test_the_number_of_photos_is_limited(count, sentence, tmp_path, work):
    with pytest.raises(InputError, match=sentence):
        jobs.restore_files([tmp_path / "photo.png"] * count, work, None, Limits(files=2))


# Files that are left


def test_nothing_is_left_of_photos_that_are_discarded_or_fail(tmp_path, work, picture, inverting, monkeypatch):
    upload = save_picture(tmp_path / "photo.png", picture)
    result = only_restored(upload, work, inverting)
    assert [*work.iterdir()] == [result.folder]
    jobs.discard([result])
    assert not [*work.iterdir()]
    for ask in (jobs.shown, lambda result: jobs.write_result(result, 0.5)):
        with pytest.raises(InputError, match=re.escape("photo.png has been deleted here. Restore it again.")):
            ask(result)

    def no_space(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", no_space)
    _, failed = jobs.restore_files([upload], work, inverting, Limits())
    assert failed == {"photo.png": "photo.png could not be restored: OSError: [Errno 28] No space left on device"}
    assert not [*work.iterdir()]


def test_photos_that_take_long_stay_until_the_last_is_done(tmp_path, work, picture):
    uploads = [save_picture(tmp_path / f"{number}.png", picture) for number in range(2)]

    def restore(pixels, on_step=None):
        for path in work.rglob("*"):
            os.utime(path, (time.time() - 61 * 60,) * 2)  # it took more than an hour
        jobs.discard_old(work, 60)
        for path in uploads:
            path.unlink(missing_ok=True)  # as Gradio does by itself
        return pixels

    restored, failed = jobs.restore_files(uploads, work, restore, Limits())
    assert not failed
    assert {result.folder for result in restored} == {*work.iterdir()}
    jobs.discard_old(work, 60)
    for result in restored:
        np.testing.assert_array_equal(read_pixels(jobs.write_result(result, 0.5)), picture)


def test_an_upload_that_was_deleted_meanwhile_is_named(tmp_path, work):
    restored, failed = jobs.restore_files([tmp_path / "photo.png"], work, None, Limits())
    assert not restored
    assert failed == {"photo.png": "photo.png has been deleted here. Add it again."}


def test_old_photos_are_discarded(tmp_path, work, picture, inverting):
    upload = save_picture(tmp_path / "photo.png", picture)
    old, new = only_restored(upload, work, inverting), only_restored(upload, work, inverting)
    os.utime(old.folder, (time.time() - 61 * 60,) * 2)
    jobs.discard_old(work, 60)
    assert [*work.iterdir()] == [new.folder]


def test_photos_that_vanish_meanwhile_stop_no_discarding(work, monkeypatch):
    (work / "photo-a").mkdir(parents=True)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [self / "photo-gone", self / "photo-a"])
    os.utime(work / "photo-a", (time.time() - 61 * 60,) * 2)
    jobs.discard_old(work, 60)
    assert not (work / "photo-a").exists()


# The networks


def test_the_page_offers_the_networks_of_the_package():
    contents = pretrained.manifest()
    assert set(networks.NAMES) == set(contents["networks"])
    assert networks.NAMES[0] == contents["default"]


def test_a_network_is_loaded_once(picture):
    loaded = networks.Networks()
    restore = loaded.get("lite", True)
    assert loaded.get("lite", True) is restore
    assert restore.options.ensemble
    assert not loaded.get("lite").options.ensemble


def test_a_folder_with_the_name_of_a_network_changes_nothing(tmp_path, monkeypatch):
    usual = Restorer("lite").runtime
    (tmp_path / "lite").mkdir()
    monkeypatch.chdir(tmp_path)
    loaded = networks.Networks()
    assert loaded.get("lite").runtime == usual
    with pytest.raises(InputError, match="no network nothing"):
        loaded.get("nothing")


@pytest.mark.slow
def test_a_restorer_tells_about_each_step(picture):
    steps = []
    Restorer("lite", ensemble=True)(picture, on_step=lambda *step: steps.append(step))
    assert steps == [(number, 8) for number in range(1, 9)]
    large, steps = np.tile(picture, (2, 2, 1)), []
    Restorer("lite", tile=128, scales=1)(large, on_step=lambda *step: steps.append(step))
    assert len(steps) > 1
    assert steps == [(number, len(steps)) for number in range(1, len(steps) + 1)]


# The command


def test_without_the_extra_one_line_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['gradio'] = None; from unet_deblur_tf.commands.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "app"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "unet_deblur_tf[app]"' in done.stderr
    assert not done.stdout


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The app with a small limit for files."""
    pytest.importorskip("gradio", reason="needs the extra app")
    with AppServer(tmp_path_factory.mktemp("app"), "--max-megabytes", "1") as server:
        yield server


def test_the_page_comes_from_this_machine_alone(running):
    status, page = running.ask("")
    assert status == 200
    assert b"Remove motion blur from photos" in page
    assert running.address.startswith("http://127.0.0.1:")
    loaded = rb'<(?:script|img|iframe)[^>]*\ssrc="([^"]*)|<link[^>]*rel="stylesheet"[^>]*href="([^"]*)'
    urls = [url for urls in re.findall(loaded, page) for url in urls if url]
    assert urls
    assert not [url for url in urls if b"://" in url and not url.startswith(running.address.encode())]


@pytest.mark.parametrize("path", ["/etc/passwd", str(ROOT / "pyproject.toml"), str(Path(networks.__file__))])
def test_nobody_reads_the_files_of_the_machine(running, path):
    for request in (f"gradio_api/file={path}", f"file={path}", f"gradio_api/file=../../../..{path}"):
        status, said = running.ask(request)
        assert status in (403, 404), (request, said)
    assert not running.restore(path)["success"]


def test_nobody_makes_the_server_fetch_an_address(running):
    url = f"{running.address}theme.css"
    assert not running.restore(url, url=url)["success"]


def test_a_file_above_the_limit_is_not_uploaded(running):
    assert running.upload(bytes(1_500_000))[0] == 413
    status, said = running.upload(bytes(1000))
    assert status == 200
    # What was uploaded may be restored; that it is no picture stands beside it.
    answer = running.restore(*json.loads(said))
    assert answer["success"]
    assert "photo.png is not a picture, or it is damaged." in json.dumps(answer["output"]["data"])


def test_sound_is_not_taken(running):
    """Gradio would keep it for ever."""
    assert running.upload(bytes(1000), "process_recording")[0] == 404


def test_no_photo_is_an_error_in_a_sentence(running):
    answer = running.restore()
    assert answer["output"]["error"] == "Add a photo first."


@pytest.fixture
def halted(monkeypatch):
    """The app in this process with two places in its queue: (address, event without which no photo is restored, list
    of the photos whose turn has come).
    """
    pytest.importorskip("gradio", reason="needs the extra app")
    may_go_on, begun = threading.Event(), []

    def restore(pixels, on_step):
        begun.append(pixels)
        assert may_go_on.wait(60)
        return pixels

    monkeypatch.setattr(networks.Networks, "get", lambda *choice: restore)
    monkeypatch.setattr(networks.Networks, "load_soon", lambda self: None)
    monkeypatch.setattr(server, "LOOK", 0.1)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    app = server.Server(Limits(waiting=2))
    try:
        yield app.start(port=0), may_go_on, begun
    finally:
        may_go_on.set()
        app.close()


def until(condition):
    """Waits until a function returns something."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_upload_that_was_deleted_meanwhile_is_a_sentence_on_the_page(running):
    (path,) = json.loads(running.upload(bytes(1000))[1])
    Path(path).unlink()
    assert "photo.png has been deleted here. Add it again." in json.dumps(running.restore(path))


def test_one_restoration_at_a_time_and_a_queue_that_ends(halted, picture):
    address, _, begun = halted
    visitors = [Visitor(address, str(number)) for number in range(4)]
    (path,) = json.loads(visitors[0].upload(encoded(picture, "PNG"))[1])
    assert visitors[0].begin(path)[0] == 200
    until(lambda: begun)
    assert [visitor.begin(path)[0] for visitor in visitors[1:3]] == [200, 200]
    status, said = visitors[3].begin(path)
    assert status == 503
    assert b"Queue is full" in said
    time.sleep(1)
    assert len(begun) == 1


def test_who_has_results_need_not_wait_for_those_who_have_none(halted, picture):
    address, may_go_on, begun = halted
    done, *others = (Visitor(address, str(number)) for number in range(4))
    (path,) = json.loads(done.upload(encoded(picture, "PNG"))[1])
    may_go_on.set()
    assert done.restore(path)["success"]
    may_go_on.clear()
    assert others[0].begin(path)[0] == 200
    until(lambda: len(begun) == 2)
    assert [visitor.begin(path)[0] for visitor in others[1:]] == [200, 200]  # no further place is left
    for button, name in (("download", "photo.png"), ("download-all", "restored.zip")):
        status, said = done.join(button, "photo.png", 0.5, None)
        assert status == 200, said
        file, _ = json.loads(said)["data"]
        assert file["orig_name"] == name


@pytest.fixture
def served(halted, picture):
    """(a visitor whose photo is restored, path of the upload)."""
    address, may_go_on, _ = halted
    visitor = Visitor(address)
    (path,) = json.loads(visitor.upload(encoded(picture, "PNG"))[1])
    may_go_on.set()
    assert visitor.restore(path)["success"]
    return visitor, path


def test_results_stay_until_there_are_others(served):
    visitor, _ = served
    assert visitor.restore()["output"]["error"] == "Add a photo first."
    status, said = visitor.join("download", "photo.png", 0.5, None)
    assert status == 200, said
    assert json.loads(said)["data"][0]["orig_name"] == "photo.png"


def test_old_photos_go_without_a_visitor(served):
    _, path = served
    (folder,) = Path(path).parents[2].glob("work/photo-*")
    os.utime(folder, (time.time() - 61 * 60,) * 2)
    until(lambda: not folder.exists())


def test_what_came_of_an_upload_that_broke_off_goes_too(served):
    _, path = served
    partial = Path(path).parents[2] / "uploads/tmp123"
    partial.write_bytes(b"x")
    os.utime(partial, (time.time() - 61 * 60,) * 2)
    until(lambda: not partial.exists())


def test_the_server_calls_nobody(running):
    running.restore()
    asked = running.connections()
    assert asked  # Gradio asks its own server whether it runs
    assert not [address for address in asked if address not in ("127.0.0.1", "::1", "localhost")]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_command_ends_with_its_files(tmp_path, number, status):
    pytest.importorskip("gradio", reason="needs the extra app")
    with AppServer(tmp_path) as server:
        assert len([*tmp_path.glob("unet-deblur-app-*")]) == 1
        server.process.send_signal(number)
        _, said = server.process.communicate(timeout=60)
    assert server.process.returncode == status
    assert "Traceback" not in said
    assert not [*tmp_path.glob("unet-deblur-app-*")]


@pytest.mark.slow
def test_a_port_that_is_taken_is_an_error_in_one_line(running, tmp_path):
    port = re.search(r":(\d+)/", running.address)[1]
    command = [sys.executable, "-m", "unet_deblur_tf", "app", "--no-browser", "--port", port]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith(f"error: Cannot listen on 127.0.0.1, port {port}: Address already in use\n")


@pytest.mark.parametrize("port", [None, 0, 8000])
def test_an_address_that_the_machine_does_not_have_is_an_error_at_once(port, monkeypatch):
    pytest.importorskip("gradio", reason="needs the extra app")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    app = server.Server(Limits())
    monkeypatch.setattr(app.page, "launch", lambda **options: pytest.fail("Gradio would try all ports"))
    try:
        with pytest.raises(InputError) as caught:
            app.start("192.0.2.1", port)  # an address for examples, which no machine has
    finally:
        app.close()
    place = "192.0.2.1, port 8000" if port else "192.0.2.1"
    assert str(caught.value) == f"Cannot listen on {place}: Cannot assign requested address"


def test_the_first_free_port_is_left_to_gradio():
    assert server._port("127.0.0.1", None) is None
    assert server._port("127.0.0.1", 0) > 0


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6(host, monkeypatch):
    pytest.importorskip("gradio", reason="needs the extra app")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    app = server.Server(Limits())
    monkeypatch.setattr(app._networks, "load_soon", lambda: None)
    try:
        address = app.start(host, port=0)
        assert address.startswith("http://[::1]:")
        with urllib.request.urlopen(address) as reply:
            assert reply.status == 200
    finally:
        app.close()


# The Space

SPACE = ROOT / "examples/space"


def test_the_front_matter_of_the_space_fits_the_package():
    _, head, _ = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    values = dict(re.findall(r'^(\w+): "?(.*?)"?$', head, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (gradio,) = project["optional-dependencies"]["app"]

    def number(text):
        return tuple(map(int, text.split(".")))

    assert values["sdk"] == "gradio"
    assert number(values["sdk_version"]) >= number(gradio.removeprefix("gradio>="))
    assert f"Programming Language :: Python :: {values['python_version']}" in project["classifiers"]
    assert (SPACE / values["app_file"]).is_file()
    assert "unet_deblur_tf[app]" in (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
def test_the_space_builds_the_page(tmp_path):
    pytest.importorskip("gradio", reason="needs the extra app")
    code = (
        "import runpy, urllib.request\n"
        f"names = runpy.run_path({str(SPACE / 'app.py')!r})\n"
        "assert names['demo'] is names['server'].page\n"
        "address = names['server'].start(port=0)\n"
        "print(urllib.request.urlopen(address).read().decode())\n"
        "names['server'].close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Remove motion blur from photos" in done.stdout
