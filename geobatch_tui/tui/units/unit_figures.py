"""The figures of all chunks of a run, a column each, and which chunks a filter lets pass."""

from __future__ import annotations

from array import array
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.run.ranking import Ranking

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from geobatch_tui.tui.kit.filters import Filter, Term
    from geobatch_tui.tui.run.model import ItemView

READ: Final = (
    *("seconds", "reading", "writing", "rss_bytes", "worker", "attempts", "nodata", "bytes_out"),
    "ended",
)
"""Figures that are read from the ledger, by its names."""


class Quantity(NamedTuple):
    """A figure as a filter names it: its column, and how many of the column's units are one."""

    column: str
    unit: float = 1.0


QUANTITIES: Final[Mapping[str, Quantity]] = {
    "dur": Quantity("seconds"),
    "read": Quantity("reading"),
    "compute": Quantity("computing"),
    "write": Quantity("writing"),
    "mem": Quantity("rss_bytes", 1 << 20),
    "worker": Quantity("worker"),
    "attempts": Quantity("attempts"),
    "nodata": Quantity("nodata", 0.01),
    "out": Quantity("bytes_out", 1 << 20),
}
FIELDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("chunk", "item", "state"), "text"),
    **dict.fromkeys(QUANTITIES, "number"),
}
"""Fields of a filter: seconds, MiB, and nodata in percent."""

_PLACE: Final = frozenset("@:,0123456789")  #: characters of a chunk's name after its item's
_RANKS: Final[Mapping[int, int]] = {
    state: rank
    for rank, state in enumerate(
        (
            *(ChunkState.PENDING, ChunkState.DONE, ChunkState.RUNNING),
            *(ChunkState.RETRY_WAIT, ChunkState.DEAD),
        )
    )
}


class Source(Protocol):
    """The run, as the figures are read from it: `RunStore`, or a scripted run."""

    @property
    def states(self) -> bytes | bytearray: ...
    @property
    def items(self) -> Sequence[ItemView]: ...
    def table(self, names: Sequence[str]) -> list[array[float]]: ...
    def table_at(
        self, positions: Iterable[int], names: Sequence[str]
    ) -> Mapping[int, tuple[float, ...]]: ...


class UnitFigures:
    """Figures of chunks, by position. What only computes may be called from a thread.

    Attributes:
        states: a byte a chunk, as they were when the figures were read.
        items: in order.
    """

    def __init__(self) -> None:
        self.states = b""
        self.items: Sequence[ItemView] = ()
        self._columns: dict[str, array[float]] = {name: array("f") for name in READ}

    @classmethod
    def read(cls, source: Source) -> UnitFigures:
        """Read all. 10^6 chunks take seconds."""
        found = cls()
        items = tuple(source.items)
        table = source.table(READ)
        states = bytes(source.states)
        if len(states) == len(table[0]):  # else more was planned meanwhile: it is read again soon
            found.states, found.items = states, items
            found._columns = dict(zip(READ, table, strict=True))
        return found

    def __len__(self) -> int:
        return len(self.states)

    def put(self, states: bytes, rows: Mapping[int, Sequence[float]]) -> None:
        """Take the figures of some chunks, and the states of all."""
        if len(states) != len(self):
            return
        self.states = states
        self._columns.pop("computing", None)
        for position, row in rows.items():
            for name, value in zip(READ, row, strict=True):
                self._columns[name][position] = value

    def column(self, name: str) -> array[float]:
        """Return a column; ``computing`` is what a chunk did not spend on its files."""
        if name not in self._columns and name == "computing":
            parts = [self._columns[part] for part in ("seconds", "reading", "writing")]
            left = (max(0.0, a - b - c) for a, b, c in zip(*parts, strict=True))
            self._columns[name] = array("f", left)
        return self._columns[name]

    def value(self, name: str, position: int) -> float:
        """Return a figure of one chunk."""
        if name == "computing":
            read, write = self.value("reading", position), self.value("writing", position)
            return max(0.0, self.value("seconds", position) - read - write)
        return self._columns[name][position]

    def ranking(self, name: str, mask: bytes | None) -> Ranking:
        """Rank chunks by a figure, by the time when they were done (``ended``), by their ``state``,
        or in their own order (``chunk``)."""
        count = len(self)
        if name == "chunk":
            return Ranking(array("f", bytes(4 * count)), mask)
        if name == "state":
            table = bytes(_RANKS.get(x, 0) for x in range(256))
            return Ranking(array("f", list(self.states.translate(table))), mask)
        column = self.column(name)
        if name == "ended":
            start = min((t for t in column if t), default=0.0)
            column = array("f", (t - start + 1.0 if t else 0.0 for t in column))
        return Ranking(column, mask)

    # --- filtering ------------------------------------------------------------------------------

    def mask(self, chosen: Filter) -> bytes | None:
        """Return a byte for each chunk, 1 where it passes a filter; None: all do."""
        if not chosen:
            return None
        masks = [self._mask_of(term) for term in chosen.terms]
        number = reduce(and_, (int.from_bytes(mask, "little") for mask in masks))
        return number.to_bytes(len(self), "little")

    def _mask_of(self, term: Term) -> bytes:
        if term.field in QUANTITIES and term.number is not None:
            name, unit = QUANTITIES[term.field]
            mask = _compared(self.column(name), term.operator, term.number, unit)
        elif term.field == "state":
            names = (term.holds({"state": look.name}) for look in LOOKS.values())
            table = dict(zip(LOOKS, names, strict=True))
            mask = self.states.translate(bytes(table.get(x, False) for x in range(256)))
        else:
            mask = b"".join(self._named(term, item) for item in self.items)
            if not term.field:
                states = self._mask_of(term.of_field("state"))
                both = int.from_bytes(mask, "little") | int.from_bytes(states, "little")
                mask = both.to_bytes(len(self), "little")
        return mask.translate(_SWAP) if term.negated else mask

    def _named(self, term: Term, item: ItemView) -> bytes:
        """Return the mask of an item's chunks by their names."""
        name = item.key
        if term.field != "chunk" or term.operator != "=":
            if term.holds({term.field or "item": name}):
                return b"\1" * item.n
            if term.field == "item" or not (_PLACE & set(term.value) or term.value in "stage"):
                return bytes(item.n)
        field = term.field or "chunk"
        return bytes(term.holds({field: item.label(index)}) for index in range(item.n))


_SWAP: Final = bytes((1, 0)) + bytes(254)


def _compared(column: array[float], operator: str, number: float, unit: float) -> bytes:
    """Compare a column with a number of its units."""
    limit = number * unit
    match operator:
        case ">":
            return bytes([value > limit for value in column])
        case "<":
            return bytes([value < limit for value in column])
        case ">=":
            return bytes([value >= limit for value in column])
        case "<=":
            return bytes([value <= limit for value in column])
    least, most = (number - 1e-6) * unit, (number + 1e-6) * unit
    return bytes([least <= value <= most for value in column])
