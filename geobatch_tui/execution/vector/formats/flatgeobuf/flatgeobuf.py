"""FlatGeobuf as a source: read by its index where that spares much, and past damaged features.

OGR ends at a feature that it cannot read. Each says how long it is, so the next one is found. Those
behind are copied to a file of their own, some at a time, in which OGR goes on; the one that it
cannot read is set aside.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, override

import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.stores.object_url import ObjectUrl, is_url, relative_name
from geobatch_tui.execution.vector import batch_schema
from geobatch_tui.execution.vector.formats.flatgeobuf import flatgeobuf_layout
from geobatch_tui.execution.vector.formats.source_format import SourceFormat
from geobatch_tui.execution.vector.ogr import archive
from geobatch_tui.execution.vector.plan import FID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf_layout import Bytes
    from geobatch_tui.execution.vector.formats.source_format import Read
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import Access, VectorPlan


UNREADABLE = "OGR cannot read it: its bytes are damaged"
#: Features of such a file; it is read once more for each that cannot be read.
MOST_FEATURES = 1024
#: Bytes of such a file, if OGR reads it the quick way.
MOST_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Copies:
    """How files of some of the features of a source are made: what begins with its ``head``; the
    ``name`` that they get, as it has; the ``folder`` for them, None: the usual one."""

    head: Bytes
    name: str
    folder: str | None


class FlatGeobuf(SourceFormat):
    """A FlatGeobuf file, with or without an index."""

    ends_early = True

    @override
    def access(
        self, path: str, plan: VectorPlan, features: int, stride: int
    ) -> tuple[Access, tuple[int, ...]]:
        # Of an object no copy is made only where its index is to be followed.
        return ("index" if is_url(path) else "drain"), ()

    @override
    def drain(
        self, item: ItemContext, plan: VectorPlan, plain: Plain, read: Read
    ) -> Iterator[pa.RecordBatch]:
        if plan.where or archive.is_inside(plain.place):
            return super().drain(item, plan, plain, read)
        way = _within_bounds if item.params.get("bounds") else _to_the_end
        return way(item, plan, plain, read)


def _within_bounds(
    item: ItemContext, plan: VectorPlan, plain: Plain, read: Read
) -> Iterator[pa.RecordBatch]:
    """Read the features; those of chunks that the index shows outside come without anything."""
    data, bounds = flatgeobuf_layout.mapped(item.source), item.params["bounds"]
    leaves = flatgeobuf_layout.leaves(data, plan.count)
    runs = leaves.runs(item.plan.grid.chunk_width, bounds) if leaves else []
    if leaves is None or not runs or not leaves.hold(data, runs):
        yield from _to_the_end(item, plan, plain, read)
        return
    copies = Copies(data, file_name(item.source), item.work_dir)
    for start, stop, is_outside in runs:
        if is_outside:
            yield batch_schema.unread_features(plan, start, stop - start)
        else:
            starts = leaves.starts(start, stop)
            yield from features_between(copies, plan, data, start, starts, read, wide=leaves.wide)


def _to_the_end(
    item: ItemContext, plan: VectorPlan, plain: Plain, read: Read
) -> Iterator[pa.RecordBatch]:
    """Read the features, also those behind one that OGR cannot read."""
    seen = 0
    with suppress(CorruptSourceError):
        for batch in read(plain, plan):
            seen += batch.num_rows
            yield batch
    if seen < plan.count:
        data = flatgeobuf_layout.mapped(item.source)
        starts = flatgeobuf_layout.feature_starts(data, item.source)[seen:]
        copies = Copies(data, file_name(item.source), item.work_dir)
        yield from features_between(copies, plan, data, seen, starts, read)


def file_name(source: str) -> str:
    """Return the name of a source, a path or a URL, as a file of it alone has it."""
    return relative_name(ObjectUrl.of(source).name) if is_url(source) else Path(source).name


def features_between(
    copies: Copies,
    plan: VectorPlan,
    data: Bytes,
    first: int,
    starts: Sequence[int],
    read: Read,
    *,
    wide: int = 0,
) -> Iterator[pa.RecordBatch]:
    """Read features, ``UNREADABLE`` beside those that OGR cannot read, from files of their own.

    Args:
        copies: how such files are made.
        plan: of the item.
        data: bytes of the source, or features alone.
        first: number of the first feature.
        starts: where the features begin, and where the last one ends.
        read: reads such a file.
        wide: children of a node of the index that the source has. OGR reads it the quick way then
            (see ``ogr.stream``), which does not say which feature it cannot read.
    """
    schema = batch_schema.checked_schema(plan)
    at, count = 0, len(starts) - 1
    with TemporaryDirectory(prefix="rest-", dir=copies.folder) as place:
        part = Path(place) / copies.name  # its layer may have the name of the file
        while at < count:
            stop = min(at + MOST_FEATURES, count)
            if wide:
                stop = max(at + 1, bisect_right(starts, starts[at] + MOST_BYTES) - 1)
            head = flatgeobuf_layout.header(copies.head, stop - at, wide)
            part.write_bytes(head + data[starts[at] : starts[stop]])
            with suppress(CorruptSourceError):
                for batch in read(archive.Plain(str(part), str(part)), plan):
                    ids = pa.array(range(first + at, first + at + batch.num_rows), pa.int64())
                    columns = [*batch.columns, pa.nulls(batch.num_rows, pa.string())]
                    columns[batch.schema.get_field_index(FID)] = ids
                    yield pa.RecordBatch.from_arrays(columns, schema=schema)
                    at += batch.num_rows
            if at < stop and wide:
                wide = 0
            elif at < stop:
                values = [None] * (len(schema) - 3) + [first + at, None, UNREADABLE]
                columns = [
                    pa.array([one], each.type) for one, each in zip(values, schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
                at += 1
