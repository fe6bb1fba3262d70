"""Which number format is faster on this machine, by measurement.

A processor's list of instructions does not tell: there are processors with instructions for bfloat16 that take twice as
long in it as in float32.
"""

import json
import time
from importlib.metadata import version

import numpy as np

from unet_deblur_tf.utils.files import default_cache, write_by_rename
from unet_deblur_tf.utils.hardware import device_names

SIDE, CHANNELS, REPEATS = 96, 64, 5  # of the convolution that is timed: as in the networks, a tenth of a second in all
WORTHWHILE = 0.9  # of the time in float32: a smaller gain is within the noise


def fastest() -> str:
    """The faster one of float32 and mixed_bfloat16. The networks of the package score the same in both, to 0.05 dB."""
    return "mixed_bfloat16" if relative_time("mixed_bfloat16") < WORTHWHILE else "float32"


def advice(precision: str) -> str:
    """A sentence for the user if a precision is slower here than float32, else ""."""
    ratio = 1 if precision == "float32" else relative_time(precision)
    if ratio * WORTHWHILE <= 1:
        return ""
    return f"{precision} takes {ratio:.1f} times the time of float32 here (measured): --precision float32 is faster"


def relative_time(precision: str) -> float:
    """The time that a convolution takes in a precision, relative to float32. It is measured once and kept in the cache.

    Args:
        precision: str, one of `configs.PRECISIONS`.
    """
    path = default_cache() / "precision.json"
    machine = f"{device_names()}, {_processor()}, TensorFlow {version('tensorflow')}"
    try:
        known = json.loads(path.read_text())
        return float(known[machine][precision])
    except (OSError, ValueError, KeyError, TypeError):
        ratio = _measured(precision)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(path.read_text()) if path.exists() else {}
        with write_by_rename(path) as partial:
            partial.write_text(json.dumps({**known, machine: {**known.get(machine, {}), precision: ratio}}))
    except (OSError, ValueError, TypeError, AttributeError):
        pass  # it is measured again next time
    return ratio


def _measured(precision):
    """The time of a convolution in a precision, relative to float32: the shortest of some runs in turns."""
    import tensorflow as tf

    image = np.random.default_rng(0).standard_normal((1, SIDE, SIDE, CHANNELS))
    kernel = np.random.default_rng(1).standard_normal((3, 3, CHANNELS, CHANNELS)) / 24

    def seconds(dtype):
        inputs = tf.constant(image, dtype), tf.constant(kernel, dtype)
        begin = time.perf_counter()
        float(tf.reduce_sum(tf.nn.conv2d(*inputs, 1, "SAME")))  # waits for the result, on a GPU, too
        return time.perf_counter() - begin

    turns = [(seconds(precision.removeprefix("mixed_")), seconds("float32")) for _ in range(1 + REPEATS)]
    of_precision, of_float32 = zip(*turns[1:], strict=True)  # the first turn prepares the device
    return min(of_precision) / min(of_float32)


def _processor():
    """The processor's name on Linux; "" elsewhere."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith(("model name", "CPU part")))
    except (OSError, StopIteration):
        return ""
