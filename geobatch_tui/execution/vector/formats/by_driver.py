"""The formats of sources by OGR's drivers, and those that have little of their own."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, override

import pyarrow as pa

from geobatch_tui.execution.vector.formats import lost_geometries
from geobatch_tui.execution.vector.formats.source_format import SourceFormat

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geobatch_tui.execution.vector.formats.source_format import BatchCheck
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import Access, VectorPlan


class Csv(SourceFormat):
    """Text with a geometry in a field, which OGR may not be able to read."""

    holds_tables = True

    @override
    def columns(self, where: str, wanted: Iterable[str]) -> list[str] | None:
        return None  # one of the columns has the text of the geometry

    @override
    def batch_check(self, plain: Plain, plan: VectorPlan, schema: pa.Schema) -> BatchCheck | None:
        # In a field WKT, or one after which OGR names the geometry.
        field = plan.geometry_column.removeprefix("geom_").upper() or "WKT"

        def check(features: pa.RecordBatch, read: pa.RecordBatch) -> pa.Array:
            if not (rows := lost_geometries.null_rows(features)):
                return lost_geometries.reasons(features, ())
            named = [n for n, name in enumerate(read.schema.names) if name.upper() == field]
            texts = read.column(named[0]) if named else pa.nulls(read.num_rows)
            lost = {row for row in rows if _is_text(texts[row].as_py())}
            return lost_geometries.reasons(features, lost)

        return check


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


class FileGeodatabase(SourceFormat):
    """A file geodatabase, in which OGR goes to a record by its number."""

    holds_tables = has_key = True

    @override
    def access(
        self, path: str, plan: VectorPlan, features: int, *, jumps: bool
    ) -> tuple[Access, tuple[int, ...]]:
        return ("window" if jumps and not plan.where else "drain"), ()


CSV, FILE_GEODATABASE = Csv(), FileGeodatabase()
#: By names of OGR's drivers, and ``Parquet``, which pyarrow reads: the module in this room that has
#: the format, and its name. A worker loads the modules of its own sources: all of them would take
#: 25 ms of each run.
FORMATS: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "CSV": ("by_driver", "CSV"),
        "ESRI Shapefile": ("shapefile.shapefile", "SHAPEFILE"),
        "FlatGeobuf": ("flatgeobuf.flatgeobuf", "FLATGEOBUF"),
        "GML": ("xml.xml_formats", "GML"),
        "GPKG": ("geopackage", "GEOPACKAGE"),
        "GeoJSON": ("geojson.geojson", "GEOJSON"),
        "GeoJSONSeq": ("geojson.geojson", "GEOJSONSEQ"),
        "KML": ("xml.xml_formats", "KML"),
        "LIBKML": ("xml.xml_formats", "LIBKML"),
        "OpenFileGDB": ("by_driver", "FILE_GEODATABASE"),
        "Parquet": ("geoparquet", "GEOPARQUET"),
        "SQLite": ("geopackage", "SQLITE"),
    }
)
_ANY = SourceFormat()


@cache
def format_of(driver: str) -> SourceFormat:
    """Return the format that a driver reads; one that has nothing of its own if it is unknown."""
    if driver not in FORMATS:
        return _ANY
    module, name = FORMATS[driver]
    form: SourceFormat = getattr(import_module(f"{__package__}.{module}"), name)
    return form
