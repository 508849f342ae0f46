"""What is listed of a run: its chunks or its items, filtered and sorted, and written as a table."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from geobatch_tui.orchestration.state.letter_export import cell, write_file
from geobatch_tui.tui.kit.filters import Filter, parse
from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.run.ranking import Spread
from geobatch_tui.tui.units.item_totals import FIELDS as ITEM_FIELDS
from geobatch_tui.tui.units.item_totals import ItemTotal, listed, totals
from geobatch_tui.tui.units.unit_columns import ASCENDING, CHUNKS, ITEMS
from geobatch_tui.tui.units.unit_figures import FIELDS, QUANTITIES, READ, UnitFigures
from geobatch_tui.tui.units.unit_ranks import ChunkRanks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from geobatch_tui.tui.run.model import ItemView
    from geobatch_tui.tui.run.store import RunStore

_COLUMNS: Final[Mapping[str, str]] = {name: entry.column for name, entry in QUANTITIES.items()}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator wants to see: chunks or ``items``, which of them, in which order."""

    items: bool = False
    filter: Filter = Filter()  # noqa: RUF009 - frozen
    sort: str = "dur"
    backwards: bool = True

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields of a filter."""
        return ITEM_FIELDS if self.items else FIELDS

    @property
    def sorts(self) -> list[str]:
        """What can be sorted by, in the order of the columns."""
        if self.items:
            return [column.name for column in ITEMS if column.name != "state"]
        return [column.name for column in CHUNKS]

    def sorted_by(self, name: str) -> Wish:
        """Sort by a column; by the same one the other way round."""
        if name == self.sort:
            return replace(self, backwards=not self.backwards)
        if name not in self.sorts:
            return self
        return replace(self, sort=name, backwards=name not in ASCENDING)

    def next_sort(self, step: int) -> Wish:
        """Sort by the column after this one, or before it."""
        names = self.sorts
        return self.sorted_by(names[(names.index(self.sort) + step) % len(names)])

    def grouped(self, *, items: bool) -> Wish:
        """List items in place of chunks, or chunks again."""
        wish = replace(self, items=items)
        wish = replace(wish, filter=parse(self.filter.text, wish.fields))
        return wish if self.sort in wish.sorts else replace(wish, sort="dur", backwards=True)


@dataclass(frozen=True, slots=True)
class Listed:
    """What is listed now.

    Attributes:
        mask: a byte for each chunk, 1 for those that are listed; None: all are.
        chunks: None where items are listed.
    """

    wish: Wish
    total: int
    mask: bytes | None = None
    chunks: ChunkRanks | None = None
    items: Sequence[ItemTotal] = ()


def bring(store: RunStore, units: UnitFigures, changed: Iterable[int] | None) -> UnitFigures:
    """Read what changed, or all where ``changed`` is None. For a thread."""
    if changed is None or len(units) != len(store.states):
        return UnitFigures.read(store)
    units.put(bytes(store.states), store.table_at(changed, READ))
    return units


def list_units(units: UnitFigures, wish: Wish, label: Callable[[int], str]) -> Listed:
    """Filter and sort. For a thread: 10^6 chunks take a tenth of a second."""
    if wish.items:
        rows = totals(units)
        shown = listed(rows, wish.filter, wish.sort, backwards=wish.backwards)
        mask = None
        if len(shown) != len(rows):
            inside = {row.item.item_id for row in shown}
            mask = b"".join(bytes((item.item_id in inside,)) * item.n for item in units.items)
        return Listed(wish, len(rows), mask, items=shown)
    mask = units.mask(wish.filter)
    ranking = units.ranking(_COLUMNS.get(wish.sort, wish.sort), mask)
    ranks = ChunkRanks(units, ranking, label, backwards=wish.backwards)
    return Listed(wish, len(units), mask, ranks)


def add_spread(ranks: ChunkRanks, sort: str) -> None:
    """Find percentiles, and what stands out. For a thread: it takes longer than to sort."""
    if sort in QUANTITIES:
        ranks.spread = Spread(ranks.ranking)
        if sort == "dur" and ranks.spread.count:
            ranks.slow = ranks.spread.limit


class ListedSource:
    """The run as the map beside the list shows it: chunks that are not listed are as if they had
    not begun.

    Attributes:
        mask: as that of :class:`Listed`.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.mask: bytes | None = None
        self.item_at, self.item = store.item_at, store.item
        self.figures, self.figures_at = store.figures, store.figures_at

    @property
    def states(self) -> bytearray:
        states = self._store.states
        if self.mask is None or len(self.mask) != len(states):
            return states
        shown = int.from_bytes(states, "little") & int.from_bytes(
            self.mask.translate(_WHOLE), "little"
        )
        return bytearray(shown.to_bytes(len(states), "little"))

    @property
    def items(self) -> Sequence[ItemView]:
        return self._store.items


_WHOLE: Final = bytes((0, 255)) + bytes(254)


def write_table(shown: Listed, path: Path) -> None:
    """Write what is listed as CSV, in its order: seconds, bytes, UNIX times. Raises OutputGoneError
    where it cannot be written."""
    write_file(lambda _, file: _write(shown, file), (), path)


def _write(shown: Listed, file: TextIO) -> None:
    writer = csv.writer(file)
    if shown.chunks is None:
        names = list(ITEM_FIELDS)
        writer.writerow(names)
        for row in shown.items:
            fields = row.fields()
            writer.writerow([cell(fields[name]) for name in names])
        return
    figures = [*READ[:3], "computing", *READ[3:]]
    writer.writerow(["chunk", "state", *figures])
    for number in range(len(shown.chunks)):
        chunk = shown.chunks[number]
        state = LOOKS[chunk.units.states[chunk.position]].name
        values = (f"{chunk.figure(name):.9g}" for name in figures[:-1])
        row_end = f"{chunk.figure(figures[-1]):.3f}"
        writer.writerow([cell(chunk.label), state, *values, row_end])
