"""A worker answers for a task once what it wrote is on disk, and works meanwhile."""

from __future__ import annotations

import errno
import os
import socket
import threading

import pytest

from geobatch_tui.errors import DiskFullError
from geobatch_tui.execution.io import syncing
from geobatch_tui.execution.io.part_file import new_file
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.looking import InspectReceipt, InspectTask
from geobatch_tui.execution.protocol.messages import Outcome
from geobatch_tui.execution.worker.answers import Answers


@pytest.fixture
def ends():
    """The engine's and the worker's end of a pipe."""
    engine, worker = socket.socketpair()
    engine.settimeout(20)
    yield engine, worker
    engine.close()
    worker.close()


class Disk:
    """A disk that syncs when it is told to, or refuses to."""

    def __init__(self):
        self.asked, self.go = threading.Event(), threading.Event()
        self.error, self.synced = None, []

    def fsync(self, fd):
        self.asked.set()
        assert self.go.wait(20)
        if self.error is not None:
            raise OSError(self.error, "no")
        self.synced.append(fd)


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    return disk


def put(answers, ident, path=None, size=5):
    """Answer for a task that wrote ``path``, ``size`` bytes."""
    with syncing.collected() as syncs:
        if path is not None:
            with new_file(path, later=True) as fd:
                os.write(fd, bytes(size))
    outcome = Outcome(ident, InspectReceipt("", 0, ""), None, 0.0, 0, 0)
    answers.put(InspectTask(ident, "op", str(path or "")), outcome, syncs)


def take(engine, count):
    """The next outcomes."""
    frames, found = wire.Frames(), []
    while len(found) < count:
        found += [wire.unpack(body) for _, body in frames.feed(engine.recv(1 << 16))]
    return found


def test_answers_wait_for_the_disk_and_keep_their_order(ends, disk, tmp_path):
    """Nothing is sent before its sync, nor before what came earlier; the worker need not wait."""
    engine, worker = ends
    answers = Answers(worker)
    put(answers, 1)
    assert [outcome.task_id for outcome in take(engine, 1)] == [1]
    put(answers, 2, tmp_path / "a")
    put(answers, 3)
    put(answers, 4, tmp_path / "b")
    engine.settimeout(0.2)
    with pytest.raises(TimeoutError):
        engine.recv(1)
    engine.settimeout(20)
    assert not disk.synced
    disk.go.set()
    assert [outcome.task_id for outcome in take(engine, 3)] == [2, 3, 4]
    assert len(disk.synced) == 2
    answers.close()


@pytest.mark.parametrize("size", [5, syncing.LARGE])
def test_what_did_not_reach_the_disk_is_a_failure_and_removed(ends, disk, tmp_path, size):
    """Found out after the task's end, and answered for that task alone."""
    engine, worker = ends
    disk.error = errno.ENOSPC
    answers = Answers(worker)
    put(answers, 1, tmp_path / "a", size)
    put(answers, 2)
    disk.go.set()
    first, second = take(engine, 2)
    assert first.receipt is None
    assert (first.failure.error_class, first.failure.stage) == ("DiskFullError", "write")
    assert second.failure is None
    assert not (tmp_path / "a").exists()
    answers.close()


def test_nobody_collects_and_the_sync_is_waited_for(disk, tmp_path):
    """In the threads of an engine there is nothing beside the next task."""
    disk.go.set()
    with new_file(tmp_path / "a", later=True):
        assert not disk.synced
    assert len(disk.synced) == 1
    disk.error = errno.ENOSPC
    with pytest.raises(DiskFullError), new_file(tmp_path / "b", later=True):
        pass
    assert not (tmp_path / "b").exists()


def test_a_shared_file_outlives_a_failed_sync(disk, tmp_path):
    """What other tasks wrote to it before is on disk."""
    disk.go.set()
    disk.error = errno.ENOSPC
    path, undone = tmp_path / "a.spool", []
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    with pytest.raises(DiskFullError):
        syncing.finish_later(fd, path, undo=lambda: undone.append(1))
    assert undone == [1]
    assert path.exists()


def test_a_large_file_is_synced_beside_its_own_task(ends, disk, tmp_path):
    """And once only; its answer waits for that."""
    engine, worker = ends
    answers = Answers(worker)
    with syncing.collected() as syncs:
        with new_file(tmp_path / "a", later=True) as fd:
            os.write(fd, bytes(syncing.LARGE))
        assert disk.asked.wait(20)
    answers.put(InspectTask(1, "op", ""), Outcome(1, None, None, 0.0, 0, 0), syncs)
    engine.settimeout(0.2)
    with pytest.raises(TimeoutError):
        engine.recv(1)
    engine.settimeout(20)
    disk.go.set()
    take(engine, 1)
    answers.close()
    assert len(disk.synced) == 1


def test_a_large_file_of_a_task_that_failed_is_left_once_its_sync_ends(disk, tmp_path):
    """Its descriptor must not be another file's by then."""
    with syncing.collected() as syncs, new_file(tmp_path / "a", later=True) as fd:
        os.write(fd, bytes(syncing.LARGE))
    assert disk.asked.wait(20)
    dropped = threading.Thread(target=syncs[0].drop)
    dropped.start()
    os.fstat(fd)
    disk.go.set()
    dropped.join(20)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
