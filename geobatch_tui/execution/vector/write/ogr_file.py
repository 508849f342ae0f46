"""Writes files by OGR, with the same bytes at every run."""

from __future__ import annotations

import json
import struct
from contextlib import nullcontext
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from geobatch_tui.errors import GeobatchError, SchemaError
from geobatch_tui.execution.runtime import classify
from geobatch_tui.execution.vector.batch.arrow_arrays import evenly, free_name, texts
from geobatch_tui.execution.vector.batch.wkb_coordinates import MEASURED, NAMES
from geobatch_tui.execution.vector.batch_schema import written_schema
from geobatch_tui.execution.vector.fields import field_types
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip
from geobatch_tui.execution.vector.geometry import geojson_repairs
from geobatch_tui.execution.vector.ogr import exact_names
from geobatch_tui.execution.vector.ogr.pyogrio_import import DataSourceError, pyogrio
from geobatch_tui.execution.vector.plan import BOX, FID, GEOMETRY
from geobatch_tui.execution.vector.spool import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.vector.plan import VectorPlan
    from geobatch_tui.execution.vector.spool.segment import Finished

KEY = "GEOBATCH_FP"
#: Features and bytes of a batch that OGR gets: one transaction of a GeoPackage.
ROWS, BYTES = 65_536, 16 * 2**20
_OPTIONS = {
    # Nobody else opens the file before it is complete: it is synced once, at the end.
    "OGR_SQLITE_SYNCHRONOUS": "OFF",
    "OGR_SQLITE_JOURNAL": "MEMORY",
    "OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z",
}
#: Errors of OGR and Arrow as a file is written or read.
ERRORS = (DataSourceError, RuntimeError, pa.ArrowException, OSError)


def write(done: Finished, path: Path) -> None:
    """Write the features to ``path``, a new file.

    Raises:
        SchemaError: OGR cannot hold a field or a geometry in this format.
        GeobatchError: whatever ended the read of the segments.
    """
    plan, summary = done.plan, done.summary
    if plan.output.is_dbase:
        shapefile_zip.refuse_mixed(summary.types)
    promote = layer_kind(done)[1]
    changes = geojson_repairs.mends(plan.output, summary)
    if promote and not plan.output.is_json:
        changes.append(promoted)
    geometry = pieces.geometry_name(plan)
    fields = field_types.for_ogr(written_schema(plan))
    keyed = plan.id_is_key and bool(summary.ids)
    if keyed:  # OGR takes a field that is called as the key for it
        fields = fields.append(pa.field(_key_name(plan), pa.int64()))
    unused = [BOX] if keyed or not plan.id_is_key else [FID, BOX]
    schema = fields if plan.is_table else fields.append(geometry_field(geometry))

    failed: list[GeobatchError] = []

    def tables() -> Iterator[pa.RecordBatch]:
        try:
            batches = pieces.good_batches(done.contents(last=True))
            for table in evenly(batches, ROWS, GEOMETRY, BYTES):
                column = table.column(GEOMETRY).combine_chunks()
                for change in changes:
                    column = change(column)
                kept = table.drop_columns([GEOMETRY, *unused]).append_column(geometry, column)
                kept = kept.select(list(range(len(schema))))  # the attributes alone of a table
                yield from kept.rename_columns(schema.names).cast(schema).to_batches()
        except GeobatchError as error:
            # OGR would pass it on without its message.
            failed.append(error)
            raise

    reader = pa.RecordBatchReader.from_batches(schema, tables())
    try:
        _write_layer(done, path, reader)
    except SchemaError:
        if failed:
            raise failed[0] from None
        raise


#: The number in WKB of each type that a layer may be declared of.
_NUMBERS = {name: number for number, name in NAMES.items() if number <= 7} | {"Unknown": 1}
#: What stands before the points of a part in WKB: of a point, a line of two points, a triangle.
_COUNTS = {1: (), 2: (2,), 3: (1, 4)}
_CORNERS = ((0, 0), (1, 1), (1, 0), (0, 0))


def template(done: Finished, *, has_feature: bool = False, **options: str) -> bytes:
    """Return the file that :func:`write` makes of an item without features, or with a feature of no
    meaning; ``options``: of the layer, beside the usual ones.

    OGR writes it to memory: on a disk that is full or fails it goes on without the triggers that it
    could not write, and reports success.
    """
    plan, rows = done.plan, int(has_feature)
    schema = field_types.for_ogr(written_schema(plan))
    columns = [pa.nulls(rows, each.type) for each in schema]
    if not plan.is_table:
        schema = schema.append(geometry_field(pieces.geometry_name(plan)))
        columns.append(texts([_sample(layer_kind(done)[0])][:rows], pa.binary()))
    table = pa.Table.from_arrays(columns, schema=schema)
    memory = BytesIO()
    _write_layer(done, memory, table.to_reader(), **options)
    return memory.getvalue()


def _sample(kind: str) -> bytes:
    """Return a geometry of a type, as ISO WKB, with one part if it may have several."""
    name, _, dimensions = kind.partition(" ")
    number = _NUMBERS[name]
    part = (number - 1) % 3 + 1  # of a collection: a point
    marks = 1000 * ("Z" in dimensions) + 2000 * ("M" in dimensions)
    counts, rest = _COUNTS[part], (0,) * len(dimensions)
    points = [corner + rest for corner in _CORNERS[: counts[-1] if counts else 1]]
    order = f"<BI{len(counts)}I{sum(map(len, points))}d"
    made = struct.pack(order, 1, part + marks, *counts, *chain(*points))
    return made if part == number else struct.pack("<BII", 1, number + marks, 1) + made


def _write_layer(
    done: Finished, path: Path | BytesIO, reader: pa.RecordBatchReader, **options: str
) -> None:
    plan = done.plan
    write_stream(
        path,
        reader,
        layer=plan.layer_name,
        driver=plan.output.driver,
        geometry_name=None if plan.is_table else reader.schema.names[-1],
        geometry_type=None if plan.is_table else pyogrio_type(layer_kind(done)[0]),
        crs=plan.dst_crs or None,
        layer_options=_layer_options(done) | options,
        encoding="UTF-8" if plan.output.is_dbase else None,
        layer_metadata={KEY: done.item.fingerprint}
        if plan.output.fingerprint == "metadata"
        else None,
    )


def write_stream(path: Path | BytesIO, reader: pa.RecordBatchReader, **how: Any) -> None:
    """Write what ``reader`` gives to ``path``, or to memory; ``how``: as for pyogrio. Raise
    SchemaError if OGR cannot, or if ``reader`` ended with an error."""
    import warnings

    pyogrio.set_gdal_config_options(_OPTIONS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reached = exact_names.writable(path) if isinstance(path, Path) else nullcontext(path)
            with reached as name:
                pyogrio.write_arrow(reader, name, **how)
    except (*ERRORS, ValueError) as error:
        if (isinstance(error, OSError) and error.errno) or classify.no_thread(error):
            raise
        raise SchemaError(f"OGR cannot write this layer as {how['driver']}: {error}") from error


def geometry_field(name: str) -> pa.Field:
    """Make the field of a layer's geometry, WKB."""
    return pa.field(name, pa.binary(), metadata={"ARROW:extension:name": "ogc.wkb"})


def _layer_options(done: Finished) -> dict[str, str]:
    plan, summary = done.plan, done.summary
    if plan.format == "FlatGeobuf":
        # An index cannot hold a feature without extent, and OGR refuses such a feature then.
        indexed = summary.out and not summary.facts.get("empty")
        return {"SPATIAL_INDEX": "YES" if indexed else "NO"}
    if plan.format == "GPKG":
        return {"FID": _key_name(plan), "GEOMETRY_NAME": pieces.geometry_name(plan)}
    if plan.output.is_dbase:
        return shapefile_zip.OPTIONS
    options = {"ID_FIELD": plan.id_name} if plan.id_name else {}
    if plan.output.is_rfc7946:
        native = {"type": "FeatureCollection", KEY.lower(): done.item.fingerprint}
        options |= {
            "RFC7946": "YES",
            "WRITE_NAME": "NO",
            "NATIVE_DATA": json.dumps(native),
            "NATIVE_MEDIA_TYPE": "application/vnd.geo+json",
        }
    return options


def _key_name(plan: VectorPlan) -> str:
    """Name the primary key of a GeoPackage."""
    taken = (*plan.fields, pieces.geometry_name(plan))
    return free_name((plan.id_is_key and plan.id_name) or "fid", taken)


def pyogrio_type(kind: str) -> str:
    """Return pyogrio's name of a type."""
    name, _, dimensions = kind.partition(" ")
    if "M" not in dimensions:
        return kind
    if kind == "Point M":
        return "PointM"
    return f"Measured {'3D ' if 'Z' in dimensions else ''}{name}"


def measured(kinds: Sequence[int]) -> bool:
    """Whether geometries of the types ``kinds`` (WKB's numbers) have M in FlatGeobuf and in
    Shapefiles: where all have it, and are of one type."""
    return layer_type(kinds)[0].endswith("M")


def layer_kind(done: Finished) -> tuple[str, bool]:
    """Return the type of a layer, and whether single geometries are written as multi ones (see
    :func:`layer_type`); one without features has the type that the source says."""
    declared = done.plan.geometry_type
    if done.summary.out:
        return layer_type(done.summary.types, declared)
    return (declared if declared.partition(" ")[0] in _NUMBERS else "Unknown"), False


def layer_type(kinds: Sequence[int], declared: str = "") -> tuple[str, bool]:
    """Return the type of a layer that holds ``kinds`` (WKB's numbers), and whether single
    geometries are written as multi ones: where both occur, and nothing else, or where the source
    ``declared`` that multi type."""
    bases = {kind % 1000 for kind in kinds}
    deep = "Z" if any(kind // 1000 % 2 for kind in kinds) else ""
    deep += "M" if min(kinds, default=0) >= MEASURED else ""
    deep = f" {deep}" if deep else ""
    for single, name in ((1, "Point"), (2, "LineString"), (3, "Polygon")):
        multi = f"Multi{name}"
        if bases == {single} and declared.partition(" ")[0] != multi:
            return name + deep, False
        if bases and bases <= {single, single + 3}:
            return multi + deep, single in bases
    if bases == {7}:
        return f"GeometryCollection{deep}", False
    return "Unknown", False  # the name of any type, of any dimensions


def promoted(column: pa.Array) -> pa.Array:
    """Make multi geometries of one part of points, lines and polygons; leave the others."""
    return pa.array([value and _promoted(value) for value in column.to_pylist()], pa.binary())


def _promoted(value: bytes) -> bytes:
    code = int.from_bytes(value[1:5], "little")
    if code % 1000 > 3:
        return value
    return b"\x01" + (code + 3).to_bytes(4, "little") + b"\x01\0\0\0" + value
