"""Builds the page of web/ and serves it as a static host would."""

import contextlib
import functools
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
MODELS = WEB / "public" / "models" / "models.json"


def build(folder: Path) -> None:
    """Builds the page into a folder; installs its packages and makes its networks first if they are missing or old."""
    npm = shutil.which("npm")
    if not (WEB / "node_modules").exists():
        _run(npm, "ci", "--no-audit", "--no-fund")
    sources = [
        WEB / "make_models.py",
        *(ROOT / "unet_deblur_tf").rglob("*.py"),
        *(ROOT / "unet_deblur_tf/weights").iterdir(),
    ]
    if not MODELS.exists() or MODELS.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        _run(sys.executable, "make_models.py")
    _run(npm, "run", "build", "--", "--outDir", str(folder), "--emptyOutDir")


def _run(*command):
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, with further headers if there are some."""

    def __init__(self, *arguments, headers_to_add, loaded, **keywords):
        self.headers_to_add, self.loaded = headers_to_add, loaded
        super().__init__(*arguments, **keywords)

    def end_headers(self):
        """Adds the headers."""
        for name, value in self.headers_to_add.items():
            self.send_header(name, value)
        super().end_headers()

    def log_request(self, *_):
        """Notes what was asked for."""
        self.loaded.append(self.path)

    def log_message(self, *_):
        """Keeps the tests' output readable."""


def headers_of(folder: Path) -> dict[str, str]:
    """The headers in the file that the build writes for hosts."""
    _, *lines = (folder / "_headers").read_text().splitlines()
    return dict(line.strip().split(": ", 1) for line in lines)


@contextlib.contextmanager
def served(folder: Path, headers: dict[str, str], loaded: list[str] | None = None) -> Iterator[str]:
    """Serves a folder on a free port; yields the address. The paths that are loaded are added to a list."""
    loaded = [] if loaded is None else loaded
    handler = functools.partial(Handler, directory=str(folder), headers_to_add=headers, loaded=loaded)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
