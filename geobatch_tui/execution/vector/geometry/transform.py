"""Coordinates from one CRS into another, and which features cannot go there.

A feature fails where a coordinate comes out infinite, or where it lies outside the area of use of
the target and does not come back to where it was: projections give finite nonsense there. See
``round_trip`` for where that is looked at.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from pyproj import CRS, Transformer

from geobatch_tui.execution.proj import coordinate_operations
from geobatch_tui.execution.vector.geometry.round_trip import Ground

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.batch.wkb_coordinates import Coordinates

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

#: How far a coordinate may be off after the way there and back: degrees, or metres.
_DEGREES, _METRES = 1e-5, 1.0
#: How far apart the coordinates of a feature are that go there and back where the ground is not
#: firm: nonsense fills regions, so a feature that reaches this far into one is found.
_STEP_DEGREES, _STEP_METRES = 0.02, 2000.0
#: Sides of the cells of the ground, and how far they reach: longitudes and latitudes; metres.
_CELL_DEGREES, _GLOBE = 1.0, (180.0, 90.0)
_CELL_METRES, _PLANE = 1e5, (2e7, 2e7)
#: The same for points of the lattice of the ground, since the error grows towards a rim.
_LATTICE = 0.1
#: How a pipeline begins whose next step takes radians; and a radian's share of a degree, as PROJ
#: has it.
_FROM_DEGREES = "proj=pipeline step proj=unitconvert xy_in=deg xy_out=rad step proj="
_RADIAN = np.pi / 180
_WORLD = (-180.0, -90.0, 180.0, 90.0)
#: Beyond this latitude all longitudes are one place.
_POLE = 89.9999

#: Longitudes beyond it are near the antimeridian: 10 degrees, as GDAL has it.
NEAR = 170.0
_HALF_ROUND = 180.0

_local = threading.local()


@dataclass(frozen=True, slots=True)
class Moved:
    """Per feature: ``failed`` (a coordinate has no place in the target), ``strayed`` (the way back
    leads elsewhere), ``outside`` (outside the area of use, and neither)."""

    failed: Flags
    strayed: Flags
    outside: Flags


class Reprojector:
    """Transforms coordinates; belongs to one thread, as PROJ's objects do."""

    def __init__(self, src: str, dst: str) -> None:
        source, area = CRS.from_wkt(src), CRS.from_wkt(dst).area_of_use
        self._area = None if area is None or area.bounds == _WORLD else area.bounds
        self._there = coordinate_operations.transformer(src, dst)
        self._step = _single_step(coordinate_operations.known(src, dst).pipeline, self._there)
        self._degrees = source.is_geographic
        self._lonlat = None
        if not self._degrees:
            geodetic = source.geodetic_crs or CRS.from_epsg(4326)
            self._lonlat = coordinate_operations.transformer(src, geodetic.to_wkt())
        self._ground = (
            Ground(self._send, _CELL_DEGREES, _GLOBE, 90.0)
            if self._degrees
            else Ground(self._send, _CELL_METRES, _PLANE, np.inf)
        )

    def lonlat(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return coordinates of the target, which is in degrees."""
        there = self._there.transform(x, y, errcheck=False)
        return there[0], there[1]

    @property
    def unrolls(self) -> bool:
        """Whether the source is a projection, in which a way tells which side of the globe it is
        on."""
        return not self._degrees

    def move(self, shapes: Coordinates) -> Moved:
        """Transform all coordinates of a column, in place: those of ``shapes`` are the new ones."""
        count = len(shapes.status)
        outside = self._outside(shapes)
        chosen = np.empty(0, np.int64)
        if outside.any():
            step = _STEP_DEGREES if self._degrees else _STEP_METRES
            chosen = self._ground.doubtful(shapes, outside, step)
        before = shapes.x[chosen], shapes.y[chosen]
        self._transform(shapes.x, shapes.y)
        failed = np.zeros(count, np.bool_)
        lost = ~(np.isfinite(shapes.x) & np.isfinite(shapes.y))
        if lost.any():
            failed[shapes.owners_of(np.flatnonzero(lost))] = True
        strayed = np.zeros(count, np.bool_)
        here = ~failed[shapes.owners_of(chosen)]
        if here.any():
            chosen = chosen[here]
            off = self._off(
                (before[0][here], before[1][here]), (shapes.x[chosen], shapes.y[chosen])
            )
            strayed[shapes.owners_of(chosen[off])] = True
        return Moved(failed, strayed, outside & ~failed & ~strayed)

    def _transform(self, x: Floats, y: Floats) -> None:
        """Transform coordinates in place."""
        if self._step is None:
            self._there.transform(x, y, errcheck=False, inplace=True)
            return
        x *= _RADIAN
        y *= _RADIAN
        self._step.transform(x, y, errcheck=False, inplace=True, radians=True)

    def _outside(self, shapes: Coordinates) -> Flags:
        """Mark features that reach beyond the area of use, by the corners of their boxes."""
        count = len(shapes.status)
        if self._area is None or not len(shapes.x):
            return np.zeros(count, np.bool_)
        box = shapes.boxes()
        lon, lat = box[:, [0, 2, 2, 0]], box[:, [1, 1, 3, 3]]
        if self._lonlat is not None:
            lon, lat = self._lonlat.transform(lon, lat, errcheck=False)
        west, south, east, north = self._area
        lon = (lon + 180.0) % 360.0 - 180.0
        beyond = (lon < west) | (lon > east) if west <= east else (lon < west) & (lon > east)
        out: Flags = (beyond | (lat < south) | (lat > north)).any(axis=1)
        return out

    def _send(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Flags]:
        """Return images of points, and mark the points that have one and come back."""
        there = self._there.transform(x, y, errcheck=False)
        finite = np.isfinite(there[0]) & np.isfinite(there[1])
        back = np.zeros(len(x), np.bool_)
        after = there[0][finite], there[1][finite]
        back[finite] = ~self._off((x[finite], y[finite]), after, _LATTICE)
        return *there, back

    def _off(
        self, before: tuple[Floats, Floats], after: tuple[Floats, Floats], share: float = 1.0
    ) -> Flags:
        """Mark coordinates that do not come back to where they were, within a share of the
        limit."""
        back_x, back_y = self._there.transform(*after, errcheck=False, direction="INVERSE")
        dx, dy = np.abs(back_x - before[0]), np.abs(back_y - before[1])
        limit = _METRES
        if self._degrees:
            limit = _DEGREES
            dx = np.minimum(dx % 360.0, 360.0 - dx % 360.0)
            dx[np.abs(before[1]) > _POLE] = 0.0
        off: Flags = ~((dx <= share * limit) & (dy <= share * limit))
        return off


def _single_step(pipeline: str, whole: Transformer) -> Transformer | None:
    """Return the projection of a transformation that besides it only turns degrees into radians;
    None if there is more to it.

    PROJ takes a quarter less time for it than for the pipeline, and gives the same bits: on a net
    round the globe, that is made sure of.
    """
    step = pipeline.removeprefix(_FROM_DEGREES)
    if step == pipeline or " step " in step:
        return None
    single = Transformer.from_pipeline(f"proj={step}")
    net = np.meshgrid(np.arange(-189.7, 190.0, 9.1), np.arange(-90.0, 91.0, 4.5))
    x, y = (side.ravel() for side in net)
    expected = whole.transform(x, y, errcheck=False)
    made = single.transform(x * _RADIAN, y * _RADIAN, errcheck=False, radians=True)
    same = all(np.array_equal(*pair) for pair in zip(made, expected, strict=True))
    return single if same else None


def reprojector(src: str, dst: str) -> Reprojector:
    """Return the transformation of this thread between two CRSs (WKT), made once."""
    known: dict[tuple[str, str], Reprojector] = _local.__dict__.setdefault("known", {})
    if (src, dst) not in known:
        known[src, dst] = Reprojector(src, dst)
    return known[src, dst]


@cache
def in_degrees(crs: str) -> bool:
    """Whether coordinates in ``crs``, as WKT, are longitude and latitude in degrees."""
    parsed = CRS.from_wkt(crs) if crs else None
    if parsed is None or not parsed.is_geographic:
        return False
    return all(axis.unit_name == "degree" for axis in parsed.axis_info[:2])


def half_round(shapes: Coordinates) -> Flags:
    """Mark features that reach more than half round the globe, as those do that lie across the
    antimeridian."""
    box = shapes.boxes()
    wide: Flags = box[:, 2] - box[:, 0] > _HALF_ROUND
    return wide


def near_both_sides(shapes: Coordinates) -> Flags:
    """Mark features that may lie across the antimeridian: they come near it on both sides."""
    box = shapes.boxes()
    near: Flags = (box[:, 0] < -NEAR) & (box[:, 2] > NEAR)
    return near
