"""The share of the machine that a run takes, and what is built for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.orchestration.plan import resources as module
from geobatch_tui.orchestration.plan.inputs import Input
from geobatch_tui.orchestration.plan.plan_report import WORKER_BYTES
from geobatch_tui.orchestration.plan.resources import (
    CHUNK_CAP,
    CHUNK_FLOOR,
    ENGINE_BYTES,
    HANDLES_PER_WORKER,
    RESERVED_FILES,
    Resources,
    linked_for_outputs,
    written_by_workers,
)
from geobatch_tui.orchestration.workers.thread_pool import ThreadPool

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.config.schema import Job

LEAST = ENGINE_BYTES + WORKER_BYTES + CHUNK_FLOOR


def job(tmp_path: Path, **engine: Any) -> Job:
    values = {"engine": engine, "failures": {"max_failures": "3"}}
    return Project(tmp_path, values=values).job().job


def budget(workers: int, chunk: int) -> int:
    """Bytes that leave each of so many workers ``chunk`` bytes."""
    return ENGINE_BYTES + workers * (WORKER_BYTES + chunk)


def test_a_budget_holds_one_worker_at_least(tmp_path: Path) -> None:
    assert Resources.of(job(tmp_path, memory_budget=LEAST)).workers == 1
    with pytest.raises(PreflightError, match="memory_budget"):
        Resources.of(job(tmp_path, memory_budget=LEAST - 1))


@pytest.mark.parametrize(("asked", "fitting", "workers"), [(2, 8, 2), (8, 3, 3)])
def test_workers_fit_into_the_budget(
    tmp_path: Path, asked: int, fitting: int, workers: int
) -> None:
    made = job(tmp_path, max_workers=asked, memory_budget=budget(fitting, CHUNK_FLOOR))
    assert Resources.of(made).workers == workers


def test_open_files_are_left_for_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_files", lambda: RESERVED_FILES + 100)
    assert Resources.of(job(tmp_path, max_open_files=4096)).handles == 100
    assert Resources.of(job(tmp_path, max_open_files=50)).handles == 50
    monkeypatch.setattr(module, "open_files", lambda: RESERVED_FILES + HANDLES_PER_WORKER - 1)
    with pytest.raises(PreflightError, match="4 are needed"):
        Resources.of(job(tmp_path))


@pytest.mark.parametrize(
    ("share", "chunk"),
    [(CHUNK_FLOOR, CHUNK_FLOOR), (100 << 20, 100 << 20), (2 * CHUNK_CAP, CHUNK_CAP)],
)
def test_chunks_are_as_large_as_a_worker_may_grow(tmp_path: Path, share: int, chunk: int) -> None:
    """Up to a limit; one that must be larger may have the whole budget, alone."""
    made = job(tmp_path, max_workers=2, memory_budget=budget(2, share))
    chunking = Resources.of(made).recipe(made, get_operation(made.op.name)).chunking
    assert chunking.max_bytes == chunk
    assert chunking.most_bytes == 2 * (WORKER_BYTES + share) - WORKER_BYTES


def test_only_the_run_phase_counts_failures(tmp_path: Path) -> None:
    """A plan with many bad inputs is still a plan."""
    made = job(tmp_path, memory_budget=LEAST)
    limits = [
        Resources.of(made).scheduler(made, "r", phase).config.failure_limit
        for phase in ("probe", "run")
    ]
    assert limits == [None, made.failures.max_failures]


def test_threads_are_pooled_where_the_job_says_so(tmp_path: Path) -> None:
    made = Resources.of(job(tmp_path, executor="thread", memory_budget=LEAST))
    assert isinstance(made.make_pool(tmp_path, []), ThreadPool)


def test_directories_that_workers_write_to(tmp_path: Path) -> None:
    """Those that a parameter names, and those of databases with a log beside them."""
    for name in ("a.gpkg", "a.gpkg-wal", "b.gpkg"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/c.gpkg").touch()
    project = Project(tmp_path, op={"state_dir": str(tmp_path / "counts")})
    inputs = [
        Input(str(tmp_path / name), name) for name in ("data/a.gpkg", "data/b.gpkg", "other/c.gpkg")
    ]
    assert written_by_workers(project.job().job, inputs) == [
        str(tmp_path / "counts"),
        str(tmp_path / "data"),
    ]
    assert written_by_workers(Project(tmp_path).job().job, []) == []


def test_directories_that_links_of_the_user_lead_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/deep").symlink_to(tmp_path / "elsewhere")
    inputs = [Input("/data/a.tif", "deep/a.tif"), Input("/data/b.tif", "b.tif")]
    assert linked_for_outputs(tmp_path / "out", inputs) == [str(tmp_path / "elsewhere")]
