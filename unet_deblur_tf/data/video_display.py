"""How the frames of a video are shown: turned by quarters, and mirrored, as the display matrix of the file says.

FFmpeg's own angle, `frame.rotation`, leaves out that a matrix can mirror, as those of some front cameras do.
"""

import math
import struct
from typing import NamedTuple

import numpy as np


class Display(NamedTuple):
    """How a frame is shown.

    Attributes:
        mirrored: bool, whether left and right are swapped first.
        quarter_turns: int from 0 to 3, anticlockwise, as `np.rot90` takes it.
    """

    mirrored: bool
    quarter_turns: int

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """A view of a decoded picture `(height, width, channels)` as it is shown."""
        return np.rot90(picture[:, ::-1] if self.mirrored else picture, self.quarter_turns)


def display_of(frame) -> Display:
    """Reads how a frame is shown.

    Args:
        frame: `av.VideoFrame`.

    Returns:
        A `Display`; an angle that is no multiple of 90 degrees is rounded to one.
    """
    data = next((bytes(each) for each in frame.side_data if each.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return Display(False, 0)
    # Integers in the order of the file: a place x, y of the frame is shown at (a x + c y, b x + d y).
    a, b, _, c, d, *_ = struct.unpack("=9i", data[:36])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return Display(mirrored, round(math.degrees(-math.atan2(b, a)) / 90) % 4)
