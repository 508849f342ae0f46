"""The layer of a GeoParquet file, and its features, by pyarrow, whole row groups at a time."""

from __future__ import annotations

import json
import sqlite3
from itertools import groupby
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.stores.object_url import is_url
from geobatch_tui.execution.vector.batch.arrow_arrays import flags
from geobatch_tui.execution.vector.batch.where import CHECK_WHERE, Condition
from geobatch_tui.execution.vector.batch_schema import schema_of, unread_features
from geobatch_tui.execution.vector.formats import geoparquet, geoparquet_key
from geobatch_tui.execution.vector.formats.source_format import FeatureCount
from geobatch_tui.execution.vector.ogr import errors
from geobatch_tui.execution.vector.plan import FID
from geobatch_tui.execution.vector.read.batch_reader import BATCH, pinned
from geobatch_tui.execution.vector.read.layer import Layer, chosen_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol.messages import ItemContext, Json
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.stores.store_client import Version
    from geobatch_tui.execution.vector.formats.source_format import Bounds
    from geobatch_tui.execution.vector.plan import VectorPlan


def parquet_layer(path: str, params: VectorParams, wanted: Version | None = None) -> Layer:
    """Read the layer of a GeoParquet file, or of the ``wanted`` version of an object. Raises as
    :func:`layer.ogr_layer`, and as the client's ``read``."""
    with errors.ogr_errors(path), geoparquet.parquet_at(path, wanted) as file:
        schema = file.schema_arrow
        raw = geoparquet.geo_key(file)
        geo = json.loads(raw) if raw is not None else geoparquet_key.native(file)
        if geo is None:
            raise SchemaError(
                f"{path} is Parquet, but not GeoParquet: it has no key 'geo', and no column of "
                "type GEOMETRY or GEOGRAPHY"
            )
        if said := geoparquet_key.fault(geo):
            raise SchemaError(
                f"{path}: its key 'geo' is not as GeoParquet has it: {said}",
                hint="write the file again, as with ogr2ogr or GeoPandas",
            )
        name = str(geo["primary_column"])
        column = geo["columns"][name]
        if str(column.get("encoding")) != "WKB":
            raise SchemaError(f"{path}: geometry is encoded as {column.get('encoding')}, not WKB")
        # Columns that only hold boxes of the geometries are computed anew.
        boxes = column.get("covering", {}).get("bbox", {}).values()
        drop = {name, *(str(path[0]) for path in boxes)}
        there = [field for field in schema.names if field not in drop]
        chosen = chosen_columns(params.columns, there, path)
        # Without notes on their origin: what follows from these is in their types.
        fields = pa.schema([pa.field(field, schema.field(field).type) for field in chosen])
        stride = geoparquet.uniform_groups(file.metadata)
        count = every = int(file.metadata.num_rows)
        if params.where:
            count = _count_rows(file, Condition(params.where, there), name, path)
    crs: Json | str | None = column.get("crs", "OGC:CRS84")
    kinds = column.get("geometry_types") or []
    return Layer(
        driver="Parquet",
        place=path,
        name="",
        fields=fields,
        geometry=name,
        geometry_type=str(kinds[0]) if len(kinds) == 1 else "Unknown",
        measured=any(str(kind).endswith("M") for kind in kinds),
        crs=crs if crs is None or isinstance(crs, str) else json.dumps(crs),
        counted=FeatureCount(count or every, none_left=not count and bool(params.where)),
        stride=stride,
        geo=geoparquet_key.described(geo, name, chosen),
    )


def _count_rows(file: pq.ParquetFile, condition: Condition, geometry: str, path: str) -> int:
    """Count the features that ``condition`` leaves, in one pass over the attributes in question."""
    columns = condition.names or [geometry]
    geoparquet.expect(file, range(file.metadata.num_row_groups), columns)
    try:
        return sum(
            int(condition.holds(batch).sum())
            for batch in file.iter_batches(BATCH, columns=columns, use_threads=False)
        )
    except sqlite3.Error as error:
        raise SchemaError(f"where, for {path}: {error}", hint=CHECK_WHERE) from error


def row_groups(item: ItemContext, plan: VectorPlan, window: Window) -> Iterator[pa.RecordBatch]:
    """Read the features of a chunk, which consists of whole row groups."""
    with (
        errors.ogr_errors(item.source),
        geoparquet.parquet_at(item.source, version_of(item), memory_map=True) as file,
    ):
        rows = file.metadata.row_group(0).num_rows
        last = -(-(window.col_off + window.width) // rows)
        groups = list(range(window.col_off // rows, last))
        yield from _batches(file, plan, groups, window.col_off, item.params.get("bounds"))


def version_of(item: ItemContext) -> Version | None:
    """Return the version of the object that an item is read from; None: it is a file."""
    return version_in(item.source_id) if is_url(item.source) else None


def whole_file(
    source: str, plan: VectorPlan, bounds: Bounds, wanted: Version | None
) -> Iterator[pa.RecordBatch]:
    """Read all features of a source, of an object those of the version that is ``wanted``."""
    with errors.ogr_errors(source), geoparquet.parquet_at(source, wanted) as file:
        groups = list(range(file.metadata.num_row_groups))
        yield from _batches(file, plan, groups, 0, bounds)


def _batches(
    file: pq.ParquetFile, plan: VectorPlan, groups: list[int], start: int, bounds: Bounds
) -> Iterator[pa.RecordBatch]:
    """Read row groups; ids are row numbers, from ``start``. Features of one outside of ``bounds``
    come without anything, and are left out as those that are read and lie outside."""
    schema = schema_of(plan)
    attributes = [name for name in file.schema_arrow.names if name != plan.geometry_column]
    condition = Condition(plan.where, attributes) if plan.where else None
    asked = condition.names if condition else []
    wanted = list(dict.fromkeys([*plan.fields, *asked, plan.geometry_column]))
    # Whether features that are not read satisfy a condition is not known.
    not_read = geoparquet.outside(file, plan.geometry_column, None if condition else bounds)
    geoparquet.expect(file, (group for group in groups if group not in not_read), wanted)
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
            yield pinned(numbered, schema, plan.geometry_column)
