"""What the machine has: processor instructions, GPUs, free memory and disk."""

import os
import shutil
from pathlib import Path

import psutil

BFLOAT16 = {"amx_bf16", "avx512_bf16", "bf16"}  # as Linux names the instructions, on x86 and ARM


def instructions(cpuinfo="/proc/cpuinfo"):
    """The names of the processor's instruction sets; empty where the system does not tell, as Linux alone does."""
    try:
        lines = Path(cpuinfo).read_text().splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.startswith(("flags", "Features")) for word in line.split(":")[1].split()}


def lacks_bfloat16(cpuinfo="/proc/cpuinfo"):
    """Whether the processor is known to have no instructions for bfloat16."""
    known = instructions(cpuinfo)
    return bool(known) and not known & BFLOAT16


def advice(network):
    """A sentence for people if the network would be faster in float32 on this machine, else "".

    Without the instructions oneDNN converts back and forth: there a training step of `lite` takes twice as long in
    mixed_bfloat16 (docs/speed.md).

    Args:
        network: `keras.Model`, or anything with `layers`.
    """
    import tensorflow as tf  # only here, so that benchmarks can ask for the instructions without it

    if not any(layer.compute_dtype == "bfloat16" for layer in network.layers):
        return ""
    if tf.config.list_physical_devices("GPU") or not lacks_bfloat16():
        return ""
    return "This processor has no instructions for bfloat16: --precision float32 is faster"


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


def device_names():
    """What computes, for people: the GPUs by name, or the CPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return ", ".join(names) or f"CPU ({os.cpu_count()} cores)"
