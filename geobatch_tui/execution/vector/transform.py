"""Coordinates from one CRS into another, and which features cannot go there.

A feature fails where a coordinate comes out infinite, or where it lies outside the area of use of
the target and does not come back to where it was: projections give finite nonsense there.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyproj import CRS, Transformer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.wkb import Coordinates

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

#: How far a coordinate may be off after the way there and back: degrees, or metres.
_DEGREES, _METRES = 1e-5, 1.0
#: Beyond this latitude all longitudes are one place.
_POLE = 89.9999

_local = threading.local()


@dataclass(frozen=True, slots=True)
class Moved:
    """``x``, ``y`` as transformed; per feature: ``failed`` (a coordinate has no place in the
    target), ``strayed`` (the way back leads elsewhere), ``outside`` (outside the area of use)."""

    x: Floats
    y: Floats
    failed: Flags
    strayed: Flags
    outside: Flags


class Reprojector:
    """Transforms coordinates; belongs to one thread, as PROJ's objects do."""

    def __init__(self, src: str, dst: str) -> None:
        self._src, dst_crs = CRS.from_wkt(src), CRS.from_wkt(dst)
        self._there = Transformer.from_crs(self._src, dst_crs, always_xy=True)
        area = dst_crs.area_of_use
        self._area = None if area is None else (area.west, area.south, area.east, area.north)
        if self._area is not None and self._area == (-180.0, -90.0, 180.0, 90.0):
            self._area = None
        self._degrees = self._src.is_geographic
        self._lonlat = None
        if not self._degrees:
            geodetic = self._src.geodetic_crs or CRS.from_epsg(4326)
            self._lonlat = Transformer.from_crs(self._src, geodetic, always_xy=True)

    def move(self, found: Coordinates) -> Moved:
        """Transform all coordinates of a column."""
        x, y = self._there.transform(found.x, found.y, errcheck=False)
        x, y = np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float64)
        count = len(found.status)
        failed = np.zeros(count, np.bool_)
        lost = ~(np.isfinite(x) & np.isfinite(y))
        if lost.any():
            failed[found.owners()[lost]] = True
        outside = self._outside(found) & ~failed
        strayed = np.zeros(count, np.bool_)
        if outside.any():
            strayed = self._strayed(found, x, y, outside)
        return Moved(x, y, failed, strayed, outside & ~strayed)

    def _outside(self, found: Coordinates) -> Flags:
        """Features that reach beyond the area of use, by the corners of their boxes."""
        count = len(found.status)
        if self._area is None or not len(found.x):
            return np.zeros(count, np.bool_)
        box = found.boxes()
        lon, lat = box[:, [0, 2, 2, 0]], box[:, [1, 1, 3, 3]]
        if self._lonlat is not None:
            lon, lat = self._lonlat.transform(lon, lat, errcheck=False)
        west, south, east, north = self._area
        lon = (lon + 180.0) % 360.0 - 180.0
        beyond = (lon < west) | (lon > east) if west <= east else (lon < west) & (lon > east)
        out: Flags = (beyond | (lat < south) | (lat > north)).any(axis=1)
        return out

    def _strayed(self, found: Coordinates, x: Floats, y: Floats, which: Flags) -> Flags:
        owners = found.owners()
        chosen = which[owners]
        back_x, back_y = self._there.transform(
            x[chosen], y[chosen], errcheck=False, direction="INVERSE"
        )
        dx, dy = np.abs(back_x - found.x[chosen]), np.abs(back_y - found.y[chosen])
        limit = _METRES
        if self._degrees:
            limit = _DEGREES
            dx = np.minimum(dx % 360.0, 360.0 - dx % 360.0)
            dx[np.abs(found.y[chosen]) > _POLE] = 0.0
        off = ~((dx <= limit) & (dy <= limit))
        strayed = np.zeros(len(which), np.bool_)
        strayed[owners[chosen][off]] = True
        return strayed


def reprojector(src: str, dst: str) -> Reprojector:
    """The transformation of this thread between two CRSs (WKT), made once."""
    known: dict[tuple[str, str], Reprojector] = getattr(_local, "known", {})
    if (src, dst) not in known:
        known[src, dst] = Reprojector(src, dst)
        _local.known = known
    return known[src, dst]
