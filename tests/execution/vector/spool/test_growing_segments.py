"""Segments that grow in the spool while their chunk is computed."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import DiskFullError
from geobatch_tui.execution.io import syncing
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import ChunkTask
from geobatch_tui.execution.vector.batch import arrow_arrays
from geobatch_tui.execution.vector.ogr import stream
from geobatch_tui.execution.vector.spool import segment

FORMS = ["GeoParquet", "FlatGeobuf", "GPKG"]


@pytest.fixture
def item(form, tmp_path):
    source = vectordata.write(vectordata.layer(40), tmp_path / "s.gpkg")
    plan = vectorjobs.probe("vector.convert", source, form=form, features=40)
    return vectorjobs.context("vector.convert", source, tmp_path / "out", plan, None, form)


def _run(item):
    with syncing.collected() as syncs:
        done = get_operation("vector.convert").run(ChunkTask(0, item, 0, 1, 1), vectorjobs.stage)
    for sync in syncs:
        sync.finish()
    return done.segment


def _sizes(item):
    return [path.stat().st_size for path in Path(item.work_dir).glob("*.spool")]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_full_disk_on_the_way_takes_no_room(item, writes, monkeypatch):
    """The error comes through the writer of the format, and what was spooled is cut off."""
    first, write_all, seen = _run(item), segment.write_all, []

    def full(fd, data):
        seen.append(len(data))
        if len(seen) < writes:
            write_all(fd, data)
            return
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(segment, "write_all", full)
    with pytest.raises(DiskFullError):
        _run(item)
    monkeypatch.undo()
    assert _sizes(item) == [first.length]
    assert _run(item).offset == first.length


def _table(rows, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 400, rows)
    sizes[rng.integers(0, rows, 3)] = 1_500_000
    values = [None if size < 5 else rng.bytes(int(size)) for size in sizes]
    numbers, words = rng.integers(0, 9, rows), [None if n % 3 else f"w{n % 5}" for n in range(rows)]
    lists = [list(range(n % 4)) for n in range(rows)]
    return pa.table({"n": numbers, "w": words, "l": lists, "g": pa.array(values, pa.binary())})


@pytest.mark.parametrize("rows", [1, 1023, 1024, 1025, 5000])
def test_pages_do_not_tell_how_values_lay_in_memory(rows, tmp_path):
    """A column in steps gives the bytes that it gives in one piece; so no page has moved."""
    table = _table(rows, rows)
    cuts = np.random.default_rng(1).integers(1, 700, rows).cumsum()
    cuts = [0, *cuts[cuts < rows].tolist(), rows]
    parts = [
        table.slice(low, high - low).combine_chunks().to_batches()[0]
        for low, high in itertools.pairwise(cuts)
    ]
    (stepped,) = arrow_arrays.evenly(iter(parts), rows, "g", 2**40)
    steps = [len(chunk) for chunk in stepped["g"].chunks]
    assert (
        steps
        == [arrow_arrays.STEP] * (rows // arrow_arrays.STEP)
        + [rows % arrow_arrays.STEP][: rows % 1024]
    )
    for name, one in (("whole", table.combine_chunks()), ("stepped", stepped)):
        with pq.ParquetWriter(tmp_path / name, one.schema, compression="zstd") as writer:
            writer.write_table(one, row_group_size=rows)
    assert (tmp_path / "stepped").read_bytes() == (tmp_path / "whole").read_bytes()


def test_an_attribute_does_not_keep_the_geometries_in_memory(tmp_path):
    """GDAL frees what it gave at a time together."""
    source = vectordata.write(vectordata.layer(40), tmp_path / "s.gpkg")
    with pyogrio.open_arrow(source, use_pyarrow=True) as (_, reader):
        column = reader.read_next_batch().column(0)
        copy = stream.apart(column)
    assert copy.equals(column)
    pairs = zip(copy.buffers(), column.buffers(), strict=True)
    assert all(a is None or a.address != b.address for a, b in pairs)
