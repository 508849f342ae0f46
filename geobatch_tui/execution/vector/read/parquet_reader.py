"""Reads features of GeoParquet by pyarrow, whole row groups at a time."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.execution.vector.batch.arrow_arrays import flags
from geobatch_tui.execution.vector.batch.where import Condition
from geobatch_tui.execution.vector.batch_schema import schema_of, unread_features
from geobatch_tui.execution.vector.formats import geoparquet
from geobatch_tui.execution.vector.ogr.errors import ogr_errors
from geobatch_tui.execution.vector.plan import FID
from geobatch_tui.execution.vector.read.batch_reader import BATCH, pinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.vector.formats.source_format import Bounds
    from geobatch_tui.execution.vector.plan import VectorPlan


def row_groups(item: ItemContext, plan: VectorPlan, window: Window) -> Iterator[pa.RecordBatch]:
    """Read the features of a chunk, which consists of whole row groups."""
    with ogr_errors(item.source), geoparquet.parquet_file(item.source, memory_map=True) as file:
        rows = file.metadata.row_group(0).num_rows
        last = -(-(window.col_off + window.width) // rows)
        groups = list(range(window.col_off // rows, last))
        yield from _batches(file, plan, groups, window.col_off, item.params.get("bounds"))


def whole_file(item: ItemContext, plan: VectorPlan) -> Iterator[pa.RecordBatch]:
    """Read all features of a source."""
    with ogr_errors(item.source), geoparquet.parquet_file(item.source) as file:
        groups = list(range(file.metadata.num_row_groups))
        yield from _batches(file, plan, groups, 0, item.params.get("bounds"))


def _batches(
    file: pq.ParquetFile, plan: VectorPlan, groups: list[int], start: int, bounds: Bounds
) -> Iterator[pa.RecordBatch]:
    """Read row groups; ids are row numbers, from ``start``.

    A row group outside of ``bounds`` is not read: its features come without anything, and are left
    out as those that are read and lie outside.
    """
    schema = schema_of(plan)
    condition = Condition(plan.where, _attributes(file, plan)) if plan.where else None
    asked = condition.names if condition else []
    wanted = list(dict.fromkeys([*plan.fields, *asked, plan.geometry_column]))
    # Whether features that are not read satisfy a condition is not known.
    not_read = geoparquet.outside(file, plan.geometry_column, None if condition else bounds)
    for skipped, some in groupby(groups, not_read.__contains__):
        if skipped:
            count = sum(file.metadata.row_group(group).num_rows for group in some)
            yield unread_features(plan, start, count)
            start += count
            continue
        for batch in file.iter_batches(BATCH, list(some), wanted, use_threads=False):
            numbers = pa.array(range(start, start + batch.num_rows), pa.int64())
            start += batch.num_rows
            numbered = batch.append_column(FID, numbers)
            if condition is not None:
                numbered = numbered.filter(flags(condition.holds(batch)))
            yield pinned(numbered, schema, FID, plan.geometry_column)


def _attributes(file: pq.ParquetFile, plan: VectorPlan) -> list[str]:
    return [name for name in file.schema_arrow.names if name != plan.geometry_column]
