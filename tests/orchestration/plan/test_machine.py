"""What a run may use of its machine, by every limit that somebody set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from geobatch_tui.orchestration.plan import machine
from geobatch_tui.orchestration.workers import procfs

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make cgroups out of ``{file: text}`` and what the process is told that it is in."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))

    def make(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own)
        monkeypatch.setattr(procfs, "OWN_CGROUPS", tmp_path / "own")
        monkeypatch.setattr(procfs, "CGROUP_TREE", tmp_path / "cgroup")
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    make("", {})
    return make


V2 = "0::/slice/job\n"
V1 = "12:memory:/slice/job\n4:cpu,cpuacct:/slice/job\n1:name=systemd:/x\n"
HYBRID = V1 + "0::/slice/job\n"

MEMORY = {
    "max": (V2, {"slice/job/memory.max": "1073741824\n"}, GIB),
    "max of a parent": (
        V2,
        {"slice/memory.max": "1073741824\n", "slice/job/memory.max": "max"},
        GIB,
    ),
    "high": (V2, {"slice/job/memory.max": "max\n", "slice/job/memory.high": "1073741824\n"}, GIB),
    "version 1": (V1, {"memory/slice/memory.limit_in_bytes": "1073741824\n"}, GIB),
    "version 1, none": (V1, {"memory/slice/memory.limit_in_bytes": "9223372036854771712\n"}, None),
    "container": (V1, {"memory/memory.limit_in_bytes": "1073741824\n"}, GIB),
    "hybrid": (HYBRID, {"unified/slice/job/memory.high": "1073741824\n"}, GIB),
}


@pytest.mark.parametrize(("own", "files", "expected"), MEMORY.values(), ids=MEMORY)
def test_memory_of_cgroups(set_up, own, files, expected):
    """The least of all limits on the way out, and of what is available."""
    free = machine.memory_limit()
    if own == V2:
        files = {"cgroup.controllers": "cpu memory", **files}
    set_up(own, files)
    found = machine.memory_limit()
    assert found == expected or (expected is None and abs(found - free) < GIB)


CORES = {
    "version 2": (V2, {"slice/job/cpu.max": "250000 100000\n"}, 2),
    "version 2, none": (V2, {"slice/job/cpu.max": "max 100000\n"}, 64),
    "less than one": (V2, {"slice/job/cpu.max": "50000 100000\n"}, 1),
    "version 1": (
        V1,
        {"cpu/slice/cpu.cfs_quota_us": "300000\n", "cpu/slice/cpu.cfs_period_us": "100000\n"},
        3,
    ),
    "version 1, none": (
        V1,
        {"cpu/slice/cpu.cfs_quota_us": "-1\n", "cpu/slice/cpu.cfs_period_us": "100000\n"},
        64,
    ),
}


@pytest.mark.parametrize(("own", "files", "expected"), CORES.values(), ids=CORES)
def test_cores_of_cgroups(set_up, own, files, expected):
    """A quota is as many cores as it may use all of the time."""
    if own == V2:
        files = {"cgroup.controllers": "cpu memory", **files}
    set_up(own, files)
    assert machine.cores() == expected


SLURM = {
    "cores of a task": ({"SLURM_CPUS_PER_TASK": "6", "SLURM_CPUS_ON_NODE": "24"}, 6, None),
    "cores of the node": ({"SLURM_CPUS_ON_NODE": "24"}, 24, None),
    "cores of some nodes": ({"SLURM_JOB_CPUS_PER_NODE": "16(x2),8"}, 16, None),
    "memory of the node": ({"SLURM_MEM_PER_NODE": "1024"}, 64, GIB),
    "memory of a core": ({"SLURM_MEM_PER_CPU": "256", "SLURM_CPUS_ON_NODE": "4"}, 4, GIB),
    "all memory": ({"SLURM_MEM_PER_NODE": "0"}, 64, None),
    "more than there is": ({"SLURM_CPUS_ON_NODE": "999"}, 64, None),
    "odd": ({"SLURM_CPUS_ON_NODE": "many", "SLURM_MEM_PER_NODE": ""}, 64, None),
}


@pytest.mark.parametrize(("given", "cores", "memory"), SLURM.values(), ids=SLURM)
def test_what_slurm_granted(set_up, monkeypatch, given, cores, memory):
    """A job that takes more is killed, whatever the machine has."""
    free = machine.memory_limit()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert machine.cores() == cores
    found = machine.memory_limit()
    assert found == memory or (memory is None and abs(found - free) < GIB)
