"""Two bytes for each chunk of a run, and any part of them at any scale."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import reduce
from itertools import repeat
from operator import or_
from typing import TYPE_CHECKING

from geobatch_tui.tui.map.picture.codes import CODES, FLAG, MODES, OTHERS, PRECEDENCE, SHOWS, WORST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from geobatch_tui.tui.map.picture.codes import Mode, Scale
    from geobatch_tui.tui.run.model import ItemView

Run = tuple[int, int]
"""First position of some chunks that follow one another, and the end of them."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows and columns of an item's chunks; its chunk 0 stands at ``first`` in the planes.

    The last row may not be full: chunks without a grid are shown in rows of one length.
    """

    first: int
    n: int
    columns: int
    rows: int

    @classmethod
    def of(cls, item: ItemView) -> Grid:
        """The item's own grid; about a square where it has none, which is to say no height: the
        features of a vector file are a row."""
        if item.height <= 1 and item.n > 4:
            return cls.square(item.first, item.n)
        return cls(item.first, item.n, item.columns, item.rows)

    @classmethod
    def square(cls, first: int, n: int) -> Grid:
        """About a square of ``n`` chunks in order."""
        columns = max(1, round(n**0.5))
        return cls(first, n, columns, -(-n // columns))

    def has(self, column: int, row: int) -> bool:
        """Whether there is a chunk at a place."""
        return 0 <= column < self.columns and row >= 0 and row * self.columns + column < self.n

    def block(self, left: int, top: int, wide: int, high: int) -> Span:
        """Return columns and rows of a block of chunks, as far as the grid goes."""
        return Span(left, top, left + wide, top + high).meet(self.whole)

    @property
    def whole(self) -> Span:
        """All columns and rows."""
        return Span(0, 0, self.columns, self.rows)


@dataclass(frozen=True, slots=True)
class Span:
    """Places ``left <= x < right``, ``top <= y < bottom``."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def empty(self) -> bool:
        return self.width <= 0 or self.height <= 0

    def meet(self, other: Span) -> Span:
        """Return the part that both have."""
        return Span(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )


class Planes:
    """Two bytes a chunk: flags of its state, and the step of its figure.

    Attributes:
        mode: what is shown. ``scale`` is that of its figures.
        flags, steps: a byte a chunk.
    """

    def __init__(self) -> None:
        self.mode: Mode = MODES[0]
        self.scale: Scale = MODES[0].scale(())
        self.flags = bytearray()
        self.steps = bytearray()

    def load(self, states: bytes | bytearray) -> None:
        """Load all states. Figures are dropped if their number does not fit any more."""
        self.flags = bytearray(states.translate(FLAG))
        if len(self.steps) != len(self.flags):
            self.steps = bytearray(len(self.flags))

    def touch(self, changed: Iterable[int], states: Sequence[int]) -> None:
        """Load the states of some chunks."""
        for position in changed:
            self.flags[position] = FLAG[states[position]]

    def show(self, mode: Mode, scale: Scale, steps: bytes) -> None:
        """Show a figure: ``steps`` has a byte a chunk; "" for none yet."""
        self.mode, self.scale = mode, scale
        missing = len(self.flags) - len(steps)
        self.steps = bytearray(steps[: len(self.flags)]) + bytearray(max(0, missing))

    def put(self, figures: Mapping[int, float]) -> None:
        """Load figures of single chunks, by position."""
        steps = self.mode.steps(figures.values(), self.scale)
        for position, step in zip(figures, steps, strict=True):
            if position < len(self.steps):
                self.steps[position] = step

    def rows(self, grid: Grid, blocks: Span, zoom: tuple[int, int]) -> Iterator[bytes]:
        """Yield codes of blocks of ``zoom`` (columns, rows) chunks each, a row of blocks at a
        time."""
        flags = fold(self.flags, grid, blocks, zoom)
        steps = fold(self.steps, grid, blocks, zoom) if self.mode.figure else repeat(b"")
        return map(self.codes, flags, steps)

    def codes(self, flags: bytes, steps: bytes) -> bytes:
        """Return codes of places from their two bytes."""
        if not self.mode.figure:
            return flags.translate(WORST)
        shown = _number(flags.translate(SHOWS)) & _number(steps.translate(self.mode.table))
        return (_number(flags.translate(OTHERS)) | shown).to_bytes(len(flags), "little")

    def code(self, flags: int, steps: int) -> int:
        """Return the code of one place."""
        if not self.mode.figure or not SHOWS[flags]:
            return WORST[flags]
        return self.mode.table[steps]

    def block(self, grid: Grid, block: Span) -> tuple[int, int]:
        """Return both bytes of all chunks inside ``block``, which is in columns and rows."""
        return self.union(list(ranges(grid, block)))

    def union(self, runs: Sequence[Run]) -> tuple[int, int]:
        """Return both bytes of all chunks in some runs."""
        return union(self.flags, runs), union(self.steps, runs)

    def worst(self, runs: Sequence[Run]) -> int | None:
        """Return the position of the first chunk of the worst state in some runs; None: no
        chunk."""
        wanted = WORST[union(self.flags, runs)]
        for start, end in runs:
            found = self.flags[start:end].translate(WORST).find(wanted)
            if found >= 0 and wanted:
                return start + found
        return None

    def counts(self, runs: Sequence[Run]) -> dict[int, int]:
        """Count the chunks of each code of state in some runs, without codes that none has."""
        found = dict.fromkeys(PRECEDENCE, 0)
        for start, end in runs:
            part = self.flags[start:end]
            for state in found:
                found[state] += part.count(FLAG[state])
        return {CODES[state]: count for state, count in found.items() if count}

    def find(self, state: int, after: int, *, back: bool = False) -> int | None:
        """Find the next chunk of a state after ``after``, or before it, then from the other end."""
        flag = FLAG[state]
        if back:
            found = self.flags.rfind(flag, 0, max(0, after))
            found = found if found >= 0 else self.flags.rfind(flag)
        else:
            found = self.flags.find(flag, after + 1)
            found = found if found >= 0 else self.flags.find(flag)
        return found if found >= 0 else None


def fold(plane: bytearray, grid: Grid, blocks: Span, zoom: tuple[int, int]) -> Iterator[bytes]:
    """Yield the OR of the bytes in each block, a row of blocks at a time.

    Whole rows are taken as one number each: 10^6 bytes take about two milliseconds.
    """
    wide, high = zoom
    count = blocks.width
    left, right = blocks.left * wide, min(blocks.right * wide, grid.columns)
    last = grid.first + grid.n
    for y in range(blocks.top, blocks.bottom):
        number = 0
        for row in range(y * high, min((y + 1) * high, grid.rows)):
            start = grid.first + row * grid.columns
            number |= _number(plane[start + left : min(start + right, last)])
        line = number.to_bytes(count * wide, "little")
        if wide > 1:
            number = reduce(or_, (_number(line[index::wide]) for index in range(wide)))
            line = number.to_bytes(count, "little")
        yield line


def union(plane: bytearray, runs: Iterable[Run]) -> int:
    """Return the OR of the bytes in some runs."""
    found: set[int] = set()
    for start, end in runs:
        found.update(plane[start:end])
    return reduce(or_, found, 0)


def ranges(grid: Grid, block: Span) -> Iterator[Run]:
    """Yield positions of the chunks inside ``block``: first and end of each row, rows that follow
    one another without a gap as one."""
    inside = block.meet(grid.whole)
    last = grid.first + grid.n
    if inside.empty:
        return
    if inside.width == grid.columns:
        start = grid.first + inside.top * grid.columns
        yield start, min(last, grid.first + inside.bottom * grid.columns)
        return
    for row in range(inside.top, inside.bottom):
        start = grid.first + row * grid.columns
        if start + inside.left < last:
            yield start + inside.left, min(last, start + inside.right)


def at(items: Sequence[ItemView], position: int) -> ItemView:
    """Return the item whose chunk stands at ``position``."""
    return items[bisect_right(items, position, key=lambda item: item.first) - 1]


def _number(line: bytes | bytearray) -> int:
    return int.from_bytes(line, "little")
