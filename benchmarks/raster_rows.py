"""The raster works of which geobatch and its peers are measured, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs import reproject

DEFLATE = ["-co", "COMPRESS=DEFLATE"]
COG = ["-of", "COG", *DEFLATE, "-co", "PREDICTOR=YES", "-co", "NUM_THREADS=2"]
TILED = ["-co", "TILED=YES", "-co", "BLOCKXSIZE=512", "-co", "BLOCKYSIZE=512", *DEFLATE]
GTIFF = [*TILED, "-co", "PREDICTOR=2", "-co", "NUM_THREADS=2"]
FLOATS = [*COG[:4], "-co", "PREDICTOR=FLOATING_POINT", "-co", "NUM_THREADS=2"]
WARP = ["gdalwarp", "-q", "-multi", "-wo", "NUM_THREADS=2"]
CREATION = {"compress": "deflate", "predictor": "yes", "blocksize": 512}


@dataclass(frozen=True, slots=True)
class Row:
    """One piece of work.

    ``data`` names a set of ``data.py``; ``op`` and ``output`` are tables of the job. ``peers``
    are commands by name, to which source and target are appended; where ``data`` is a directory,
    to each of its files, two at a time by xargs. ``limit``: what the ratio of wall times to the
    first peer may be; None: no matter.
    """

    data: str
    op: dict[str, Any]
    output: dict[str, Any]
    peers: dict[str, list[str]]
    limit: float | None


#: What gdalwarp makes of the whole of relief: nearly the whole globe about the meridian of zone 33,
#: 7762x9249 pixels. (geobatch by itself would cut the output to the zone, and say so.)
GLOBE = {
    "bounds": [-16197651.066, -19795998.039, 17196763.957, 19995929.886],
    "resolution": 4302.2951589,
}
#: Zone 33 and its neighbours, from the equator on: far from UTM's own limits, 4200x9300 pixels.
ZONE = {"bounds": [-1600000.0, 0.0, 2600000.0, 9300000.0], "resolution": 1000.0}


def warp_row(
    data: str,
    crs: str,
    resampling: str,
    form: str,
    limit: float | None,
    *,
    options: list[str] | None = None,
    grid: dict[str, Any] | None = None,
) -> Row:
    """A warp by geobatch and by gdalwarp, with the same compression, onto the same ``grid``."""
    kernel = {"nearest": "near"}.get(resampling, resampling)
    options = options or (COG if form == "COG" else GTIFF)
    warp = ["-t_srs", crs, "-r", kernel, *options]
    if grid:
        bounds, size = map(str, grid["bounds"]), str(grid["resolution"])
        warp += ["-te", *bounds, "-tr", size, size]
    peers = {"gdalwarp": [*WARP, *warp]}
    if form == "GTiff":
        creation = options[1::2]
        peers["rio warp"] = [
            "rio", "warp", "--threads", "2", "--dst-crs", crs, "--resampling", resampling,
            *(word for option in creation for word in ("--co", option)),
        ]  # fmt: skip
    output = {"format": form, "creation": CREATION}
    return Row(data, reproject(crs, resampling, **grid or {}), output, peers, limit)


def convert_row(
    data: str, form: str, limit: float | None, creation: dict[str, Any] | None = None
) -> Row:
    """The same pixels in another layout, by geobatch, gdal_translate and rio cogeo."""
    peers = {"gdal_translate": ["gdal_translate", "-q", *(COG if form == "COG" else GTIFF)]}
    if form == "COG":
        peers["rio cogeo"] = ["rio", "cogeo", "create", "--quiet", "-p", "deflate"]
    output = {"format": form, "creation": creation or CREATION}
    return Row(data, {"name": "raster.convert"}, output, peers, limit)


def _rows() -> dict[str, Row]:
    rows = {
        "6933-bilinear-cog": warp_row("relief", "EPSG:6933", "bilinear", "COG", 0.35),
        "6933-bilinear-gtiff": warp_row("relief", "EPSG:6933", "bilinear", "GTiff", 0.50),
        "enlarged-bilinear-cog": warp_row("enlarged", "EPSG:6933", "bilinear", "COG", 0.28),
        "enlarged-bilinear-gtiff": warp_row("enlarged", "EPSG:6933", "bilinear", "GTiff", 0.38),
        "6933-cubic-cog": warp_row("relief", "EPSG:6933", "cubic", "COG", 0.30),
        "6933-lanczos-cog": warp_row("relief", "EPSG:6933", "lanczos", "COG", 0.30),
    }
    for code in (32633, 3035):
        for kernel in ("bilinear", "cubic"):
            name = f"{code}-{kernel}-cog"
            grid = GLOBE if code == 32633 else None
            rows[name] = warp_row("relief", f"EPSG:{code}", kernel, "COG", 0.25, grid=grid)
    for kernel in ("bilinear", "cubic"):
        rows[f"zone33-{kernel}-cog"] = warp_row(
            "relief", "EPSG:32633", kernel, "COG", None, grid=ZONE
        )
    return rows | {
        "float-nan-cog": warp_row(
            "float-nan", "EPSG:6933", "bilinear", "COG", 0.45, options=FLOATS
        ),
        "tiles-3857": Row(
            "tiles",
            reproject("EPSG:3857", "bilinear"),
            {"format": "GTiff", "creation": {"compress": "deflate", "predictor": "yes"}},
            {"xargs gdalwarp": ["gdalwarp", "-q", "-t_srs", "EPSG:3857", "-r", "bilinear", *GTIFF]},
            0.15,
        ),
        # Its tiles are already what the output asks for: by default they are passed through, and
        # overviews are made. A level that is asked for must be that of every tile.
        "relief-cog": convert_row("relief", "COG", 0.45),
        "relief-cog-anew": convert_row("relief", "COG", None, CREATION | {"level": 6}),
        "passthrough-cog": convert_row("enlarged", "COG", 0.25),
        "passthrough-gtiff": convert_row("enlarged", "GTiff", 0.25),
    }  # fmt: skip


ROWS: dict[str, Row] = _rows()
