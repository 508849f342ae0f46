"""Holds the pixels of steps against those of GDAL 3.13, and prints a table.

Usage: ``uv run --group bench --group dev python benchmarks/gdal_pixels.py [--side N] [STEP ...]``

Two sources are cut from ``synthetic`` of ``data.py``, N pixels wide (1500, at least 700): heights
as float32, and as int16 with holes of nodata; for ``calc``, one of three bands. Each step is run
by ``geobatch run`` with chunks of 256x256 pixels, and by a pipeline of GDAL 3.13 from the package
``gdal-wheel``. Counted are pixels that differ, inside and at the rim of the raster, the largest
difference, and pixels that are valid in one alone. The table goes to
``results/gdal_pixels.json``. The program fails if a step differs by more than it may.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from data import path_of
from measure import RESULTS, checked, geobatch, table
from rasterio.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Side of a chunk, so that there are seams to be seen.
CHUNK = 256
#: GDAL's pipelines, one a line on stdin, in a process of its own: it is another GDAL.
_GDAL = """
import shlex, sys
from osgeo import gdal
gdal.UseExceptions()
for line in sys.stdin:
    algorithm = gdal.Algorithm(["raster", "pipeline"])
    if not algorithm.ParseCommandLineArguments(shlex.split(line)) or not algorithm.Run():
        raise SystemExit(f"GDAL did not run {line}")
    algorithm.Finalize()
"""
_ROOTS = "GDAL takes roots by an estimate of the processor"
_DIVIDES = "GDAL divides as it adds"
_NINTHS = "means halfway between two floats: GDAL multiplies by a rounded ninth"
_STAR = (
    "POLYGON((-9 53,-5.0137 58.0071,-9 64,-2.0119 60.0173,5 64,1.0191 58.0097,5 53,-2 56.0057,"
    "-9 53))"
)
_CLASSES = "[-9999,100)=1; [100,900)=2; [900,inf]=3"


@dataclass(frozen=True, slots=True)
class Way:
    """A step in GDAL's words; how far its pixels may be from GDAL's, and why they are."""

    words: str
    by: float = 0.0
    why: str = ""
    source: str = ""

    @property
    def step(self) -> str:
        return self.words.split()[0]


WAYS = [
    Way("hillshade --zfactor 30", 1, _ROOTS),
    Way("hillshade --zfactor 30 --variant multidirectional", 1, _ROOTS),
    Way("hillshade --zfactor 30 --variant combined", 1, _ROOTS),
    Way("hillshade --zfactor 30 --variant Igor", 1, _ROOTS),
    Way("slope"),
    Way("slope --unit percent --gradient-alg ZevenbergenThorne"),
    Way("aspect"),
    Way("aspect --convention trigonometric-angle"),
    Way("tpi"),
    Way("tri"),
    Way("tri --algorithm Wilson"),
    Way("roughness"),
    Way("neighbors --kernel equal --method mean --ot Float32", 2**-12, _NINTHS),
    Way("neighbors --kernel gaussian --size 5 --method mean --ot Float32"),
    Way("neighbors --kernel equal --size 5 --method median --ot Float32"),
    Way("neighbors --kernel [[1,2,1],[2,4,2],[1,2,1]] --method sum --ot Float32"),
    Way(f'reclassify -m "{_CLASSES}" --ot Int16', source="float"),
    # Without NO_DATA, GDAL takes nodata for a value, as the plan warns.
    Way(f'reclassify -m "{_CLASSES}; NO_DATA=NO_DATA" --ot Int16', source="int16"),
    Way("scale --input-min 0 --input-max 900 --output-min 1 --output-max 255 --ot Int16"),
    Way("scale --input-min 0 --input-max 900 --output-min 0 --output-max 1 --exponent 1.7 "
        "--ot Float32"),
    Way("calc --calc sum --dialect builtin --ot Float64 --propagate-nodata", source="bands"),
    Way("calc --calc mean --dialect builtin --flatten --ot Float64 --propagate-nodata", 1e-12,
        _DIVIDES, source="bands"),
    Way("calc --calc median --dialect builtin --ot Float64 --propagate-nodata", source="bands"),
    Way("clip --bbox=-9,53,5,64"),
    Way("clip --window 100,50,500,400"),
    Way(f'clip --geometry "{_STAR}" --add-alpha'),
]  # fmt: skip


def make_sources(directory: Path, side: int) -> dict[str, Path]:
    """Write what steps are tried on, by names."""
    with rasterio.open(path_of("synthetic")) as src:
        window = Window(6800, 1000, side, side * 3 // 4)
        heights = src.read(1, window=window)
        profile = src.profile | {
            "width": window.width, "height": window.height, "compress": None,
            "transform": src.window_transform(window),
        }  # fmt: skip
    rng = np.random.default_rng(17)
    whole = np.round(heights).astype("int16")
    whole[rng.random(whole.shape) < 0.002] = -32768
    whole[200:260, 300:420] = whole[:7, 500:600] = -32768
    bands = np.stack([heights, heights[::-1], heights[:, ::-1]])
    found = {}
    for name, pixels, nodata in (
        ("float", heights[np.newaxis], None),
        ("int16", whole[np.newaxis], -32768),
        ("bands", bands, None),
    ):
        found[name] = directory / f"{name}.tif"
        more = {"count": len(pixels), "dtype": pixels.dtype, "nodata": nodata}
        with rasterio.open(found[name], "w", **profile | more) as dst:
            dst.write(pixels)
    return found


def by_gdal(ways: Sequence[tuple[Way, Path, Path]]) -> None:
    """Run each way on a source into a target."""
    lines = []
    for way, source, target in ways:
        first = f"read {source} ! {way.words}"
        if way.step == "calc":
            first = way.words.replace("calc", f"calc -i {source}", 1)
        lines.append(f"{first} ! write --overwrite {target}")
    subprocess.run([sys.executable, "-c", _GDAL], input="\n".join(lines), text=True, check=True)


def by_geobatch(way: Way, source: Path, out: Path) -> Path:
    """Run a way, and return its output."""
    pipeline = f"read {shlex.quote(str(source))} ! {way.words} ! write {shlex.quote(str(out))}"
    sets = [f"engine.chunk_{side}={CHUNK}" for side in ("cols", "rows")]
    sets += ["output.creation.blocksize=256"]
    options = [word for key in sets for word in ("--set", key)]
    checked(geobatch("run", pipeline, "--headless", *options), weigh=False)
    return next(out.glob("*.tif")) if out.is_dir() else out


def compared(way: Way, kind: str, ours: Path, theirs: Path) -> dict[str, str | int | float]:
    """The table line of a way on a kind of source."""
    with rasterio.open(ours) as a, rasterio.open(theirs) as b:
        if a.shape != b.shape or a.count != b.count or not a.transform.almost_equals(b.transform):
            raise SystemExit(f"{way.words}: other grids, {a.shape} and {b.shape}")
        one, other = a.read().astype("f8"), b.read().astype("f8")
        seen, seen_other = a.read_masks() > 0, b.read_masks() > 0
        types = f"{a.dtypes[0]}, {b.dtypes[0]}"
    both = seen & seen_other
    delta = np.where(both, np.abs(one - other), 0)
    inside = np.zeros(delta.shape, bool)
    inside[:, 3:-3, 3:-3] = True
    return {
        "step": way.words if len(way.words) < 60 else f"{way.words[:57]}...",
        "source": kind,
        "types": types,
        "pixels": int(both.sum()),
        "differ inside": int(np.count_nonzero(delta[inside])),
        "differ at rims": int(np.count_nonzero(delta[~inside])),
        "most": float(delta.max()),
        "valid in one": int(np.count_nonzero(seen != seen_other)),
        "may differ by": way.by,
        "why": way.why,
    }


def main(words: Sequence[str] | None = None) -> None:
    """Hold the named steps, or all, against GDAL's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("steps", nargs="*", metavar="STEP", help="names, as slope")
    parser.add_argument("--side", type=int, default=1500)
    given = parser.parse_args(words)
    ways = [way for way in WAYS if not given.steps or way.step in given.steps]
    if not ways:
        parser.error(f"none of {', '.join(sorted({way.step for way in WAYS}))}")
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        sources = make_sources(directory, given.side)
        tasks = [
            (way, kind, directory / f"{number}-{kind}")
            for number, way in enumerate(ways)
            for kind in ((way.source,) if way.source else ("float", "int16"))
        ]
        by_gdal([(way, sources[kind], place.with_suffix(".tif")) for way, kind, place in tasks])
        for way, kind, place in tasks:
            ours = by_geobatch(way, sources[kind], place)
            lines.append(compared(way, kind, ours, place.with_suffix(".tif")))
    print(table(lines))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gdal_pixels.json").write_text(json.dumps(lines, indent=1))
    wrong = [
        f"{line['step']} ({line['source']})"
        for line in lines
        if float(line["most"]) > float(line["may differ by"]) or line["valid in one"]
    ]
    if wrong:
        raise SystemExit(f"pixels differ by more than they may: {'; '.join(wrong)}")


if __name__ == "__main__":
    main()
