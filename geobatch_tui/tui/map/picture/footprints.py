"""Footprints of chunks on the pixels of the ground, and the codes of these pixels."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from functools import reduce
from itertools import chain, pairwise
from math import ceil, floor
from operator import or_
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.map.picture.borders import ItemGround, seams
from geobatch_tui.tui.map.picture.place import Place
from geobatch_tui.tui.map.picture.planes import Grid, Span, at, fold, ranges, union

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from geobatch_tui.tui.map.picture.place import GroundView, LonLat
    from geobatch_tui.tui.map.picture.planes import Planes, Run
    from geobatch_tui.tui.run.model import ItemView

_PROBES: Final = 17
_LARGE: Final = 6  #: pixels of an item across and down from which on its end is drawn
#: Blocks of an item; up to that it costs less to lay all than to find those in view.
_FEW: Final = 4096

Corner = tuple[float, float] | None
Pixel = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Print:
    """A part of an item in view, in blocks of ``zoom`` chunks; its block 0 has number ``base``."""

    item: ItemView
    grid: Grid
    blocks: Span
    zoom: tuple[int, int]
    base: int

    def chunks(self, block: int) -> Span:
        """Return columns and rows of the chunks in a block, by its number."""
        wide, high = self.zoom
        row, column = divmod(block - self.base, self.blocks.width)
        left, top = (self.blocks.left + column) * wide, (self.blocks.top + row) * high
        return self.grid.block(left, top, wide, high)

    def block(self, position: int) -> int | None:
        """Return the number of the block of a chunk; None: it is not in view."""
        row, column = divmod(position - self.grid.first, self.grid.columns)
        x, y = column // self.zoom[0], row // self.zoom[1]
        blocks = self.blocks
        if not (blocks.left <= x < blocks.right and blocks.top <= y < blocks.bottom):
            return None
        return self.base + (y - blocks.top) * blocks.width + x - blocks.left


class Footprints:
    """Blocks of chunks on pixels.

    An item within one pixel is a point: one block, whose number is its place in a list. Larger
    items are divided into blocks of about a pixel; their numbers follow those of all points.

    Args:
        planes: states and figures.
        items: all items, in order.
        exact: exact places of items, by their ids; for others their bounds are taken.
        view: the ground in view.
    """

    def __init__(
        self,
        planes: Planes,
        items: Sequence[ItemView],
        exact: Mapping[int, Place],
        view: GroundView,
    ) -> None:
        self._planes = planes
        self._items = items
        self._exact = exact
        self._points: list[ItemView] = []
        self._prints: list[_Print] = []
        self._grounds: list[ItemGround] = []
        self._pixels: defaultdict[int, list[int]] = defaultdict(list)
        self._shown: dict[int, list[int]] = {}
        self._of_item: dict[int, list[int | _Print]] = {}
        #: Flags and steps of blocks since they were last touched: items may lie on one another.
        self._known: dict[int, tuple[int, int]] = {}
        self._width, self._height = view.width, view.height
        self._find(view)

    # --- laying ---------------------------------------------------------------------------------

    def _find(self, view: GroundView) -> None:
        """Find the pixels of all that is in view."""
        west, south, east, north = view.bounds
        small = view.step / view.squeeze, view.step  # of a pixel: larger points would leave gaps
        large: list[tuple[ItemView, float]] = []
        for item in self._items:
            box = item.bounds_lonlat
            if box is None or box[1] > north or box[3] < south or not item.n:
                continue
            left, right = box[0], box[2] if box[2] >= box[0] else box[2] + 360
            for turn in range(ceil((west - right) / 360), floor((east - left) / 360) + 1):
                if right - left >= small[0] or box[3] - box[1] >= small[1]:
                    large.append((item, 360.0 * turn))
                    continue
                x = floor(view.x((left + right) / 2 + 360 * turn))
                y = floor(view.y((box[1] + box[3]) / 2))
                if 0 <= x < self._width and 0 <= y < self._height:
                    self._pixels[y * self._width + x].append(len(self._points))
                    self._points.append(item)
        self._count = len(self._points)
        for item, shift in large:
            place = self._exact.get(item.item_id) or Place.of(item)
            if place is not None:
                self._lay(item, place, view, shift)

    def _lay(self, item: ItemView, place: Place, view: GroundView, shift: float) -> None:
        west, south, east, north = place.bounds
        left, right = view.x(west + shift), view.x(east + shift)
        top, bottom = view.y(north), view.y(south)
        if right < 0 or bottom < 0 or left >= view.width or top >= view.height:
            return
        # A chunk without a grid has no place of its own.
        known = item.columns * item.rows == item.n and item.width > 0 and item.height > 1
        known = known and not item.stages  # chunks of stages have no place of their own
        columns, rows = (item.columns, item.rows) if known else (1, 1)
        zoom = (
            max(1, int(columns / max(1.0, right - left))),
            max(1, int(rows / max(1.0, bottom - top))),
        )
        span = Span(0, 0, -(-columns // zoom[0]), -(-rows // zoom[1]))
        parts = (
            zoom[0] * item.chunk_size[0] / item.width if known else 1.0,
            zoom[1] * item.chunk_size[1] / item.height if known else 1.0,
        )
        if span.width * span.height > _FEW:
            span = _in_view(place, view, shift, span, parts)
        if span.empty:
            return
        base, grid = self._count, Grid(item.first, item.n, item.columns, item.rows)
        is_large = min(right - left, bottom - top) >= _LARGE
        self._grounds.append(ItemGround(item.item_id, place.bounds, is_large))
        self._prints.append(
            _Print(item, grid, span, zoom if known else (grid.columns, grid.rows), base)
        )
        self._count += span.width * span.height
        us = _edges(range(span.left, span.right + 1), parts[0])
        vs = _edges(range(span.top, span.bottom + 1), parts[1])
        if item.item_id in self._exact:
            self._fill(base, [_rounded(_corners(place, view, shift, v, us)) for v in vs])
        else:
            xs = _spans([left + u * (right - left) for u in us])
            ys = _spans([top + v * (bottom - top) for v in vs])
            for y0, y1 in ys:
                for x0, x1 in xs:
                    self._cover(x0, y0, x1, y1, base)
                    base += 1

    def _fill(self, block: int, lines: Sequence[Sequence[Pixel]]) -> None:
        """Cover what lies between the corners of each block, from number ``block`` on."""
        for upper, lower in pairwise(lines):
            for a, b, c, d in zip(upper, upper[1:], lower, lower[1:], strict=False):
                if a is not None and b is not None and c is not None and d is not None:
                    self._cover(
                        min(a[0], b[0], c[0], d[0]),
                        min(a[1], b[1], c[1], d[1]),
                        max(a[0], b[0], c[0], d[0]),
                        max(a[1], b[1], c[1], d[1]),
                        block,
                    )
                elif known := [corner for corner in (a, b, c, d) if corner is not None]:
                    xs, ys = zip(*known, strict=True)
                    self._cover(min(xs), min(ys), max(xs), max(ys), block)
                block += 1

    def _cover(self, left: int, top: int, right: int, bottom: int, block: int) -> None:
        """Add a block to the pixels from ``left`` to before ``right``, and to one at least."""
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        columns = range(max(0, left), min(self._width, right))
        for y in range(max(0, top), min(self._height, bottom)):
            start = y * self._width
            for x in columns:
                self._pixels[start + x].append(block)

    # --- painting -------------------------------------------------------------------------------

    def paint(self) -> list[bytearray]:
        """Return the codes of all pixels, by rows."""
        self._known.clear()
        planes = self._planes
        figures = bool(planes.mode.figure)
        flags = self._folded(planes.flags)
        steps = self._folded(planes.steps) if figures else b""
        codes = planes.codes(flags, steps)
        rows = [bytearray(self._width) for _ in range(self._height)]
        for pixel, blocks in self._pixels.items():
            row, column = divmod(pixel, self._width)
            if len(blocks) == 1:
                rows[row][column] = codes[blocks[0]]
            else:
                both = reduce(or_, {flags[block] for block in blocks})
                step = reduce(or_, {steps[block] for block in blocks}) if figures else 0
                rows[row][column] = planes.code(both, step)
        return rows

    def _folded(self, plane: bytearray) -> bytes:
        """Return the bytes of all blocks, in the order of their numbers."""
        points = bytes(
            plane[item.first] if item.n == 1 else union(plane, [(item.first, item.first + item.n)])
            for item in self._points
        )
        lines = (fold(plane, entry.grid, entry.blocks, entry.zoom) for entry in self._prints)
        return points + b"".join(chain.from_iterable(lines))

    def repaint(self, positions: Iterable[int]) -> Iterator[tuple[int, int, int]]:
        """Yield column, row and new code of each pixel that shows any of these chunks."""
        self._index()
        pixels: set[int] = set()
        for position in positions:
            for part in self._of_item.get(at(self._items, position).item_id, ()):
                block = part if isinstance(part, int) else part.block(position)
                if block is not None:
                    self._known.pop(block, None)
                    pixels.update(self._shown.get(block, ()))
        for pixel in pixels:
            flags = steps = 0
            for block in self._pixels[pixel]:
                if block not in self._known:
                    self._known[block] = self._planes.union(list(self._runs(block)))
                more, higher = self._known[block]
                flags |= more
                steps |= higher
            y, x = divmod(pixel, self._width)
            yield x, y, self._planes.code(flags, steps)

    def _index(self) -> None:
        """Index the points and parts of each item and the pixels of each block, once, at the first
        tick."""
        if self._shown:
            return
        for pixel, blocks in self._pixels.items():
            for block in blocks:
                self._shown.setdefault(block, []).append(pixel)
        for number, item in enumerate(self._points):
            self._of_item.setdefault(item.item_id, []).append(number)
        for entry in self._prints:
            self._of_item.setdefault(entry.item.item_id, []).append(entry)

    def _runs(self, block: int) -> Iterable[Run]:
        """Return the positions of a block's chunks."""
        if block < len(self._points):
            item = self._points[block]
            return [(item.first, item.first + item.n)]
        entry = self._prints[bisect_right(self._prints, block, key=lambda part: part.base) - 1]
        return ranges(entry.grid, entry.chunks(block))

    # --- looking up -----------------------------------------------------------------------------

    def under(self, box: Span) -> list[Run]:
        """Return the positions of chunks on some pixels."""
        inside = box.meet(Span(0, 0, self._width, self._height))
        blocks: set[int] = set()
        for y in range(inside.top, inside.bottom):
            for x in range(inside.left, inside.right):
                blocks.update(self._pixels.get(y * self._width + x, ()))
        return self._joined_runs(blocks)

    def _joined_runs(self, blocks: Iterable[int]) -> list[Run]:
        return _joined([run for block in set(blocks) for run in self._runs(block)])

    def seams(self) -> list[bytearray]:
        """Return rows of ``SEAM`` where items have a border; no rows: none has."""
        bases = [entry.base for entry in self._prints]
        owners = {
            pixel: bisect_right(bases, blocks[-1]) - 1
            for pixel, blocks in self._pixels.items()
            if blocks[-1] >= len(self._points)
        }
        return seams(owners, self._grounds, (self._width, self._height))

    def shared(self, limit: int) -> list[list[Run]]:
        """Return the positions of chunks on up to ``limit`` pixels, evenly spread; none where no
        pixel shows more than one chunk."""
        pixels = list(self._pixels.values())[:: len(self._pixels) // limit + 1]
        cells = [self._joined_runs(blocks) for blocks in pixels]
        several = any(sum(end - start for start, end in runs) > 1 for runs in cells)
        return cells if several else []

    def middle(self, position: int) -> LonLat | None:
        """Return the middle of a chunk; None: its place is not known."""
        item = at(self._items, position)
        place = self._exact.get(item.item_id) or Place.of(item)
        if place is None:
            return None
        return place.of_chunk(item, position - item.first) or place.at(0.5, 0.5)


def _edges(blocks: Iterable[float], part: float) -> list[float]:
    """Return where blocks begin, as parts of the item; a block is ``part`` of it at most."""
    return [min(1.0, block * part) for block in blocks]


def _spans(edges: Sequence[float]) -> list[tuple[int, int]]:
    """Return first and end of the pixels between each two edges: those whose middle is there, else
    the pixel half-way between the edges, where the cursor looks for the block."""
    spans = []
    for begin, end in pairwise(edges):
        first, last = ceil(begin - 0.5), ceil(end - 0.5)
        if last <= first:
            first = floor((begin + end) / 2)
            last = first + 1
        spans.append((first, last))
    return spans


def _corners(
    place: Place, view: GroundView, shift: float, v: float, us: Sequence[float]
) -> list[Corner]:
    across, down = view.squeeze / view.step, 1 / view.step
    x0 = view.width / 2 - (view.lon - shift) * across
    y0 = view.height / 2 + view.lat * down
    return [
        None if node is None else (x0 + node[0] * across, y0 - node[1] * down)
        for node in place.along(v, us)
    ]


def _rounded(corners: Sequence[Corner]) -> list[Pixel]:
    """Return the first pixels whose middle is right of and below each corner."""
    return [
        None if corner is None else (ceil(corner[0] - 0.5), ceil(corner[1] - 0.5))
        for corner in corners
    ]


def _in_view(
    place: Place, view: GroundView, shift: float, span: Span, parts: tuple[float, float]
) -> Span:
    """Return the part of an item's blocks that can be in view, by probes that come closer."""
    while True:
        closer = _probed(place, view, shift, span, parts)
        if closer.empty or closer.width * closer.height * 2 > span.width * span.height:
            return closer
        span = closer


def _probed(
    place: Place, view: GroundView, shift: float, span: Span, parts: tuple[float, float]
) -> Span:
    wide, high = span.width, span.height
    steps = range(_PROBES)
    us = _edges((span.left + wide * i / (_PROBES - 1) for i in steps), parts[0])
    vs = _edges((span.top + high * i / (_PROBES - 1) for i in steps), parts[1])
    lines = [_corners(place, view, shift, v, us) for v in vs]
    columns, rows = set(), set()
    for j in range(_PROBES - 1):
        for i in range(_PROBES - 1):
            known = [c for c in (*lines[j][i : i + 2], *lines[j + 1][i : i + 2]) if c is not None]
            if known and _touches(known, view):
                columns.add(i)
                rows.add(j)
    if not columns:
        return Span(0, 0, 0, 0)
    return Span(
        span.left + wide * min(columns) // (_PROBES - 1),
        span.top + high * min(rows) // (_PROBES - 1),
        span.left - (-wide * (max(columns) + 1) // (_PROBES - 1)),
        span.top - (-high * (max(rows) + 1) // (_PROBES - 1)),
    )


def _touches(corners: Sequence[tuple[float, float]], view: GroundView) -> bool:
    """Whether the box of some corners meets the view; a pixel beside it counts too: between nodes
    an edge may bend."""
    xs, ys = zip(*corners, strict=True)
    return not (max(xs) < -1 or max(ys) < -1 or min(xs) > view.width or min(ys) > view.height)


def _joined(found: Sequence[Run]) -> list[Run]:
    """Join runs that meet or overlap; return all in order."""
    joined: list[Run] = []
    for start, end in sorted(found):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
