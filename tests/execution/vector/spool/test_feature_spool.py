"""Spools of features: what becomes of segments that nobody will read, and of files left open."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import DiskFullError, OutputGoneError, VerifyError
from geobatch_tui.execution.io import syncing
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import ChunkTask, FinaliseTask
from geobatch_tui.execution.vector import assemble
from geobatch_tui.execution.vector.spool.segment import counts, passed
from geobatch_tui.execution.vector.write import flatgeobuf_file


@pytest.fixture
def item(tmp_path):
    source = vectordata.write(vectordata.layer(40), tmp_path / "s.fgb")
    plan = vectorjobs.probe("vector.convert", source, form="FlatGeobuf", features=10)
    return vectorjobs.context("vector.convert", source, tmp_path / "out", plan, None, "FlatGeobuf")


def _run(item, index, **how):
    task = ChunkTask(index, item, index, 1, 1, **how)
    return get_operation("vector.convert").run(task, vectorjobs.stage)


def _sizes(item):
    return [path.stat().st_size for path in Path(item.work_dir).glob("*.spool")]


def _full(fd):
    raise OSError(errno.ENOSPC, "no")


def test_a_segment_that_is_not_on_disk_is_cut_off(item, monkeypatch):
    """Its chunk is computed again: on a full disk it must not take the room twice."""
    first = _run(item, 0).segment
    with syncing.collected() as syncs:
        _run(item, 1)
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(DiskFullError):
        syncs[0].finish()
    assert _sizes(item) == [first.offset + first.length]


@pytest.mark.parametrize("lost", ["*.spool", "1", "work", ".geobatch"])
def test_a_failed_sync_is_a_failure(item, lose_syncs, lost):
    """Of the spool, or of a folder that holds its name or that of its folder."""
    asked = lose_syncs(lost)
    with pytest.raises(OutputGoneError, match="Input/output error"):
        _run(item, 0)
    assert len(asked) == 1
    assert _sizes(item) == [0]


def test_a_segment_that_another_follows_stays(item, monkeypatch):
    """Nothing is cut that was answered for."""
    with syncing.collected() as syncs:
        _run(item, 0)
        second = _run(item, 1).segment
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(DiskFullError):
        syncs[0].finish()
    monkeypatch.undo()
    syncs[1].finish()
    assert _sizes(item) == [second.offset + second.length]
    assert counts(item, [second])[0]["out"] == 10


def test_an_output_that_does_not_fit_takes_no_room_for_its_chunk(item, monkeypatch):
    """However often the item is tried, its spool does not grow."""

    def full(*_, **__):
        raise DiskFullError("no room")

    monkeypatch.setattr(assemble, "assemble", full)
    for _ in range(3):
        with pytest.raises(DiskFullError):
            _run(item, 0, whole=True)
    assert _sizes(item) == [0]


def _fds():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_damaged_segment_leaves_no_file_open(item):
    """A worker meets many of them."""
    segment = _run(item, 0).segment
    before = _fds()
    for _ in range(5):
        with pytest.raises(VerifyError):
            list(passed(item, [replace(segment, index=segment.index + 1)]))
    assert _fds() == before


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EIO, OutputGoneError), (None, VerifyError)], ids=["disk", "short"]
)
def test_a_record_that_cannot_be_read(number, error, item, monkeypatch):
    """An error of the disk is told from a spool that became shorter; what can be read in the end
    is."""
    segments = [_run(item, n).segment for n in range(4)]
    paths = list(Path(item.work_dir).glob("*.spool"))
    whole = paths[0].read_bytes()
    fetch = flatgeobuf_file.feature_loops.fetch
    calls = []

    def fetched(fds, at, starts, lengths, order, out):
        calls.append(len(order))
        read = order if len(calls) > 2 else order[:3]
        return fetch(fds, at, starts, lengths, read, out)

    expected = assemble.assemble(item, segments, 1, vectorjobs.stage)
    monkeypatch.setattr(flatgeobuf_file.feature_loops, "fetch", fetched)
    assert assemble.assemble(item, segments, 2, vectorjobs.stage).digest == expected.digest
    assert calls == [40, 36, 32]
    calls.clear()

    def fill(fd, offset, view):
        del fd, offset, view
        if number:
            raise OSError(number, "no")
        raise VerifyError("the file ends")

    monkeypatch.setattr(flatgeobuf_file.disk, "fill", fill)
    with pytest.raises(error):
        assemble.assemble(item, segments, 3, vectorjobs.stage)
    assert paths[0].read_bytes() == whole


FORMS = ["GeoParquet", "FlatGeobuf", "GPKG", "GeoJSONSeq", "Shapefile"]


@pytest.mark.parametrize("harm", ["gone", "cut", "flipped"])
@pytest.mark.parametrize("form", FORMS)
def test_all_chunks_whose_spool_is_damaged_are_named(form, harm, tmp_path):
    """As after a power cut: they are computed again at once, or the item would be lost at the
    second one."""
    source = vectordata.write(vectordata.layer(40), tmp_path / "s.fgb")
    plan = vectorjobs.probe("vector.convert", source, form=form, features=8)
    item = vectorjobs.context("vector.convert", source, tmp_path / "out", plan, None, form)
    segments = [_run(item, index).segment for index in range(2)]
    (early,) = Path(item.work_dir).glob("*.spool")
    kept = early.rename(early.with_name("kept.spool"))
    segments = [replace(segment, spool=kept.name) for segment in segments]
    segments += [_run(item, index).segment for index in range(2, 5)]
    if harm == "gone":
        kept.unlink()
    else:
        data = bytearray(kept.read_bytes())
        for segment in segments[:2]:
            data[segment.offset] ^= 1
        kept.write_bytes(data[: segments[0].length // 2] if harm == "cut" else data)
    with pytest.raises(VerifyError) as caught:
        get_operation("vector.convert").finalise(
            FinaliseTask(9, item, 1, tuple(segments)), vectorjobs.stage
        )
    assert caught.value.evidence == {"chunks": [0, 1]}
    again = [_run(item, index).segment for index in range(2)]
    get_operation("vector.convert").finalise(
        FinaliseTask(9, item, 1, (*again, *segments[2:])), vectorjobs.stage
    )
