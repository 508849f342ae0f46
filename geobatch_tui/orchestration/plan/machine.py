"""The machine: cores, memory, open files and disk that this process may use, and what it lacks."""

from __future__ import annotations

import errno
import os
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import (
    DISK_FULL,
    DISK_GONE,
    TOO_MANY_FILES,
    MemoryBudgetError,
    OpenFilesError,
    ProcessLimitError,
)
from geobatch_tui.execution.runtime.classify import no_thread
from geobatch_tui.ledger.place.durable import output_error
from geobatch_tui.orchestration.workers.procfs import cgroups

if TYPE_CHECKING:
    from geobatch_tui.errors import GeobatchError

_MIB = 1 << 20
_ALL = 1 << 62


def _read_words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []


def _granted(name: str) -> int:
    """Read a number that SLURM gives in the environment of a job; 0 where there is none. For
    several nodes it is as in ``8(x2),4``: the first counts."""
    match = re.match(r"\d+", os.environ.get(name, ""))
    return int(match[0]) if match else 0


def cores() -> int:
    """Count the cores that this process may run on: affinity, cut by the quotas of its cgroups and
    by SLURM's grant to its job."""
    count = len(os.sched_getaffinity(0))
    for version, directory in cgroups("cpu"):
        if version == 2:
            words = _read_words(directory / "cpu.max")
        else:
            files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            words = [word for name in files for word in _read_words(directory / name)]
        if len(words) == 2 and words[0].isdecimal():  # neither "max" nor -1
            count = min(count, max(1, int(words[0]) // int(words[1])))
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_JOB_CPUS_PER_NODE"):
        if granted := _granted(name):
            return max(1, min(count, granted))
    return max(1, count)


def memory_limit() -> int:
    """Return the bytes that the run may plan with: :func:`shared_memory`, cut by SLURM's grant to
    its job."""
    return min(shared_memory(), granted_memory())


def shared_memory() -> int:
    """Return 0.8 of the available memory, cut by the limits at which cgroups of this process are
    slowed down (``memory.high``) or killed."""
    available = _ALL
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limit = available * 4 // 5
    for version, directory in cgroups("memory"):
        for name in ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",):
            words = _read_words(directory / name)
            if words and words[0].isdecimal():
                limit = min(limit, int(words[0]))
    return limit


def granted_memory() -> int:
    """Return the bytes that SLURM granted to the job of this process, which others do not share."""
    per_core = _granted("SLURM_MEM_PER_CPU")
    of_cores = per_core * (_granted("SLURM_CPUS_ON_NODE") or _granted("SLURM_CPUS_PER_TASK") or 1)
    granted = _granted("SLURM_MEM_PER_NODE") or of_cores
    return granted * _MIB or _ALL


def open_files() -> int:
    """Return the soft limit of open files of this process."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_disk(path: Path) -> int:
    """Return the bytes that an unprivileged process may still write to ``path``'s filesystem."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def disk_size(path: Path) -> int:
    """Return the size in bytes of the filesystem of ``path``."""
    stat = os.statvfs(path)
    return stat.f_blocks * stat.f_frsize


def shortage(error: BaseException, output_dir: Path | None = None) -> GeobatchError | None:
    """Return the error that ends a run of which the engine itself lacks memory, processes, open
    files, or a disk below ``output_dir`` (or anywhere) that takes no more; None: a bug."""
    number = getattr(error, "errno", None)
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return MemoryBudgetError(f"the engine itself ran out of memory: {error}")
    if no_thread(error):
        return ProcessLimitError(f"the engine cannot start a process or a thread: {error}")
    if not isinstance(error, OSError):
        return None
    if number in TOO_MANY_FILES:
        return OpenFilesError(f"the engine has too many open files: {error}")
    named = error.filename if isinstance(error.filename, str | bytes) else ""
    path = Path(os.fsdecode(named)) if named else output_dir
    if path is None:
        return None
    below = bool(named) and output_dir is not None and path.is_relative_to(output_dir)
    return output_error(error, path) if below or number in DISK_FULL | DISK_GONE else None
