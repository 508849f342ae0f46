"""FlatGeobuf as a source: read by its index where that spares much, and past damaged features."""

from __future__ import annotations

from typing import TYPE_CHECKING, override

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector import batch_schema
from geobatch_tui.execution.vector.formats.flatgeobuf import (
    flatgeobuf_index,
    flatgeobuf_layout,
    flatgeobuf_recovery,
)
from geobatch_tui.execution.vector.formats.source_format import SourceFormat
from geobatch_tui.execution.vector.ogr import archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.vector.formats.source_format import Read
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import VectorPlan


class FlatGeobuf(SourceFormat):
    """A FlatGeobuf file, with or without an index."""

    ends_early = True

    @override
    def drain(
        self, item: ItemContext, plan: VectorPlan, plain: Plain, read: Read
    ) -> Iterator[pa.RecordBatch]:
        if plan.where:
            return super().drain(item, plan, plain, read)
        if item.params.get("bounds") and not archive.is_inside(plain.place):
            return _within_bounds(item, plan, plain, read)
        return _to_the_end(item, plan, plain, read)


FLATGEOBUF = FlatGeobuf()


def _within_bounds(
    item: ItemContext, plan: VectorPlan, plain: Plain, read: Read
) -> Iterator[pa.RecordBatch]:
    """Read the features; those of chunks that the index shows outside come without anything."""
    data, bounds = flatgeobuf_layout.mapped(item.source), item.params["bounds"]
    leaves = flatgeobuf_index.of(data, plan.count)
    runs = leaves.runs(item.plan.grid.chunk_width, bounds) if leaves else []
    if leaves is None or not runs or not leaves.hold(data, runs):
        yield from _to_the_end(item, plan, plain, read)
        return
    for start, stop, is_outside in runs:
        if is_outside:
            yield batch_schema.unread_features(plan, start, stop - start)
        else:
            starts = leaves.starts(start, stop)
            yield from flatgeobuf_recovery.features_between(
                item, plan, data, start, starts, read, wide=leaves.wide
            )


def _to_the_end(
    item: ItemContext, plan: VectorPlan, plain: Plain, read: Read
) -> Iterator[pa.RecordBatch]:
    """Read the features, also those behind one that OGR cannot read."""
    seen = 0
    try:
        for batch in read(plain.place, plan, plain=plain):
            seen += batch.num_rows
            yield batch
    except CorruptSourceError:
        if archive.is_inside(plain.place):
            raise
    if seen < plan.count and not archive.is_inside(plain.place):
        yield from flatgeobuf_recovery.features_behind(item, plan, seen, read)
