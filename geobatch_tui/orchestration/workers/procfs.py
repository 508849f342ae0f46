"""Facts about other processes from /proc: resident memory, children, and OOM kills."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_of_tree(pid: int) -> int:
    """Return the resident bytes of a process and its descendants; 0 if it is gone."""
    total, todo, seen = 0, [pid], set[int]()
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        total += resident(current)
        todo += children(current)
    return total


def resident(pid: int) -> int:
    """Return the resident bytes of a process; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def children(pid: int) -> list[int]:
    """List the children of all threads of a process."""
    pids: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                pids += map(int, (thread / "children").read_bytes().split())
    return pids


def oom_kills() -> int:
    """Count the processes that the kernel killed in this process's cgroup for want of memory."""
    for path in _memory_events():
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return 0


def _memory_events() -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    paths = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inner = path.lstrip("/")
        if not controllers:
            paths.append(Path("/sys/fs/cgroup", inner, "memory.events"))
        elif "memory" in controllers.split(","):
            paths.append(Path("/sys/fs/cgroup/memory", inner, "memory.oom_control"))
    return paths
