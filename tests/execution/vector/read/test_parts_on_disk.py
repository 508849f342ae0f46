"""One read of a source fills parts on disk; what ends it is told once."""

from __future__ import annotations

import errno
import threading

import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CorruptSourceError, DiskFullError, VerifyError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import ChunkTask
from geobatch_tui.execution.vector.read import batch_reader, parts_on_disk


@pytest.fixture
def item(tmp_path):
    path = vectordata.write(vectordata.layer(20), tmp_path / "s.geojson")
    plan = vectorjobs.probe("vector.convert", path, features=5)
    assert plan.notes["access"] == "drain"
    return vectorjobs.context("vector.convert", path, tmp_path / "out", plan, None, "GeoParquet")


def _run(item):
    get_operation("vector.convert").run(ChunkTask(0, item, 1, 1, 1), vectorjobs.stage)


def _join():
    for thread in threading.enumerate():
        if thread.name == "drain":
            thread.join(20)


def test_a_source_that_cannot_be_read_is_read_once(item, monkeypatch):
    """The task that waits learns of the error; nobody reads the source again behind its back."""
    reads, asleep = [], threading.Event()

    def opened(*_, **__):
        reads.append(threading.current_thread().name)
        assert asleep.wait(20)
        raise CorruptSourceError("it ends here")

    def sleep(_):
        asleep.set()
        _join()

    monkeypatch.setattr(batch_reader, "open_stream", opened)
    monkeypatch.setattr(parts_on_disk.time, "sleep", sleep)
    with pytest.raises(CorruptSourceError, match="it ends here"):
        _run(item)
    _join()
    assert reads == ["drain"]


def test_a_part_that_does_not_fit_on_the_disk_leaves_nothing(item, monkeypatch):
    """A full disk gets back the room of what could not be finished."""

    def full(fd, data):
        del fd, data
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(parts_on_disk, "write_all", full)
    with pytest.raises(DiskFullError):
        _run(item)
    parts = parts_on_disk.part_path(item, 0).parent
    assert [path.name for path in parts.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize("kept", [b"", bytes(4), bytes(100)], ids=["nothing", "a sum", "zeros"])
def test_a_part_that_lost_its_bytes_is_read_again(item, kept):
    """A name may outlive the bytes of its file where the machine lost its power."""
    path = parts_on_disk.part_path(item, 1)
    path.parent.mkdir(parents=True)
    path.write_bytes(kept)
    with pytest.raises(VerifyError, match="reads back other bytes"):
        _run(item)
    _run(item)
    _join()


@pytest.mark.parametrize("count", [0, 3, 5])
def test_a_source_that_ends_early_is_told_of(count, item, monkeypatch):
    """With the number of features that it gave."""
    whole = parts_on_disk.all_features
    monkeypatch.setattr(
        parts_on_disk, "all_features", lambda *how: (next(whole(*how)).slice(0, n) for n in [count])
    )
    with pytest.raises(CorruptSourceError, match=f"ends after {count} features; 20 were"):
        _run(item)
    _join()
