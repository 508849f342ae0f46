"""Figures and places of chunks, read beside the console's loop for the picture."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.map.picture.place import Place
from geobatch_tui.tui.run.ranking import Ranking, Spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.tui.map.picture.codes import Mode, Scale
    from geobatch_tui.tui.map.picture.pictures import Source
    from geobatch_tui.tui.map.picture.planes import Run

_FEW: Final = 2000  #: changed chunks; above, all figures are read anew
_RESCALE: Final = 10.0  #: seconds between two readings of all figures, at least
_REST: Final = 10.0  #: how many times as long as a reading took the next one waits


def all_figures(source: Source, mode: Mode, cells: Sequence[Sequence[Run]]) -> tuple[Scale, bytes]:
    """Read the figures of all chunks: a scale for ``cells`` of them, or for single ones, and a step
    of it for each. 10^6 take about a second."""
    values = source.figures(mode.figure)
    scale = mode.scale(values, cells)
    return scale, mode.steps(values, scale)


def next_outlier(source: Source, mode: Mode, here: int | None, direction: int) -> int | None:
    """Return the chunk whose figure stands out and is the next smaller than that of ``here``, or
    the next larger; from the last on, and from any other chunk, the largest; None: none does."""
    ranking = Ranking(array("f", source.figures(mode.figure)))
    first, end = Spread(ranking).outliers, len(ranking)
    if first == end:
        return None
    rank = None if here is None else ranking.rank_of(here)
    if rank is None or rank < first:
        return ranking[end - 1]
    return ranking[first + (rank - direction - first) % (end - first)]


def places_of(source: Source, item_ids: Iterable[int]) -> dict[int, Place]:
    """Read the exact places of those of the items that have a lattice."""
    places = {}
    for item_id in item_ids:
        item = source.item(item_id)
        if item is not None and (lattice := item.lattice) is not None:
            place = Place.of(item, lattice)
            if place is not None:
                places[item_id] = place
    return places


class Wants:
    """Positions whose figures have to be read, and when they may be.

    Attributes:
        reading: whether some are being read.
        seconds: how long it took to read all of them.
    """

    def __init__(self) -> None:
        self._changed: set[int] = set()
        self.reading = False
        self._read_at = 0.0
        self.seconds = 0.0

    def add(self, positions: Iterable[int]) -> None:
        self._changed.update(positions)

    def restart(self) -> None:
        """Note that all figures have to be read at once, as the mode is another one."""
        self._changed.clear()
        self._read_at = 0.0

    def all_due(self) -> bool:
        """Whether all may be read again now; if so, the reading counts as begun."""
        now = time.monotonic()
        if self._read_at and now - self._read_at < max(_RESCALE, _REST * self.seconds):
            return False
        self._read_at = now
        self._changed.clear()
        return True

    def many(self) -> bool:
        """Whether so much changed that it is better to read all."""
        return len(self._changed) > _FEW

    def some(self) -> list[int]:
        """Return the positions to read now, none while a reading is under way; it counts as
        begun."""
        if self.reading or not self._changed:
            return []
        self.reading = True
        found = sorted(self._changed)[:_FEW]
        self._changed.difference_update(found)
        return found
