"""Reports what the machine has: processor instructions, GPUs, free memory and disk space."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import psutil


def instructions(cpuinfo: str | Path = "/proc/cpuinfo") -> set[str]:
    """The names of the processor's instruction sets; empty on systems other than Linux."""
    try:
        lines = Path(cpuinfo).read_text().splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.startswith(("flags", "Features")) for word in line.split(":")[1].split()}


def has_slow_onednn() -> bool:
    """Whether TensorFlow convolves large pictures slowly with oneDNN, judged by the processor's instruction sets.

    Without AVX-512, oneDNN multiplies matrices of at most 1 GB. For more, as with 128 channels at 640x360, it takes its
    reference code, which is hundreds of times slower. TensorFlow uses oneDNN by itself on many processors of this kind,
    such as Intel's Core from the 12th generation on.
    """
    found = instructions()
    return "avx2" in found and "avx512f" not in found


def has_gpu(devices: str | Path = "/dev") -> bool:
    """Whether there seems to be a GPU that TensorFlow can use, judged by its device files, without TensorFlow."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    return (not hidden and any(Path(devices).glob("nvidia[0-9]*"))) or (Path(devices) / "kfd").exists()


# Files with the memory limit of a container and its memory usage, for control groups of version 2 and version 1.
CONTROL_GROUPS = {
    "/sys/fs/cgroup/memory.max": "/sys/fs/cgroup/memory.current",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "/sys/fs/cgroup/memory/memory.usage_in_bytes",
}


def control_groups(own: str | Path = "/proc/self/cgroup", root: str | Path = "/sys/fs/cgroup") -> dict[str, str]:
    """`CONTROL_GROUPS`, and those that this process is in on the machine itself, such as of a job of Slurm.

    Args:
        own: path of the file in which Linux lists the groups of the process.
        root: folder of the control groups.
    """
    groups = dict(CONTROL_GROUPS)
    try:
        entries = [line.split(":", 2) for line in Path(own).read_text().splitlines()]
    except OSError:
        return groups
    for _, controllers, name in entries:
        for group in (name, *map(str, PurePosixPath(name).parents)):  # a group has the limits of those around it, too
            if not controllers:
                folder = f"{root}{group.rstrip('/')}"
                groups[f"{folder}/memory.max"] = f"{folder}/memory.current"
            elif "memory" in controllers.split(","):
                folder = f"{root}/memory{group.rstrip('/')}"
                groups[f"{folder}/memory.limit_in_bytes"] = f"{folder}/memory.usage_in_bytes"
    return groups


def free_memory(groups: Mapping[str, str] | None = None) -> int:
    """Bytes of memory that are available without swapping, on the machine or in the container, whichever is less.

    Args:
        groups: dict from files with limits to files with usages; None for `control_groups()`.
    """
    free = psutil.virtual_memory().available
    for limit, usage in (control_groups() if groups is None else groups).items():
        try:
            used = int(Path(usage).read_text()) - _cached(Path(usage).with_name("memory.stat"))
            free = min(free, int(Path(limit).read_text()) - used)
        except (OSError, ValueError):
            continue  # no such control group, or "max"
    return max(free, 0)


def _cached(statistics):
    """Bytes of the file cache that count as used, although the system frees them when memory is needed."""
    try:
        entries = dict(line.split() for line in statistics.read_text().splitlines())
    except OSError:
        return 0
    return int(entries.get("total_inactive_file", entries.get("inactive_file", 0)))


def free_disk(folder: str | Path) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def device_names() -> str:
    """The devices that compute, for messages: the names of the GPUs, or the CPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return ", ".join(names) or f"CPU ({os.cpu_count()} cores)"
