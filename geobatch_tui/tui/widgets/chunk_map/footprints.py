"""Which chunks each pixel of the ground shows, and their codes."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.widgets.chunk_map.planes import Grid, Span, at, fold, ranges, union

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from geobatch_tui.tui.model import ItemView
    from geobatch_tui.tui.widgets.chunk_map.ground import View
    from geobatch_tui.tui.widgets.chunk_map.place import LonLat, Place
    from geobatch_tui.tui.widgets.chunk_map.planes import Planes

_PROBES: Final = 17
_ONE: Final = Span(0, 0, 1, 1)

Corner = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class _Print:
    """A part of an item in view, in blocks of ``zoom`` chunks; its block 0 has number ``base``."""

    item: ItemView
    grid: Grid
    blocks: Span
    zoom: tuple[int, int]
    base: int

    def chunks(self, block: int) -> Span:
        """Columns and rows of the chunks in a block, by its number."""
        wide, high = self.zoom
        row, column = divmod(block - self.base, self.blocks.right - self.blocks.left)
        left, top = (self.blocks.left + column) * wide, (self.blocks.top + row) * high
        whole = Span(0, 0, self.grid.columns, self.grid.rows)
        return Span(left, top, left + wide, top + high).meet(whole)

    def block(self, position: int) -> int | None:
        """The number of the block that has this chunk; None: it is not in view."""
        row, column = divmod(position - self.grid.first, self.grid.columns)
        x, y = column // self.zoom[0], row // self.zoom[1]
        blocks = self.blocks
        if not (blocks.left <= x < blocks.right and blocks.top <= y < blocks.bottom):
            return None
        return self.base + (y - blocks.top) * (blocks.right - blocks.left) + x - blocks.left


class Footprints:
    """Blocks of chunks on pixels.

    Args:
        planes: states and figures.
        items: all items, in order.
        places: where they lie, by their ids.
    """

    def __init__(
        self, planes: Planes, items: Sequence[ItemView], places: Mapping[int, Place]
    ) -> None:
        self._planes = planes
        self._items = items
        self._places = places
        self._prints: dict[int, list[_Print]] = {}
        self._bases: list[int] = []
        self._order: list[_Print] = []
        self._pixels: dict[int, list[int]] = {}
        self._shown: dict[int, list[int]] = {}
        self._width = self._height = self._count = 0

    # --- laying ---------------------------------------------------------------------------------

    def lay(self, view: View) -> None:
        """Find the pixels of all that is in view."""
        self._width, self._height = view.width, view.height
        for item in self._items:
            place = self._places.get(item.item_id)
            if place is not None and item.n:
                for turn in _turns(place, view):
                    self._lay(item, place, view, 360.0 * turn)

    def _lay(self, item: ItemView, place: Place, view: View, shift: float) -> None:
        west, south, east, north = place.bounds
        left, right = view.x(west + shift), view.x(east + shift)
        top, bottom = view.y(north), view.y(south)
        if right < 0 or bottom < 0 or left >= view.width or top >= view.height:
            return
        if right - left < 1.5 and bottom - top < 1.5:
            x, y = math.floor((left + right) / 2), math.floor((top + bottom) / 2)
            entry = self._entry(item, _ONE, (item.columns, item.rows))
            self._cover(Span(x, y, x + 1, y + 1), entry.base)
            return
        # A chunk without a grid has no place of its own.
        known = item.columns * item.rows == item.n and item.width > 0 and item.height > 0
        columns, rows = (item.columns, item.rows) if known else (1, 1)
        zoom = (
            max(1, int(columns / max(1.0, right - left))),
            max(1, int(rows / max(1.0, bottom - top))),
        )
        wide, high = -(-columns // zoom[0]), -(-rows // zoom[1])
        span = Span(0, 0, wide, high)
        parts = (
            zoom[0] * item.chunk_size[0] / item.width if known else 1.0,
            zoom[1] * item.chunk_size[1] / item.height if known else 1.0,
        )
        if left < 0 or top < 0 or right > view.width or bottom > view.height:
            span = _in_view(place, view, shift, span, parts)
        if span.empty:
            return
        entry = self._entry(item, span, zoom if known else (item.columns, item.rows))
        us = _edges(range(span.left, span.right + 1), parts[0])
        vs = _edges(range(span.top, span.bottom + 1), parts[1])
        self._fill(entry, [_corners(place, view, shift, v, us) for v in vs])

    def _entry(self, item: ItemView, blocks: Span, zoom: tuple[int, int]) -> _Print:
        entries = self._prints.setdefault(item.item_id, [])
        for entry in entries:
            if (entry.blocks, entry.zoom) == (blocks, zoom):
                return entry
        grid = Grid(item.first, item.n, item.columns, item.rows)
        entry = _Print(item, grid, blocks, zoom, self._count)
        entries.append(entry)
        self._bases.append(self._count)
        self._order.append(entry)
        self._count += (blocks.right - blocks.left) * (blocks.bottom - blocks.top)
        return entry

    def _fill(self, entry: _Print, lines: Sequence[Sequence[Corner]]) -> None:
        """Cover what lies between the corners of each block."""
        block = entry.base
        for upper, lower in pairwise(lines):
            for index in range(len(upper) - 1):
                known = [
                    corner
                    for corner in (upper[index], upper[index + 1], lower[index], lower[index + 1])
                    if corner is not None
                ]
                if known:
                    xs, ys = zip(*known, strict=True)
                    self._cover(_pixels(min(xs), min(ys), max(xs), max(ys)), block)
                block += 1

    def _cover(self, box: Span, block: int) -> None:
        for y in range(max(0, box.top), min(self._height, box.bottom)):
            start = y * self._width
            for pixel in range(start + max(0, box.left), start + min(self._width, box.right)):
                self._pixels.setdefault(pixel, []).append(block)
                self._shown.setdefault(block, []).append(pixel)

    # --- painting -------------------------------------------------------------------------------

    def paint(self) -> list[bytearray]:
        """Codes of all pixels, by rows."""
        flags, steps = bytearray(), bytearray()
        figures = bool(self._planes.mode.figure)
        for entry in self._order:
            flags += b"".join(self._fold(entry, figures=False))
            if figures:
                steps += b"".join(self._fold(entry, figures=True))
        codes = self._codes(flags, steps)
        rows = [bytearray(self._width) for _ in range(self._height)]
        for pixel, blocks in self._pixels.items():
            row, column = divmod(pixel, self._width)
            if len(blocks) == 1:
                rows[row][column] = codes[blocks[0]]
            else:
                rows[row][column] = self._mixed(flags, steps, blocks)
        return rows

    def _fold(self, entry: _Print, *, figures: bool) -> Iterator[bytes]:
        plane = self._planes.steps if figures else self._planes.flags
        if entry.blocks == _ONE:
            yield union(plane, entry.grid.first, entry.grid.n)
            return
        yield from fold(plane, entry.grid, entry.blocks, entry.zoom)

    def _codes(self, flags: bytearray, steps: bytearray) -> bytes:
        return self._planes.codes(bytes(flags), bytes(steps))

    def _mixed(self, flags: bytearray, steps: bytearray, blocks: Sequence[int]) -> int:
        all_flags = all_steps = 0
        for block in blocks:
            all_flags |= flags[block]
            if steps:
                all_steps |= steps[block]
        return self._planes.code(all_flags, all_steps)

    def repaint(self, positions: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Number and new code of each pixel that shows any of these chunks."""
        pixels: set[int] = set()
        for position in positions:
            for entry in self._prints.get(at(self._items, position).item_id, ()):
                block = entry.block(position)
                if block is not None:
                    pixels.update(self._shown.get(block, ()))
        for pixel in pixels:
            flags = steps = 0
            for block in self._pixels[pixel]:
                more, higher = self._bytes(block)
                flags |= more
                steps |= higher
            yield pixel, self._planes.code(flags, steps)

    def _bytes(self, block: int) -> tuple[int, int]:
        entry = self._of_block(block)
        return self._planes.block(entry.grid, entry.chunks(block))

    def _of_block(self, block: int) -> _Print:
        return self._order[bisect_right(self._bases, block) - 1]

    # --- looking up -----------------------------------------------------------------------------

    def _blocks(self, box: Span) -> list[int]:
        inside = box.meet(Span(0, 0, self._width, self._height))
        found: set[int] = set()
        for y in range(inside.top, inside.bottom):
            for x in range(inside.left, inside.right):
                found.update(self._pixels.get(y * self._width + x, ()))
        return sorted(found)

    def under(self, box: Span) -> list[tuple[int, int]]:
        """Positions of the chunks on some pixels: first and end of each run of them."""
        found: list[tuple[int, int]] = []
        for block in self._blocks(box):
            entry = self._of_block(block)
            found += ranges(entry.grid, entry.chunks(block))
        return _joined(found)

    def worst(self, box: Span) -> int | None:
        """The position of a chunk of the worst state on some pixels."""
        return self._planes.worst_of(self.under(box))

    def middle(self, position: int) -> LonLat | None:
        """The middle of a chunk; None: its place is not known."""
        item = at(self._items, position)
        place = self._places.get(item.item_id)
        return None if place is None else place.of_chunk(item, position - item.first)


def _turns(place: Place, view: View) -> range:
    """How many times round the earth to go for each appearance in view."""
    west, _, east, _ = view.bounds
    return range(
        math.ceil((west - place.bounds[2]) / 360), math.floor((east - place.bounds[0]) / 360) + 1
    )


def _edges(blocks: Iterable[float], part: float) -> list[float]:
    """Where blocks begin, as parts of the item; a block is ``part`` of it, the last one less."""
    return [min(1.0, block * part) for block in blocks]


def _corners(place: Place, view: View, shift: float, v: float, us: Sequence[float]) -> list[Corner]:
    across, down = view.squeeze / view.step, 1 / view.step
    x0 = view.width / 2 - (view.lon - shift) * across
    y0 = view.height / 2 + view.lat * down
    return [
        None if node is None else (x0 + node[0] * across, y0 - node[1] * down)
        for node in place.along(v, us)
    ]


def _pixels(left: float, top: float, right: float, bottom: float) -> Span:
    """The pixels whose middle is inside, or the one that has the middle in it."""
    x0, x1 = math.ceil(left - 0.5), math.ceil(right - 0.5)
    y0, y1 = math.ceil(top - 0.5), math.ceil(bottom - 0.5)
    if x1 <= x0:
        x0 = math.floor((left + right) / 2)
        x1 = x0 + 1
    if y1 <= y0:
        y0 = math.floor((top + bottom) / 2)
        y1 = y0 + 1
    return Span(x0, y0, x1, y1)


def _in_view(
    place: Place, view: View, shift: float, span: Span, parts: tuple[float, float]
) -> Span:
    """The part of an item's blocks that can be in view, found by probing ever closer."""
    while True:
        closer = _probed(place, view, shift, span, parts)
        if closer.empty or _area(closer) * 2 > _area(span):
            return closer
        span = closer


def _probed(place: Place, view: View, shift: float, span: Span, parts: tuple[float, float]) -> Span:
    wide, high = span.right - span.left, span.bottom - span.top
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


def _touches(corners: Sequence[tuple[float, float]], view: View) -> bool:
    """Whether the box of some corners meets the view; a pixel beside it counts too: between nodes
    an edge may bend."""
    xs, ys = zip(*corners, strict=True)
    beside = max(xs) < -1 or max(ys) < -1 or min(xs) > view.width or min(ys) > view.height
    return not beside


def _area(span: Span) -> int:
    return (span.right - span.left) * (span.bottom - span.top)


def _joined(found: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs in order, those that meet or overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
