"""The grid of a small source is GDAL's, to the last bit, or left to GDAL."""

from __future__ import annotations

import random

import pytest
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.raster.warp import gdal_suggestion, gdal_warp

Place = tuple[float, float, float, float, int, int]
CYLINDERS = ["EPSG:3857", "EPSG:6933", "EPSG:3395", "EPSG:32662"]


def both(place: Place, dst: str, src: str = "EPSG:4326") -> tuple[PixelGrid | None, ...]:
    """Our suggestion and GDAL's for a source at (west, north, pixel width and height, size)."""
    *where, width, height = place
    crs, target = crs_lookup.crs_of(src), crs_lookup.crs_of(dst)
    transform = from_origin(*where)
    with MemoryFile() as memory:
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": src}
        with memory.open(width=width, height=height, transform=transform, **profile):
            pass
        with memory.open() as dataset:
            theirs = gdal_warp.suggestion(dataset, crs, target, None)
    numbers = tuple(float(value) for value in transform)[:6]
    return gdal_suggestion.of(PixelGrid(crs, numbers, width, height), target), theirs  # type: ignore[arg-type]


@pytest.mark.parametrize("dst", CYLINDERS)
def test_it_is_gdals_to_the_last_bit(dst: str) -> None:
    chosen = random.Random(dst)
    told = 0
    for _ in range(30):
        width, height = chosen.randint(1, 900), chosen.randint(1, 900)
        pixel = chosen.uniform(1e-5, 0.04)
        west, north = chosen.uniform(1, 100), chosen.uniform(-40, 80)
        ours, theirs = both(
            (west, north, pixel, pixel * chosen.uniform(0.5, 2), width, height), dst
        )
        if ours is not None:
            told += 1
            assert ours == theirs
    assert told >= 25


def test_from_metres_to_metres() -> None:
    ours, theirs = both((1e6, 5e6, 30.0, 30.0, 256, 256), "EPSG:6933", "EPSG:3857")
    assert ours is None or ours == theirs


@pytest.mark.parametrize(
    ("place", "dst"),
    [
        pytest.param((-3.05, 40.0, 0.1, 0.1, 60, 60), "EPSG:3857", id="x changes its sign"),
        pytest.param((10.0, 90.0, 0.1, 0.1, 60, 60), "EPSG:3857", id="the pole lies at infinity"),
        pytest.param((176.0, 10.0, 0.1, 0.1, 60, 60), "EPSG:3857", id="over the antimeridian"),
        pytest.param((10.0, 40.0, 0.001, 0.001, 1100, 1100), "EPSG:3857", id="GDAL takes more"),
        pytest.param((10.0, 40.0, 0.1, 0.1, 60, 60), "EPSG:3035", id="no cylinder"),
        pytest.param((10.0, 40.0, 0.1, 0.1, 60, 60), "EPSG:4258", id="degrees"),
        pytest.param((10.0, 40.0, 0.1, 0.1, 60, 60), "EPSG:4326", id="the same CRS"),
    ],
)
def test_what_is_special_is_left_to_gdal(place: Place, dst: str) -> None:
    ours, theirs = both(place, dst)
    assert ours is None
    assert theirs is not None or dst == "EPSG:3857"
