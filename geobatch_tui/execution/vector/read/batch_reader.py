"""Reads features by OGR as Arrow batches, with the types that the plan pinned."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.batch_schema import schema_of, with_id_and_shape
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.ogr import stream, time_zones
from geobatch_tui.execution.vector.ogr.errors import ogr_errors
from geobatch_tui.execution.vector.plan import FID, UNREAD, WKB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Features in a batch. Larger ones fall out of the processor's cache.
BATCH = 4096

# pyogrio logs lines for people; what matters of them is raised, or is in the plan's warnings.
logging.getLogger("pyogrio").setLevel(logging.ERROR)


def open_stream(
    plain: Plain, plan: VectorPlan, *, where: str | None = None, skip: int = 0
) -> Iterator[pa.RecordBatch]:
    """Read the features of an OGR source in its own order: attributes, ``FID``, ``WKB``, and
    ``UNREAD`` where OGR may misread them.

    ``where`` takes the place of that of the plan. ``skip`` is for drivers that find a record by its
    number: others read all that are skipped.

    Raises:
        CorruptSourceError, SchemaError: see :func:`ogr_errors`.
    """
    form, place = format_of(plan.driver), plain.place
    where = plan.where if where is None else where
    with ogr_errors(place, plan.layer):
        opened = stream.opened(
            place,
            layer=plan.layer,
            encoding=plan.encoding or None,
            columns=None if plan.namesakes else form.columns(where, plan.fields),
            return_fids=True,
            batch_size=BATCH,
            where=where or None,
            skip_features=skip,
            datetime_as_string=plan.moments_as_text,
        )
        with opened as (meta, reader):
            schema = schema_of(plan)
            check = None if plan.is_table else form.batch_check(plain, plan, schema)
            fid = meta["fid_column"]
            names = _names(plan, fid, meta["geometry_name"], reader.schema)
            for batch in reader:
                read = _with_id_and_geometry(plan, batch.rename_columns(names), fid, schema)
                features = pinned(read, schema, WKB)
                stream.refuse_overlaps(place, features.column(WKB))
                columns = [*map(stream.apart, features.columns[:-1]), features.columns[-1]]
                features = pa.RecordBatch.from_arrays(columns, schema=features.schema)
                if check is not None:
                    features = features.append_column(UNREAD, check(features, read))
                yield features
                del batch, read, features, columns  # or two are there while the next one is read


def _names(plan: VectorPlan, fid: str, geometry: str, read: pa.Schema) -> list[str]:
    """Name the columns of OGR's batches: ids ``FID``, geometries ``WKB``, and no two the same."""
    names = list(read.names)
    names[names.index(fid)] = FID  # it comes first; in GeoJSON, a field may have the same name
    if not plan.is_table:
        names[stream.place_of(geometry, read)] = WKB
    return stream.each_once(names)


def _with_id_and_geometry(
    plan: VectorPlan, batch: pa.RecordBatch, fid: str, schema: pa.Schema
) -> pa.RecordBatch:
    """Add the ids as an attribute where they are one, and null geometries to a table."""
    if plan.is_table:
        batch = batch.append_column(WKB, pa.nulls(batch.num_rows, pa.binary()))
    if fid in schema.names and fid not in batch.schema.names:
        return batch.append_column(fid, batch.column(FID))
    if plan.id_name and not plan.id_is_key:
        return batch.append_column(plan.id_name, batch.column(FID))
    return batch


def pinned(batch: pa.RecordBatch, schema: pa.Schema, geometry: str) -> pa.RecordBatch:
    """Return a batch with exactly the attributes of ``schema``, then ``FID`` and ``WKB``. Raises
    SchemaError where a value does not fit the type that the plan pinned."""
    columns = []
    for field in schema:
        column = stream.codes(batch.column(field.name), field.type)
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
    ids = batch.column(FID)
    ids = ids if ids.type == pa.int64() else ids.cast(pa.int64())
    return pa.RecordBatch.from_arrays([*columns, ids, wkb], schema=with_id_and_shape(schema))
