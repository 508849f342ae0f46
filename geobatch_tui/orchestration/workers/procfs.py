"""Facts about processes from /proc: resident memory, CPU time, children, cgroups, and OOM kills."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CGROUP_TREE = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


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


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used; 0 if it is gone."""
    try:
        # The name of the program, in brackets, may hold spaces.
        words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICKS
    except (OSError, IndexError, ValueError):
        return 0.0


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
    with contextlib.suppress(OSError, ValueError, StopIteration):
        version, directory = next(cgroups("memory"))
        events = directory / ("memory.events" if version == 2 else "memory.oom_control")
        for line in events.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0


def cgroups(controller: str) -> Iterator[tuple[int, Path]]:
    """Yield version and directory of each of this process's cgroups that may limit something, from
    the innermost out. In version 1 each controller has a tree of its own."""
    try:
        lines = OWN_CGROUPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            # Where both are mounted, version 2 is beside the controllers of version 1.
            both = not (CGROUP_TREE / "cgroup.controllers").exists()
            version, root = 2, CGROUP_TREE / "unified" if both else CGROUP_TREE
        elif controller in controllers.split(","):
            version, root = 1, CGROUP_TREE / controller
        else:
            continue
        inner = root / path.lstrip("/")
        # A container may not see the groups that it is told of; its own is the root of the tree.
        for directory in (inner, *inner.parents):
            if directory.is_relative_to(root):
                yield version, directory
