"""What the machine lacks ends or slows a run by its name: no chunk pays for it, and no bug is said."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest
from pool_driver import PoolDriver
from run_project import Project

from geobatch_tui.errors import (
    DiskFullError,
    MemoryBudgetError,
    OpenFilesError,
    OutputGoneError,
    ProcessLimitError,
)
from geobatch_tui.orchestration.plan.machine import shortage
from geobatch_tui.orchestration.schedule import verdicts
from geobatch_tui.orchestration.state import session
from geobatch_tui.orchestration.workers.process_pool import ProcessPool
from geobatch_tui.orchestration.workers.shared_files import shared_page
from geobatch_tui.testing import OPS

OUT = Path("/data/out")
THREADS = {"engine": {"executor": "thread", "max_workers": 2}}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("can't start new thread"), ProcessLimitError),
        (BlockingIOError(errno.EAGAIN, "fork"), ProcessLimitError),
        (MemoryError(), MemoryBudgetError),
        (OSError(errno.ENOMEM, "no"), MemoryBudgetError),
        (OSError(errno.EMFILE, "no"), OpenFilesError),
        (OSError(errno.ENOSPC, "no", "/elsewhere"), DiskFullError),
        (OSError(errno.EDQUOT, "no"), DiskFullError),
        (OSError(errno.EIO, "no", "/data/out/a.tif"), OutputGoneError),
        (FileNotFoundError(errno.ENOENT, "no", b"/data/out/a.tif"), OutputGoneError),
        (FileNotFoundError(errno.ENOENT, "no", "/elsewhere"), None),
        (RuntimeError("a bug"), None),
        (ValueError("a bug"), None),
    ],
    ids=str,
)
def test_what_the_machine_lacks_is_told_from_a_bug(error, kind):
    """All of it ends a run with exit code 17."""
    found = shortage(error, OUT)
    assert type(found) is (kind or type(None))
    assert found is None or found.exit_code == 17


def _log(project: Project) -> list[dict]:
    text = (project.out / ".geobatch/log.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _refuse(monkeypatch, name: str, number: int, times: int = 1) -> None:
    """The next ``times`` folders of that name cannot be made."""
    mkdir, left = os.mkdir, [times]

    def refuse(path, *args, **more):
        if Path(path).parent.name == name and left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number), os.fspath(path))
        return mkdir(path, *args, **more)

    monkeypatch.setattr(os, "mkdir", refuse)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_disk_without_inodes_is_waited_for(tmp_path, monkeypatch, number):
    """The folder of an item's spools is written like everything else."""
    # Of two workers the other may make it in the meantime, and all is well.
    project = Project(tmp_path, values={"engine": {**THREADS["engine"], "max_workers": 1}})
    _refuse(monkeypatch, "work", number)
    result = await project.run()
    assert (result.exit_code, result.counts["done"]) == (0, 10)
    assert "run.suspend" in [line["event"] for line in _log(project)]


async def test_a_disk_that_became_read_only_ends_the_run(tmp_path, monkeypatch):
    """With its cause in the result, the log and the status."""
    project = Project(tmp_path, values=THREADS)
    _refuse(monkeypatch, "work", errno.EROFS, 99)
    result = await project.run()
    assert result.exit_code == 17
    assert result.reason.startswith("fatal: OutputGoneError: ")
    assert "Read-only file system" in result.reason
    failed, ended = _log(project)[-2:]
    assert (failed["event"], failed["error_class"]) == ("run.failed", "OutputGoneError")
    assert "mkdir" in failed["traceback"]
    assert (ended["event"], ended["code"], ended["reason"]) == ("run.exit", 17, result.reason)


async def test_an_engine_whose_disk_fails_ends_as_that(tmp_path, monkeypatch):
    """The list of suspects cannot be removed: no bug, and the last line is in the log."""
    project = Project(tmp_path, values=THREADS)
    unlink = Path.unlink

    def fail(path, missing_ok=False):
        if path.name == "suspects.json":
            raise OSError(errno.EIO, "Input/output error", os.fspath(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(session.Path, "unlink", fail)
    with pytest.raises(OutputGoneError, match=r"suspects\.json"):
        await project.run()
    assert (_log(project)[-1]["event"], _log(project)[-1]["code"]) == ("run.exit", 17)
    monkeypatch.undo()
    assert (await project.run()).exit_code == 0


async def test_a_bug_of_the_engine_is_in_the_log_too(tmp_path, monkeypatch):
    """The last line is always there."""
    project = Project(tmp_path, values=THREADS)
    monkeypatch.setattr(session.Session, "drop_leftovers", lambda _self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await project.run()
    last = _log(project)[-1]
    assert (last["event"], last["code"]) == ("run.exit", 1)
    assert "ZeroDivisionError" in last["reason"]


async def test_threads_that_cannot_be_started_are_gone_without(tmp_path, monkeypatch):
    """One worker does the work of four."""
    project = Project(tmp_path, values={"engine": {"executor": "thread", "max_workers": 4}})
    start, left = threading.Thread.start, [1]

    def refuse(thread):
        if thread.name.startswith("worker "):
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    result = await project.run()
    assert (result.exit_code, result.counts["done"]) == (0, 10)


async def test_an_operation_that_gets_no_threads_ends_the_run_by_that_name(tmp_path, monkeypatch):
    """No chunk is a dead letter."""
    monkeypatch.setattr(verdicts, "FEWER_WAIT", 0.05)
    project = Project(tmp_path, op={"faults": {"no_thread": list(range(10))}}, values=THREADS)
    result = await project.run()
    assert (result.exit_code, result.counts["dead"]) == (17, 0)
    assert result.reason == "fatal: ProcessLimitError: can't start new thread"
    assert "ulimit -u" in _log(project)[-2]["hint"]


@pytest.fixture
async def pool(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    pool = ProcessPool(tmp_path / "state", kill_after=0.5)
    yield PoolDriver(pool, tmp_path)
    await pool.close(2.0)


async def test_a_fork_that_is_refused_is_a_lost_worker(pool, monkeypatch):
    """The fork server tells it in place of a pid, and goes on."""
    from multiprocessing import forkserver

    first = await pool.worker()
    refuse = lambda _fd: -errno.EAGAIN  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(forkserver, "read_signed", refuse)
        lost = await pool.loss(pool.pool.spawn())
    assert (lost.cause, lost.failure.error_class) == ("exit", "ProcessLimitError")
    assert (await pool.outcome(pool.chunk(first))).receipt is not None
    assert (await pool.outcome(pool.chunk(await pool.worker()))).receipt is not None


async def test_a_pipe_that_cannot_be_made_is_a_lost_worker(pool, monkeypatch):
    """Too many open files in the engine."""
    import socket

    def refuse():
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", refuse)
        number = pool.pool.spawn()
    lost = await pool.loss(number)
    assert (lost.cause, lost.failure.error_class) == ("exit", "OpenFilesError")


async def test_limits_that_an_operation_lowers_are_its_own(pool):
    """The next task on that worker has those that it was started with, or another worker."""
    worker = await pool.worker()
    culprit, behind = pool.fault(worker, "few_files"), pool.chunk(worker, 1)
    failure = (await pool.outcome(culprit)).failure
    assert failure.error_class == "OperationError"
    assert "limit of open files" in failure.message
    await pool.until(lambda: behind in pool.outcomes or worker in pool.lost)
    if worker in pool.lost:  # nobody but root can raise a hard limit again
        assert (pool.lost[worker].running, pool.lost[worker].queued) == (None, (behind,))
    else:
        assert pool.outcomes[behind].receipt is not None


async def test_the_page_of_a_worker_cannot_be_cut(pool):
    """The engine looks at it: it would die with the worker."""
    page = shared_page()
    with pytest.raises(PermissionError):
        os.ftruncate(page, 0)
    os.close(page)
    worker = await pool.worker()
    failure = (await pool.outcome(pool.fault(worker, "cut_page"))).failure
    assert failure is not None
    assert (await pool.outcome(pool.chunk(worker, 1))).receipt is not None
