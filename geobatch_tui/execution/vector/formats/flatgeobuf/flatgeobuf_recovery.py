"""Features of FlatGeobuf behind one that OGR cannot read, at which it ends.

Each says how long it is, so the next one is found. Those behind are copied to a file of their own,
some at a time, in which OGR goes on; the one that it cannot read is set aside.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector import batch_schema
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf_layout import (
    feature_starts,
    header,
    mapped,
)
from geobatch_tui.execution.vector.plan import FID

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.vector.formats.source_format import Read
    from geobatch_tui.execution.vector.plan import VectorPlan

UNREADABLE = "OGR cannot read it: its bytes are damaged"
#: Features of such a file; it is read once more for each that cannot be read.
MOST_FEATURES = 1024
#: Bytes of such a file, if OGR reads it the quick way.
MOST_BYTES = 8 << 20


def features_behind(
    item: ItemContext, plan: VectorPlan, seen: int, read: Read
) -> Iterator[pa.RecordBatch]:
    """Read the features of a source but the first ``seen``, with ``UNREAD``.

    Raises:
        CorruptSourceError: it is not known where they begin.
    """
    data = mapped(item.source)
    starts = feature_starts(data, item.source)[seen:]
    yield from features_between(item, plan, data, seen, starts, read)


def features_between(
    item: ItemContext,
    plan: VectorPlan,
    data: mmap.mmap,
    first: int,
    starts: Sequence[int],
    read: Read,
    *,
    wide: int = 0,
) -> Iterator[pa.RecordBatch]:
    """Read features with ``UNREAD``, some at a time, from files of their own.

    Args:
        item: whose source it is.
        plan: of the item.
        data: bytes of the source.
        first: number of the first feature.
        starts: where the features begin, and where the last one ends.
        read: reads such a file.
        wide: children of a node of the index that the source has. OGR reads it the quick way then
            (see ``ogr.stream``), which does not say which feature it cannot read.
    """
    schema = batch_schema.checked_schema(plan)
    at, count = 0, len(starts) - 1
    with TemporaryDirectory(prefix="rest-", dir=item.work_dir) as place:
        part = Path(place) / Path(item.source).name  # its layer may have the name of the file
        while at < count:
            stop = min(at + MOST_FEATURES, count)
            if wide:
                stop = max(at + 1, bisect_right(starts, starts[at] + MOST_BYTES) - 1)
            part.write_bytes(header(data, stop - at, wide) + data[starts[at] : starts[stop]])
            for batch in _readable(read(str(part), plan)):
                ids = pa.array(range(first + at, first + at + batch.num_rows), pa.int64())
                fid = batch.schema.get_field_index(FID)
                columns = [*batch.columns, pa.nulls(batch.num_rows, pa.string())]
                columns[fid] = ids
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


def _readable(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give batches up to the first that cannot be read."""
    try:
        yield from batches
    except CorruptSourceError:
        return
