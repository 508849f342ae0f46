"""Measures raster jobs against their peers, in turn, and compares what they wrote.

Usage: ``uv run python benchmarks/raster.py [--rounds N] [ROW ...]``

Each row is a piece of work with several contestants. They run one after another in each round
(A B A B), in an empty directory, with a warm page cache; a table gives the medians of wall time,
CPU time and peak memory, the ratio of geobatch to the peer, and how far their pixels differ.
Absolute figures drift with the machine: only the ratios of one sitting mean anything.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from data import path_of
from jobs import reproject, write_job
from measure import MB, Measured, checked, geobatch, median, table
from rasterio.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFLATE = ["-co", "COMPRESS=DEFLATE"]
COG = ["-of", "COG", *DEFLATE, "-co", "PREDICTOR=YES", "-co", "NUM_THREADS=2"]
TILED = ["-co", "TILED=YES", "-co", "BLOCKXSIZE=512", "-co", "BLOCKYSIZE=512", *DEFLATE]
GTIFF = [*TILED, "-co", "PREDICTOR=2", "-co", "NUM_THREADS=2"]
WARP = ["gdalwarp", "-q", "-multi", "-wo", "NUM_THREADS=2"]


@dataclass(frozen=True, slots=True)
class Row:
    """One piece of work.

    ``data`` names a set of ``data.py``; ``op`` and ``output`` are tables of the job. ``peers``
    are commands by name, without source and target, which are appended.
    """

    data: str
    op: dict[str, Any]
    output: dict[str, Any]
    peers: dict[str, list[str]]


def warp_row(data: str, crs: str, resampling: str, form: str) -> Row:
    """A warp by geobatch and by gdalwarp, with the same compression."""
    creation = {"compress": "deflate", "predictor": "yes", "blocksize": 512}
    options = COG if form == "COG" else GTIFF
    kernel = {"nearest": "near"}.get(resampling, resampling)
    peer = [*WARP, "-t_srs", crs, "-r", kernel, *options]
    output = {"format": form, "creation": creation}
    return Row(data, reproject(crs, resampling), output, {"gdalwarp": peer})


ROWS: dict[str, Row] = {
    "6933-bilinear-cog": warp_row("relief", "EPSG:6933", "bilinear", "COG"),
    "6933-bilinear-gtiff": warp_row("relief", "EPSG:6933", "bilinear", "GTiff"),
    "6933-nearest-cog": warp_row("relief", "EPSG:6933", "nearest", "COG"),
    "6933-cubic-cog": warp_row("relief", "EPSG:6933", "cubic", "COG"),
    "6933-lanczos-cog": warp_row("relief", "EPSG:6933", "lanczos", "COG"),
    "enlarged-6933-bilinear-cog": warp_row("enlarged", "EPSG:6933", "bilinear", "COG"),
    "relief-cog": Row(
        "relief",
        {"name": "raster.convert"},
        {"format": "COG", "creation": {"compress": "deflate", "predictor": "yes"}},
        {"gdal_translate": ["gdal_translate", "-q", *COG]},
    ),
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A command and the file that it writes."""

    name: str
    command: list[str]
    result: Path


def contestants(row: Row, directory: Path) -> list[Contestant]:
    """Geobatch and those peers of a row that are installed."""
    source = path_of(row.data)
    out = directory / "geobatch"
    job = write_job(directory / "job.toml", [source], out, row.op, output=row.output)
    found = [Contestant("geobatch", geobatch("run", str(job), "--headless"), out / source.name)]
    for name, command in row.peers.items():
        if shutil.which(command[0]) is None:
            print(f"{name} is not installed: left out")
            continue
        target = directory / f"{name}.tif"
        found.append(Contestant(name, [*command, str(source), str(target)], target))
    return found


def clear(contestant: Contestant) -> None:
    """Remove what an earlier round left."""
    parent = contestant.result.parent
    if contestant.name == "geobatch":
        shutil.rmtree(parent, ignore_errors=True)
    else:
        contestant.result.unlink(missing_ok=True)


def difference(one: Path, other: Path) -> str:
    """How two rasters differ: share of samples that are not equal, and by more than 1."""
    with rasterio.open(one) as a, rasterio.open(other) as b:
        if a.shape != b.shape or not a.transform.almost_equals(b.transform, 1e-6):
            return f"other grid: {a.shape} {b.shape}"
        bands = range(1, min(a.count, b.count) + 1)
        unequal = more = total = 0
        for row in range(0, a.height, 512):
            window = Window(0, row, a.width, min(512, a.height - row))
            delta = np.abs(
                a.read(list(bands), window=window).astype("f8")
                - b.read(list(bands), window=window).astype("f8")
            )
            unequal += int(np.count_nonzero(delta))
            more += int(np.count_nonzero(delta > 1))
            total += delta.size
    return f"{unequal / total:.2%} / {more / total:.3%}"


def compete(name: str, row: Row, rounds: int) -> list[dict[str, Any]]:
    """Run all contestants of a row in turn, ``rounds`` times; one table line for each."""
    runs: dict[str, list[Measured]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        field = contestants(row, Path(scratch))
        for _ in range(rounds):
            for contestant in field:
                clear(contestant)
                runs[contestant.name].append(checked(contestant.command))
        ours = field[0]
        size = {c.name: c.result.stat().st_size for c in field}
        differ = {c.name: difference(ours.result, c.result) for c in field[1:]}
    base = median([run.seconds for run in runs[ours.name]])
    return [
        {
            "row": name,
            "who": who,
            "wall s": median([run.seconds for run in taken]),
            "geobatch/peer": base / median([run.seconds for run in taken]),
            "CPU s": median([run.cpu for run in taken]),
            "RSS MB": round(median([run.tree_rss for run in taken]) / MB),
            "PSS MB": round(median([run.tree_pss for run in taken]) / MB),
            "file MB": size[who] / MB,
            "differ / >1": differ.get(who, ""),
        }
        for who, taken in runs.items()
    ]


def main(words: Sequence[str] | None = None) -> None:
    """Measure the named rows, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(words)
    unknown = set(given.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    lines: list[dict[str, Any]] = []
    for name in given.rows or ROWS:
        lines += compete(name, ROWS[name], given.rounds)
        print(table(lines[-len(ROWS[name].peers) - 1 :]), flush=True)
    print()
    print(table(lines))


if __name__ == "__main__":
    main()
