"""States of a run's chunks, a byte each, and their items."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.schema.updates import ChunkState, ItemState
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.run.model import ItemView

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.columns import ItemOutline
    from geobatch_tui.ledger.read.reader import EventRow, LedgerReader
    from geobatch_tui.tui.run.model import Lattice

_PAGE: Final = 4096
_LATTICES: Final = 256

_SETTLED: Final = {"done": ChunkState.DONE, "dead": ChunkState.DEAD, "retry": ChunkState.RETRY_WAIT}
_COUNTED: Final = (
    (ChunkState.DONE, "done"),
    (ChunkState.DEAD, "dead"),
    (ChunkState.PENDING, "pending"),
)


class Chunks:
    """Positions, states and items; methods that take a reader read the ledger.

    Attributes:
        states: a byte a chunk (`ChunkState`), in item order; changed in place, or replaced.
        items: the items that are part of the job, in the order of their ids.
    """

    def __init__(self, read_lattice: Callable[[int], Lattice | None]) -> None:
        self.states = bytearray()
        self.items: list[ItemView] = []
        self._index: dict[int, int] = {}
        # One attribute: another thread may look while a poll replaces it.
        self._by_chunk: tuple[list[int], list[ItemView]] = ([], [])
        self._busy: dict[int, int] = {}
        self._lattice = lru_cache(_LATTICES)(read_lattice)

    def position(self, chunk_id: int) -> int | None:
        """Return the position of a chunk in ``states``; None: it is not part of the job."""
        firsts, items = self._by_chunk
        index = bisect_right(firsts, chunk_id) - 1
        if index < 0:
            return None
        item = items[index]
        offset = chunk_id - item.first_chunk
        return item.first + offset if offset < item.n else None

    def item_at(self, position: int) -> ItemView:
        """Return the item whose chunk stands at ``position``. Raises IndexError outside."""
        if not 0 <= position < len(self.states):
            raise IndexError(position)
        return self.items[bisect_right(self.items, position, key=lambda item: item.first) - 1]

    def item(self, item_id: int) -> ItemView | None:
        """Return the item of an id."""
        index = self._index.get(item_id)
        return None if index is None else self.items[index]

    def agrees(self, counts: Mapping[str, int]) -> bool:
        """Whether ``states`` hold what the ledger's own counters say."""
        return len(self.states) == counts["total"] and all(
            self.states.count(state) == counts[name] for state, name in _COUNTED
        )

    def table(self, reader: LedgerReader, names: Sequence[str]) -> list[array[float]]:
        """Read figures of every chunk, a column each, in the order of ``states``."""
        found: list[array[float]] = []
        for first, count in _spans(self.items):
            part = reader.table(names, first, count)
            if not found:
                found = part
                continue
            for column, more in zip(found, part, strict=True):
                column.extend(more)
        return found or reader.table(names, 0, 0)

    def load(self, reader: LedgerReader) -> None:
        """Read all items and states anew."""
        self.items, self.states, self._index = [], bytearray(), {}
        self._busy = {}
        self._lattice.cache_clear()
        self.grow(reader)
        self._settle(reader, set())

    def grow(self, reader: LedgerReader) -> bool:
        """Read the items after the last one; return whether there were any."""
        before = len(self.items)
        position = len(self.states)
        after = self.items[-1].item_id if self.items else 0
        added: list[ItemView] = []
        while page := reader.outlines(after, _PAGE):
            for outline in page:
                if outline.state is not ItemState.ORPHAN:
                    added.append(self._item(outline, position))
                    position += outline.n_chunks
            after = page[-1].item_id
        for first, count in _spans(added):
            self.states += reader.states(first, count)
        for item in added:
            self._index[item.item_id] = len(self.items)
            self.items.append(item)
        ordered = sorted(self.items, key=lambda item: item.first_chunk)
        self._by_chunk = [item.first_chunk for item in ordered], ordered
        return len(self.items) > before

    def reshape(self, reader: LedgerReader, events: Iterable[EventRow]) -> bool:
        """Apply events of items; return whether positions came, went or moved."""
        grown = False
        for event in events:
            item = self.item(event.item_id) if event.item_id is not None else None
            if event.kind in {"planned", "adopted"}:
                last = self.items[-1].item_id if self.items else 0
                if event.item_id is None or event.item_id <= last:
                    self.load(reader)
                    return True
                grown = self.grow(reader) or grown
            elif event.kind == "item":
                state = ItemState[str(event.data.get("state", "")).upper()]
                if item is None or state is ItemState.ORPHAN:
                    self.load(reader)
                    return True
                self._turn(item, state)
            elif event.kind == "published" and item is not None:
                self._turn(item, ItemState.PUBLISHED)
            elif event.kind == "dead" and event.chunk_id is None and item is not None:
                self._turn(item, ItemState.DEAD)
        return grown

    def apply(self, reader: LedgerReader, events: Iterable[EventRow]) -> set[int]:
        """Update states by events, then by what runs now; return the positions that changed."""
        changed: set[int] = set()
        for event in events:
            state = _SETTLED.get(event.kind)
            if state is None:
                continue
            if event.chunk_id is not None:
                self._set(event.chunk_id, state, changed)
            elif event.item_id is not None and (item := self.item(event.item_id)) is not None:
                states = reader.states(item.first_chunk, item.n)
                for chunk_id, now in enumerate(states, item.first_chunk):
                    self._set(chunk_id, now, changed)
        return self._settle(reader, changed)

    def _settle(self, reader: LedgerReader, changed: set[int]) -> set[int]:
        """Mark chunks that run or wait, and read again those that did; return changed positions."""
        busy = reader.busy()
        left = [chunk for chunk in self._busy if chunk not in busy]
        now = reader.states_of(left) if left else {}
        for chunk_id, state in (now | busy).items():
            self._set(chunk_id, state, changed)
        self._busy = busy
        return changed

    def _set(self, chunk_id: int, state: int, changed: set[int]) -> None:
        position = self.position(chunk_id)
        if position is not None and self.states[position] != state:
            self.states[position] = state
            changed.add(position)

    def _turn(self, item: ItemView, state: ItemState) -> None:
        if item.state is not state:
            self.items[self._index[item.item_id]] = replace(item, state=state)

    def _item(self, outline: ItemOutline, first: int) -> ItemView:
        columns, rows = 1, outline.n_chunks
        if outline.chunk_width and outline.chunk_height:
            wide = -(-outline.width // outline.chunk_width)
            high = -(-outline.height // outline.chunk_height)
            if wide * high == outline.n_chunks:
                columns, rows = wide, high
        return ItemView(
            item_id=outline.item_id,
            key=safe(outline.key),
            first=first,
            first_chunk=outline.first_chunk,
            columns=columns,
            rows=rows,
            n=outline.n_chunks,
            width=outline.width,
            height=outline.height,
            chunk_size=(outline.chunk_width, outline.chunk_height),
            bounds_lonlat=outline.bounds,
            state=outline.state,
            _load=self._lattice,
            stages=outline.stages,
        )


def lattice_of(plan: Json) -> Lattice | None:
    """Return the lattice of longitudes and latitudes in an item's plan."""
    lattice = plan.get("notes", {}).get("lonlat")
    return lattice if isinstance(lattice, dict) and lattice.get("points") else None


def _spans(items: Sequence[ItemView]) -> Iterator[tuple[int, int]]:
    """Yield first id and count of items' chunks, in order, consecutive ids as one."""
    start, end = 0, 0
    for item in items:
        if item.first_chunk != end:
            if end > start:
                yield start, end - start
            start = item.first_chunk
        end = item.first_chunk + item.n
    if end > start:
        yield start, end - start
