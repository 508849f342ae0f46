"""Small layers that tests write to files."""

from __future__ import annotations

import datetime as dt
import json
import struct
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from pyproj import CRS

if TYPE_CHECKING:
    from pathlib import Path

DRIVERS = {
    "gpkg": "GPKG",
    "fgb": "FlatGeobuf",
    "geojson": "GeoJSON",
    "geojsonl": "GeoJSONSeq",
    "shp": "ESRI Shapefile",
    "parquet": "Parquet",
    "gdb": "OpenFileGDB",
}

_parsed: dict[str, CRS] = {}
_parse = CRS.from_user_input


def _parse_once(value, **more):
    """Parse a CRS of a frame as for the first frame that had it: that is a sixth of a short test."""
    if more or not isinstance(value, str | int | dict):
        return _parse(value, **more)
    key = json.dumps(value)
    if key not in _parsed:
        _parsed[key] = _parse(value)
    return _parsed[key]


CRS.from_user_input = staticmethod(_parse_once)


def layer(count: int = 500, seed: int = 1) -> gpd.GeoDataFrame:
    """Boxes in Europe with one attribute of each kind, one of them null."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(5, 15, count), rng.uniform(45, 55, count)
    shapes = shapely.box(x, y, x + rng.uniform(0.01, 1, count), y + rng.uniform(0.01, 1, count))
    names = [f"näme {n}" for n in range(count)]
    names[count // 2] = None
    return gpd.GeoDataFrame(
        {
            "name": names,
            "whole": np.arange(count, dtype=np.int64) + 2**40,
            "real": rng.normal(size=count),
            "day": [dt.date(2020, 1, 1 + n % 28) for n in range(count)],
        },
        geometry=shapes,
        crs=4326,
    )


def write(frame: gpd.GeoDataFrame, path: Path, **options) -> Path:
    """Write ``frame`` by the driver of the suffix of ``path``."""
    suffix = path.suffix[1:]
    if suffix == "parquet":
        frame.to_parquet(path, row_group_size=options.get("row_group_size", 100))
        return path
    if suffix == "shp":
        options.setdefault("encoding", "UTF-8")
    if suffix == "gdb":  # else whole numbers become real
        options.setdefault("TARGET_ARCGIS_VERSION", "ARCGIS_PRO_3_2_OR_LATER")
    with np.errstate(all="ignore"):
        pyogrio.write_dataframe(frame, path, driver=DRIVERS[suffix], **options)
    return path


def read(path: Path) -> gpd.GeoDataFrame:
    """Any file that is written here, in its own order."""
    return gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)


def raw(path: Path, shapes: list[bytes], crs: str = "EPSG:4326") -> Path:
    """A GeoParquet file of numbered features with this WKB, whatever it is."""
    column = {"encoding": "WKB", "geometry_types": [], "crs": CRS(crs).to_json_dict()}
    geo = {"version": "1.1.0", "primary_column": "g", "columns": {"g": column}}
    table = pa.table({"n": range(len(shapes)), "g": pa.array(shapes, pa.binary())})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


def ring(*places: tuple[float, float]) -> bytes:
    """WKB of a polygon with one ring, which need not be closed."""
    return struct.pack("<BIII", 1, 3, 1, len(places)) + np.array(places, "<f8").tobytes()
