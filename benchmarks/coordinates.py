"""Compares coordinates of reprojected features with those of ogr2ogr; 1 if one is apart.

Usage: ``uv run python benchmarks/coordinates.py [ROW ...]``

Each row reprojects a set of ``data.py`` by both, and compares all coordinates of the features that
both have. ``ogr2ogr`` goes on after a feature that it cannot transform (``-skipfailures``); how
many each leaves out is in the table. A row with a grid gives it to both: a made-up one, or one that
Debian's PROJ has and its wheels have not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from data import path_of
from jobs import write_job
from measure import ROOT, geobatch, table
from vector import features

sys.path.insert(0, str(ROOT / "tests" / "execution" / "vector"))

import datum_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    Shapes = dict[int, Any]

#: The largest difference that is none, in metres; degrees are turned into metres at the equator.
LIMIT = 1e-6
METRES = 111_320.0
#: Where Debian's PROJ has its grids.
INSTALLED = Path("/usr/share/proj")
#: ``geobatch run``: all published, or published with features in quarantine.
FINE = (0, 12)


@dataclass(frozen=True, slots=True)
class Row:
    """Features of the set ``data`` to ``crs``. ``assigned``: the CRS that they are said to be in;
    ``window``: only those that touch it, minx, miny, maxx, maxy; ``grid``: a grid's name."""

    crs: str
    data: str = "land"
    assigned: str = ""
    window: tuple[int, ...] = ()
    grid: str = ""


BRITAIN = (-9, 49, 3, 61)
ROWS = {
    "3857": Row("EPSG:3857"),
    "6933": Row("EPSG:6933"),
    "3035": Row("EPSG:3035"),
    "32633": Row("EPSG:32633"),
    "27700": Row("EPSG:27700"),
    "27700-britain": Row("EPSG:27700", window=BRITAIN),
    "27700-grid": Row("EPSG:27700", window=BRITAIN, grid=datum_grid.OSTN15),
    "nad27-4326": Row("EPSG:4326", assigned="EPSG:4267", window=(-140, 20, -50, 60)),
    "dhdn-4326-grid": Row(
        "EPSG:4326", assigned="EPSG:4314", window=(6, 47, 15, 55), grid="BETA2007.gsb"
    ),
}


def ogr2ogr(target: Path, source: Path, *words: str, env: dict[str, str] | None = None) -> None:
    """Run it; failures of single features are passed over."""
    command = ["ogr2ogr", "-f", "GPKG", "-skipfailures", *words, str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, env=env)


def reproject(source: Path, crs: str, out: Path, env: dict[str, str]) -> tuple[Path, Any]:
    """Run geobatch; its output, and its result."""
    op = {"name": "vector.reproject", "dst_crs": crs}
    job = write_job(out.with_suffix(".toml"), [source], out, op, output={"format": "GeoParquet"})
    words = geobatch("run", str(job), "--json")
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    if done.returncode not in FINE:
        raise SystemExit(f"geobatch ended with {done.returncode}: {done.stderr[-2000:]}")
    return out / f"{source.stem}.parquet", json.loads(done.stdout)


def give(grid: str, folder: Path) -> None:
    """Put a grid of datum shifts there."""
    if grid == datum_grid.OSTN15:
        datum_grid.write(folder / grid)
    else:
        shutil.copyfile(INSTALLED / grid, folder / grid)


def apart(ours: Shapes, theirs: Shapes) -> tuple[float, int]:
    """Largest difference of coordinates of features that both have, and how many have other
    numbers of coordinates."""
    import shapely

    keys = sorted(ours.keys() & theirs.keys())
    pairs = [np.array([side[key] for key in keys], dtype=object) for side in (ours, theirs)]
    counts = [shapely.get_num_coordinates(side) for side in pairs]
    same = counts[0] == counts[1]
    a, b = (shapely.get_coordinates(side[same]) for side in pairs)
    return float(np.abs(a - b).max(initial=0.0)), int((~same).sum())


def compare(name: str, row: Row, folder: Path) -> dict[str, Any]:
    """One line of the table."""
    source = path_of(row.data)
    env = dict(os.environ)
    if row.window or row.assigned:
        part = folder / "part.gpkg"
        words = ["-spat", *map(str, row.window)] if row.window else []
        ogr2ogr(part, source, *words, *(["-a_srs", row.assigned] if row.assigned else []))
        source = part
    if row.grid:
        give(row.grid, folder)
        env["PROJ_USER_WRITABLE_DIRECTORY"] = str(folder)
    golden = folder / "golden.gpkg"
    ogr2ogr(golden, source, "-t_srs", row.crs, env=env)
    made, result = reproject(source, row.crs, folder / "out", env)
    ours, theirs = features(made), features(golden)
    theirs = {key: shape for key, shape in theirs.items() if shape is not None}
    worst, uneven = apart(ours, theirs)
    metres = worst * (METRES if row.crs == "EPSG:4326" else 1.0)
    return {
        "row": name,
        "features": len(features(source)),
        "ours": len(ours),
        "set aside": sum(result["dead_by_class"].values()),
        "ogr2ogr": len(theirs),
        "both": len(ours.keys() & theirs.keys()),
        "apart m": metres,
        "other shapes": uneven,
        "holds": metres <= LIMIT and not uneven,
    }


def main(words: Sequence[str] | None = None) -> int:
    """Compare the rows that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rows", nargs="*", metavar="ROW")
    given = parser.parse_args(words)
    lines = []
    for name in given.rows or ROWS:
        with tempfile.TemporaryDirectory() as scratch:
            lines.append(compare(name, ROWS[name], Path(scratch)))
            print({key: str(value) for key, value in lines[-1].items()}, flush=True)
    print(table(lines))
    return 0 if all(line["holds"] for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
