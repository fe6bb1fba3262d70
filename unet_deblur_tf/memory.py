"""How much memory and disk there is to use, and how much a network needs."""

import shutil
from pathlib import Path

import psutil

CONTROL_GROUPS = {  # limit and usage of a container, version 2 and 1
    "/sys/fs/cgroup/memory.max": "/sys/fs/cgroup/memory.current",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "/sys/fs/cgroup/memory/memory.usage_in_bytes",
}


def free_memory(groups=CONTROL_GROUPS):
    """Bytes that can be had without swapping: of the machine, or of the container if that has less."""
    free = psutil.virtual_memory().available
    for limit, usage in groups.items():
        try:
            used = int(Path(usage).read_text()) - _cached(Path(usage).with_name("memory.stat"))
            free = min(free, int(Path(limit).read_text()) - used)
        except (OSError, ValueError):
            continue  # no such control group, or "max"
    return max(free, 0)


def _cached(statistics):
    """Bytes of files in memory that count as used, but are given up as soon as somebody needs the room."""
    try:
        entries = dict(line.split() for line in statistics.read_text().splitlines())
    except OSError:
        return 0
    return int(entries.get("total_inactive_file", entries.get("inactive_file", 0)))


def free_disk(folder):
    """Bytes free where a folder is, or will be."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


# Peak bytes per pixel of the picture while a network restores it on a CPU, in float32 and in a mixed precision,
# beyond what the process has before: `python benchmarks/memory.py` measures them; a tenth is added here,
# and `concat_reduce_se` has what `concat_reduce` has, since it was seen to take as much after several pictures.
RESTORING_BYTES = {
    "unet": (890, 480),
    "concat": (930, 760),
    "concat_se": (1120, 700),
    "concat_se, local": (6810, 3540),
    "concat_reduce": (4870, 2940),
    "concat_reduce_se": (4870, 2940),
    "concat_reduce_se, local": (5120, 4440),
    "lite": (250, 210),
}


def restoring_bytes_per_pixel(network):
    """What restoring takes per pixel of the picture, by the network's name, pooling and precision.

    Args:
        network: `keras.Model`, or anything with a `name` and `layers`.

    Returns:
        A number; the most known if the network is not.
    """
    local = any(getattr(layer, "window", None) for layer in network.layers)
    known = RESTORING_BYTES.get(network.name + (", local" if local else ""))
    if known is None:
        return max(max(row) for row in RESTORING_BYTES.values())
    return known[any("16" in layer.compute_dtype for layer in network.layers)]
