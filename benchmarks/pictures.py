"""Draws the hard cases of a warp beside gdalwarp's pictures, and counts what differs.

Usage: ``uv run python benchmarks/pictures.py [CASE ...]``

Each case is a job of the product, and the gdalwarp command that its plan prints, run by the GDAL
that rasterio brings. Written to ``benchmarks/results/pictures/CASE.png``: ours, gdalwarp's, and
where they differ (white: by 1, red: by more, blue: valid in one alone).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from data import path_of
from exact import gdal_command, plain
from gdal_library import gdalwarp
from jobs import reproject, write_job
from measure import RESULTS, checked, geobatch, table
from PIL import Image
from rasterio.enums import ColorInterp, Resampling
from rasterio.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: The side of a picture in the drawing.
SIDE = 700


def relief(window: Window | None = None, shrink: int = 4) -> tuple[Any, float]:
    """Pixels (3, h, w) of a part of relief, made smaller; and the size of one in degrees."""
    with rasterio.open(path_of("relief")) as src:
        window = window or Window(0, 0, src.width, src.height)
        shape = (3, int(window.height) // shrink, int(window.width) // shrink)
        pixels = src.read(window=window, out_shape=shape, resampling=Resampling.average)
        return pixels, src.transform.a * shrink


def write(path: Path, pixels: Any, west: float, north: float, size: float, **more: Any) -> None:
    """A GeoTIFF in degrees."""
    profile = {
        "driver": "GTiff", "count": len(pixels), "height": pixels.shape[1],
        "width": pixels.shape[2], "dtype": pixels.dtype, "crs": "EPSG:4326", "tiled": True,
        "transform": rasterio.Affine(size, 0, west, 0, -size, north), **more,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(pixels)


def whole(path: Path) -> None:
    """The globe."""
    pixels, size = relief()
    write(path, pixels, -180, 90, size, photometric="RGB")


def palette(path: Path) -> None:
    """Sixteen classes with colours of their own."""
    pixels, size = relief()
    write(path, pixels[:1] // 16, -180, 90, size)
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, {i: (i * 16, (i * 53) % 256, 255 - i * 16, 255) for i in range(16)})


def alpha(path: Path) -> None:
    """A disk over Africa that fades out towards its rim."""
    pixels, size = relief(Window(5000, 1500, 2400, 2400))
    rows, cols = np.indices(pixels.shape[1:])
    middle = pixels.shape[1] / 2
    far = np.hypot(rows - middle, cols - middle) / middle
    fade = (np.clip(1.2 - far, 0, 0.2) * 5 * 255).astype(np.uint8)
    west, north = -180 + 5000 / 30, 90 - 1500 / 30
    write(path, np.concatenate([pixels, fade[None]]), west, north, size, photometric="RGB")
    with rasterio.open(path, "r+") as dst:
        dst.colorinterp = (*dst.colorinterp[:3], ColorInterp.alpha)


def antimeridian(path: Path) -> None:
    """The Pacific from 120 to 240 degrees east."""
    pixels, size = relief()
    rolled = np.roll(pixels, -round(300 / size), axis=2)[:, :, : round(120 / size)]
    write(path, np.ascontiguousarray(rolled), 120, 90, size, photometric="RGB")


def arctic(path: Path) -> None:
    """All that lies north of 50 degrees."""
    pixels, size = relief(Window(0, 0, 10800, 1200))
    write(path, pixels, -180, 90, size, photometric="RGB")


#: Source, and the operation on it.
CASES: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "down-2.7-bilinear": (whole, reproject("EPSG:6933", "bilinear", resolution=34_700.0)),
    "down-2.7-lanczos": (whole, reproject("EPSG:3035", "lanczos", resolution=31_000.0)),
    "down-10-average": (whole, reproject("EPSG:6933", "average", resolution=128_000.0)),
    "down-10-cubic": (whole, reproject("EPSG:6933", "cubic", resolution=128_000.0)),
    "palette-nearest": (palette, reproject("EPSG:3035", "nearest")),
    "palette-mode": (palette, reproject("EPSG:6933", "mode", resolution=50_000.0)),
    "alpha-cubic": (alpha, reproject("EPSG:3857", "cubic")),
    "antimeridian-cubic": (antimeridian, reproject("EPSG:3832", "cubic")),
    "antimeridian-polar": (antimeridian, reproject("EPSG:3413", "bilinear")),
    "pole-bilinear": (arctic, reproject("EPSG:3413", "bilinear")),
    "pole-lanczos": (arctic, reproject("EPSG:3995", "lanczos")),
    "limb-bilinear": (whole, reproject("EPSG:3035", "bilinear")),
}


def picture(path: Path) -> tuple[Any, Any]:
    """Pixels (bands, h, w) and where they are valid."""
    with rasterio.open(path) as src:
        return src.read(), src.dataset_mask() > 0


def draw(path: Path) -> Any:
    """The image as RGB (h, w, 3) on a grey ground."""
    with rasterio.open(path) as src:
        pixels, valid = src.read(), src.dataset_mask()[..., None] / 255
        if src.colorinterp[0] == ColorInterp.palette:
            colours = np.array([src.colormap(1)[i][:3] for i in range(256)], np.uint8)
            rgb = colours[pixels[0]]
        else:
            rgb = np.moveaxis(pixels[:3], 0, -1)
    return (rgb * valid + 110 * (1 - valid)).astype(np.uint8)


def examine(name: str, folder: Path) -> dict[str, Any]:
    """Run, compare and draw one case."""
    make, op = CASES[name]
    source, out = folder / f"{name}.tif", folder / name
    make(source)
    job = write_job(folder / f"{name}.toml", [source], out, op, output={"format": "GTiff"})
    checked(geobatch("run", str(job), "--headless"))
    theirs = folder / f"{name}-gdal.tif"
    gdalwarp(["-q", *plain(gdal_command(job))], source, theirs)
    ours = out / source.name
    (a, in_a), (b, in_b) = picture(ours), picture(theirs)
    count = min(len(a), len(b))
    delta = np.abs(a[:count].astype(int) - b[:count].astype(int)).max(axis=0)
    delta[~(in_a & in_b)] = 0
    where = np.zeros((*delta.shape, 3), np.uint8)
    where[delta == 1] = 255
    where[delta > 1] = (255, 0, 0)
    where[in_a != in_b] = (60, 90, 255)
    sheets = [Image.fromarray(sheet) for sheet in (draw(ours), draw(theirs), where)]
    scale = min(1.0, SIDE / max(delta.shape))
    size = (round(delta.shape[1] * scale), round(delta.shape[0] * scale))
    whole_sheet = Image.new("RGB", (size[0] * 3 + 20, size[1]), "white")
    for number, sheet in enumerate(sheets):
        how = Image.Resampling.BOX if number == 2 else Image.Resampling.BICUBIC
        whole_sheet.paste(sheet.resize(size, how), (number * (size[0] + 10), 0))
    (RESULTS / "pictures").mkdir(parents=True, exist_ok=True)
    whole_sheet.save(RESULTS / "pictures" / f"{name}.png")
    return {
        "case": name, "size": f"{delta.shape[1]}x{delta.shape[0]}", "pixels": delta.size,
        "valid": int(in_a.sum()), "differ": int((delta > 0).sum()),
        "by more than 1": int((delta > 1).sum()), "worst": int(delta.max()),
        "valid in one alone": int((in_a != in_b).sum()),
    }  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Draw the named cases, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        lines = [examine(name, Path(scratch)) for name in given.cases or CASES]
    print(table(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
