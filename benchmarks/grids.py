"""Shows the default grid of a global raster in CRSs that are not global, with a picture of each.

Usage: ``uv run python benchmarks/grids.py [--data relief] [--pictures DIR] [CRS ...]``

Relief without any extent to EPSG:3857, 3395, 3413, 3031, 2154, 3035, 32633 as nearest: size,
pixel size, share of valid pixels and what the plan warned of. A small PNG of each goes to
``benchmarks/results/grids``, to be looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio
from data import path_of
from jobs import reproject, write_job
from measure import RESULTS, checked, geobatch, table
from rasterio.errors import NotGeoreferencedWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

CRS = ("EPSG:3857", "EPSG:3395", "EPSG:3413", "EPSG:3031", "EPSG:2154", "EPSG:3035", "EPSG:32633")
PICTURE = 700


def look(path: Path, picture: Path) -> dict[str, Any]:
    """Size, pixel and validity of a raster; a thumbnail of it goes to ``picture``."""
    with rasterio.open(path) as src:
        factor = max(src.width, src.height) / PICTURE
        shape = (max(1, round(src.height / factor)), max(1, round(src.width / factor)))
        pixels = src.read([1, 2, 3], out_shape=(3, *shape))
        valid = src.dataset_mask(out_shape=shape) > 0
        line = {
            "size": f"{src.width} x {src.height}",
            "pixel": f"{src.transform.a:.6g} x {-src.transform.e:.6g}",
            "valid": f"{valid.mean():.1%}",
            "mean": round(float(pixels[:, valid].mean()), 1) if valid.any() else "empty",
        }
    profile = {"driver": "PNG", "width": shape[1], "height": shape[0], "count": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(picture, "w", dtype="uint8", **profile) as dst:
            dst.write(pixels)
    return line


def main(words: Sequence[str] | None = None) -> int:
    """Run the named CRSs, or all; 1 if an image is empty."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("crs", nargs="*", default=[])
    parser.add_argument("--data", default="relief")
    parser.add_argument("--pictures", type=Path, default=RESULTS / "grids")
    given = parser.parse_args(words)
    given.pictures.mkdir(parents=True, exist_ok=True)
    source = path_of(given.data)
    lines, empty = [], False
    for crs in given.crs or CRS:
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "out"
            job = write_job(Path(scratch) / "job.toml", [source], out, reproject(crs, "nearest"))
            plan = json.loads(checked(geobatch("plan", str(job), "--json")).stdout)
            done = checked(geobatch("run", str(job), "--headless"))
            picture = given.pictures / f"{crs.replace(':', '-').lower()}.png"
            line = look(out / source.name, picture)
        lines.append(
            {"crs": crs, **line, "s": done.seconds, "warnings": "; ".join(plan["warnings"])}
        )
        empty = empty or line["mean"] == "empty"
    print(table(lines))
    return int(empty)


if __name__ == "__main__":
    sys.exit(main())
