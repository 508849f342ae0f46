"""A scene of many items' chunks on the earth, in plate carrée about the view's middle."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.map.picture.coast import Coast
from geobatch_tui.tui.map.picture.footprints import Footprints
from geobatch_tui.tui.map.picture.place import GroundView, wrapped
from geobatch_tui.tui.map.picture.planes import Span
from geobatch_tui.tui.map.picture.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from geobatch_tui.tui.map.picture.place import Place
    from geobatch_tui.tui.map.picture.planes import Planes
    from geobatch_tui.tui.run.model import ItemView

Box = tuple[float, float, float, float]

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
        placed: ids of the items that are shown.
    """

    def __init__(self, planes: Planes, items: Sequence[ItemView]) -> None:
        super().__init__(planes)
        self._exact: dict[int, Place] = {}
        self._asked: dict[int, object] = {}
        self._fitted = True
        self._view = GroundView(0, 0, 1, 1, 0, 0)
        self._cursor: tuple[float, float] | None = None
        self._anchor: tuple[float, float] | None = None
        self._rectangle: tuple[float, float, float, float] | None = None
        self._prints = Footprints(planes, [], {})
        self._coast = Coast()
        self.retarget(items)

    def retarget(self, items: Sequence[ItemView]) -> None:
        """Replace the items, which came, went or moved; a view that was moved stays where it is."""
        self.items = items
        bounds = {item.item_id: item.bounds_lonlat for item in items}
        stale = [key for key, asked in self._asked.items() if bounds.get(key) != asked]
        for key in stale:
            self._asked.pop(key)
            self._exact.pop(key, None)
        self.placed = {item.item_id for item in items if item.bounds_lonlat is not None}
        boxes = [item.bounds_lonlat for item in items if item.bounds_lonlat is not None]
        self._extent = extent(boxes)
        if self._cursor is None and boxes:
            west, south, east, north = boxes[0]
            self._cursor = (west + east) / 2, (south + north) / 2

    def place(self, exact: Mapping[int, Place]) -> None:
        """Add exact places of items, by their ids, and paint."""
        self._exact |= {key: place for key, place in exact.items() if key in self._asked}
        self.lay()

    def wanted(self, limit: int) -> list[int]:
        """Ids of up to ``limit`` items, the largest first, that are large enough in view for the
        shape of their lattice to show. None is named twice."""
        edge = 4 * self._view.step
        sizes = [
            (item.bounds_lonlat[3] - item.bounds_lonlat[1], item)
            for item in self.items
            if item.bounds_lonlat is not None and item.item_id not in self._asked
        ]
        large = sorted((pair for pair in sizes if pair[0] > edge), key=lambda pair: -pair[0])
        found = [item for _, item in large[:limit]]
        self._asked |= {item.item_id: item.bounds_lonlat for item in found}
        return [item.item_id for item in found]

    # --- the view -------------------------------------------------------------------------------

    def resize(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        if self._fitted:
            self._view = self._fit()
        else:
            view = self._view
            self._view = GroundView(view.lon, view.lat, view.step, view.squeeze, width, height)
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
        if step >= self._all_round():
            return GroundView(lon, 0.0, self._all_round(), 1.0, self.width, self.height)
        return GroundView(lon, lat, step, squeeze, self.width, self.height)

    def _all_round(self) -> float:
        """Return the degrees a pixel at which the whole world is in view."""
        return max(360 / max(1, self.width), 180 / max(1, self.height))

    def lay(self) -> None:
        """Work out anew which chunks each pixel shows, and paint."""
        self._prints = Footprints(self.planes, self.items, self._exact)
        self._prints.lay(self._view)
        self._coast.draw(self._view)
        self.paint()

    def paint(self) -> None:
        self.picture = self._prints.paint()

    def repaint(self, positions: Iterable[int]) -> Iterator[tuple[int, int, int]]:
        for pixel, code in self._prints.repaint(positions):
            y, x = divmod(pixel, self.width)
            yield x, y, code

    def under(self, y: int) -> str:
        return self._coast.line(y)

    @property
    def scale_text(self) -> str:
        return f"{self._view.step:.2g}°"

    def zoom(self, steps: int) -> bool:
        fit = self._fit()
        step = clamp_float(self._view.step * 2.0**-steps, _CLOSEST, self._all_round())
        if step == self._view.step:
            return False
        self._fitted = step == fit.step
        lon, lat = (fit.lon, fit.lat) if self._fitted else self.cursor
        if step >= self._all_round():
            self._view = GroundView(lon, 0.0, step, 1.0, self.width, self.height)
        else:
            self._view = GroundView(lon, lat, step, fit.squeeze, self.width, self.height)
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
        self._put(x + dx, y + dy)
        return self._follow()

    def _put(self, x: int, y: int) -> None:
        view = self._view
        lat = clamp_float(view.lat_at(y + 0.5), -90, 90)
        self._cursor = view.lon_at(x + 0.5), lat

    def point(self, x: int, y: int) -> bool:
        self._put(x, y)
        return True

    def go(self, position: int) -> bool:
        lonlat = self._prints.middle(position)
        if lonlat is None:
            return False
        self._cursor = self._turned(lonlat[0]), lonlat[1]
        return self._follow()

    def _follow(self) -> bool:
        """Move the view by a half when the cursor leaves it."""
        view = self._view
        x, y = self._pixel(self.cursor)
        if 0 <= x < self.width and 0 <= y < self.height:
            return False
        self._fitted = False
        self._view = GroundView(
            self.cursor[0] if not 0 <= x < self.width else view.lon,
            self.cursor[1] if not 0 <= y < self.height else view.lat,
            view.step,
            view.squeeze,
            self.width,
            self.height,
        )
        self.lay()
        return True

    def under_cursor(self) -> list[tuple[int, int]]:
        return self._prints.under(self.cursor_box())

    def worst(self) -> int | None:
        return self._prints.worst(self.cursor_box())

    # --- selection ------------------------------------------------------------------------------

    def begin(self) -> None:
        self._anchor, self._rectangle = self.cursor, None

    def end(self) -> None:
        self._rectangle = self._area()
        self._anchor = None

    def frame(self, positions: Sequence[int]) -> None:
        middles = [place for at in positions if (place := self._prints.middle(at)) is not None]
        self._anchor = self._rectangle = None
        if middles:
            lons = [self._turned(lon) for lon, _ in middles]
            lats = [lat for _, lat in middles]
            self._rectangle = min(lons), min(lats), max(lons), max(lats)

    def clear(self) -> bool:
        was = self._anchor is not None or self._rectangle is not None
        self._anchor = self._rectangle = None
        return was

    @property
    def drawing(self) -> bool:
        return self._anchor is not None

    def _area(self) -> tuple[float, float, float, float] | None:
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

    def selected(self) -> list[tuple[int, int]]:
        box = self.selection_box()
        return [] if box is None else self._prints.under(box)


def extent(boxes: Sequence[Box]) -> Box:
    """West, south, east, north of all boxes; the world where there is none or all round. Where
    they lie on both sides of the antimeridian, east may pass 180."""
    if not boxes:
        return _WORLD
    south = min(box[1] for box in boxes)
    north = max(box[3] for box in boxes)
    spans = sorted((wrapped(box[0]), (box[2] - box[0]) % 360 or box[2] - box[0]) for box in boxes)
    west, east = _narrowest(array("d", (w for w, _ in spans)), [width for _, width in spans])
    if east - west >= 300:
        return -180.0, south, 180.0, north
    return west, south, east, north


def _narrowest(wests: array[float], widths: Sequence[float]) -> tuple[float, float]:
    """Return west and east of the shortest arc that contains all spans: it begins after the widest
    gap between them."""
    best = (0.0, wests[0])
    reach = wests[0] + widths[0]
    for west, width in zip(wests[1:], widths[1:], strict=True):
        best = max(best, (west - reach, west))
        reach = max(reach, west + width)
    around = wests[0] + 360 - reach
    if around >= best[0]:
        return wests[0], reach
    start = best[1]
    ends = [w + d + (360 if w < start else 0) for w, d in zip(wests, widths, strict=True)]
    return start, max(ends)


def clamp_float(value: float, low: float, high: float) -> float:
    """Return ``value``, or the nearer of both ends."""
    return max(low, min(value, high))
