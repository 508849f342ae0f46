"""A scene of chunks in rows and columns: those of one item, or all of a run in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.map.picture.planes import Span, ranges
from geobatch_tui.tui.map.picture.scene import MOST_CELLS, Scene, clamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from geobatch_tui.tui.map.picture.planes import Grid, Planes, Run

#: Chunks a pixel; negative: pixels a chunk.
_LADDER: Final = (-16, -12, -8, -6, -4, -3, -2, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_GAP: Final = 4  #: pixels a chunk, from which on chunks stand apart


class GridScene(Scene):
    """A grid of chunks."""

    _anchor: tuple[int, int] | None = None
    _rectangle: Span | None = None

    def __init__(self, planes: Planes, grid: Grid) -> None:
        super().__init__(planes)
        self.grid = grid
        self.column = self.row = 0
        self._zoom = 0  # not fitted yet
        self._fitted = True
        self._left = self._top = 0

    def retarget(self, grid: Grid) -> None:
        """The chunks may have moved among those of the run, or be others; cursor and view stay
        where that makes sense."""
        if (grid.columns, grid.rows) != (self.grid.columns, self.grid.rows):
            self._fitted = True
            self.clear()
            self.column, self.row = min(self.column, grid.columns - 1), min(self.row, grid.rows - 1)
        self.grid = grid

    # --- the view -------------------------------------------------------------------------------

    def resize(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        if self._fitted:
            self._zoom = self._fit()
        self._follow()
        self.paint()

    def _fit(self) -> int:
        wide, high = max(1, self.width), max(1, self.height)
        # Before anything is planned there is not one row.
        columns, rows = max(1, self.grid.columns), max(1, self.grid.rows)
        many = max(-(-columns // wide), -(-rows // high))
        large = min(wide // columns, high // rows, 16)
        return -large if large > 1 else max(1, many)

    @property
    def scale_text(self) -> str:
        return f"1:{self._zoom}" if self._zoom > 0 else f"{-self._zoom}:1"

    def zoom(self, steps: int, at: tuple[int, int] | None = None) -> bool:
        before, fit = self._zoom, self._fit()
        choices = sorted({*(zoom for zoom in _LADDER if _order(zoom) < _order(fit)), fit})
        now = choices.index(before) if before in choices else len(choices) - 1
        zoom = choices[clamp(now - steps, 0, len(choices) - 1)]
        self._fitted = zoom == fit
        if zoom == before:
            return False
        if at is None or not self.point(*at):
            at = self.width // 2, self.height // 2
        self._zoom = zoom
        box = self.cursor_box()
        self._left += (box.left + box.right) // 2 - at[0]
        self._top += (box.top + box.bottom) // 2 - at[1]
        self._follow()
        self.paint()
        return True

    def _extent(self, chunks: int) -> int:
        """Return the pixels that so many chunks in a row take."""
        return -(-chunks // self._zoom) if self._zoom > 0 else chunks * -self._zoom

    def _pixels(self, chunks: Span) -> Span:
        """Return the pixels of a block of chunks, from the view's corner."""
        gap = 1 if -self._zoom >= _GAP else 0
        return Span(
            self._begin(chunks.left) - self._left,
            self._begin(chunks.top) - self._top,
            self._extent(chunks.right) - gap - self._left,
            self._extent(chunks.bottom) - gap - self._top,
        )

    def _begin(self, chunk: int) -> int:
        """Return the pixel that a chunk begins in, from that of the first of its row."""
        return chunk // self._zoom if self._zoom > 0 else chunk * -self._zoom

    def _follow(self) -> bool:
        """Move the view such that the cursor is in it; small grids stand in the middle."""
        before = self._left, self._top
        if not self.width or not self.height:
            return False
        box = self.cursor_box()
        if box.left < 0 or box.right > self.width:
            self._left += (box.left + box.right - self.width) // 2
        if box.top < 0 or box.bottom > self.height:
            self._top += (box.top + box.bottom - self.height) // 2
        self._left = _inside(self._left, self._extent(self.grid.columns), self.width)
        self._top = _inside(self._top, self._extent(self.grid.rows), self.height)
        return (self._left, self._top) != before

    def paint(self) -> None:
        wide, high = self._extent(self.grid.columns), self._extent(self.grid.rows)
        left, top = max(0, self._left), max(0, self._top)
        right, bottom = min(wide, self._left + self.width), min(high, self._top + self.height)
        self.picture = [bytearray(self.width) for _ in range(self.height)]
        if right <= left or bottom <= top:
            return
        x = left - self._left
        for y, row in self._rows(Span(left, top, right, bottom)):
            self.picture[y - self._top][x : x + right - left] = row

    def _rows(self, view: Span) -> Iterator[tuple[int, bytes]]:
        """Yield rows of pixels of a part of the whole picture."""
        if self._zoom > 0:
            rows = self.planes.rows(self.grid, view, (self._zoom, self._zoom))
            yield from enumerate(rows, view.top)
            return
        size = -self._zoom
        blocks = Span(view.left // size, view.top // size, -(-view.right // size), 0)
        blocks = Span(blocks.left, blocks.top, blocks.right, -(-view.bottom // size))
        skip = view.left - blocks.left * size
        for block, codes in enumerate(self.planes.rows(self.grid, blocks, (1, 1)), blocks.top):
            row = _spread(codes, size)[skip : skip + view.width]
            last = (block + 1) * size - (1 if size >= _GAP else 0)
            for y in range(max(view.top, block * size), min(view.bottom, last)):
                yield y, row

    def repaint(self, positions: Iterable[int]) -> Iterator[tuple[int, int, int]]:
        zoom = max(1, self._zoom)
        blocks = set()
        for position in positions:
            index = position - self.grid.first
            if 0 <= index < self.grid.n:
                row, column = divmod(index, self.grid.columns)
                blocks.add((column // zoom, row // zoom))
        view = Span(0, 0, self.width, self.height)
        for column, row in blocks:
            chunks = self._block(column * zoom, row * zoom)
            code = self.planes.code(*self.planes.block(self.grid, chunks))
            box = self._pixels(chunks).meet(view)
            for y in range(box.top, box.bottom):
                for x in range(box.left, box.right):
                    yield x, y, code

    def shared(self, limit: int = MOST_CELLS) -> list[list[Run]]:
        zoom, wide, high = self._zoom, self.grid.columns, self.grid.rows
        if zoom <= 1:
            return []
        across = self._extent(wide)
        pixels = range(0, across * self._extent(high), across * self._extent(high) // limit + 1)
        corners = (divmod(pixel, across) for pixel in pixels)
        return [list(ranges(self.grid, self._block(x * zoom, y * zoom))) for y, x in corners]

    # --- cursor ---------------------------------------------------------------------------------

    def _block(self, column: int, row: int) -> Span:
        """Return the chunks that share a pixel with this one."""
        zoom = max(1, self._zoom)
        return self.grid.block(column // zoom * zoom, row // zoom * zoom, zoom, zoom)

    @property
    def cursor(self) -> tuple[int, int]:
        """Column and row."""
        return self.column, self.row

    def cursor_box(self) -> Span:
        return self._pixels(self._block(self.column, self.row))

    def move(self, dx: int, dy: int) -> bool:
        zoom = max(1, self._zoom)
        self.column = clamp(self.column + dx * zoom, 0, self.grid.columns - 1)
        self.row = clamp(self.row + dy * zoom, 0, self.grid.rows - 1)
        return self._shown()

    def point(self, x: int, y: int) -> bool:
        x, y = x + self._left, y + self._top
        if self._zoom > 0:
            column, row = x * self._zoom, y * self._zoom
        else:
            column, row = x // -self._zoom, y // -self._zoom
        if not self.grid.has(column, row):
            return False
        self.column, self.row = column, row
        return True

    def go(self, position: int) -> bool:
        self.row, self.column = divmod(position - self.grid.first, self.grid.columns)
        return self._shown()

    def _shown(self) -> bool:
        if not self._follow():
            return False
        self.paint()
        return True

    def under_cursor(self) -> list[Run]:
        return list(ranges(self.grid, self._block(self.column, self.row)))

    # --- selection ------------------------------------------------------------------------------

    def frame(self, positions: Sequence[int]) -> None:
        places = [divmod(at - self.grid.first, self.grid.columns) for at in positions]
        rows, columns = zip(*places, strict=True)
        self._anchor = None
        self._rectangle = Span(min(columns), min(rows), max(columns) + 1, max(rows) + 1)

    def _area(self) -> Span | None:
        """Return columns and rows of the rectangle."""
        if self._anchor is None:
            return self._rectangle
        here, there = self._block(self.column, self.row), self._block(*self._anchor)
        return Span(
            min(here.left, there.left),
            min(here.top, there.top),
            max(here.right, there.right),
            max(here.bottom, there.bottom),
        )

    def selection_box(self) -> Span | None:
        area = self._area()
        return None if area is None else self._pixels(area)

    def selected(self) -> list[Run]:
        area = self._area()
        return [] if area is None else list(ranges(self.grid, area))


def _order(zoom: int) -> float:
    """Return the chunks a pixel at a zoom."""
    return zoom if zoom > 0 else -1 / zoom


def _inside(start: int, extent: int, room: int) -> int:
    if extent <= room:
        return -((room - extent) // 2)
    return clamp(start, 0, extent - room)


def _spread(codes: bytes, size: int) -> bytes:
    """Repeat each code ``size`` times, the last one blank where chunks stand apart."""
    wide = bytearray(len(codes) * size)
    for offset in range(size - 1 if size >= _GAP else size):
        wide[offset::size] = codes
    return bytes(wide)
