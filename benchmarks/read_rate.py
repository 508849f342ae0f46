"""Measures what reading a feature costs in files of more and more features: it must not grow.

Usage: ``uv run python benchmarks/read_rate.py [--most 1000000] [FORMAT ...]``

Each file is planned, and all its chunks are read in order, in this process, as a worker does. CPU
seconds are counted, those of other threads included, the plan apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely
from measure import ROOT, table

sys.path.insert(0, str(ROOT / "tests" / "execution" / "vector"))

import vectordata
import vectorjobs

from geobatch_tui.execution.vector.plan import VectorPlan
from geobatch_tui.execution.vector.read import chunk_reader

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = {"GPKG": "gpkg", "FlatGeobuf": "fgb", "GeoJSONSeq": "geojsonl", "GeoParquet": "parquet"}
FEWEST = 10_000


def layer(count: int) -> gpd.GeoDataFrame:
    """Quadrilaterals all over the world, with two attributes."""
    rng = np.random.default_rng(count)
    x, y = rng.uniform(-170, 170, count), rng.uniform(-80, 80, count)
    shapes = shapely.box(x, y, x + 0.01, y + 0.01)
    names = np.char.add("name ", np.arange(count).astype(str))
    return gpd.GeoDataFrame({"n": np.arange(count), "name": names}, geometry=shapes, crs=4326)


def read(path: Path, scratch: Path) -> tuple[float, float, int, str]:
    """CPU seconds of the plan, and of reading all chunks; their number, and how they are read."""
    before = time.process_time()
    plan = vectorjobs.probe("vector.convert", path)
    planned = time.process_time()
    item = vectorjobs.context("vector.convert", path, scratch, plan, None, "GeoParquet")
    detail = VectorPlan.from_json(plan.detail)
    count = 0
    for index in range(len(plan.grid)):
        count += sum(batch.num_rows for batch in chunk_reader.read_chunk(item, detail, index))
    if count != plan.grid.width:
        raise SystemExit(f"{path.name}: {count} features of {plan.grid.width}")
    return planned - before, time.process_time() - planned, len(plan.grid), detail.access


def main(words: Sequence[str] | None = None) -> None:
    """Print a line for each format and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("formats", nargs="*", metavar="FORMAT", default=list(SUFFIXES))
    parser.add_argument("--most", type=int, default=1_000_000)
    given = parser.parse_args(words)
    lines: list[dict[str, Any]] = []
    for form in given.formats:
        with tempfile.TemporaryDirectory() as scratch:
            count = FEWEST
            while count <= given.most:
                rows = {"row_group_size": 50_000} if form == "GeoParquet" else {}
                path = Path(scratch, f"s{count}.{SUFFIXES[form]}")
                vectordata.write(layer(count), path, **rows)
                if count == FEWEST:  # what is loaded and compiled at first is no reading
                    read(path, Path(scratch, "warm"))
                plan, seconds, chunks, access = read(path, Path(scratch, str(count)))
                lines.append(
                    {
                        "format": form,
                        "features": count,
                        "read by": access,
                        "chunks": chunks,
                        "plan us": plan / count * 1e6,
                        "read us": seconds / count * 1e6,
                    }
                )
                path.unlink()
                count *= 10
    print(table(lines))


if __name__ == "__main__":
    main()
