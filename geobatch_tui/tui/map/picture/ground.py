"""A scene of many items' chunks on the earth, in plate carrée about the view's middle."""

from __future__ import annotations

import math
from dataclasses import replace
from heapq import nlargest
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.map.picture.coast import Coast
from geobatch_tui.tui.map.picture.footprints import Footprints
from geobatch_tui.tui.map.picture.place import GroundView, wrapped
from geobatch_tui.tui.map.picture.planes import Span
from geobatch_tui.tui.map.picture.scene import MOST_CELLS, Scene, clamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from geobatch_tui.tui.map.picture.place import Place
    from geobatch_tui.tui.map.picture.planes import Planes, Run
    from geobatch_tui.tui.map.picture.scene import Box
    from geobatch_tui.tui.run.model import ItemView

_WORLD: Final = (-180.0, -90.0, 180.0, 90.0)
_MARGIN: Final = 1.25  #: of the ground around what is shown
_LEAST: Final = 0.02  #: degrees that fill the view at least
_CLOSEST: Final = 1e-5  #: degrees a pixel


class GroundScene(Scene):
    """Footprints of items over coasts and borders.

    Args:
        planes: states and figures.
        items: all items, in order; those whose place is unknown are not shown.

    Attributes:
        placed: bounds of the items that are shown, by their ids.
    """

    _rectangle: Box | None = None

    def __init__(self, planes: Planes, items: Sequence[ItemView]) -> None:
        super().__init__(planes)
        self._exact: dict[int, Place] = {}
        self._asked: dict[int, Box] = {}
        self._fitted = True
        self._view = GroundView(0, 0, 1, 1, 0, 0)
        self._cursor: tuple[float, float] | None = None
        self._prints = Footprints(planes, [], {}, self._view)
        self._seams: list[bytearray] = []
        self._coast = Coast()
        self.retarget(items)

    def retarget(self, items: Sequence[ItemView]) -> None:
        """Replace the items, which came, went or moved; a view that was moved stays where it is."""
        self.items = items
        self.placed = {item.item_id: item.bounds_lonlat for item in items if item.bounds_lonlat}
        for key in [key for key, box in self._asked.items() if self.placed.get(key) != box]:
            self._asked.pop(key)
            self._exact.pop(key, None)
        self._extent = extent(list(self.placed.values()))
        if self._cursor is None and self.placed:
            west, south, east, north = next(iter(self.placed.values()))
            self._cursor = (west + east) / 2, (south + north) / 2

    def place(self, exact: Mapping[int, Place]) -> None:
        """Add exact places of items, by their ids, and paint."""
        self._exact |= {key: place for key, place in exact.items() if key in self._asked}
        self.lay()

    def wanted(self, limit: int) -> list[int]:
        """Ids of up to ``limit`` items, the largest first, that are large enough in view for the
        shape of their lattice to show. None is named twice."""
        heights = {
            key: box[3] - box[1]
            for key, box in self.placed.items()
            if key not in self._asked and box[3] - box[1] > 4 * self._view.step
        }
        found = nlargest(limit, heights, key=heights.__getitem__)
        self._asked |= {key: self.placed[key] for key in found}
        return found

    # --- the view -------------------------------------------------------------------------------

    @property
    def view(self) -> GroundView:
        """The ground in view."""
        return self._view

    def resize(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        view = replace(self._view, width=width, height=height)
        self._view = self._fit() if self._fitted else view
        lon, lat = self.cursor
        self._cursor = self._turned(lon), lat
        self.lay()

    def _turned(self, lon: float) -> float:
        """Return a longitude turned to within 180 degrees of the view's middle."""
        return lon + 360 * round((self._view.lon - lon) / 360)

    def _fit(self) -> GroundView:
        west, south, east, north = self._extent
        lon, lat = (west + east) / 2, (south + north) / 2
        squeeze = max(0.2, math.cos(math.radians(lat)))
        wide = max((east - west) * squeeze * _MARGIN, _LEAST)
        high = max((north - south) * _MARGIN, _LEAST)
        step = max(wide / max(1, self.width), high / max(1, self.height))
        return self._view_of(lon, lat, step, squeeze)

    def _view_of(self, lon: float, lat: float, step: float, squeeze: float) -> GroundView:
        """Return a view; in the middle of one of the whole world is the equator."""
        if step >= self._all_round():
            lat, step, squeeze = 0.0, self._all_round(), 1.0
        return GroundView(lon, lat, step, squeeze, self.width, self.height)

    def _all_round(self) -> float:
        """Return the degrees a pixel at which the whole world is in view."""
        return max(360 / max(1, self.width), 180 / max(1, self.height))

    def lay(self) -> None:
        """Work out anew which chunks each pixel shows, and paint."""
        self._prints = Footprints(self.planes, self.items, self._exact, self._view)
        self._seams = self._prints.seams()
        self._coast.draw(self._view)
        self.paint()

    def paint(self) -> None:
        self.picture = self._prints.paint()

    def repaint(self, positions: Iterable[int]) -> Iterator[tuple[int, int, int]]:
        return self._prints.repaint(positions)

    def line(self, y: int) -> tuple[bytes, bytes]:
        upper, lower = super().line(y)
        if not self._seams:
            return upper, lower
        first, second = [*self._seams[2 * y : 2 * y + 2], bytearray(self.width)][:2]
        return _joined(upper, first), _joined(lower, second)

    def shared(self, limit: int = MOST_CELLS) -> list[list[Run]]:
        return self._prints.shared(limit)

    def under(self, y: int) -> str:
        return self._coast.line(y)

    @property
    def scale_text(self) -> str:
        return f"{self._view.step:.2g}°"

    def zoom(self, steps: int, at: tuple[int, int] | None = None) -> bool:
        fit = self._fit()
        step = clamp(self._view.step * 2.0**-steps, _CLOSEST, self._all_round())
        if step == self._view.step:
            return False
        if at is not None:
            self.point(*at)
        self._fitted = step == fit.step
        lon, lat = (fit.lon, fit.lat) if self._fitted else self.cursor
        if at is not None and not self._fitted:
            lon -= (at[0] + 0.5 - self.width / 2) * step / fit.squeeze
            lat = clamp(lat + (at[1] + 0.5 - self.height / 2) * step, -90.0, 90.0)
        self._view = self._view_of(lon, lat, step, fit.squeeze)
        self.lay()
        return True

    # --- cursor ---------------------------------------------------------------------------------

    def _pixel(self, lonlat: tuple[float, float]) -> tuple[int, int]:
        return math.floor(self._view.x(lonlat[0])), math.floor(self._view.y(lonlat[1]))

    def cursor_box(self) -> Span:
        x, y = self._pixel(self.cursor)
        return Span(x, y, x + 1, y + 1)

    @property
    def cursor(self) -> tuple[float, float]:
        """Longitude and latitude."""
        return self._cursor or (self._view.lon, self._view.lat)

    def move(self, dx: int, dy: int) -> bool:
        x, y = self._pixel(self.cursor)
        self.point(x + dx, y + dy)
        return self._follow()

    def point(self, x: int, y: int) -> bool:
        self._cursor = self._view.lon_at(x + 0.5), clamp(self._view.lat_at(y + 0.5), -90.0, 90.0)
        return True

    def go(self, position: int) -> bool:
        lonlat = self._prints.middle(position)
        if lonlat is None:
            return False
        self._cursor = self._turned(lonlat[0]), lonlat[1]
        return self._follow()

    def _follow(self) -> bool:
        """Move the view by a half when the cursor leaves it."""
        x, y = self._pixel(self.cursor)
        across, down = 0 <= x < self.width, 0 <= y < self.height
        if across and down:
            return False
        self._fitted = False
        lon = self._view.lon if across else self.cursor[0]
        lat = self._view.lat if down else self.cursor[1]
        self._view = replace(self._view, lon=lon, lat=lat)
        self.lay()
        return True

    def under_cursor(self) -> list[Run]:
        return self._prints.under(self.cursor_box())

    # --- selection ------------------------------------------------------------------------------

    def frame(self, positions: Sequence[int]) -> None:
        middles = [place for at in positions if (place := self._prints.middle(at)) is not None]
        self.clear()
        if middles:
            lons = [self._turned(lon) for lon, _ in middles]
            lats = [lat for _, lat in middles]
            self._rectangle = min(lons), min(lats), max(lons), max(lats)

    def _area(self) -> Box | None:
        """Return west, south, east, north of the middles of the outermost pixels."""
        if self._anchor is None:
            return self._rectangle
        lons, lats = zip(self._anchor, self.cursor, strict=True)
        return min(lons), min(lats), max(lons), max(lats)

    def selection_box(self) -> Span | None:
        area = self._area()
        if area is None:
            return None
        left, bottom = self._pixel((area[0], area[1]))
        right, top = self._pixel((area[2], area[3]))
        return Span(left, top, right + 1, bottom + 1)

    def selected(self) -> list[Run]:
        box = self.selection_box()
        return [] if box is None else self._prints.under(box)


def _joined(codes: bytes, marks: bytearray) -> bytes:
    """Return codes with marks."""
    if not any(marks):
        return codes
    return bytes(code | mark for code, mark in zip(codes, marks, strict=True))


def extent(boxes: Sequence[Box]) -> Box:
    """West, south, east, north of all boxes; the world where there is none or all round. Where
    they lie on both sides of the antimeridian, east may pass 180."""
    if not boxes:
        return _WORLD
    south = min(box[1] for box in boxes)
    north = max(box[3] for box in boxes)
    spans = sorted((wrapped(box[0]), (box[2] - box[0]) % 360 or box[2] - box[0]) for box in boxes)
    west, east = _narrowest(spans)
    if east - west >= 300:
        return -180.0, south, 180.0, north
    return west, south, east, north


def _narrowest(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return west and east of the shortest arc that contains all spans, which are given by west and
    width: it begins after the widest gap between them."""
    first, width = spans[0]
    gap, start, reach = 0.0, first, first + width
    for west, width in spans[1:]:
        gap, start = max((gap, start), (west - reach, west))
        reach = max(reach, west + width)
    if first + 360 - reach >= gap:
        return first, reach
    return start, max(west + width + (360 if west < start else 0) for west, width in spans)
