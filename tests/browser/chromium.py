"""Chromium, as the distribution has it."""

import os
import shutil

PATH = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launch(playwright):
    """Starts the browser at `PATH` with an API of Playwright; returns it."""
    return playwright.chromium.launch(executable_path=PATH, args=ARGUMENTS)
