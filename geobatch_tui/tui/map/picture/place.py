"""Places of items and chunks on the earth, and the part of the earth that is in view."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.model import ItemView, Lattice

LonLat = tuple[float, float]
type Node = Sequence[float] | None


@dataclass(frozen=True, slots=True)
class Place:
    """Longitudes and latitudes at ``columns`` x ``rows`` nodes at equal steps over an item.

    Longitudes run on over the antimeridian. ``bounds`` are west, south, east, north.
    """

    columns: int
    rows: int
    nodes: Sequence[Node]
    bounds: tuple[float, float, float, float]

    @classmethod
    def of(cls, item: ItemView, lattice: Lattice | None = None) -> Place | None:
        """Make a place from the item's lattice, else from its bounds, north up; None: it is not
        known."""
        if lattice is not None:
            nodes: list[Node] = list(lattice["points"])
            known = [node for node in nodes if node is not None]
            columns, rows = int(lattice["cols"]), int(lattice["rows"])
            if known and columns > 1 and rows > 1 and len(nodes) == columns * rows:
                lons, lats = [node[0] for node in known], [node[1] for node in known]
                return cls(columns, rows, nodes, (min(lons), min(lats), max(lons), max(lats)))
        if item.bounds_lonlat is None:
            return None
        west, south, east, north = item.bounds_lonlat
        if east < west:
            east += 360
        corners = ((west, north), (east, north), (west, south), (east, south))
        return cls(2, 2, corners, (west, south, east, north))

    def at(self, u: float, v: float) -> LonLat | None:
        """The place at ``u``, ``v``, both 0 to 1 from the item's upper left."""
        return self.along(v, (u,))[0]

    def along(self, v: float, us: Sequence[float]) -> list[LonLat | None]:
        """Places on the row ``v`` at several ``us``; bilinear between nodes."""
        y = v * (self.rows - 1)
        row = min(int(y), self.rows - 2)
        start = row * self.columns
        upper = self.nodes[start : start + self.columns]
        lower = self.nodes[start + self.columns : start + 2 * self.columns]
        line = [_between(a, b, y - row) for a, b in zip(upper, lower, strict=True)]
        sections = list(pairwise(line))
        found = []
        for u in us:
            x = u * (self.columns - 1)
            column = min(int(x), self.columns - 2)
            found.append(_between(*sections[column], x - column))
        return found

    def of_chunk(self, item: ItemView, index: int) -> LonLat | None:
        """The centre of a chunk."""
        left, top, width, height = item.window(index)
        if not item.width or not item.height:
            return None
        return self.at((left + width / 2) / item.width, (top + height / 2) / item.height)


def _between(a: Node, b: Node, part: float) -> LonLat | None:
    if not part:
        return None if a is None else (a[0], a[1])
    if a is None or b is None:
        return None if part != 1 or b is None else (b[0], b[1])
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part


def wrapped(longitude: float) -> float:
    """A longitude from -180 to 180."""
    return (longitude + 180) % 360 - 180


def lonlat_text(place: LonLat | None) -> str:
    """``lon 11.204 lat 47.912``, or dashes."""
    if place is None:
        return "lon - lat -"
    return f"lon {wrapped(place[0]):.3f} lat {place[1]:.3f}"


@dataclass(frozen=True, slots=True)
class GroundView:
    """The ground in view: its middle, degrees of latitude a pixel, and degrees of longitude that
    are as long as one of latitude."""

    lon: float
    lat: float
    step: float
    squeeze: float
    width: int
    height: int

    def x(self, lon: float) -> float:
        """Return pixels from the left, unrounded."""
        return (lon - self.lon) * self.squeeze / self.step + self.width / 2

    def y(self, lat: float) -> float:
        """Return pixels from the top, unrounded."""
        return (self.lat - lat) / self.step + self.height / 2

    def lon_at(self, x: float) -> float:
        return self.lon + (x - self.width / 2) * self.step / self.squeeze

    def lat_at(self, y: float) -> float:
        return self.lat - (y - self.height / 2) * self.step

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return self.lon_at(0), self.lat_at(self.height), self.lon_at(self.width), self.lat_at(0)
