"""Chunks as the rows of a table, in the order of a ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.tui.units.unit_columns import ChunkRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.tui.run.ranking import Ranking, Spread
    from geobatch_tui.tui.units.unit_figures import UnitFigures


class ChunkRanks:
    """Chunks in the order of a ranking.

    Attributes:
        spread: percentiles of the figure that they are sorted by; None: it is none, or they are
            not known yet.
        slow: seconds above which a duration stands out.
        ranking: their order, the smallest figure first.
    """

    def __init__(
        self, units: UnitFigures, ranking: Ranking, label: Callable[[int], str], *, backwards: bool
    ) -> None:
        self.units = units
        self.spread: Spread | None = None
        self.slow = float("inf")
        self.ranking = ranking
        self._label = label
        self._backwards = backwards

    def __len__(self) -> int:
        return len(self.ranking)

    def number(self, rank: int) -> int:
        """Return the number of the row of a rank, or the rank of a row."""
        return len(self.ranking) - 1 - rank if self._backwards else rank

    def __getitem__(self, number: int) -> ChunkRow:
        position = self.position(number)
        seconds = self.units.value("seconds", position)
        return ChunkRow(self.units, position, self._label(position), slow=seconds > self.slow)

    def position(self, number: int) -> int:
        """Return the position of the chunk in a row."""
        return self.ranking[self.number(number)]

    def find(self, position: int) -> int | None:
        """Return the row of a chunk; None: it is not listed."""
        rank = self.ranking.rank_of(position)
        return None if rank is None else self.number(rank)

    def outlier(self, number: int, step: int) -> int | None:
        """Return the next row after ``number``, or before it, whose figure stands out; from the
        last one on the first of them; None: there is none."""
        if self.spread is None or self.spread.outliers >= len(self):
            return None
        first, last = sorted((self.number(self.spread.outliers), self.number(len(self) - 1)))
        if first <= number + step <= last:
            return number + step
        return first if step > 0 else last
