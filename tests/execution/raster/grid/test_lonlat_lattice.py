"""Places of windows for those who read a plan without PROJ."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import CRS, Transformer

from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.raster.grid.projection import lonlat_lattice
from geobatch_tui.orchestration.state.letters import window_bounds


def test_windows_are_placed_within_a_part_of_themselves() -> None:
    """Interpolated bounds of a UTM chunk agree with PROJ's to a hundredth of its size."""
    grid = PixelGrid(CRS(32633), (30.0, 0.0, 400000.0, 0.0, -30.0, 5500000.0), 8000, 6000)
    chunks = ChunkGrid(8000, 6000, 500, 500)
    lattice = lonlat_lattice(grid, 9)
    to_lonlat = Transformer.from_crs(32633, 4326, always_xy=True)
    for index in (0, 37, len(chunks) - 1):
        window = chunks.window(index)
        cols = np.linspace(window.col_off, window.col_off + window.width, 3)
        rows = np.linspace(window.row_off, window.row_off + window.height, 3)
        u, v = np.meshgrid(cols, rows)
        lon, lat = to_lonlat.transform(400000 + 30 * u, 5500000 - 30 * v)
        truth = (lon.min(), lat.min(), lon.max(), lat.max())
        assert window_bounds(lattice, chunks, window) == pytest.approx(truth, abs=0.002)


def test_places_off_the_earth_are_none() -> None:
    """The corners of a whole-disk grid lie on no place; its centre is the pole."""
    size = 12_000_000.0
    grid = PixelGrid(CRS(3413), (size / 50, 0.0, -size, 0.0, -size / 50, size), 100, 100)
    points = lonlat_lattice(grid, 9)["points"]
    assert points[40][1] == pytest.approx(90.0)
    assert len(points) == 81


def test_longitudes_run_on_over_the_antimeridian() -> None:
    """Fiji is not 360 degrees wide."""
    grid = PixelGrid(CRS(3832), (1000.0, 0.0, 2_500_000.0, 0.0, -1000.0, -1_000_000.0), 2000, 1000)
    lons = [point[0] for point in lonlat_lattice(grid, 5)["points"]]
    assert max(lons) - min(lons) < 30
