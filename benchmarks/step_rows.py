"""The chains of steps that are measured, the peers that do the same work, and what they may differ.

In commands ``{source}`` and ``{target}`` are files, and ``{scratch}`` begins the names of others.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raster_rows import COG, CREATION, FLOATS

OUTPUT = {"format": "COG", "creation": CREATION}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a peer's pixels may be from geobatch's.

    ``by``: values may differ so much, and a ``share`` of them more; ``valid``: the share of pixels
    that may be valid in one of the two alone. ``sign`` -1: the peer's values are the opposites.
    """

    by: float = 0.0
    share: float = 0.0
    valid: float = 0.0
    sign: int = 1


@dataclass(frozen=True, slots=True)
class Peer:
    """Commands, one after the other, that do the work; ``steps``: geobatch does them instead.

    ``limit``: what geobatch's wall time over the peer's may be; None: no matter.
    """

    limit: float | None
    agreement: Agreement
    commands: list[list[str]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Work:
    """A chain on a set of ``data.py``, which may be a directory of files, and its peers by name."""

    data: str
    steps: list[dict[str, Any]]
    peers: dict[str, Peer]


#: Runs a pipeline of GDAL 3.13, from the package gdal-wheel.
_PIPELINE = """
import sys
from osgeo import gdal
gdal.UseExceptions()
algorithm = gdal.Algorithm(["raster", "pipeline"])
if not algorithm.ParseCommandLineArguments(sys.argv[1:]) or not algorithm.Run():
    raise SystemExit("GDAL did not run it")
algorithm.Finalize()
"""
_WRITE = "write --overwrite {target} --of COG --co COMPRESS=DEFLATE --co PREDICTOR=YES"


def gdal_313(*steps: str) -> list[list[str]]:
    """A pipeline of GDAL 3.13, in a process of its own. A step is words between blanks; ``@`` is a
    blank within one."""
    words = " ! ".join(["read {source}", *steps, f"{_WRITE} --co NUM_THREADS=2"]).split(" ")
    return [[sys.executable, "-c", _PIPELINE, *(word.replace("@", " ") for word in words)]]


def own_script(name: str, *words: str) -> list[list[str]]:
    """A script of this directory."""
    return [[sys.executable, str(Path(__file__).with_name(name)), *words]]


#: Metres of a degree of latitude: what people give gdaldem for rasters in degrees.
DEGREE = 111_120
HILLSHADE = {"name": "hillshade", "zfactor": 30, "xscale": DEGREE, "yscale": DEGREE}
SLOPE = {"name": "slope", "xscale": DEGREE, "yscale": DEGREE}
INDEX = {"name": "calc", "calc": ["(b1 - b2) / (b1 + b2)"], "output_data_type": "float32"}
EQUAL_AREA = {"name": "reproject", "output_crs": "EPSG:6933", "resampling": "bilinear"}
HALF = {"name": "resize", "size": ["50%", "50%"], "resampling": "average"}
#: A star whose bounds are those of pixels, and whose sides pass through the middle of none.
STAR = (
    "POLYGON((-170 -80,0.0137 -60.0071,170 -80,120.0119 0.0173,170 80,0.0191 60.0097,-170 80,"
    "-120.0131 0.0057,-170 -80))"
)
#: As wide as all before, with no pixel changed.
MIDDLE = {"name": "neighbors", "kernel": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
          "output_data_type": "float32"}  # fmt: skip

_INDEX_WORDS = "(A.astype('f4')-B.astype('f4'))/(A.astype('f4')+B.astype('f4'))"
_WARP = ["gdalwarp", "-q", "-multi", "-wo", "NUM_THREADS=2", "-t_srs", "EPSG:6933",
         "-r", "bilinear"]  # fmt: skip
_STORED = ["-co", "TILED=YES"]


def _gdal_calc(source: str, target: str, *options: str) -> list[str]:
    return [
        "gdal_calc.py", "--quiet", "--overwrite", "-A", source, "--A_band=1", "-B", source,
        "--B_band=2", f"--calc={_INDEX_WORDS}", "--type=Float32", "--NoDataValue=-9999",
        f"--outfile={target}", *options,
    ]  # fmt: skip


_CALC_OPTIONS = ["--co=COMPRESS=DEFLATE", "--co=TILED=YES"]
_FILES = ["{source}", "{target}"]
#: One grey level: GDAL's own shades depend on the processor.
_SHADES = Agreement(by=1)
#: float32 all the way, where geobatch rounds once.
_ROUNDED = Agreement(by=1e-6)
#: gdalwarp takes the scale of its kernel anew in each part that it warps, of 64 MB.
_WARPED = Agreement(by=1, share=0.02, valid=1e-4)
#: Behind a warp, pipelines of GDAL 3.13 take other pixels than its own two commands store. Here its
#: kernel is as wide as for a scale of 0.28 down, so that heights are smeared over more than three
#: rows, and shades are up to 32 levels off; ``--error-threshold`` does not matter.
_SMEARED = Agreement(by=32, share=1e-3, valid=1e-4)
#: With a scale of 1 for both, all take the four pixels around a place.
_SCALE = {"XSCALE": "1", "YSCALE": "1"}
_SCALE_WORDS = "--warp-option XSCALE=1 --warp-option YSCALE=1"

_HALVED = [["gdal_translate", "-q", "-outsize", "50%", "50%", "-r", "average", *COG, *_FILES]]

ROWS = {
    "hillshade": Work("synthetic", [HILLSHADE], {
        "gdaldem": Peer(0.50, _SHADES, [
            ["gdaldem", "hillshade", "-q", "-compute_edges", "-z", "30", "-s", str(DEGREE), *COG,
             *_FILES],
        ]),
        "gdal 3.13": Peer(None, _SHADES, gdal_313(
            f"hillshade --zfactor 30 --xscale {DEGREE} --yscale {DEGREE}"
        )),
    }),
    "slope": Work("synthetic", [SLOPE], {
        "gdaldem": Peer(0.50, Agreement(by=1e-5), [
            ["gdaldem", "slope", "-q", "-compute_edges", "-s", str(DEGREE), *FLOATS, *_FILES],
        ]),
        "gdal 3.13": Peer(None, Agreement(by=1e-5), gdal_313(
            f"slope --xscale {DEGREE} --yscale {DEGREE}"
        )),
    }),
    "calc": Work("relief", [INDEX], {
        "gdal_calc, translate": Peer(0.60, _ROUNDED, [
            _gdal_calc("{source}", "{scratch}.plain.tif"),
            ["gdal_translate", "-q", *FLOATS, "{scratch}.plain.tif", "{target}"],
        ]),
        "gdal_calc, no overviews": Peer(1.00, _ROUNDED, [
            _gdal_calc("{source}", "{target}", *_CALC_OPTIONS)
        ]),
    }),
    # The goal is that of the large relief. Of the small one, which takes a second and a half, most
    # is the start of processes, so that it has no limit.
    "half": Work("enlarged", [HALF], {"gdal_translate": Peer(0.80, Agreement(by=1), _HALVED)}),
    "half-small": Work("relief", [HALF], {"gdal_translate": Peer(None, Agreement(by=1), _HALVED)}),
    "mosaic": Work("tiles", [{"name": "mosaic"}], {
        "buildvrt, translate": Peer(0.50, Agreement(), [
            ["gdalbuildvrt", "-q", "-input_file_list", "{scratch}.txt", "{scratch}.vrt"],
            ["gdal_translate", "-q", *COG, "{scratch}.vrt", "{target}"],
        ]),
    }),
    "warp-hillshade": Work("synthetic", [EQUAL_AREA, {"name": "hillshade", "zfactor": 50}], {
        "gdal 3.13": Peer(0.30, _SMEARED, gdal_313(
            "reproject --output-crs EPSG:6933 -r bilinear", "hillshade --zfactor 50"
        )),
        "gdalwarp, gdaldem": Peer(0.30, _WARPED, [
            [*_WARP, "-overwrite", *_STORED, "{source}", "{scratch}.warped.tif"],
            ["gdaldem", "hillshade", "-q", "-compute_edges", "-z", "50", *COG,
             "{scratch}.warped.tif", "{target}"],
        ]),
    }),
    "warp-hillshade-one": Work(
        "synthetic", [{**EQUAL_AREA, "warp_option": _SCALE}, {"name": "hillshade", "zfactor": 50}],
        {
            "gdal 3.13": Peer(None, Agreement(by=1, valid=1e-4), gdal_313(
                f"reproject --output-crs EPSG:6933 -r bilinear {_SCALE_WORDS}",
                "hillshade --zfactor 50",
            )),
        },
    ),
    "warp-calc": Work("relief", [EQUAL_AREA, INDEX], {
        "gdalwarp, gdal_calc": Peer(0.60, Agreement(by=0.02, share=0.02, valid=1e-4), [
            [*_WARP, "-overwrite", *_STORED, "{source}", "{scratch}.warped.tif"],
            _gdal_calc("{scratch}.warped.tif", "{target}", *_CALC_OPTIONS),
        ]),
    }),
    "clip-shape": Work(
        "relief", [{"name": "clip", "geometry": STAR, "add_alpha": True}], {
        # Older ones place the cutline up to half a pixel off.
        "gdalwarp": Peer(0.50, Agreement(valid=5e-4), [
            ["gdalwarp", "-q", "-overwrite", "-multi", "-wo", "NUM_THREADS=2", "-cutline", STAR,
             "-cutline_srs", "EPSG:4326", "-crop_to_cutline", "-dstalpha", *COG, *_FILES]
        ]),
        "gdal 3.13": Peer(None, Agreement(valid=1e-6), gdal_313(
            f"clip --add-alpha --geometry={STAR.replace(' ', '@')}"
        )),
    }),
    "own-index": Work("relief", [
        {"name": "function", "use": f"{Path(__file__).with_name('own_index.py')}:index"}
    ], {
        "numexpr, windows": Peer(1.20, _ROUNDED, own_script("numexpr_windows.py", *_FILES)),
    }),
    # An added step is held against the same chain without it, whose pixels are as hard to store.
    "added-calc": Work("synthetic", [EQUAL_AREA, {
        "name": "calc", "calc": ["-b1"], "output_data_type": "float32"
    }], {
        "without": Peer(1.08, Agreement(sign=-1), steps=[EQUAL_AREA]),
    }),
    "added-neighbors": Work("synthetic", [EQUAL_AREA, MIDDLE], {
        "without": Peer(1.08, Agreement(), steps=[EQUAL_AREA]),
    }),
    "added-scale": Work("relief", [EQUAL_AREA, {
        "name": "scale", "input_min": 0, "input_max": 255, "output_min": 0, "output_max": 255,
    }], {
        "without": Peer(1.08, Agreement(), steps=[EQUAL_AREA]),
    }),
}  # fmt: skip
