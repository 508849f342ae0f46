"""Reads the features of a chunk, by the quickest way that its format has.

No read skips features one by one: a range of ids, of records or of row groups is found at once,
and where a format has neither, one sequential read fills parts on disk (see ``parts_on_disk``). A
dataset is opened, read and closed in one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.batch.arrow_arrays import offsets
from geobatch_tui.execution.vector.batch_schema import unread_features
from geobatch_tui.execution.vector.ogr import archive
from geobatch_tui.execution.vector.plan import WKB
from geobatch_tui.execution.vector.read import (
    batch_reader,
    parquet_layer,
    parts_on_disk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Bytes of geometry in a batch; a feature that has more is a batch of its own. Larger ones fall out
#: of the processor's cache.
BATCH_BYTES = 4 * 2**20


def read_chunk(item: ItemContext, plan: VectorPlan, index: int) -> Iterator[pa.RecordBatch]:
    """Read the features of chunk ``index``, in the order of the source.

    Raises:
        CorruptSourceError: it gives other than the number of features that was planned; and as
            :func:`batch_reader.open_stream`.
    """
    if plan.access == "none":
        return
    window = item.plan.grid.window(index)
    plain = archive.Plain(item.source, plan.place or item.source)
    if plan.access == "drain":
        batches = parts_on_disk.read_part(item, plan, index)
    elif plan.access == "rows":
        batches = parquet_layer.row_groups(item, plan, window)
    elif index in plan.outside:
        batches = iter((unread_features(plan, None, window.width),))
    elif plan.access == "index":
        from geobatch_tui.execution.vector.read import flatgeobuf_layer  # loads a client of stores

        batches = flatgeobuf_layer.features_in_bounds(item, plan, window)
    elif plan.access == "fid":
        batches = batch_reader.open_stream(plain, plan, where=plan.where_of_chunk(index))
    else:
        read = batch_reader.open_stream(plain, plan, skip=window.col_off)
        batches = _first(read, window.width)
    seen = 0
    for batch in batches:
        seen += batch.num_rows
        yield from _small(batch)
        del batch  # or two are there while the next one is read
    if seen != window.width:
        raise CorruptSourceError(
            f"{item.source}: chunk {index} has {seen} features, {window.width} were counted when "
            "the run was planned",
            hint="the source changed, or its own count is wrong; run again with --fresh",
        )


def _small(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch into slices of at most ``BATCH_BYTES`` of geometry, or of one feature."""
    places, start, count = offsets(batch.column(WKB)), 0, batch.num_rows
    while start < count:
        stop = int(np.searchsorted(places, int(places[start]) + BATCH_BYTES, "right")) - 1
        stop = min(max(stop, start + 1), count)
        yield batch.slice(start, stop - start)
        start = stop


def _first(batches: Iterator[pa.RecordBatch], count: int) -> Iterator[pa.RecordBatch]:
    """Give the first ``count`` features."""
    for batch in batches:
        yield batch.slice(0, count)
        count -= min(batch.num_rows, count)
        if not count:
            return
