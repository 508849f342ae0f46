"""Maps coordinates between a source, its output grid, and the globe.

Every transformation has x before y (longitude before latitude), whatever the axes of a CRS are.
Points that cannot be transformed are NaN, never infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.proj.crs_lookup import LONLAT, by_text, crs_of, is_degrees, transformer
from geobatch_tui.execution.raster.grid.pixel_grid import Box, PixelGrid

if TYPE_CHECKING:
    from pyproj import CRS

    from geobatch_tui.execution.raster.plan import Raster, Warp
    from geobatch_tui.execution.raster.source_facts import Facts
    from geobatch_tui.execution.raster.types import Pair, Points, Transform

#: West, south, east and north of the area that is assumed for CRSs without an area of use.
_NOT_POLES = (-180.0, -85.0, 180.0, 85.0)
#: Coordinates that differ by less than this part of their range are the same.
_ALIKE = 1e-12
#: Wider than this in degrees, a box is taken to go round the world.
ROUND = 350.0


def project(x: Points, y: Points, src: CRS, dst: CRS) -> Pair:
    """Transform points of ``src`` to ``dst``; NaN where that fails."""
    return finite(*transformer(src, dst).transform(np.asarray(x, "f8"), np.asarray(y, "f8")))


def finite(x: Points, y: Points) -> Pair:
    """Return points, NaN where PROJ gave no finite coordinate."""
    good = np.isfinite(x) & np.isfinite(y)
    if good.all():
        return x, y
    return np.where(good, x, np.nan), np.where(good, y, np.nan)


def separately(x: Points, y: Points, src: CRS, dst: CRS) -> Pair | None:
    """Transform ``x`` (n,) and ``y`` (m,) of ``src``, each by itself, to ``dst``; None unless x
    depends on x alone and y on y alone, as between cylinders, and all can be transformed."""
    if not is_separable(src, dst):
        return None
    n, m = len(x), len(y)
    # Both in one call: n points along the middle row, m along the middle column.
    u, v = np.empty(n + m), np.empty(n + m)
    u[:n], u[n:] = x, x[n // 2]
    v[:n], v[n:] = y[m // 2], y
    u, v = transformer(src, dst).transform(u, v, inplace=True)
    return (u[:n], v[n:]) if np.isfinite(u).all() and np.isfinite(v).all() else None


def project_axes(x: Points, y: Points, src: CRS, dst: CRS) -> Pair:
    """Transform the points (m, n) of all ``x`` (n,) and ``y`` (m,) of ``src`` to ``dst``; NaN where
    that fails."""
    sides = separately(x, y, src, dst)
    if sides is None:
        return project(*np.meshgrid(x, y), src, dst)
    u, v = np.meshgrid(*sides)
    return u, v


@by_text
def is_separable(src: CRS, dst: CRS) -> bool:
    """Whether x depends on x alone and y on y alone, over most of the area of use of both CRSs."""
    shared = shared_area(src, dst)
    box = None if shared is None else project_box(shared, src)
    if box is None:
        return False
    u, v = lattice(1.0, 1.0, 25)
    x, y = project(box.minx + u * box.width, box.miny + v * box.height, src, dst)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return False
    spread = float(np.ptp(x, axis=0).max()), float(np.ptp(y, axis=1).max())
    return spread[0] <= _ALIKE * float(np.ptp(x)) and spread[1] <= _ALIKE * float(np.ptp(y))


def shared_area(src: CRS, dst: CRS) -> Box | None:
    """Return most of the area of use that two CRSs share, in degrees; None if they share none, or
    one of them reaches over the antimeridian."""
    west, south, east, north = _NOT_POLES
    for area in (src.area_of_use, dst.area_of_use):
        if area is not None:
            if area.west > area.east:
                return None
            west, south = max(west, area.west), max(south, area.south)
            east, north = min(east, area.east), min(north, area.north)
    if west >= east or south >= north:
        return None
    x, y = (east - west) / 20, (north - south) / 20
    return Box(west + x, south + y, east - x, north - y)


@by_text
def area_of_use(crs: CRS) -> Box | None:
    """Return the area of use of ``crs`` in degrees, if it is known."""
    area = crs.area_of_use
    return box_of(area.bounds if area else None)


def box_of(bounds: tuple[float, float, float, float] | None) -> Box | None:
    """Return west, south, east, north as a box; across the antimeridian, east is more than 180."""
    if bounds is None:
        return None
    west, south, east, north = bounds
    return Box(west, south, east + (360 if east < west else 0), north)


def apply(transform: Transform, cols: Points, rows: Points) -> Pair:
    """Return coordinates of pixel positions; (0, 0) is the top left corner of the first pixel."""
    a, b, c, d, e, f = transform
    return a * cols + b * rows + c, d * cols + e * rows + f


def invert[P: (float, Points)](transform: Transform, x: P, y: P) -> tuple[P, P]:
    """Return pixel positions of coordinates."""
    a, b, c, d, e, f = transform
    determinant = a * e - b * d
    x, y = x - c, y - f
    return (e * x - b * y) / determinant, (a * y - d * x) / determinant


def centre_longitude(source: PixelGrid) -> float | None:
    """Return the longitude about which a source in degrees that leaves -180 to 180 is unrolled.

    As in GDAL (InsertCenterLong) it is None where the source covers more than the whole circle.
    """
    if not is_degrees(source.crs):
        return None
    x, _ = apply(source.transform, *corners(source.width, source.height))
    west, east = float(x.min()), float(x.max())
    pixel = max(abs(source.transform[0]), abs(source.transform[4]))
    if east - west > 360 + 1.05 * pixel or (west >= -180 - 1e-9 and east <= 180 + 1e-9):
        return None
    return (west + east) / 2


def corners(width: int, height: int) -> Pair:
    """Return pixel positions of the four corners."""
    return np.array([0.0, width, width, 0.0]), np.array([0.0, 0.0, height, height])


def lattice(width: float, height: float, steps: int) -> Pair:
    """Return (steps, steps) positions spread evenly from corner to corner."""
    cols, rows = np.empty((2, steps, steps))  # np.meshgrid takes ten times as long
    cols[:], rows[:] = _evenly(width, steps), _evenly(height, steps)[:, None]
    return cols, rows


@cache
def rim_of_one(steps: int) -> Pair:
    """Return places along the top, bottom, left and right of a square of side 1, ``steps`` each."""
    along, zero, one = np.linspace(0, 1, steps), np.zeros(steps), np.ones(steps)
    return np.concatenate([along, along, zero, one]), np.concatenate([zero, one, along, along])


def project_lattice(grid: PixelGrid, steps: int, dst: CRS) -> Pair:
    """Transform (steps, steps) positions spread evenly over a raster to ``dst``."""
    if grid.transform[1] or grid.transform[3]:
        positions = apply(grid.transform, *lattice(grid.width, grid.height, steps))
        return project(*positions, grid.crs, dst)
    return project_axes(*axes(grid, steps), grid.crs, dst)


def project_sides(grid: PixelGrid, steps: int, dst: CRS) -> Pair | None:
    """Transform x and y (steps,) of places evenly along the sides of a raster to ``dst``; None
    unless each depends on its own side alone, and all can be transformed."""
    if grid.transform[1] or grid.transform[3]:
        return None
    return separately(*axes(grid, steps), grid.crs, dst)


def axes(grid: PixelGrid, steps: int) -> Pair:
    """Return x and y (steps,), evenly along the sides of a raster that is not rotated."""
    a, _, c, _, e, f = grid.transform
    return a * _evenly(grid.width, steps) + c, e * _evenly(grid.height, steps) + f


@lru_cache(maxsize=64)
def _evenly(side: float, steps: int) -> Points:
    # Thousands of small files have sides of few lengths.
    places = np.linspace(0, side, steps)
    places.setflags(write=False)
    return places


@dataclass(frozen=True, slots=True)
class Mapper:
    """Maps pixels of an output grid to pixels of its source, and back."""

    source: PixelGrid
    grid: PixelGrid
    centre: float | None

    @classmethod
    def between(cls, source: PixelGrid, grid: PixelGrid) -> Mapper:
        return cls(source, grid, centre_longitude(source))

    @classmethod
    def of(cls, plan: Raster, warp: Warp, facts: Facts) -> Mapper:
        """Return the mapper of a planned warp of the source with these ``facts``."""
        source = PixelGrid(crs_of(warp.src_crs), facts.transform, facts.width, facts.height)
        return cls.between(
            source, PixelGrid(crs_of(plan.crs), plan.transform, plan.width, plan.height)
        )

    def to_source(self, cols: Points, rows: Points) -> Pair:
        """Return source positions of output positions, in pixels; NaN where there are none."""
        x, y = project(*apply(self.grid.transform, cols, rows), self.grid.crs, self.source.crs)
        if self.centre is not None:
            x = unroll(x, self.centre)
        return invert(self.source.transform, x, y)

    def sides_to_source(self, steps: int) -> Pair | None:
        """Return source columns and rows (steps,) of places evenly along the sides of the output;
        None unless each depends on its own side alone, and there are all."""
        if self.source.transform[1] or self.source.transform[3]:
            return None
        sides = project_sides(self.grid, steps, self.source.crs)
        if sides is None:
            return None
        x, y = sides
        if self.centre is not None:
            x = unroll(x, self.centre)
        return invert(self.source.transform, x, y)

    def lattice_to_source(self, steps: int) -> Pair:
        """Return source positions of (steps, steps) positions spread evenly over the output."""
        x, y = project_lattice(self.grid, steps, self.source.crs)
        if self.centre is not None:
            x = unroll(x, self.centre)
        return invert(self.source.transform, x, y)

    def to_destination(self, cols: Points, rows: Points) -> Pair:
        """Return output positions of source positions, in pixels; NaN where there are none."""
        x, y = project(*apply(self.source.transform, cols, rows), self.source.crs, self.grid.crs)
        return invert(self.grid.transform, x, y)


def unroll(longitudes: Points, centre: float) -> Points:
    """Return longitudes moved by whole turns to within 180 degrees of ``centre``."""
    moved: Points = np.where(
        longitudes < centre - 180,
        longitudes + 360,
        np.where(longitudes > centre + 180, longitudes - 360, longitudes),
    )
    return moved


@lru_cache(maxsize=16)
def lonlat_box(grid: PixelGrid) -> Box | None:
    """Return the bounds of a raster in longitude and latitude, including a pole inside; None if
    they are unknown."""
    if is_degrees(grid.crs):
        return Box.around(*apply(grid.transform, *corners(grid.width, grid.height)))
    sides = project_sides(grid, 101, LONLAT)
    if sides is not None:
        box = Box.around(unroll(sides[0], float(sides[0][50])), sides[1])
        return box if box.width <= ROUND else replace(box, minx=-180.0, maxx=180.0)
    lon, lat = project_lattice(grid, 101, LONLAT)
    if np.isnan(lon).all():
        return None
    middle = lon[50, 50] if np.isfinite(lon[50, 50]) else float(np.nanmedian(lon))
    box = Box.around(unroll(lon, middle), lat)
    south, north = poles_inside(grid)
    west, east = box.minx, box.maxx
    if south or north or box.width > ROUND:
        west, east = -180.0, 180.0
    return Box(west, -90.0 if south else box.miny, east, 90.0 if north else box.maxy)


def lonlat_lattice(grid: PixelGrid, nodes: int) -> dict[str, object]:
    """Return longitudes and latitudes of ``nodes`` x ``nodes`` places at equal steps over the
    raster, row-major, None where a place has none: readers without PROJ place windows by them.

    Longitudes are counted to within 180 degrees of the middle one: they run on over the
    antimeridian, and may pass 180.
    """
    x, y = apply(grid.transform, *lattice(grid.width, grid.height, nodes))
    lon, lat = (x, y) if is_degrees(grid.crs) else project(x, y, grid.crs, LONLAT)
    middle = lon[nodes // 2, nodes // 2]
    if np.isfinite(middle):
        lon = unroll(lon, float(middle))
    places = np.stack([lon.ravel(), lat.ravel()], axis=1).round(5)
    finite = np.isfinite(places).all(axis=1).tolist()
    points = [place if good else None for place, good in zip(places.tolist(), finite, strict=True)]
    return {"cols": nodes, "rows": nodes, "points": points}


@by_text
def _poles(crs: CRS) -> list[list[float]]:
    """Return the south and the north pole in ``crs``: x and y on a meridian, x and y on another."""
    lon, lat = np.meshgrid([0.0, 90.0], [-90.0, 90.0])
    x, y = project(lon, lat, LONLAT, crs)
    poles: list[list[float]] = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1).tolist()
    return poles


def poles_inside(grid: PixelGrid) -> list[bool]:
    """Whether the south pole, and whether the north pole, is a point inside a raster."""
    inside = []
    for x, y, x2, y2 in _poles(grid.crs):
        col, row = invert(grid.transform, x, y)
        # A cylinder shows a pole as a line: there the neighbouring longitudes lie far apart.
        col2, row2 = invert(grid.transform, x2, y2)
        one = math.hypot(col2 - col, row2 - row) < 0.5
        inside.append(one and 0 < col < grid.width and 0 < row < grid.height)
    return inside


def project_box(box: Box, dst: CRS, src: CRS = LONLAT) -> Box | None:
    """Return the bounds in ``dst`` of ``box`` in ``src``, from points along its edges and inside
    it; None if none of them can be transformed."""
    inner, rim = lattice(1.0, 1.0, 41), rim_of_one(501)
    u, v = (np.concatenate([a.ravel(), b]) for a, b in zip(inner, rim, strict=True))
    x, y = project(box.minx + u * box.width, box.miny + v * box.height, src, dst)
    if np.isnan(x).all():
        return None
    return Box.around(x, y)
