"""Proves that a warp in chunks is exact: against gdalwarp's whole image, and against itself.

Usage: ``uv run python benchmarks/exact.py [--data NAME] [--crs CRS] [--quick] [KERNEL ...]``

For each kernel: relief to EPSG:6933 as COG. Its pixels are compared with those of the gdalwarp
command that ``geobatch plan --gdal`` prints (``-et 0 -ovr NONE``, same grid, pinned scale), run by
the GDAL that rasterio brings: 0 may differ for nearest, fewer than 20 by 1 for others. The gdalwarp
that is installed runs it too; where it is of another version, its figure is only told: GDAL 3.10
rounds a pixel in a million otherwise, whose value lies within 0.00003 of a half. Then the job
runs again for chunk sizes 512, 1024, 4096, with 1 and 2 workers, in processes and in threads: the
published bytes must be the same each time (SHA-256). The file must pass ``rio cogeo validate
--strict`` and be a COG to GDAL.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from data import path_of
from gdal_library import gdalwarp
from jobs import reproject as warp_table
from jobs import write_job
from measure import checked, geobatch, table
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

if TYPE_CHECKING:
    from collections.abc import Sequence

KERNELS = ("nearest", "bilinear", "cubic", "lanczos", "average", "mode")
CHUNKS = (512, 1024, 4096)
WORKERS = (1, 2)
EXECUTORS = ("process", "thread")
#: From so many pixels on a kernel is not exact.
LIMIT = {"nearest": 1}
OTHERS = 20


def sha256(path: Path) -> str:
    """Digest of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(
    directory: Path, source: Path, op: dict[str, Any], chunk: int, workers: int, executor: str
) -> tuple[Path, Path]:
    """One run in an empty directory; returns job file and result."""
    out = directory / "out"
    shutil.rmtree(out, ignore_errors=True)
    engine = {
        "chunk_cols": chunk,
        "chunk_rows": chunk,
        "max_workers": workers,
        "executor": executor,
    }
    output = {"format": "COG", "creation": {"compress": "deflate", "blocksize": 512}}
    job = write_job(directory / "job.toml", [source], out, op, engine=engine, output=output)
    checked(geobatch("run", str(job), "--headless"))
    return job, out / source.name


def gdal_command(job: Path) -> list[str]:
    """The words of the gdalwarp command that the plan prints."""
    return shlex.split(checked(geobatch("plan", str(job), "--gdal")).stdout.splitlines()[-1])


def installed() -> str:
    """The version of the installed gdalwarp; empty if there is none."""
    if not shutil.which("gdalwarp"):
        return ""
    return checked(["gdalwarp", "--version"]).stdout.split()[1].rstrip(",")


def plain(command: Sequence[str]) -> list[str]:
    """The options of a planned command, for a tiled file without pyramid: enough to compare."""
    # The last two words name the source and the job's own output.
    return [*_without(command[1:-2], ("-of", "-co")), "-co", "TILED=YES"]


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """``words`` without these options and their values."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in options:
            skip = True
        else:
            kept.append(word)
    return kept


def differing(one: Path, other: Path) -> tuple[int, float]:
    """Pixels with any band unequal, and the largest difference; masks count as a band."""
    count, worst = 0, 0.0
    with rasterio.open(one) as a, rasterio.open(other) as b:
        if a.shape != b.shape:
            raise SystemExit(f"grids differ: {a.shape} and {b.shape}")
        bands = list(range(1, min(a.count, b.count) + 1))
        for row in range(0, a.height, 512):
            window = Window(0, row, a.width, min(512, a.height - row))
            pair = [src.read(bands, window=window).astype("f8") for src in (a, b)]
            delta = np.abs(pair[0] - pair[1]).max(axis=0)
            count += int(np.count_nonzero(delta))
            worst = max(worst, float(delta.max()))
    return count, worst


def layout(path: Path) -> tuple[bool, str]:
    """Whether the strict validator passes, and GDAL's word for the layout."""
    valid, errors, warnings = cog_validate(str(path), strict=True, quiet=True)
    for line in [*errors, *warnings]:
        print(f"  cogeo: {line}")
    with rasterio.open(path) as src:
        return valid, src.tags(ns="IMAGE_STRUCTURE").get("LAYOUT", "none")


def examine(
    kernel: str, source: Path, crs: str, ways: Sequence[tuple[int, int, str]]
) -> tuple[dict[str, Any], bool]:
    """All proofs for one kernel: a table line, and whether they hold."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        op = warp_table(crs, kernel)
        job, result = run(directory, source, op, *ways[0])
        valid, word = layout(result)
        options = plain(gdal_command(job))
        gdalwarp(options, source, directory / "golden.tif")
        count, worst = differing(result, directory / "golden.tif")
        other: int | str = "not installed"
        if installed():
            peer = directory / "peer.tif"
            checked(["gdalwarp", *options, str(source), str(peer)])
            other, _ = differing(result, peer)
        with rasterio.open(result) as src:
            millions = src.width * src.height / 1e6
        digests = {sha256(result)}
        for way in ways[1:]:
            digests.add(sha256(run(directory, source, op, *way)[1]))
    near = count < LIMIT.get(kernel, OTHERS) and worst <= 1
    holds = near and len(digests) == 1 and valid and word == "COG"
    line = {
        "kernel": kernel,
        f"off gdalwarp {rasterio.__gdal_version__}": count,
        "worst DN": worst,
        f"off gdalwarp {installed()}": other,
        "of Mpx": round(millions, 1),
        "runs": len(ways),
        "distinct sha256": len(digests),
        "cogeo strict": valid,
        "LAYOUT": word,
        "holds": holds,
    }
    return line, holds


def main(words: Sequence[str] | None = None) -> int:
    """Examine the named kernels, or all; 1 if any proof fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=", ".join(KERNELS))
    parser.add_argument("--data", default="relief")
    parser.add_argument("--crs", default="EPSG:6933")
    parser.add_argument("--quick", action="store_true", help="three ways instead of twelve")
    given = parser.parse_args(words)
    ways = list(itertools.product(CHUNKS, WORKERS, EXECUTORS))
    if given.quick:
        ways = [(512, 2, "process"), (1024, 1, "thread"), (4096, 2, "process")]
    lines, all_hold = [], True
    for kernel in given.kernels or KERNELS:
        line, holds = examine(kernel, path_of(given.data), given.crs, ways)
        lines.append(line)
        all_hold = all_hold and holds
        print(line, flush=True)
    print(table(lines))
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
