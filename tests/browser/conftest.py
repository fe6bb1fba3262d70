"""Fixtures: the page, built once and served; a browser; photos that are synthesised in code."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

sys.path.append(str(Path(__file__).parent))

import chromium
import page_site

from unet_deblur_tf.data.synthesis.scenes import scene


@pytest.fixture(scope="session")
def dist(browser, tmp_path_factory):
    """The folder of the built page; processes of pytest-xdist share it. Nothing is built where no browser is."""
    if not shutil.which("npm"):
        pytest.skip("npm is missing: the page cannot be built")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "page"
    with FileLock(shared / "page.lock"):
        if not (folder / "index.html").exists():
            page_site.build(folder)
    return folder


@pytest.fixture(scope="session")
def address(dist):
    """Where the page is served with the headers that it needs."""
    with page_site.served(dist, page_site.headers_of(dist)) as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    """Chromium, as the distribution has it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing (the extra `browser`)")
    if not chromium.PATH:
        pytest.skip("Chromium is missing (or its path in CHROMIUM)")
    with playwright.sync_playwright() as started:
        browser = chromium.launch(started)
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser):
    """Makes pages that fail the test if a script fails or the policy blocks something, see `make.errors`."""
    contexts, errors = [], []

    def make(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        return page

    make.errors = errors
    yield make
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="session")
def blurred_photo():
    """Makes scenes blurred by a camera that moves along a diagonal: `make(height, width)`, uint8."""

    def make(height, width, length=9):
        sharp = scene(np.random.default_rng(5), height + length, width + length)
        moments = [sharp[shift : shift + height, shift : shift + width] for shift in range(length)]
        return np.round(255 * np.mean(moments, axis=0)).astype(np.uint8)

    return make
