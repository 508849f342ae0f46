"""The output formats of features: what each holds, and what GDAL calls it. Imports no library."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

#: What names of layers of a GeoPackage may not begin with.
_RESERVED = ("gpkg", "sqlite_", "rtree_", *"`~!@#$%^&*()+-={}|[]\\:\";'<>?,./")


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """An output format. Who adds one says here what it holds; how it is written, in ``write``.

    Attributes:
        name: as in ``output.format``.
        driver: of GDAL.
        suffix: by which GDAL knows its files.
        is_parquet: pyarrow writes it, with attributes of any type, in row groups.
        is_json: its text is in longitude and latitude on WGS 84.
        is_rfc7946: GDAL cuts geometries at the antimeridian as it writes them.
        is_dbase: attributes are in a table of dBASE, and geometries of one type.
        ids: ids of the source are the key of the layer, members of features or an attribute; empty:
            they are not kept.
        geometry_name: of the column of geometries.
        holds_tables: a table without geometry may be written.
        holds_m: geometries keep M.
        m_of_one_type: they keep it only where all of them have it, and are of one type.
        holds_widths: text fields keep their widths.
        holds_nan: numbers that are none are not null.
        holds_days: a day is no moment.
        marks_json: a text field says that it holds JSON.
        takes_utc: moments without a zone are taken for UTC.
        knows_count: GDAL counts features by reading them, not by a number in the header.
        fingerprint: where the file carries that of the item: in its metadata, as a comment of its
            archive or as a member of its collection; empty: nowhere.
        reserved: names of layers do not begin with these.
    """

    name: str
    driver: str
    suffix: str
    is_parquet: bool = False
    is_json: bool = False
    is_rfc7946: bool = False
    is_dbase: bool = False
    ids: Literal["", "key", "member", "attribute"] = ""
    geometry_name: str = "geometry"
    holds_tables: bool = False
    holds_m: bool = False
    m_of_one_type: bool = False
    holds_widths: bool = False
    holds_nan: bool = False
    holds_days: bool = True
    marks_json: bool = False
    takes_utc: bool = False
    knows_count: bool = True
    fingerprint: Literal["", "metadata", "archive", "member"] = ""
    reserved: tuple[str, ...] = ()


_FORMATS = (
    OutputFormat("GeoParquet", "Parquet", ".parquet", is_parquet=True, ids="attribute",
                 holds_tables=True, holds_nan=True, fingerprint="metadata"),
    OutputFormat("FlatGeobuf", "FlatGeobuf", ".fgb", holds_m=True, m_of_one_type=True,
                 holds_widths=True, holds_nan=True, holds_days=False, knows_count=False,
                 fingerprint="metadata"),
    OutputFormat("GPKG", "GPKG", ".gpkg", ids="key", geometry_name="geom", holds_tables=True,
                 holds_m=True, holds_widths=True, marks_json=True, takes_utc=True,
                 fingerprint="metadata", reserved=_RESERVED),
    OutputFormat("GeoJSON", "GeoJSON", ".geojson", is_json=True, is_rfc7946=True, ids="member",
                 fingerprint="member"),
    OutputFormat("GeoJSONSeq", "GeoJSONSeq", ".geojsonl", is_json=True, ids="member"),
    OutputFormat("Shapefile", "ESRI Shapefile", ".shp.zip", is_dbase=True, holds_m=True,
                 m_of_one_type=True, holds_widths=True, fingerprint="archive"),
)  # fmt: skip
OUTPUT_FORMATS = MappingProxyType({each.name: each for each in _FORMATS})
