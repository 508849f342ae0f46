"""What this process may use of the machine: cores, memory, open files, disk."""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def _cgroup_chain(root: Path = _CGROUP) -> list[Path]:
    """Directories of this process's cgroup (version 2), innermost first."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    for line in lines:
        if line.startswith("0::"):
            inner = root / line[3:].lstrip("/")
            return [inner, *(parent for parent in inner.parents if parent.is_relative_to(root))]
    return []


def _read_words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []


def cores() -> int:
    """Cores that this process may run on: affinity, cut by ``cpu.max`` of its cgroups."""
    count = len(os.sched_getaffinity(0))
    for directory in _cgroup_chain():
        words = _read_words(directory / "cpu.max")
        if len(words) == 2 and words[0] != "max":
            count = min(count, max(1, math.floor(int(words[0]) / int(words[1]))))
    return max(1, count)


def memory_limit() -> int:
    """Bytes that the run may plan with: 0.8 of what is available, cut by ``memory.max``.

    Source of the rule: the budget formula in the design (min of the user's figure, 0.8 x
    MemAvailable, each ``memory.max`` up the cgroup path).
    """
    available = 1 << 62
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limit = available * 4 // 5
    for directory in _cgroup_chain():
        words = _read_words(directory / "memory.max")
        if words and words[0] != "max":
            limit = min(limit, int(words[0]))
    return limit


def open_files() -> int:
    """The soft limit of open files of this process."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def own_rss() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def free_disk(path: Path) -> int:
    """Bytes that an unprivileged process may still write to the filesystem of ``path``."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def disk_size(path: Path) -> int:
    """Size in bytes of the filesystem of ``path``."""
    stat = os.statvfs(path)
    return stat.f_blocks * stat.f_frsize
