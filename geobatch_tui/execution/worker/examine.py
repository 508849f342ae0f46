"""Asks the native libraries for versions, drivers and data, for ``geobatch doctor``.

Run as ``python -m geobatch_tui.execution.worker.examine``: prints one JSON object and nothing else
on stdout. A process of its own, so that a library that crashes takes nothing with it.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.observability.versions import package_version

if TYPE_CHECKING:
    from collections.abc import Callable

RASTER_DRIVERS = ("GTiff", "COG", "VRT", "PNG", "JPEG", "netCDF", "HDF5", "JP2OpenJPEG")
VECTOR_DRIVERS = ("GPKG", "FlatGeobuf", "Parquet", "GeoJSON", "GeoJSONSeq", "ESRI Shapefile")

DATUMS = {
    "NAD27 (EPSG:4267)": 4267,
    "OSGB36 (EPSG:27700)": 27700,
    "Amersfoort (EPSG:28992)": 28992,
    "DHDN (EPSG:31467)": 31467,
}
"""Datums whose best transformation to WGS 84 needs a grid file."""

LON_LAT = (13.4, 52.5)


def database_version(directory: str | None) -> str:
    """Return the EPSG and layout version of the ``proj.db`` in a directory."""
    if not directory or not (path := Path(directory) / "proj.db").is_file():
        return ""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = dict(database.execute("SELECT key, value FROM metadata"))
    major, minor = (rows.get(f"DATABASE.LAYOUT.VERSION.{part}") for part in ("MAJOR", "MINOR"))
    return f"EPSG {rows.get('EPSG.VERSION', '?')}, layout {major}.{minor}"


def rasterio_facts() -> dict[str, object]:
    """Return versions, drivers and database of rasterio's GDAL, and a transformation by it."""
    import rasterio
    from rasterio._env import get_proj_data_search_paths
    from rasterio.warp import transform

    with rasterio.Env() as env:
        drivers = set(env.drivers())
        directories = [path for path in get_proj_data_search_paths() if path]
        xs, ys = transform("EPSG:4326", "EPSG:3857", [LON_LAT[0]], [LON_LAT[1]])
    directory = next((path for path in directories if (Path(path) / "proj.db").is_file()), None)
    return {
        "version": rasterio.__version__,
        "gdal": rasterio.__gdal_version__,
        "proj": rasterio.__proj_version__,
        "geos": rasterio.__geos_version__,
        "drivers": {name: name in drivers for name in RASTER_DRIVERS},
        "database": database_version(directory),
        "mercator": [round(xs[0], 3), round(ys[0], 3)],
    }


def pyproj_facts() -> dict[str, object]:
    """Return versions and database of pyproj's PROJ, the same transformation, and grids."""
    import pyproj
    from pyproj import network
    from pyproj.transformer import Transformer, TransformerGroup

    x, y = Transformer.from_crs(4326, 3857, always_xy=True).transform(*LON_LAT)
    grids = {}
    for name, code in DATUMS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            group = TransformerGroup(code, 4326, always_xy=True)
        missing = [
            grid.short_name
            for operation in group.unavailable_operations
            for grid in operation.grids
            if not grid.available
        ]
        grids[name] = {
            "accuracy_m": group.transformers[0].accuracy if group.transformers else None,
            "missing": sorted(set(missing)),
            "best": group.best_available,
        }
    return {
        "version": pyproj.__version__,
        "proj": pyproj.proj_version_str,
        "database": database_version(pyproj.datadir.get_data_dir()),
        "mercator": [round(x, 3), round(y, 3)],
        "network": network.is_network_enabled(),  # type: ignore[attr-defined]
        "grids": grids,
    }


def pyogrio_facts() -> dict[str, object]:
    """Return versions and drivers of pyogrio's GDAL. Raises if it finds no EPSG codes."""
    import pyogrio

    drivers = pyogrio.list_drivers()
    package = Path(pyogrio.__file__).parent
    collection = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}},
        "features": [{"type": "Feature", "geometry": None, "properties": {"a": 1}}],
    }
    crs = pyogrio.read_info(json.dumps(collection).encode())["crs"]
    if crs != "EPSG:3857":
        raise ValueError(f"EPSG:3857 is read as {crs!r}")
    return {
        "version": pyogrio.__version__,
        "gdal": pyogrio.__gdal_version_string__,
        "drivers": {name: name in drivers for name in VECTOR_DRIVERS},
        "database": database_version(str(package / "proj_data")),
    }


def other_facts() -> dict[str, object]:
    """Return versions of other libraries."""
    names = ("numpy", "numba", "imagecodecs", "pydantic", "rich", "textual", "typer")
    return {name: package_version(name) for name in names}


def examine() -> dict[str, object]:
    """Ask every library; one that fails gives ``{"error": text}``."""
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "rasterio": rasterio_facts,
        "pyogrio": pyogrio_facts,
        "pyproj": pyproj_facts,
        "other": other_facts,
    }
    facts: dict[str, object] = {"python": sys.version.split()[0]}
    for name, part in parts.items():
        try:
            facts[name] = part()
        except Exception as error:  # noqa: BLE001 - boundary: the doctor reports what is broken
            facts[name] = {"error": f"{type(error).__name__}: {error}"}
    return facts


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine()))
