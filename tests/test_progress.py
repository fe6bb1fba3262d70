"""Bars whose clock goes on."""

import io
import threading

import pytest
from tqdm import tqdm

from unet_deblur_tf.utils.progress import ticking


class Screen(io.StringIO):
    """What is written, and a note when a bar has been drawn a few times."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal, self.drawn, self.several = terminal, 0, threading.Event()

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.drawn += "Long" in text
        if self.drawn > 3:
            self.several.set()
        return super().write(text)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_step_is_seen_to_go_on_in_a_terminal(terminal):
    screen = Screen(terminal)
    with tqdm(total=1, desc="Long", file=screen) as bar, ticking(bar, 0.01):
        assert screen.several.wait(30 if terminal else 0.2) == terminal
    threads = threading.active_count()
    with tqdm(total=1, desc="Long", file=screen) as bar, ticking(bar, 0.01):
        pass
    assert threading.active_count() == threads


def test_a_bar_that_is_not_shown_stays_so():
    screen = Screen(True)
    with tqdm(total=1, desc="Long", file=screen, disable=True) as bar, ticking(bar, 0.01):
        assert not screen.several.wait(0.1)
    assert screen.getvalue() == ""
