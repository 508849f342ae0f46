"""A selection of a log's lines, by a filter and a lowest level."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.kit.filters import Filter
from geobatch_tui.tui.log.entry import entry_of, row_of
from geobatch_tui.tui.log.index import STRIDE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.tui.log.index import LogIndex

_SCAN: Final = 4096  #: lines that are searched at once


class LogSelection:
    """Lines of an index that pass a filter and have a lowest level.

    Args:
        index: the log.
        chosen: which lines.
        rank: least level, as an index in ``LEVELS``.
    """

    def __init__(self, index: LogIndex, chosen: Filter | None = None, rank: int = 0) -> None:
        self.index = index
        self.chosen = chosen or Filter()
        self.rank = rank
        self.version = index.version
        self._seen = 0
        self._lines: array[int] = array("I")

    @property
    def all(self) -> bool:
        """Whether every line is shown, so that nothing needs to be kept."""
        return not self.chosen and self.rank == 0

    @property
    def count(self) -> int:
        """Number of lines that are shown, as far as was searched."""
        return self.index.count if self.all else len(self._lines)

    @property
    def searched(self) -> int:
        """Number of lines of the log that were searched."""
        return self.index.count if self.all else self._seen

    def advance(self) -> bool:
        """Search some more lines; return whether there are more to search."""
        if self.all or self.version != self.index.version:
            return False
        stop = min(self._seen + _SCAN, self.index.count)
        candidates = self.index.graver(self.rank, self._seen, stop)
        if self.chosen:
            lines = self.index.read(self._seen, stop - self._seen)
            candidates = (
                line
                for line in candidates
                if line - self._seen < len(lines) and self._passes(lines[line - self._seen])
            )
        self._lines.extend(candidates)
        self._seen = stop
        return stop < self.index.count

    def line(self, position: int) -> int:
        """Return the number in the log of the line at a position of the selection."""
        return position if self.all else self._lines[position]

    def position(self, line: int) -> int:
        """Return the position of a line of the log, or of the next one that is shown."""
        return line if self.all else bisect_left(self._lines, line)

    def read(self, first: int, count: int) -> list[bytes]:
        """Read the lines at these positions."""
        if self.all:
            return self.index.read(first, count)
        found: list[bytes] = []
        numbers = self._lines[first : first + count]
        for begin, stop in _stretches(numbers):
            lines = self.index.read(numbers[begin], numbers[stop - 1] - numbers[begin] + 1)
            found += [lines[number - numbers[begin]] for number in numbers[begin:stop] if lines]
        return found

    def jump(self, position: int, rank: int, step: int) -> int | None:
        """Return the next position of a line of this level, after ``position`` or before it."""
        if not self.count:
            return None
        line = self.line(position) if position < self.count else self.index.count
        while (found := self.index.next_at(line, rank, step)) is not None:
            at = self.position(found)
            if at < self.count and self.line(at) == found:
                return at
            line = found
        return None

    def _passes(self, line: bytes) -> bool:
        lower: bytes | None = None
        for term in self.chosen.terms:
            if term.number is not None or term.negated or not _is_plain(term.value):
                continue
            # A line without the word's bytes need not be parsed.
            lower = lower if lower is not None else line.lower()
            if term.value.encode() not in lower:
                return False
        return self.chosen.matches(row_of(entry_of(line)))


def _is_plain(word: str) -> bool:
    """Whether JSON in ASCII writes a word as it is."""
    return word.isascii() and word.isprintable() and not set(word) & set('"\\')


def _stretches(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield ranges of positions whose lines are near one another in the file, for one read each."""
    begin = 0
    for position in range(1, len(numbers) + 1):
        if position == len(numbers) or numbers[position] - numbers[position - 1] > STRIDE:
            yield begin, position
            begin = position
