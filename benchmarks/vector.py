"""Measures vector jobs against their peers, in turn, and compares what they wrote.

Usage: ``uv run python benchmarks/vector.py [--rounds N] [ROW ...]``

As ``raster.py``: contestants run one after another in each round, in an empty directory, with a
warm page cache. Coordinates are compared feature by feature. Only ratios of one sitting mean
anything.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import shapely
from data import path_of
from jobs import write_job
from measure import MB, geobatch, measure, median, table

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = {"GeoParquet": ".parquet", "FlatGeobuf": ".fgb", "GPKG": ".gpkg"}
#: What geopandas users write.
GEOPANDAS = (
    "import sys, geopandas as g; f = g.read_file(sys.argv[1]).to_crs(sys.argv[2]);"
    "f.to_parquet(sys.argv[3]) if sys.argv[3].endswith('parquet') else f.to_file(sys.argv[3])"
)
#: DuckDB with the extension of the PyPI package ``duckdb-ext-spatial``; it names its duckdb.
DUCKDB = (
    "import sys, pathlib, duckdb; c = duckdb.connect(config={'threads': 2});"
    "e = next(pathlib.Path(duckdb.__file__).parents[1].rglob('spatial.duckdb_extension'));"
    "c.execute(f\"LOAD '{e}'\");"
    "c.execute(f\"COPY (SELECT id, a3, ST_Transform(geom, 'EPSG:4326', '{sys.argv[2]}',"
    " always_xy := true) AS geometry FROM ST_Read('{sys.argv[1]}')) TO '{sys.argv[3]}'"
    ' (FORMAT parquet, COMPRESSION zstd)")'
)
#: An interpreter that has both; the project itself does not depend on them.
DUCKDB_PYTHON = os.environ.get("DUCKDB_PYTHON", "")


@dataclass(frozen=True, slots=True)
class Row:
    """A reprojection of the set ``data`` of ``data.py`` to ``crs``, written as ``form``."""

    data: str
    crs: str
    form: str
    peers: tuple[str, ...]


ROWS = {
    "land-3035-geoparquet": Row("land", "EPSG:3035", "GeoParquet", ("geopandas", "duckdb")),
    "land-3857-geoparquet": Row("land", "EPSG:3857", "GeoParquet", ("geopandas",)),
    "land-3035-flatgeobuf": Row("land", "EPSG:3035", "FlatGeobuf", ("ogr2ogr", "geopandas")),
    "land-3035-gpkg": Row("land", "EPSG:3035", "GPKG", ("ogr2ogr", "geopandas")),
    "land8-3035-geoparquet": Row("land8", "EPSG:3035", "GeoParquet", ("duckdb",)),
    "land8-3035-flatgeobuf": Row("land8", "EPSG:3035", "FlatGeobuf", ("ogr2ogr",)),
    "land8-3035-gpkg": Row("land8", "EPSG:3035", "GPKG", ("ogr2ogr",)),
}


def command(name: str, row: Row, source: Path, directory: Path) -> tuple[list[str], Path]:
    """The command of a contestant, and the file that it writes."""
    target = directory / f"out{SUFFIXES[row.form]}"
    if name == "ogr2ogr":
        return ["ogr2ogr", "-f", row.form, "-t_srs", row.crs, str(target), str(source)], target
    if name == "duckdb":
        return [DUCKDB_PYTHON, "-c", DUCKDB, str(source), row.crs, str(target)], target
    if name == "geopandas":
        return [sys.executable, "-c", GEOPANDAS, str(source), row.crs, str(target)], target
    op = {"name": "vector.reproject", "dst_crs": row.crs}
    out = directory / "out"
    tables = {"output": {"format": row.form}, "engine": {"max_workers": 2}}
    job = write_job(directory / "job.toml", [source], out, op, **tables)
    return geobatch("run", str(job), "--json"), out / f"{source.stem}{SUFFIXES[row.form]}"


def features(path: Path) -> dict[int, Any]:
    """Geometry of each feature by its field ``id``."""
    if path.suffix == ".parquet":
        read = pq.read_table(path, columns=["id", "geometry"])
        ids = read["id"].to_numpy()
        shapes = shapely.from_wkb(read["geometry"].to_numpy(zero_copy_only=False))
    else:
        with pyogrio.open_arrow(path, columns=["id"], use_pyarrow=True) as (meta, reader):
            read = reader.read_all()
        ids = read["id"].to_numpy()
        name = meta["geometry_name"] or "wkb_geometry"
        shapes = shapely.from_wkb(read[name].to_numpy(zero_copy_only=False))
    return dict(zip(ids.tolist(), shapes, strict=True))


def apart(ours: dict[int, Any], theirs: dict[int, Any]) -> float:
    """Largest difference of any coordinate of features that both have; in units of the CRS."""
    worst = 0.0
    for key in ours.keys() & theirs.keys():
        a, b = (shapely.get_coordinates(side[key]) for side in (ours, theirs))
        if a.shape != b.shape:
            return float("inf")
        worst = max(worst, float(np.abs(a - b).max(initial=0.0)))
    return worst


def absent(contestant: str) -> bool:
    """Whether a peer is not on this machine."""
    if contestant == "ogr2ogr":
        return shutil.which("ogr2ogr") is None
    return contestant == "duckdb" and not DUCKDB_PYTHON


def run(name: str, row: Row, rounds: int) -> list[dict[str, Any]]:
    """Measure one row, once by weight and ``rounds`` times by the clock; a table line for each
    contestant."""
    source = path_of(row.data)
    seen: dict[str, list[Any]] = defaultdict(list)
    weighed: dict[str, tuple[float, float]] = {}
    files: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
        for turn in range(rounds + 1):
            for contestant in ("geobatch", *row.peers):
                if absent(contestant):
                    continue
                directory = Path(scratch, f"{contestant}-{turn}")
                directory.mkdir()
                words, target = command(contestant, row, source, directory)
                done = measure(words, weigh=not turn)
                # 12: published, with features in quarantine.
                if done.code not in ((0, 12) if contestant == "geobatch" else (0,)):
                    raise SystemExit(f"{contestant} ended with {done.code}: {done.stderr[-2000:]}")
                if turn:
                    seen[contestant].append(done)
                else:
                    weighed[contestant] = done.tree_rss / MB, done.tree_pss / MB
                files[contestant] = target
        held = {contestant: features(path) for contestant, path in files.items()}
        sizes = {contestant: path.stat().st_size for contestant, path in files.items()}
    ours = median([one.seconds for one in seen["geobatch"]])
    return [
        {
            "row": name,
            "who": contestant,
            "seconds": median([one.seconds for one in runs]),
            "ratio": ours / median([one.seconds for one in runs]),
            "cpu": median([one.cpu for one in runs]),
            "RSS MB": weighed[contestant][0],
            "PSS MB": weighed[contestant][1],
            "file MB": sizes[contestant] / MB,
            "features": len(held[contestant]),
            "apart": apart(held["geobatch"], held[contestant]),
        }
        for contestant, runs in seen.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the rows that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    lines = []
    for name in options.rows or ROWS:
        lines += run(name, ROWS[name], options.rounds)
    print(table(lines))
    peers = sorted({peer for name in options.rows or ROWS for peer in ROWS[name].peers})
    if missing := [peer for peer in peers if absent(peer)]:
        print(f"not on this machine: {', '.join(missing)} (duckdb: see DUCKDB_PYTHON)")


if __name__ == "__main__":
    main()
