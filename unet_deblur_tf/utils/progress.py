"""Keeps progress bars alive during long steps."""

import contextlib
import threading
from collections.abc import Iterator

from tqdm import tqdm


@contextlib.contextmanager
def ticking(bar: tqdm, seconds: float = 1) -> Iterator[None]:
    """Within the block, redraws a bar regularly, so that the elapsed time advances. Only on terminals.

    Args:
        bar: `tqdm.tqdm`.
        seconds: float, time between two redraws.
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
