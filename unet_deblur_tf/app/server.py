"""Serves the page, without any call to the outside."""

import contextlib
import os
import socket
import tempfile
import threading
from pathlib import Path

from unet_deblur_tf.app import jobs, page
from unet_deblur_tf.app.limits import Limits
from unet_deblur_tf.app.look import STYLE, theme
from unet_deblur_tf.app.networks import Networks
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.files import remove_stale

FOLDER = "unet-deblur-app-"
LOOK = 60  # seconds from one look for old photos to the next
HINT = 'The page needs Gradio: pip install "unet_deblur_tf[app]"'


class Server:
    """The page with its files, ready to start.

    Everything that visitors upload and get is in one temporary folder, which `close` deletes.

    Args:
        limits: `Limits`.

    Attributes:
        page: `gradio.Blocks`.

    Raises:
        InputError: if Gradio is not installed.
    """

    def __init__(self, limits: Limits):
        _keep_gradio_quiet()
        remove_stale(tempfile.gettempdir(), f"{FOLDER}*")  # of a server that was killed
        self._folder = tempfile.TemporaryDirectory(prefix=FOLDER, ignore_cleanup_errors=True)
        self._uploads = Path(self._folder.name) / "uploads"
        os.environ["GRADIO_TEMP_DIR"] = str(self._uploads)  # Gradio looks at it when it is imported
        try:
            import gradio  # noqa: F401
        except ImportError as error:
            raise InputError(HINT) from error
        self._limits = limits
        self._work = Path(self._folder.name) / "work"
        self._work.mkdir()
        self._closed = threading.Event()
        self._networks = Networks()
        self.page = page.build(self._work, limits, self._networks)
        self.page.queue(max_size=limits.waiting, api_open=False)

    def start(self, host: str = "127.0.0.1", port: int | None = None, browser: bool = False) -> str:
        """Starts the server in threads of its own, and begins to load the default network.

        Args:
            host: str, the address to listen on; "0.0.0.0" for every network of the machine.
            port: int; 0 for any free one; None for the first free one from 7860 on.
            browser: bool, whether to open the page in a browser.

        Returns:
            The address of the page.

        Raises:
            InputError: if the port is taken, or the machine does not have the address.
        """
        app, address, _ = self.page.launch(
            server_name=_as_in_addresses(host),
            server_port=_port(host, port),
            inbrowser=browser,
            prevent_thread_lock=True,
            quiet=True,
            max_file_size=self._limits.megabytes * 10**6,
            theme=theme(),
            css=STYLE,
            footer_links=[],
            # Nothing goes out, and no visitor sees the files of the machine or of others.
            share=False,
            allowed_paths=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
        )
        _refuse_recordings(app)
        self._networks.load_soon()
        threading.Thread(target=self._discard_old, daemon=True, name="discard old photos").start()
        return address

    def _discard_old(self):
        """Deletes old photos until the server is closed. Gradio keeps those of a closed tab for an hour.

        Gradio also keeps the part of an upload that arrived before the connection broke.
        """
        while not self._closed.wait(LOOK):
            with contextlib.suppress(OSError):
                os.utime(self._folder.name)  # or another server would take the folder for one that was left behind
            for folder in (self._work, self._uploads):
                jobs.discard_old(folder, self._limits.minutes)

    def close(self):
        """Stops the server and deletes the files of its visitors."""
        self._closed.set()
        self.page.close(verbose=False)
        self._folder.cleanup()


def _keep_gradio_quiet():
    """Turns off what Gradio would send, and lets it ask the own machine without the proxy of the network."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "localhost", "127.0.0.1"]))


def _refuse_recordings(app):
    """Refuses sound, which the page does not ask for: Gradio takes it from anybody, and never deletes it."""
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    def refuse(request):
        return PlainTextResponse("Not found", 404)

    app.router.routes.insert(0, Route("/gradio_api/process_recording", refuse, methods=["POST"]))  # the first counts


def _as_in_addresses(host):
    """The host as the address of a page has it, which is what Gradio takes: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _port(host, port):
    """Returns a port to listen on: the given one; a free one for 0; None for None, if the address is good.

    Without this, Gradio tries a hundred ports of an address that the machine does not have, five seconds each.
    """
    address = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.create_server((address, port or 0), family=family) as listener:
            return None if port is None else listener.getsockname()[1]
    except OSError as error:
        reason = error.strerror.partition(" (")[0]  # Python adds the address in brackets
        place = f"{host}, port {port}" if port else host
        raise InputError(f"Cannot listen on {place}: {reason}") from error
