"""How much memory and disk there is to use."""

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
            free = min(free, int(Path(limit).read_text()) - int(Path(usage).read_text()))
        except (OSError, ValueError):
            continue  # no such control group, or "max"
    return max(free, 0)


def free_disk(folder):
    """Bytes free where a folder is, or will be."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
