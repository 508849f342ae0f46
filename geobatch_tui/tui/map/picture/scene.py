"""The base of pictures of chunks: pixels, a cursor, a rectangle, and a zoom.

A scene is painted in pixels: a cell of the terminal is one pixel wide and two high. It keeps the
picture, so that a tick repaints single pixels and names the dirty ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.map.picture.codes import CURSOR, SELECTED
from geobatch_tui.tui.map.picture.planes import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.tui.map.picture.planes import Planes, Run

MANY: Final = 400
"""Changed chunks; above, painting everything is cheaper than pixel by pixel."""

MOST_CELLS: Final = 1000
"""Pixels that tell of a scale; more of them change it by nothing that is seen."""

Dirty = dict[int, set[int]]
"""Rows of pixels, and the columns in which they changed."""

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees."""

_SELECT: Final = bytes(code | SELECTED for code in range(256))
_POINT: Final = bytes(code | CURSOR for code in range(256))


class Scene(ABC):
    """A picture of chunks.

    Attributes:
        width, height: pixels.
        picture: a code a pixel, by rows.
    """

    #: Where the cursor stood when the rectangle was begun; and the rectangle that was ended.
    _anchor: tuple[float, float] | None = None
    _rectangle: Span | Box | None = None

    def __init__(self, planes: Planes) -> None:
        self.planes = planes
        self.width = self.height = 0
        self.picture: list[bytearray] = []

    # --- the view -------------------------------------------------------------------------------

    @abstractmethod
    def resize(self, width: int, height: int) -> None:
        """Give the scene its size, and paint it."""

    @abstractmethod
    def paint(self) -> None:
        """Paint the whole picture anew."""

    @abstractmethod
    def repaint(self, positions: Iterable[int]) -> Iterable[tuple[int, int, int]]:
        """Return column, row and new code of the pixels that show any of these chunks."""

    def touch(self, positions: Sequence[int]) -> Dirty:
        """Update chunks that changed; return the pixels to send to the terminal."""
        if len(positions) > MANY:
            before = self.picture
            self.paint()
            return _differences(before, self.picture)
        dirty: Dirty = {}
        for x, y, code in self.repaint(positions):
            if self.picture[y][x] != code:
                self.picture[y][x] = code
                dirty.setdefault(y, set()).add(x)
        return dirty

    def line(self, y: int) -> tuple[bytes, bytes]:
        """The two rows of pixels of line ``y``, with cursor and selection."""
        selection, edges = self.selection_box(), _frame(self.cursor_box())
        pair = []
        for at in (2 * y, 2 * y + 1):
            row = bytes(self.picture[at]) if at < len(self.picture) else bytes(self.width)
            row = _marked(row, selection, at, _SELECT)
            for box in edges:
                row = _marked(row, box, at, _POINT)
            pair.append(row)
        return pair[0], pair[1]

    @abstractmethod
    def shared(self, limit: int = MOST_CELLS) -> list[list[Run]]:
        """Return the positions of chunks on up to ``limit`` pixels, evenly spread; none where no
        pixel shows more than one chunk."""

    def under(self, y: int) -> str:
        """Return the text of line ``y`` where there is no chunk: ``width`` cells, or ""."""
        del y
        return ""

    @property
    @abstractmethod
    def scale_text(self) -> str:
        """The scale, for people."""

    # --- cursor ---------------------------------------------------------------------------------

    @property
    @abstractmethod
    def cursor(self) -> tuple[float, float]:
        """The place of the cursor in the scene's own units."""

    @abstractmethod
    def cursor_box(self) -> Span:
        """Return the pixels under the cursor; they may be out of view."""

    @abstractmethod
    def move(self, dx: int, dy: int) -> bool:
        """Move the cursor by pixels or chunks, whichever is larger; whether the view moved too."""

    @abstractmethod
    def point(self, x: int, y: int) -> bool:
        """Put the cursor on a pixel; whether there is something that it can stand on."""

    @abstractmethod
    def go(self, position: int) -> bool:
        """Put the cursor on a chunk; whether the view moved too."""

    @abstractmethod
    def zoom(self, steps: int, at: tuple[int, int] | None = None) -> bool:
        """Show more detail, or less if ``steps`` is negative; return whether anything changed.

        Args:
            steps: how much more.
            at: column and row of the pixel that stays where it is, and that gets the cursor; None:
                the cursor comes into the middle.
        """

    @abstractmethod
    def under_cursor(self) -> list[Run]:
        """Positions of the chunks under the cursor."""

    def worst(self) -> int | None:
        """The position of the worst chunk under the cursor; None: there is none."""
        return self.planes.worst(self.under_cursor())

    # --- selection ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Draw a rectangle from the cursor on, until :meth:`end`."""
        self._anchor, self._rectangle = self.cursor, None

    def end(self) -> None:
        """Keep the rectangle as it is now."""
        self._rectangle = self._area()
        self._anchor = None

    def clear(self) -> bool:
        """Clear the selection; return whether there was one."""
        was = self._anchor is not None or self._rectangle is not None
        self._anchor = self._rectangle = None
        return was

    @property
    def drawing(self) -> bool:
        """Whether the rectangle follows the cursor."""
        return self._anchor is not None

    @abstractmethod
    def frame(self, positions: Sequence[int]) -> None:
        """Select the smallest rectangle that has these chunks in it."""

    @abstractmethod
    def _area(self) -> Span | Box | None:
        """Return the rectangle in the scene's own units."""

    @abstractmethod
    def selection_box(self) -> Span | None:
        """Return the pixels of the rectangle; they may be out of view."""

    @abstractmethod
    def selected(self) -> list[Run]:
        """Return positions of the chunks in the rectangle."""


def _marked(row: bytes, box: Span | None, y: int, table: bytes) -> bytes:
    if box is None or not box.top <= y < box.bottom:
        return row
    left, right = max(0, box.left), max(0, box.right)
    return row[:left] + row[left:right].translate(table) + row[right:]


def _frame(box: Span) -> list[Span]:
    """Return the edges of a large box, whose inside stays visible, or a small box itself."""
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    if box.width < 4 or box.height < 4:
        return [box]
    return [
        Span(left, top, right, top + 1),
        Span(left, bottom - 1, right, bottom),
        Span(left, top + 1, left + 1, bottom - 1),
        Span(right - 1, top + 1, right, bottom - 1),
    ]


def _differences(before: Sequence[bytearray], after: Sequence[bytearray]) -> Dirty:
    dirty: Dirty = {}
    for y, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            pairs = enumerate(zip(old, new, strict=True))
            dirty[y] = {x for x, pair in pairs if pair[0] != pair[1]}
    return dirty


def clamp[Number: (int, float)](value: Number, low: Number, high: Number) -> Number:
    """Return ``value``, or the nearer of both ends; ``low`` if they are the wrong way round."""
    return max(low, min(value, high))
