"""The page without a network, and on hosts that cannot set headers."""

import page_site
import pytest
from actions import download, png, restore

pytestmark = pytest.mark.browser


def test_it_works_offline_once_it_has_worked(new_page, dist, blurred_photo):
    page = new_page()
    with page_site.served(dist, page_site.headers_of(dist)) as url:
        page.goto(url)
        page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
        restore(page, png(blurred_photo(40, 50)))
        _, online = download(page)
    page.reload()  # there is no server any more
    restore(page, png(blurred_photo(40, 50)))
    assert (download(page)[1] == online).all()
    assert page.evaluate("crossOriginIsolated")


def test_without_headers_the_service_worker_makes_threads_possible(new_page, dist, blurred_photo):
    page = new_page()
    with page_site.served(dist, {}) as url:
        page.goto(url)
        with page.expect_event("load"):
            pass  # the page loads itself again
        assert page.evaluate("crossOriginIsolated")
        restore(page, png(blurred_photo(40, 50)))
        assert int(page.locator("body").get_attribute("data-threads")) == min(
            page.evaluate("navigator.hardwareConcurrency"), 8
        )


def test_without_service_worker_and_headers_it_runs_on_one_core(new_page, dist, blurred_photo):
    page = new_page(service_workers="block")
    with page_site.served(dist, {}) as url:
        page.goto(url)
        restore(page, png(blurred_photo(40, 50)))
        assert page.locator("body").get_attribute("data-threads") == "1"


def test_a_network_that_cannot_be_loaded_gives_a_sentence(browser, dist, blurred_photo):
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    with page_site.served(dist, page_site.headers_of(dist)) as url:
        page.route("**/*.onnx", lambda route: route.fulfill(status=200, body=b"cut short"))
        page.goto(url)
        page.locator("#pick").set_input_files(png(blurred_photo(40, 50)))
        page.get_by_role("alert").wait_for()
        assert "could not be loaded" in page.get_by_role("alert").inner_text()
        page.unroute("**/*.onnx")
        page.get_by_role("button", name="Restore", exact=True).click()
        page.wait_for_selector("body[data-state=done]", timeout=60_000)
    context.close()
