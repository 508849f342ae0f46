"""Reads features as Arrow batches, each chunk by the quickest way that its format has.

No read skips features one by one: a range of ids, of records or of row groups is found at once,
and where a format has neither, one sequential read fills parts on disk (see ``drain``). A dataset
is opened, read and closed in one thread.
"""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geobatch_tui.errors import (
    CorruptSourceError,
    SchemaError,
)
from geobatch_tui.execution.io.part_file import readable_name
from geobatch_tui.execution.vector.batch.arrow_arrays import flags
from geobatch_tui.execution.vector.batch_schema import _with_id_and_shape, full_schema, schema_of
from geobatch_tui.execution.vector.formats import lost_geometries, shapefile_table
from geobatch_tui.execution.vector.ogr import archive, domains, stream, time_zones
from geobatch_tui.execution.vector.ogr.errors import ogr_errors
from geobatch_tui.execution.vector.plan import FID, UNREAD, WKB
from geobatch_tui.execution.vector.read import row_groups
from geobatch_tui.execution.vector.read.where import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.protocol.messages import ItemContext, Window
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Features in a batch, and bytes of geometry; a feature that has more is a batch of its own.
#: Larger ones fall out of the processor's cache.
BATCH, BATCH_BYTES = 4096, 4 * 2**20

#: How OGR calls geometries without a name in its batches.
UNNAMED = "wkb_geometry"


# Lines for people; what matters of them is raised, or is in the plan's warnings.
logging.getLogger("pyogrio").setLevel(logging.ERROR)


def open_stream(
    path: str,
    plan: VectorPlan,
    *,
    where: str = "",
    skip: int = 0,
    plain: archive.Plain | None = None,
) -> Iterator[pa.RecordBatch]:
    """Batches of an OGR source in its own order: attributes, ``FID``, ``WKB``, and ``UNREAD`` where
    geometries may be unreadable.

    ``skip`` is for drivers that find a record by its number: others read all that are skipped.
    ``plain`` is the file itself, if that is not ``path``.

    Raises:
        CorruptSourceError, SchemaError: see :func:`ogr_errors`.
    """
    file = plain or archive.Plain(path, path)
    with ogr_errors(path, plan.layer):
        opened = stream.opened(
            path,
            layer=plan.layer,
            encoding=plan.encoding or None,
            columns=None if plan.namesakes else columns_for(plan.driver, where, plan.fields),
            return_fids=True,
            batch_size=BATCH,
            where=where or None,
            skip_features=skip,
            datetime_as_string=plan.moments_as_text,
        )
        with opened as (meta, reader):
            fid = meta["fid_column"]
            geometry = meta["geometry_name"] or UNNAMED
            schema = schema_of(plan)
            table = None
            if plan.driver == "ESRI Shapefile":
                table = shapefile_table.opened(file, path, plan, schema)
            # The id comes first; in GeoJSON, a field may have the same name.
            names = list(reader.schema.names)
            names[names.index(fid)] = FID
            if not plan.is_table:
                names[stream.place_of(geometry, reader.schema)] = WKB
            names = stream.each_once(names)
            for batch in reader:
                read = batch.rename_columns(names)
                if plan.is_table:
                    read = read.append_column(WKB, pa.nulls(read.num_rows, pa.binary()))
                if fid in schema.names and fid not in names:
                    read = read.append_column(fid, read.column(FID))
                elif plan.id_name and not plan.id_is_key:
                    read = read.append_column(plan.id_name, read.column(FID))
                made = pinned(read, schema, FID, WKB)
                stream.refuse_overlaps(path, made.column(WKB))
                columns = [*map(stream.apart, made.columns[:-1]), made.columns[-1]]
                made = pa.RecordBatch.from_arrays(columns, schema=made.schema)
                if plan.driver in lost_geometries.DRIVERS and not plan.is_table:
                    reasons = lost_geometries.reasons(file, plan, made, read)
                    if table is not None:
                        reasons = table.reasons(made, reasons)
                    made = made.append_column(UNREAD, reasons)
                yield made
                del batch, read, made, columns  # or two are there while the next one is read


def ids(path: str, plan: VectorPlan) -> NDArray[np.int64]:
    """Ids of all features of an OGR source, in its own order, whatever ``where`` leaves of them.

    Raises: as :func:`open_stream`.
    """
    return all_ids(path, path, plan.layer)


def all_ids(path: str, place: str, layer: str) -> NDArray[np.int64]:
    """Ids of all features of a layer of ``place``, what OGR opens of ``path``, in its own order.

    Raises: as :func:`open_stream`.
    """
    how = {"columns": [], "read_geometry": False, "return_fids": True}
    with ogr_errors(path, layer), stream.opened(place, layer=layer, **how) as opened:
        meta, reader = opened
        found = [batch.column(meta["fid_column"]).to_numpy() for batch in reader]
    return np.concatenate([np.empty(0, np.int64), *found])


def columns_for(driver: str, where: str, wanted: Iterable[str]) -> list[str] | None:
    """Columns to ask OGR for; None is all of them.

    A driver that evaluates ``where`` itself takes fields that are not asked for as null.
    """
    if driver == "CSV":  # one of them has the text of the geometry
        return None
    return None if where and driver not in {"GPKG", "SQLite"} else list(wanted)


def pinned(batch: Any, schema: pa.Schema, fid: str, geometry: str) -> pa.RecordBatch:
    """A batch with exactly the attributes of ``schema``, then ``FID`` and ``WKB``.

    Raises:
        SchemaError: a value does not fit the type that the plan pinned.
    """
    columns = []
    for field in schema:
        column = domains.codes(batch.column(field.name), field.type)
        if column.type != field.type:
            try:
                if pa.types.is_string(column.type) and pa.types.is_timestamp(field.type):
                    column = time_zones.parsed(column, field.type)
                else:
                    column = column.cast(field.type, safe=True)
            except pa.ArrowInvalid as error:
                raise SchemaError(
                    f"field {field.name!r} does not fit {field.type}, the type that it had when "
                    f"the run was planned: {error}"
                ) from error
        columns.append(column)
    wkb = batch.column(geometry)
    wkb = wkb if wkb.type == pa.binary() else wkb.cast(pa.binary())
    ids = batch.column(fid)
    ids = ids if ids.type == pa.int64() else ids.cast(pa.int64())
    return pa.RecordBatch.from_arrays([*columns, ids, wkb], schema=_with_id_and_shape(schema))


def read_chunk(item: ItemContext, plan: VectorPlan, index: int) -> Iterator[pa.RecordBatch]:
    """The features of chunk ``index``, in the order of the source.

    Raises:
        CorruptSourceError: it gives other than the number of features that was planned; and as
            :func:`open_stream`.
    """
    if plan.access == "none":
        return
    window = item.plan.grid.window(index)
    if plan.access == "drain":
        from geobatch_tui.execution.vector.read.parts_on_disk import read_part

        batches = read_part(item, plan, index)
    elif plan.access == "rows":
        batches = _row_groups(item, plan, window)
    elif index in plan.outside:
        batches = iter((nothing(plan, None, window.width),))
    elif plan.access == "fid":
        batches = open_stream(plan.place or item.source, plan, where=_fid_range(plan, index))
    else:
        batches = _first(
            open_stream(plan.place or item.source, plan, skip=window.col_off), window.width
        )
    seen = 0
    for batch in batches:
        seen += batch.num_rows
        yield from small(batch)
        del batch  # as in open_stream
    if seen != window.width:
        raise CorruptSourceError(
            f"{item.source}: chunk {index} has {seen} features, {window.width} were counted when "
            "the run was planned",
            hint="the source changed, or its own count is wrong; run again with --fresh",
        )


def small(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Slices of a batch with at most ``BATCH_BYTES`` of geometry, or of one feature."""
    column, start, count = batch.column(WKB), 0, batch.num_rows
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: count + 1]
    while start < count:
        stop = int(np.searchsorted(offsets, int(offsets[start]) + BATCH_BYTES, "right")) - 1
        stop = min(max(stop, start + 1), count)
        yield batch.slice(start, stop - start)
        start = stop


def _first(batches: Iterator[pa.RecordBatch], count: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.slice(0, count)
        count -= min(batch.num_rows, count)
        if not count:
            return


def _fid_range(plan: VectorPlan, index: int) -> str:
    name = plan.fid_column.replace('"', '""')
    low, high = plan.edges[index], plan.edges[index + 1]
    where = f'"{name}" >= {low} AND "{name}" < {high}'
    return f"({plan.where}) AND {where}" if plan.where else where


def _row_groups(item: ItemContext, plan: VectorPlan, window: Window) -> Iterator[pa.RecordBatch]:
    with ogr_errors(item.source), parquet_file(item.source, memory_map=True) as file:
        rows = file.metadata.row_group(0).num_rows
        last = -(-(window.col_off + window.width) // rows)
        groups = list(range(window.col_off // rows, last))
        yield from parquet_batches(file, plan, groups, window.col_off, item.params.get("bounds"))


def parquet_file(path: str | Path, *, memory_map: bool = False) -> pq.ParquetFile:
    """A Parquet file to read features from; pages that carry a checksum are checked by it."""
    with readable_name(path) as name:
        return pq.ParquetFile(name, memory_map=memory_map, page_checksum_verification=True)


def parquet_batches(
    file: pq.ParquetFile, plan: VectorPlan, groups: list[int], start: int, bounds: Any
) -> Iterator[pa.RecordBatch]:
    """Batches of row groups of a GeoParquet file; ids are row numbers, from ``start``.

    A row group outside of ``bounds`` is not read: its features come without anything, and are left
    out as those that are read and lie outside.
    """
    schema = schema_of(plan)
    condition = Condition(plan.where, _attributes(file, plan)) if plan.where else None
    asked = condition.names if condition else []
    wanted = list(dict.fromkeys([*plan.fields, *asked, plan.geometry_column]))
    # Whether features that are not read satisfy a condition is not known.
    unread = row_groups.outside(file, plan.geometry_column, None if condition else bounds)
    for skipped, some in groupby(groups, unread.__contains__):
        if skipped:
            count = sum(file.metadata.row_group(group).num_rows for group in some)
            yield nothing(plan, start, count)
            start += count
            continue
        for batch in file.iter_batches(BATCH, list(some), wanted, use_threads=False):
            numbers = pa.array(range(start, start + batch.num_rows), pa.int64())
            start += batch.num_rows
            found = batch.append_column(FID, numbers)
            if condition is not None:
                found = found.filter(flags(condition.holds(batch)))
            yield pinned(found, schema, FID, plan.geometry_column)


def _attributes(file: pq.ParquetFile, plan: VectorPlan) -> list[str]:
    return [name for name in file.schema_arrow.names if name != plan.geometry_column]


def nothing(plan: VectorPlan, start: int | None, count: int) -> pa.RecordBatch:
    """``count`` features without attributes or geometry, with ids from ``start`` if it is given."""
    schema = full_schema(plan)
    columns = [pa.nulls(count, each.type) for each in schema]
    if start is not None:
        columns[-2] = pa.array(range(start, start + count), pa.int64())
    return pa.RecordBatch.from_arrays(columns, schema=schema)
