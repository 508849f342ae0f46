"""Interpolated coordinates are as near to PROJ's as asked, and depend on the place alone."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import CRS

from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.grid import projection
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.raster.grid.projection import Mapper
from geobatch_tui.execution.raster.warp import coordinates, lattice

WORLD = PixelGrid(CRS.from_epsg(4326), (0.1, 0.0, -180.0, 0.0, -0.1, 90.0), 3600, 1800)
POLAR = PixelGrid(CRS.from_epsg(3413), (25_000.0, 0.0, -6e6, 0.0, -25_000.0, 6e6), 480, 480)
EUROPE = PixelGrid(CRS.from_epsg(3035), (10_000.0, 0.0, 2.5e6, 0.0, -10_000.0, 5.5e6), 400, 400)
MERCATOR = PixelGrid(CRS.from_epsg(3857), (50_000.0, 0.0, -2e7, 0.0, -50_000.0, 1e7), 800, 400)


def exactly(mapper, window, offset=0.5):
    cols = np.arange(window.col_off, window.col_off + window.width) + offset
    rows = np.arange(window.row_off, window.row_off + window.height) + offset
    return coordinates.exact(mapper, *np.meshgrid(cols, rows))


@pytest.mark.parametrize("grid", [POLAR, EUROPE])
@pytest.mark.parametrize("threshold", [0.1, 0.001, 1e-6])
def test_the_error_stays_below_the_threshold(grid, threshold):
    """Everywhere, at a pole and along the antimeridian too."""
    mapper = Mapper.between(WORLD, grid)
    window = Window(0, 0, grid.width, grid.height)
    cells = lattice.Lattice(mapper, threshold)
    cover = cells.cover(window)
    for got, true in zip(cover.fill(window), exactly(mapper, window), strict=True):
        assert np.array_equal(np.isnan(got), np.isnan(true))
        assert np.nanmax(np.abs(got - true)) <= 2 * threshold
    if threshold == 0.001:
        assert sum(len(level.places) for level in cover.cells if level.size == 16) > 0


def test_coordinates_do_not_depend_on_the_window():
    """Any window has the bits of the whole, as cells lie on the item's grid."""
    cells = lattice.Lattice(Mapper.between(WORLD, POLAR), 0.001)
    whole = cells.cover(Window(0, 0, 480, 480)).fill(Window(0, 0, 480, 480))
    for window in (Window(3, 5, 70, 90), Window(200, 210, 77, 50), Window(479, 0, 1, 480)):
        rows = slice(window.row_off, window.row_off + window.height)
        cols = slice(window.col_off, window.col_off + window.width)
        for part, all_of_it in zip(cells.cover(window).fill(window), whole, strict=True):
            assert part.tobytes() == np.ascontiguousarray(all_of_it[rows, cols]).tobytes()


def test_vectors_are_those_of_proj():
    """A separable grid gets the very coordinates of every pixel."""
    mapper = Mapper.between(WORLD, MERCATOR)
    assert coordinates.separable(mapper) is not None
    vectors = coordinates.Vectors.of(mapper, 0.5)
    x, y = exactly(mapper, Window(0, 0, 800, 400))
    assert np.abs(x - vectors.x[None, :]).max() < coordinates.SEPARABLE
    assert np.abs(y - vectors.y[:, None]).max() < coordinates.SEPARABLE


@pytest.mark.parametrize("grid", [POLAR, EUROPE])
def test_other_grids_are_not_separable(grid):
    """Cones and planes bend meridians."""
    assert coordinates.separable(Mapper.between(WORLD, grid)) is None


@pytest.mark.parametrize(
    ("src", "dst"),
    [
        ("EPSG:4326", "EPSG:3857"),
        ("EPSG:3857", "EPSG:4326"),
        ("EPSG:4326", "EPSG:6933"),
        ("EPSG:4326", "EPSG:3035"),
        ("EPSG:32633", "EPSG:3857"),
    ],
)
@pytest.mark.parametrize("box", [(-170.0, -80.0, 170.0, 80.0), (-200.0, -95.0, 200.0, 95.0)])
def test_a_lattice_by_its_axes_is_the_lattice(src, dst, box):
    """Separable or not, inside of the globe or beyond it."""
    source, target = CRS(src), CRS(dst)
    west, south, east, north = box
    corners = projection.project(
        np.array([west, east]), np.array([south, north]), crs_lookup.LONLAT, source
    )
    ends = np.where(np.isfinite(corners), corners, 2e7)
    x, y = np.linspace(*ends[0], 21), np.linspace(*ends[1], 15)
    found = projection.project_axes(x, y, source, target)
    wanted = projection.project(*np.meshgrid(x, y), source, target)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-9)


def test_separable_is_said_of_cylinders_alone():
    """What lets a lattice be computed by its axes."""
    lonlat = CRS("EPSG:4326")
    for code in (3857, 6933, 4087, 3395):
        assert projection.is_separable(lonlat, CRS(f"EPSG:{code}"))
        assert projection.is_separable(CRS(f"EPSG:{code}"), lonlat)
    for code in (3035, 32633, 3413, 27700):
        assert not projection.is_separable(lonlat, CRS(f"EPSG:{code}"))
