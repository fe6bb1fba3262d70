"""The page without a network, and on hosts that cannot set headers."""

import shutil

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


# All entries of all caches, one line each.
STORED = """async () => {
    const lines = [];
    for (const name of await caches.keys())
        for (const { url } of await (await caches.open(name)).keys()) lines.push(`${name} ${url}`);
    return lines;
}"""
ACTIVE = """async () => {
    const { active } = await navigator.serviceWorker.ready;
    while (active.state !== "activated") await new Promise((resolve) => setTimeout(resolve, 50));
}"""


def test_the_caches_of_other_pages_of_the_host_stay(new_page, dist, blurred_photo, tmp_path):
    """Of another page, and of this one in two folders more, one within the other."""
    for folder in ("a", "a/b"):
        shutil.copytree(dist, tmp_path / folder)
    page = new_page()
    with page_site.served(tmp_path, page_site.headers_of(dist)) as url:
        page.goto(f"{url}a/")
        page.evaluate(ACTIVE)
        page.evaluate(
            """async () => {
                for (const name of ["shell-of-another-page", "large", "another-large"])
                    await (await caches.open(name)).put("/another", new Response("kept"));
            }"""
        )
        restore(page, png(blurred_photo(40, 50)))
        before = set(page.evaluate(STORED))
        assert len([line for line in before if line.endswith((".wasm", ".onnx"))]) == 2
        page.goto(f"{url}a/b/")
        page.evaluate(ACTIVE)
        restore(page, png(blurred_photo(40, 50)))
        assert before < set(page.evaluate(STORED))
    page.goto(f"{url}a/index.html")  # there is no server any more
    restore(page, png(blurred_photo(40, 50)))


def test_an_update_removes_what_the_page_had_stored_before(new_page, dist, tmp_path):
    shutil.copytree(dist, tmp_path / "a")
    worker = tmp_path / "a/sw.js"
    page = new_page()
    with page_site.served(tmp_path, page_site.headers_of(dist)) as url:
        page.goto(f"{url}a/")
        page.evaluate(ACTIVE)
        (shell,) = page.evaluate("caches.keys().then((names) => names.filter((name) => name.includes('shell-')))")
        page.evaluate(
            """async (name) => {
                const large = await caches.open(name.replace(/shell-.*/, "large"));
                await large.put("/a/models/old.onnx", new Response("old"));
            }""",
            shell,
        )
        worker.write_text(worker.read_text().replace(shell.split("-")[-1], "next"))
        page.evaluate(
            """async () => {
                const registration = await navigator.serviceWorker.ready;
                await registration.update();
                while (!registration.waiting) await new Promise((resolve) => setTimeout(resolve, 50));
            }"""
        )
        page.goto("about:blank")  # the next version starts when nobody uses the one before
        page.goto(f"{url}a/")
        page.evaluate(ACTIVE)
        stored = page.evaluate(STORED)
    assert not [line for line in stored if line.startswith(shell) or line.endswith("old.onnx")]
    assert [line for line in stored if "shell-next" in line]


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
