"""Progress bars that show that something goes on during one long step."""

import contextlib
import threading


@contextlib.contextmanager
def ticking(bar, seconds=1):
    """Redraws a bar every so often, with the time that has passed, though no step is done; on terminals only.

    Args:
        bar: `tqdm.tqdm`.
        seconds: float, between two.
    """
    if bar.disable or not bar.fp.isatty():
        yield
        return
    done = threading.Event()

    def redraw():
        while not done.wait(seconds):
            bar.refresh()

    thread = threading.Thread(target=redraw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
