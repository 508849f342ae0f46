"""Dead letters by where their chunks are on the map."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.tui.run.model import ItemView, LetterView


class Places(Protocol):
    """Where chunks stand; `RunStore` is one."""

    def position(self, chunk_id: int) -> int | None:
        """Of a chunk of the ledger; None: it is not part of the job."""

    def item(self, item_id: int) -> ItemView | None:
        """The item of an id."""


def dead_within(
    places: Places, letters: Iterable[LetterView], runs: Sequence[tuple[int, int]]
) -> tuple[int, ...]:
    """Ids of the letters whose chunk lies in one of ``runs``, which are first and end positions in
    order. The letter of a whole item lies where any of its chunks does."""
    firsts = [start for start, _ in runs]

    def meets(start: int, end: int) -> bool:
        at = bisect_right(firsts, end - 1) - 1
        return at >= 0 and runs[at][1] > start

    found = []
    for letter in letters:
        if letter.chunk_id is not None:
            position = places.position(letter.chunk_id)
            span = None if position is None else (position, position + 1)
        else:
            item = places.item(letter.item_id)
            span = None if item is None else (item.first, item.first + item.n)
        if span is not None and meets(*span):
            found.append(letter.dead_id)
    return tuple(found)
