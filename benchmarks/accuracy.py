"""How near to the exact pixels the fast warp is, and gdalwarp's own default.

Usage: ``uv run python benchmarks/accuracy.py [--crs CODE ...] [--kernels NAME ...]``

For each kernel, data type, projection and scale the same grid is warped four ways: by our kernels
at the default ``error_threshold``, by our exact path (``error_threshold = 0``), by ``gdalwarp -et 0
-ovr NONE`` with the planned scale pinned, and by plain gdalwarp with its defaults. gdalwarp is the
utility's own code, of the GDAL that rasterio brings. Compared are pixels that are valid in both.
A row holds if our mean distance from ``gdalwarp -et 0`` is not larger than that of gdalwarp's
default, or if no pixel is off by more than 1 DN and fewer than 1 in 1,000 at all. Of floats, a DN
is a thousandth of the range, and what is off by less than a hundredth of that is rounding. Lanczos
on separable grids is compared with its formula too (see ``formula.py``) where that does not hold:
it does then, if we are nearer to the formula than both of gdalwarp's. Prints a table and writes it
to ``benchmarks/results/accuracy.json``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import formula
import numpy as np
import rasterio
from data import path_of
from gdal_library import gdalwarp
from measure import RESULTS, table
from rasterio.enums import Resampling

from geobatch_tui.execution.ops.raster_operations import REPROJECT
from geobatch_tui.execution.protocol.messages import (
    Chunking,
    ItemContext,
    ProbeTask,
    SourceIdentity,
)
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import gdal_commands
from geobatch_tui.execution.raster.grid.pixel_grid import Box
from geobatch_tui.execution.raster.grid.projection import project_box
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.warp import gdal_warp, method, resample
from geobatch_tui.execution.runtime import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

KERNELS = ("nearest", "bilinear", "cubic", "cubicspline", "lanczos", "average")
DTYPES = ("uint8", "int16", "float32")
CODES = (6933, 3857, 3035, 32633, 3413, 3031)
#: Pixel size of the output, as a multiple of that of an output of the source's own size.
SCALES = {"up": 0.5, "equal": 1.0, "down": 2.7}
#: The source: the whole globe in so many pixels; and its values in other types.
WIDTH, HEIGHT = 1200, 600
DEFAULT = 0.001
#: What is warped, in degrees: all of the globe that a projection knows what to do with.
BOXES = {
    6933: Box(-180, -86, 180, 86),
    3857: Box(-180, -85, 180, 85),
    3035: Box(-35, 20, 65, 84),
    32633: Box(-25, -70, 55, 80),
    3413: Box(-180, 40, 180, 90),
    3031: Box(-180, -90, 180, -40),
}


@dataclass(frozen=True, slots=True)
class Off:
    """How far one image is from another: pixels that differ, the largest and the mean difference
    in DN, pixels that have a value in one of the two alone, and pixels that differ by more than
    rounding."""

    count: int
    worst: float
    mean: float
    rim: int
    clear: int


def make_source(folder: Path, dtype: str) -> Path:
    """One band of relief on the whole globe, in values that fill ``dtype``."""
    path = folder / f"{dtype}.tif"
    with rasterio.open(path_of("relief")) as src:
        band = src.read(1, out_shape=(HEIGHT, WIDTH), resampling=Resampling.average).astype("f8")
    noise = np.random.default_rng(3).normal(0, 1.5, band.shape)
    values = {
        "uint8": np.clip(band, 0, 255),
        "int16": (band - 100 + noise) * 64,
        "float32": (band + noise) / 7,
    }[dtype]
    profile = {
        "driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": 1, "dtype": dtype,
        "crs": "EPSG:4326", "transform": rasterio.Affine(0.3, 0, -180, 0, -0.3, 90),
        "tiled": True, "blockxsize": 256, "blockysize": 256,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(values.astype(dtype), 1)
    return path


def plan_item(path: Path, code: int, kernel: str, scale: float) -> tuple[ItemContext, RasterPlan]:
    """The item of ``path``, and its plan: on the path that the product takes, but for the image
    being small."""
    dst = rasterio.CRS.from_epsg(code)
    from pyproj import CRS

    box = project_box(BOXES[code], CRS.from_epsg(code))
    if box is None:
        raise SystemExit(f"nothing of EPSG:{code} can be projected")
    degrees = BOXES[code]
    across = min(degrees.width, 180.0) / 0.3
    params = REPROJECT.params.model_validate(
        {
            "dst_crs": dst.to_string(),
            "resampling": kernel,
            "bounds": [box.minx, box.miny, box.maxx, box.maxy],
            "resolution": box.width / max(across, degrees.height / 0.3) * scale,
            "error_threshold": DEFAULT,
        }
    ).model_dump(mode="json")
    limits = Chunking(100_000, 100_000, 0, 2**31)
    task = ProbeTask(1, "key", str(path), {}, REPROJECT.name, params, {}, limits)
    item_plan = REPROJECT.probe(task, lambda _name: nullcontext())
    status = path.stat()
    item = ItemContext(
        1, "key", str(path), SourceIdentity(status.st_size, status.st_mtime_ns, ""), "0" * 32,
        REPROJECT.name, params, {}, str(path.with_name("out.tif")), str(path.parent), item_plan,
    )  # fmt: skip
    return item, RasterPlan.from_json(item_plan.detail)


def ours(item: ItemContext, plan: RasterPlan) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Pixels (h, w) and where they are valid, by our kernels and by our exact path."""
    window = Window(0, 0, plan.width, plan.height)
    if plan.warp is None:
        raise SystemExit("this plan has no warp")
    with opened_source.source_of(item) as held:
        exact = gdal_warp.warp_window(held, plan, plan.warp, window)
        fast = (
            exact
            if plan.warp.path == "exact"
            else resample.resample_window(held, plan, plan.warp, window)
        )
    every = np.ones((plan.height, plan.width), bool)
    first, second = ((pixels[0], every if good is None else good) for pixels, good in (fast, exact))
    return first, second


def theirs(words: list[str], item: ItemContext, target: Path) -> tuple[Any, Any]:
    """Pixels (h, w) and where they are valid, by gdalwarp."""
    target.unlink(missing_ok=True)
    gdalwarp(words, Path(item.source), target)
    with rasterio.open(target) as src:
        return src.read(1), src.dataset_mask() > 0


def default_words(words: Sequence[str]) -> list[str]:
    """The options of a planned command without those that make it exact."""
    kept, skip = [], False
    for word in words:
        if not skip and word not in ("-et", "-ovr", "-wo"):
            kept.append(word)
        skip = word in ("-et", "-ovr", "-wo")
    return kept


def off(one: tuple[Any, Any], other: tuple[Any, Any]) -> Off:
    """How far ``one`` is from ``other``."""
    both = one[1] & other[1]
    delta = np.abs(one[0].astype("f8") - other[0].astype("f8"))[both]
    rim = int((one[1] != other[1]).sum())
    floats = one[0].dtype.kind == "f"
    clear = int((delta > (1e-5 * float(np.ptp(other[0])) if floats else 0)).sum())
    if not delta.size:
        return Off(0, 0.0, 0.0, rim, 0)
    return Off(int(np.count_nonzero(delta)), float(delta.max()), float(delta.mean()), rim, clear)


def examine(path: Path, code: int, kernel: str, scale: str, folder: Path) -> dict[str, Any]:
    """One row of the table."""
    item, plan = plan_item(path, code, kernel, SCALES[scale])
    words = shlex.split(gdal_commands.item_command(item))[1:-2]
    words = [word for word in words if not word.startswith("COMPRESS")]
    plain = ["-q", *_without_creation(words)]
    fast, exact = ours(item, plan)
    truth = theirs(plain, item, folder / "exact.tif")
    usual = theirs(default_words(plain), item, folder / "default.tif")
    near, true, default = off(fast, exact), off(fast, truth), off(usual, truth)
    pixels = fast[0].size
    step = 1.0 if plan.dtype != "float32" else float(np.ptp(truth[0])) / 1000
    holds = true.mean <= default.mean or (true.worst <= step and true.clear < pixels / 1000)
    if not holds and kernel == "lanczos" and plan.warp and plan.warp.path == "separable":
        judge = formula.lanczos(path, plan)
        means = [off(judge, each).mean for each in (fast, truth, usual)]
        print("from the formula: ours {:.3g}, -et 0 {:.3g}, default {:.3g}".format(*means))
        holds = means[0] < min(means[1:])
    return {
        "kernel": kernel, "dtype": plan.dtype, "crs": code, "scale": scale, "pixels": pixels,
        "path": plan.warp.path if plan.warp else "",
        "off exact": near.count, "worst": round(near.worst, 4),
        "off gdalwarp -et 0": true.count, "worst ": round(true.worst, 4),
        "mean": float(f"{true.mean:.3g}"), "rim": true.rim,
        "default off": default.count, "worst  ": round(default.worst, 4),
        "mean ": float(f"{default.mean:.3g}"), "rim ": default.rim, "holds": holds,
    }  # fmt: skip


def _without_creation(words: list[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        if not skip and word not in ("-of", "-co"):
            kept.append(word)
        skip = word in ("-of", "-co")
    return kept


def main(words: Sequence[str] | None = None) -> int:
    """Examine all combinations; 1 if a row does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--crs", nargs="*", type=int, default=CODES)
    parser.add_argument("--kernels", nargs="*", default=KERNELS)
    parser.add_argument("--dtypes", nargs="*", default=DTYPES)
    given = parser.parse_args(words)
    environment.apply()
    method.SMALL = 0  # else images of this size are all left to GDAL
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for dtype in given.dtypes:
            path = make_source(folder, dtype)
            for code, kernel, scale in itertools.product(given.crs, given.kernels, SCALES):
                lines.append(examine(path, code, kernel, scale, folder))
                if not lines[-1]["holds"]:
                    print(lines[-1], flush=True)
    print(table(lines))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "accuracy.json").write_text(json.dumps(lines, indent=1))
    failed = [line for line in lines if not line["holds"]]
    print(f"{len(lines) - len(failed)} of {len(lines)} rows hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
