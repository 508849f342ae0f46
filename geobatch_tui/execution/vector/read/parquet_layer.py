"""The layer of a GeoParquet file."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.batch.where import CHECK_WHERE, Condition
from geobatch_tui.execution.vector.formats import geoparquet, geoparquet_key
from geobatch_tui.execution.vector.ogr import errors
from geobatch_tui.execution.vector.read.batch_reader import BATCH
from geobatch_tui.execution.vector.read.layer import Layer, chosen_columns

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol.messages import Json


def _plain(field: pa.Field) -> pa.Field:
    """Return a field without notes on its origin; what follows from them is in its type."""
    return pa.field(field.name, field.type, nullable=True)


def parquet_layer(path: str, params: VectorParams) -> Layer:
    """Read the layer of a GeoParquet file.

    Raises: as :func:`ogr_layer`.
    """
    with errors.ogr_errors(path), geoparquet.parquet_file(path) as file:
        schema, meta = file.schema_arrow, file.metadata
        raw = (schema.metadata or {}).get(b"geo") or (meta.metadata or {}).get(b"geo")
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
        drop = {name, *_covering(column)}
        there = [field for field in schema.names if field not in drop]
        chosen = chosen_columns(params.columns, there, path)
        fields = pa.schema([_plain(schema.field(field)) for field in chosen])
        rows = geoparquet.uniform_groups(meta)
        count = int(meta.num_rows)
        none_left = False
        if params.where:
            count = _count_rows(file, Condition(params.where, there), name, path)
            none_left = not count
            count = count or int(meta.num_rows)
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
        fid_column="",
        crs=crs if crs is None or isinstance(crs, str) else json.dumps(crs),
        count=count,
        encoding="",
        rows=rows,
        none_left=none_left,
        geo=geoparquet_key.described(geo, name, chosen),
    )


def _count_rows(file: pq.ParquetFile, condition: Condition, geometry: str, path: str) -> int:
    """Count the features that ``condition`` leaves, in one pass over the attributes in question."""
    columns = condition.names or [geometry]
    try:
        return sum(
            int(condition.holds(batch).sum())
            for batch in file.iter_batches(BATCH, columns=columns, use_threads=False)
        )
    except sqlite3.Error as error:
        raise SchemaError(f"where, for {path}: {error}", hint=CHECK_WHERE) from error


def _covering(column: Json) -> set[str]:
    """Name the columns that only hold boxes of the geometries: these are computed anew."""
    box = column.get("covering", {}).get("bbox", {})
    return {str(path[0]) for path in box.values()}
