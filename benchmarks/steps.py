"""Measures chains of steps against what people chain today, in turn, and compares what they wrote.

Usage: ``uv run --group bench python benchmarks/steps.py [--rounds N] [ROW ...]``

Rows are those of :mod:`raster`: whole processes, medians, memory of the process tree, the pixels of
both compared. The peers are GDAL's command line tools, and pipelines of GDAL 3.13 from the package
``gdal-wheel``. Rows named ``added-...`` hold a chain against the same chain without one of its
steps. The table goes to ``results/steps.json``, the ratios to ``results/steps.png``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import ROOT, geobatch, table
from raster import compete, write_results
from raster_rows import COG, CREATION, FLOATS, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUT = {"format": "COG", "creation": CREATION}
HILLSHADE = {"name": "hillshade", "zfactor": 0.0005}
SLOPE = {"name": "slope"}
INDEX = {"name": "calc", "calc": ["(b1 - b2) / (b1 + b2)"], "output_data_type": "float32"}
RELIEF_6933 = {"name": "reproject", "output_crs": "EPSG:6933", "resampling": "bilinear"}
HALF = {"name": "resize", "size": ["50%", "50%"], "resampling": "average"}
#: A polygon of many sides over most of the relief.
SHAPE = "POLYGON((-170 -80, 0 -60, 170 -80, 120 0, 170 80, 0 60, -170 80, -120 0, -170 -80))"

FLOAT_INDEX = "(A.astype('f4')-B.astype('f4'))/(A.astype('f4')+B.astype('f4'))"
CALC = [
    "gdal_calc.py", "--quiet", "-A", "$0", "--A_band=1", "-B", "$0", "--B_band=2",
    f"--calc={FLOAT_INDEX}", "--type=Float32", "--NoDataValue=-9999",
]  # fmt: skip


def shell(*parts: Sequence[str]) -> list[str]:
    """Commands one after the other, in which ``$0`` is the source and ``$1`` the target."""
    program = str(Path(sys.executable).with_name("gdal_calc.py"))
    lines = [
        " ".join(
            word if "$" in word and " " not in word else shlex.quote(word) for word in part
        ).replace("gdal_calc.py", program, 1)
        for part in parts
    ]
    return ["sh", "-c", " && ".join(lines)]


def gdal_313(steps: str) -> list[str]:
    """A pipeline of GDAL 3.13, in a process of its own."""
    script = ROOT / "tests" / "gdal_pipeline.py"
    write = "write $1 --of COG --co COMPRESS=DEFLATE --co PREDICTOR=YES --co NUM_THREADS=2"
    return ["sh", "-c", f'{sys.executable} {script} raster "read $0 ! {steps} ! {write}"']


def without(steps: list[dict[str, Any]]) -> list[str]:
    """The same job with these steps, by geobatch: what an added step is held against."""
    words = shlex.join(geobatch("run"))
    tables = ", ".join(
        "{" + ", ".join(f"{name} = {_toml(value)}" for name, value in step.items()) + "}"
        for step in steps
    )
    job = (
        f'[source]\ninputs = ["$0"]\n[op]\nname = "raster.pipeline"\nsteps = [{tables}]\n'
        '[output]\ndir = "$1.d"\nformat = "COG"\n'
        'creation = {compress = "deflate", predictor = "yes", blocksize = 512}\n'
    ).replace('"', '\\"')
    run = f'printf "%s" "{job}" > $1.toml && rm -rf $1.d && {words} $1.toml --headless'
    return ["sh", "-c", f"{run} > /dev/null 2>&1 && mv $1.d/*.tif $1"]


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def chain(*steps: dict[str, Any]) -> dict[str, Any]:
    """The table ``op`` of a chain."""
    return {"name": "raster.pipeline", "steps": list(steps)}


DEM = [*COG[:4], "-co", "PREDICTOR=YES", "-co", "NUM_THREADS=2"]
ROWS = {
    "hillshade": Row(
        "synthetic", chain(HILLSHADE), OUTPUT,
        {"gdaldem": ["gdaldem", "hillshade", "-q", "-z", "0.0005", *DEM]}, 0.50,
    ),
    "slope": Row(
        "synthetic", chain(SLOPE), OUTPUT, {"gdaldem": ["gdaldem", "slope", "-q", *FLOATS]}, 0.50
    ),
    "index": Row(
        "relief", chain(INDEX), OUTPUT,
        {
            "gdal_calc, translate": shell(
                [*CALC, "--outfile=$1.plain.tif"],
                ["gdal_translate", "-q", *FLOATS, "$1.plain.tif", "$1"],
            ),
            "gdal_calc, no overviews": shell(
                [*CALC, "--co=COMPRESS=DEFLATE", "--co=TILED=YES", "--outfile=$1"]
            ),
        },
        0.60,
    ),
    "half": Row(
        "relief", chain(HALF), OUTPUT,
        {
            "gdal_translate": [
                "gdal_translate", "-q", "-outsize", "50%", "50%", "-r", "average", *COG,
            ]
        },
        0.80,
    ),
    "warp-hillshade": Row(
        "synthetic",
        chain({**RELIEF_6933}, {"name": "hillshade", "zfactor": 50.0}), OUTPUT,
        {
            "gdal 3.13": gdal_313(
                "reproject --output-crs EPSG:6933 -r bilinear ! hillshade --zfactor 50"
            )
        },
        0.30,
    ),
    "warp-index": Row(
        "relief", chain(RELIEF_6933, INDEX), OUTPUT,
        {
            "gdalwarp, gdal_calc": shell(
                ["gdalwarp", "-q", "-multi", "-wo", "NUM_THREADS=2", "-t_srs", "EPSG:6933", "-r",
                 "bilinear", "-co", "TILED=YES", "$0", "$1.warped.tif"],
                [word.replace("$0", "$1.warped.tif") for word in CALC]
                + ["--co=COMPRESS=DEFLATE", "--co=TILED=YES", "--outfile=$1"],
            )
        },
        0.60,
    ),
    "clip-shape": Row(
        "relief", chain({"name": "clip", "geometry": SHAPE}), OUTPUT,
        {"gdal 3.13": gdal_313(f"clip --geometry '{SHAPE}'")}, 0.50,
    ),
    "mosaic": Row(
        "tiles", chain({"name": "mosaic"}), OUTPUT, {}, None,
    ),
    "added-index": Row(
        "relief", chain(RELIEF_6933, INDEX), OUTPUT,
        {
            "a cast in its place": without(
                [RELIEF_6933, {"name": "select", "band": [1]},
                 {"name": "set-type", "output_data_type": "float32"}]
            )
        },
        1.08,
    ),
    "added-hillshade": Row(
        "synthetic", chain({"name": "set-type", "output_data_type": "uint8"}, HILLSHADE), OUTPUT,
        {"without": without([{"name": "set-type", "output_data_type": "uint8"}])}, 1.08,
    ),
}  # fmt: skip


def main(words: Sequence[str] | None = None) -> None:
    """Measure the named rows, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(words)
    lines: list[dict[str, Any]] = []
    for name in given.rows or ROWS:
        lines += compete(name, ROWS[name], given.rounds)
        print(table([line for line in lines if line["row"] == name]), flush=True)
        write_results(lines, "steps")


if __name__ == "__main__":
    main()
