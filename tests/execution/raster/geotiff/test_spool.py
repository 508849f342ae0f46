"""Spools: a segment is wholly there and durable, or it is not there."""

from __future__ import annotations

import errno
import os
import random
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from assembling import make_item, make_plan, no_stage, noise, write_segments

from geobatch_tui.errors import DiskFullError, OperationError, OutputGoneError, VerifyError
from geobatch_tui.execution.io import syncing
from geobatch_tui.execution.raster.encode.codec import codec_of
from geobatch_tui.execution.raster.geotiff import spool
from geobatch_tui.execution.raster.pyramid.tiles import TileForm, pyramid, tiles_of

PLAN = make_plan(200, 150, count=3, block=32, predictor=2)


@pytest.fixture
def item(tmp_path):
    item = make_item(PLAN, tmp_path, chunk=(64, 64))
    return replace(item, work_dir=str(tmp_path / ".geobatch" / "work" / "1"))


def rows_of(item, segment):
    fd = os.open(Path(item.work_dir) / segment.spool, os.O_RDONLY)
    try:
        return spool.read_rows(fd, item, segment)
    finally:
        os.close(fd)


def test_segments_hold_the_chunk(item):
    """Every tile of the chunk's levels lies where the index says, framed as in a COG."""
    pixels = noise(PLAN)
    segments = write_segments(item, PLAN, pixels)
    assert {segment.spool for segment in segments} == {segments[0].spool}
    data = (Path(item.work_dir) / segments[0].spool).read_bytes()
    levels, form, codec = pyramid(PLAN), TileForm.of(PLAN), codec_of(PLAN)
    for segment in segments:
        assert spool.is_intact(item, segment)
        window = item.plan.grid.window(segment.index)
        rows = rows_of(item, segment)
        expected = [tiles_of(grid, level, window) for level, grid in enumerate(levels[:2])]
        assert [rows["tile"][rows["level"] == n].tolist() for n in (0, 1)] == expected
        for row in rows[rows["level"] == 0]:
            start, length = int(row["offset"]), int(row["length"])
            tile = data[start : start + length]
            assert data[start - 4 : start] == length.to_bytes(4, "little")
            assert data[start + length : start + length + 4] == tile[-4:]
            at = levels[0].window(int(row["tile"]))
            got = form.unpack(codec.decode(tile, (32, 32, 3), form.dtype), at)
            cut = (slice(at.row_off, at.row_off + 32), slice(at.col_off, at.col_off + 32))
            np.testing.assert_array_equal(got, pixels[:, *cut])


def test_short_writes_go_on(item, monkeypatch):
    """A write that takes a few bytes is continued behind them."""
    write = os.write
    chance = random.Random(1)

    def some(fd, data):
        return write(fd, data[: chance.randint(1, 999)])

    monkeypatch.setattr(os, "write", some)
    monkeypatch.setattr(os, "writev", lambda fd, parts: some(fd, b"".join(parts)))
    segments = write_segments(item, PLAN, noise(PLAN))
    assert all(spool.is_intact(item, segment) for segment in segments)


@pytest.mark.parametrize("after", [0, 1, 5])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_the_spool_as_it_was(item, monkeypatch, code, after):
    """What was written of the segment is cut off, and the next one works."""
    first, _ = spool.write_chunk(item, PLAN, 0, noise(PLAN)[:, :64, :64], None, 1, no_stage)
    path = Path(item.work_dir) / first.spool
    before = path.read_bytes()
    write, calls = os.write, []

    def fill(fd, data):
        calls.append(fd)
        if len(calls) > after:
            raise OSError(code, os.strerror(code))
        return write(fd, data[:100])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill)
        patch.setattr(os, "writev", lambda fd, parts: fill(fd, b"".join(parts)))
        with pytest.raises(DiskFullError):
            spool.write_chunk(item, PLAN, 1, noise(PLAN)[:, :64, 64:128], None, 1, no_stage)
    assert path.read_bytes() == before
    again, _ = spool.write_chunk(item, PLAN, 1, noise(PLAN)[:, :64, 64:128], None, 1, no_stage)
    assert again.offset == len(before)
    assert spool.is_intact(item, first)
    assert spool.is_intact(item, again)


@pytest.mark.parametrize("lost", ["*.spool", "1", "work", ".geobatch"])
def test_a_failed_sync_is_a_failure(item, lose_syncs, lost):
    """Of the spool, or of a folder that holds its name or that of its folder: each is synced before
    the chunk counts, once, and its failure costs the segment."""
    asked = lose_syncs(lost)
    with pytest.raises(OutputGoneError, match="Input/output error"):
        spool.write_chunk(item, PLAN, 0, noise(PLAN)[:, :64, :64], None, 1, no_stage)
    assert len(asked) == 1
    assert [path.stat().st_size for path in Path(item.work_dir).iterdir()] == [0]


@pytest.mark.parametrize("more", [False, True])
def test_a_chunk_is_synced_beside_the_next(item, monkeypatch, more):
    """Only before it is answered for; if that fails, it is cut off, unless others follow it."""
    fsync, synced = os.fsync, []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(fd) or fsync(fd))
    first, _ = spool.write_chunk(item, PLAN, 0, noise(PLAN)[:, :64, :64], None, 1, no_stage)
    path = Path(item.work_dir) / first.spool
    before = path.read_bytes()
    synced.clear()
    with syncing.collected() as syncs:
        second, _ = spool.write_chunk(item, PLAN, 1, noise(PLAN)[:, :64, 64:128], None, 1, no_stage)
    assert not synced
    assert spool.is_intact(item, second)
    if more:
        third, _ = spool.write_chunk(item, PLAN, 2, noise(PLAN)[:, :64, 128:192], None, 1, no_stage)
    monkeypatch.setattr(os, "fsync", lambda _fd: fail(errno.ENOSPC))
    with pytest.raises(DiskFullError):
        syncs[0].finish()
    if more:
        assert spool.is_intact(item, third)
    else:
        assert path.read_bytes() == before


def fail(code):
    raise OSError(code, os.strerror(code))


def test_a_name_that_was_not_synced_is_synced_with_the_next_chunk(item, monkeypatch):
    """A spool that has bytes has its name on disk."""
    fsync, calls = os.fsync, []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _fd: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            spool.write_chunk(item, PLAN, 0, noise(PLAN)[:, :64, :64], None, 1, no_stage)
    monkeypatch.setattr(
        os, "fsync", lambda fd: calls.append(stat.S_ISDIR(os.fstat(fd).st_mode)) or fsync(fd)
    )
    for index in (0, 1):
        spool.write_chunk(item, PLAN, index, noise(PLAN)[:, :64, :64], None, 1, no_stage)
    assert calls == [True, True, True, False, False]


def test_a_vanished_disk_ends_the_run(item, monkeypatch):
    """A filesystem gone read-only is the run's trouble, not the chunk's."""

    def fail(_fd, _data):
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(os, "writev", fail)
    with pytest.raises(OutputGoneError):
        spool.write_chunk(item, PLAN, 0, noise(PLAN)[:, :64, :64], None, 1, no_stage)


def test_lost_bytes_are_noticed(item, monkeypatch):
    """A write that claims more than it did is found by reading back."""
    write = os.write

    def lose(fd, data):
        write(fd, bytes(len(data)))
        return len(data)

    monkeypatch.setattr(os, "writev", lambda fd, parts: lose(fd, b"".join(parts)))
    with pytest.raises(VerifyError):
        spool.write_chunk(item, PLAN, 0, noise(PLAN)[:, :64, :64], None, 1, no_stage)
    assert [path.stat().st_size for path in Path(item.work_dir).iterdir()] == [0]


def test_damage_is_noticed(item):
    """No byte of a segment can change or go missing without notice."""
    segment = write_segments(item, PLAN, noise(PLAN))[3]
    path = Path(item.work_dir) / segment.spool
    data = path.read_bytes()
    end = segment.offset + segment.length
    footer = range(end - spool.END_SIZE - 90, end)
    for place in [*range(segment.offset, end, 997), *footer]:
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        assert not spool.is_intact(item, segment)
        if place in footer:
            with pytest.raises(VerifyError):
                rows_of(item, segment)
    path.write_bytes(data[: end - 1])
    assert not spool.is_intact(item, segment)
    path.unlink()
    assert not spool.is_intact(item, segment)


def test_segments_of_others_are_refused(item):
    """A spool of another plan, chunk or chunk grid is never taken for this one's."""
    segment = write_segments(item, PLAN, noise(PLAN))[0]
    other_grid = replace(item.plan, grid=replace(item.plan.grid, chunk_width=128))
    for stranger, place in [
        (replace(item, fingerprint="f" * 32), segment),
        (replace(item, plan=other_grid), segment),
        (item, replace(segment, index=1)),
        (item, replace(segment, offset=segment.offset + 1)),
        (item, replace(segment, length=10)),
    ]:
        with pytest.raises(VerifyError):
            rows_of(stranger, place)


@pytest.mark.parametrize(
    ("pixels", "valid"),
    [
        (np.zeros((3, 64, 63), np.uint8), None),
        (np.zeros((3, 64, 64), np.int16), None),
        (np.zeros((3, 64, 64), np.uint8), np.ones((64, 63), np.bool_)),
        (np.zeros((3, 64, 64), np.uint8), np.ones((64, 64), np.uint8)),
    ],
)
def test_other_shapes_are_refused(item, pixels, valid):
    """Pixels and validity are exactly the chunk's."""
    with pytest.raises(OperationError):
        spool.write_chunk(item, PLAN, 0, pixels, valid, 1, no_stage)


def test_spools_do_not_follow_links(item, tmp_path, monkeypatch):
    """A link planted in the work directory is not written through."""
    monkeypatch.setattr(spool, "writer_name", lambda: "7-8")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    Path(item.work_dir).mkdir(parents=True)
    (Path(item.work_dir) / "1-7-8.spool").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        spool.write_chunk(item, PLAN, 0, noise(PLAN)[:, :64, :64], None, 1, no_stage)
    assert victim.read_text() == "precious"
