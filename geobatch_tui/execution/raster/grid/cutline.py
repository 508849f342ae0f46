"""Outlines of areas on a raster: parsed, brought into its CRS and its pixels, and told by windows.

A pixel belongs to an area that has a part of it, however small, as with GDAL's CUTLINE_ALL_TOUCHED:
inner points count, so a neighbour that shares no more than an edge does not.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geobatch_tui.errors import CrsError, EmptyInputError, MemoryBudgetError, PreflightError
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster.grid import projection
from geobatch_tui.execution.raster.grid.pixel_grid import Box, PixelGrid
from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyproj import CRS
    from shapely import Geometry

    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.types import Points, Valid

#: Sides of an outline within a raster, more than which no plan holds.
MOST_SIDES = 200_000
#: Part of a pixel within which a coordinate counts as on a pixel's edge, as in GDAL: what rounding
#: leaves beside an edge must not add a row of pixels.
_ON_EDGE = 1e-4
#: How far in pixels a straight side may lie from the curve that it is on the raster, as a warp may.
_BEND = 0.001
#: How often a side is halved at most for that.
_HALVINGS = 16
#: Coordinates beyond this, in pixels, are none of a place on the Earth.
_FAR = 2.0**48
_EWKT = re.compile(r"\s*SRID\s*=\s*(\d+)\s*;\s*", re.IGNORECASE)
#: Types of GEOS: polygons and multipolygons; from this one on, geometries have several parts.
_POLYGONS, _MANY = (3, 6), 4


def parse(text: str) -> tuple[Geometry, str]:
    """Return the area of ``text``, WKT or GeoJSON, and the CRS that it names: of GeoJSON longitude
    and latitude unless it says otherwise, of WKT "" unless it begins with an SRID.

    Raises PreflightError if it is neither, or no valid area.
    """
    crs, prefix = "", _EWKT.match(text)
    try:
        if text.lstrip().startswith("{"):
            crs = _crs_of_json(text)
            shape = shapely.from_geojson(text)
        else:
            crs = f"EPSG:{prefix[1]}" if prefix else ""
            shape = shapely.from_wkt(text[prefix.end() if prefix else 0 :])
    except (shapely.errors.GEOSException, ValueError) as error:
        raise PreflightError(
            f"geometry {text[:60]!r} is neither WKT nor GeoJSON: {error}"
        ) from error
    return _area(shape), crs


def _crs_of_json(text: str) -> str:
    data = json.loads(text)
    crs = data.get("crs")
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return str(name or "OGC:CRS84")


def _area(shape: Geometry | None) -> Geometry:
    """Return polygons as they are, and those of a collection as one area."""
    if shape is None or shape.is_empty:
        raise PreflightError("geometry is empty: there would be no pixel left")
    parts = shapely.get_parts(shape)
    while (shapely.get_type_id(parts) >= _MANY).any():  # parts of parts: countries of islands
        parts = shapely.get_parts(parts)
    others = sorted({str(part.geom_type) for part in parts if part.geom_type != "Polygon"})
    if others:
        raise PreflightError(
            f"geometry has a {others[0]}: only polygons enclose an area",
            hint="buffer it first, or give polygons",
        )
    broken = shape if shape.geom_type != "GeometryCollection" else next(
        (part for part in parts if not part.is_valid), parts[0]
    )  # fmt: skip
    if not broken.is_valid:
        raise PreflightError(
            f"geometry is not valid: {shapely.is_valid_reason(broken)}",
            hint="repair it first: ogr2ogr -makevalid, or gdal vector make-valid",
        )
    if shape.geom_type == "GeometryCollection":
        shape = shapely.union_all(parts)
    return shapely.force_2d(shape)


def is_rectangle(shape: Geometry) -> bool:
    """Whether an area is one rectangle along the axes, by its corners alone."""
    if shape.geom_type != "Polygon" or shapely.get_num_coordinates(shape) != 5:
        return False
    return bool(shapely.equals(shape, shapely.box(*shape.bounds)))


@dataclass(frozen=True, slots=True)
class Cutline:
    """The sides of an area's rings in pixels of a raster: (n, 4), x and y of the upper end, x and y
    of the lower one.

    ``added`` points were put on sides that a transformation bends.
    """

    sides: NDArray[np.float64]
    added: int = 0

    @classmethod
    def of(cls, shape: Geometry, crs: CRS, grid: PixelGrid) -> Cutline:
        """Bring an area in ``crs`` onto ``grid``.

        Raises:
            CrsError: a part of it has no place in the CRS of the grid, or its sides are torn there.
            MemoryBudgetError: it has too many sides.
        """
        if crs_lookup.same(crs, grid.crs):
            starts, ends = _sides_of(shape)
            first, last = _pixels(starts, None, grid), _pixels(ends, None, grid)
        else:
            starts, ends = _sides_of(_near(shape, crs, grid))
            first, last = _bent(starts, ends, crs, grid)
        first, last = _snapped(first), _snapped(last)
        down = first[:, 1] <= last[:, 1]
        upper = np.where(down[:, np.newaxis], first, last)
        lower = np.where(down[:, np.newaxis], last, first)
        sides = np.concatenate([upper, lower], axis=1)
        return cls(sides, len(sides) - len(starts))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least and largest x and y: left, top, right, bottom."""
        x, y = self.sides[:, 0::2], self.sides[:, 1::2]
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def within(self, window: Window) -> Cutline:
        """Return the sides that decide pixels of ``window``."""
        sides = self.sides
        # Those at the left too: they tell which pixels are inside.
        met = (sides[:, 1] < window.bottom) & (sides[:, 3] > window.row_off)
        met &= np.minimum(sides[:, 0], sides[:, 2]) < window.right
        return Cutline(np.ascontiguousarray(sides[met]), self.added)

    def touched(self, window: Window) -> Valid:
        """Return which pixels (h, w) of ``window`` have a part of the area."""
        out = np.empty(window.shape, np.uint8)
        sides = self.within(window).sides
        pixel_loops.touched(sides, window.col_off, window.row_off, out)
        return out.view(np.bool_)

    def to_text(self) -> str:
        """Return the sides as text for a plan. Raises MemoryBudgetError if they are too many."""
        _refuse_many(len(self.sides))
        return base64.b64encode(self.sides.astype("<f8").tobytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> Cutline:
        """Return the sides that :meth:`to_text` gave."""
        flat = np.frombuffer(base64.b64decode(text), "<f8").astype(np.float64)
        return cls(flat.reshape(-1, 4))


def _refuse_many(sides: int) -> None:
    if sides > MOST_SIDES:
        raise MemoryBudgetError(
            f"the geometry has {sides} sides on this raster; a plan holds {MOST_SIDES}",
            hint="simplify it first, to about the size of a pixel",
        )


def _sides_of(shape: Geometry) -> tuple[Points, Points]:
    """Return the ends (n, 2) of the sides of all rings, each ring by itself."""
    points, ring = shapely.get_coordinates(
        shapely.get_rings(shapely.get_parts(shape)), return_index=True
    )
    joined = ring[1:] == ring[:-1]
    return points[:-1][joined], points[1:][joined]


def _near(shape: Geometry, crs: CRS, grid: PixelGrid) -> Geometry:
    """Return the part of an area in ``crs`` that may lie on the raster, and some round it: what is
    far away may have no place in its CRS.

    Raises EmptyInputError if there is none.
    """
    x, y = projection.apply(grid.transform, *projection.corners(grid.width, grid.height))
    box = projection.project_box(Box.around(x, y), crs, grid.crs)
    if box is None:
        return shape
    across, down = box.width / 10, box.height / 10
    around = shapely.box(box.minx - across, box.miny - down, box.maxx + across, box.maxy + down)
    parts = shapely.get_parts(shapely.intersection(shape, around))
    parts = parts[np.isin(shapely.get_type_id(parts), _POLYGONS) & ~shapely.is_empty(parts)]
    if not len(parts):
        raise EmptyInputError(f"the geometry lies beside the raster, which has {box} in its CRS")
    return shapely.multipolygons(shapely.get_parts(parts))


def _pixels(points: Points, crs: CRS | None, grid: PixelGrid) -> Points:
    """Return points (n, 2) of ``crs``, None: that of the grid, in pixels; NaN where there are
    none."""
    x, y = points[:, 0], points[:, 1]
    if crs is not None:
        x, y = projection.project(x, y, crs, grid.crs)
    return np.stack(projection.invert(grid.transform, x, y), axis=1)


def _snapped(points: Points) -> Points:
    if not (np.abs(points) < _FAR).all():
        raise CrsError("the geometry has coordinates that are no place on the raster's grid")
    whole = np.rint(points)
    return np.where(np.abs(points - whole) <= _ON_EDGE, whole, points)


def _bent(starts: Points, ends: Points, crs: CRS, grid: PixelGrid) -> tuple[Points, Points]:
    """Return both ends, in pixels, of the sides from ``starts`` to ``ends`` in ``crs``; they are
    halved until each is nearly straight on the grid."""
    first, last = _pixels(starts, crs, grid), _pixels(ends, crs, grid)
    done: list[tuple[Points, Points]] = []
    for _ in range(_HALVINGS):
        off = np.zeros(len(starts))
        middle, half = first, starts
        for part in (0.25, 0.75, 0.5):
            half = starts + part * (ends - starts)
            middle = _pixels(half, crs, grid)
            straight = first + part * (last - first)
            off = np.fmax(off, np.abs(middle - straight).max(axis=1, initial=0.0))
            off[np.isnan(middle).any(axis=1)] = np.inf
        bent = off > _BEND
        done.append((first[~bent], last[~bent]))
        if not bent.any():
            break
        starts, ends = (
            np.concatenate([starts[bent], half[bent]]),
            np.concatenate([half[bent], ends[bent]]),
        )
        first, last = (
            np.concatenate([first[bent], middle[bent]]),
            np.concatenate([middle[bent], last[bent]]),
        )
        _refuse_many(len(starts))
    else:
        raise CrsError(
            f"the geometry's sides are torn in {crs_lookup.named(grid.crs)}: it reaches over the "
            "rim of the map, or where the CRS has no coordinates",
            hint="cut it there first, or give it in the CRS of the raster",
        )
    return np.concatenate([one for one, _ in done]), np.concatenate([other for _, other in done])
