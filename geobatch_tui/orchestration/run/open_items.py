"""The open items of a run phase, and the chunks that the scheduler is refilled with.

Only chunks that were handed out and not yet settled, and the items that they belong to, are objects
here: a job of a million chunks costs no more memory than one of a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import StateError
from geobatch_tui.execution.protocol.messages import ItemContext, ItemPlan, Segment
from geobatch_tui.execution.protocol.segments import MANY, SegmentFile, Segments
from geobatch_tui.ledger.place.owner import refuse_foreign_links
from geobatch_tui.ledger.place.state_directory import output_path
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.fingerprints import identity_of
from geobatch_tui.orchestration.schedule.events import Kind, Unit
from geobatch_tui.orchestration.state.letters import chunk_label

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.schema.updates import ChunkRow, ItemRow
    from geobatch_tui.orchestration.state.session import Session

FINALISE_BYTES = 96 * 1024 * 1024
"""Predicted peak of an assembly: a row of tiles in hand, GDAL's cache for the read-back."""

HANDLES = {Kind.CHUNK: 2, Kind.FINALISE: 4}
"""Open files of a unit: source and spool; spools, part, and GDAL's own handle."""


@dataclass(slots=True)
class OpenItem:
    """An item with unsettled chunks; ``done`` and ``dead`` are counts of settled ones."""

    context: ItemContext
    first_chunk: int
    done: int
    dead: int
    recomputed: bool = False

    @property
    def remaining(self) -> int:
        """The number of chunks that are not settled."""
        return len(self.context.plan.grid) - self.done - self.dead

    @property
    def whole(self) -> bool:
        """Whether one chunk is the item, so that no spool and no assembly is needed."""
        return len(self.context.plan.grid) == 1

    def strip(self, chunk_id: int) -> int | None:
        """Return the first chunk in the row of a chunk, if those in a row share what they read."""
        if not self.context.plan.notes.get("overlaps"):
            return None
        return chunk_id - (chunk_id - self.first_chunk) % self.context.plan.grid.columns

    def label(self, index: int) -> str:
        return chunk_label(self.context.key, self.context.plan.grid, index)


class OpenItems:
    """Reads open chunks in id order, hands them out as units, and keeps their items. ``only`` has
    the ids of the only chunks to hand out; None: all. Items of which others are open stay as they
    are."""

    def __init__(self, session: Session, only: frozenset[int] | None = None) -> None:
        job = session.job
        self._reader = session.reader
        self._only = None if only is None else sorted(only)
        self._state = session.state
        self._op = job.op.name
        self._params: Json = job.op.params.model_dump(mode="json")
        self._output: Json = job.output.model_dump(mode="json")
        self._cursor = 0
        self._items: dict[int, OpenItem] = {}
        self._chunks: dict[int, OpenItem] = {}
        self._settling: set[int] = set()
        self._checked_directory = Path()
        self._exhausted = False

    def refill(self, count: int) -> tuple[Unit, ...]:
        """Return up to ``count`` further chunks as units; fewer once the ledger holds no more."""
        if self._exhausted:
            return ()
        rows = self._rows(count)
        if len(rows) < count:
            self._exhausted = True
        if rows:
            self._cursor = rows[-1].chunk_id
        # After a rewind some were handed out before, and are not settled, or not durably so.
        rows = [
            row
            for row in rows
            if row.chunk_id not in self._chunks and row.chunk_id not in self._settling
        ]
        self._load({row.item_id for row in rows} - self._items.keys())
        return tuple(self._unit(row) for row in rows)

    def _unit(self, row: ChunkRow) -> Unit:
        item = self.item(row.item_id)
        self._chunks[row.chunk_id] = item
        return Unit(
            Kind.CHUNK,
            row.chunk_id,
            bytes=item.context.plan.chunk_bytes,
            handles=HANDLES[Kind.CHUNK],
            attempts=row.attempts,
            crashes=row.crashes,
            strikes=row.strikes,
            divisible=bool(item.context.plan.notes.get("divisible")),
            strip=item.strip(row.chunk_id),
            unmeasured=bool(item.context.plan.notes.get("unmeasured")),
        )

    def _rows(self, count: int) -> list[ChunkRow]:
        if self._only is None:
            return self._reader.open_chunks(self._cursor, count)
        found: list[ChunkRow] = []
        for chunk_id in self._only:
            if chunk_id > self._cursor and len(found) < count:
                rows = self._reader.open_chunks(chunk_id - 1, 1)
                found += [row for row in rows if row.chunk_id == chunk_id]
        return found

    def complete(self) -> list[OpenItem]:
        """Return items whose chunks were all settled when an earlier run ended before it assembled
        them, or held them."""
        return [self.item(row.item_id) for row in self._reader.open_items_complete(holes=True)]

    def item(self, item_id: int) -> OpenItem:
        """Return the open item; read it from the ledger at its first chunk."""
        if item_id not in self._items:
            self._load({item_id})
        if item_id not in self._items:
            raise KeyError(f"item {item_id} is not in the ledger")
        return self._items[item_id]

    def _load(self, ids: AbstractSet[int]) -> None:
        for row in self._reader.items_of(ids) if ids else ():
            self._items[row.item_id] = OpenItem(
                context=self._context(row),
                first_chunk=row.first_chunk,
                done=row.n_done,
                dead=row.n_dead,
            )

    def chunk(self, chunk_id: int) -> tuple[OpenItem, int]:
        """Return the item of an unsettled chunk, and the chunk's index in it."""
        item = self._chunks[chunk_id]
        return item, chunk_id - item.first_chunk

    def settle(self, chunk_id: int, *, done: bool) -> None:
        """Count a chunk as done or dead, and forget it."""
        item = self._chunks.pop(chunk_id)
        self._settling.add(chunk_id)
        if done:
            item.done += 1
        else:
            item.dead += 1

    def committed(self, chunk_id: int | None) -> None:
        """Note that the state of a settled chunk is durable; None is no chunk's."""
        if chunk_id is not None:
            self._settling.discard(chunk_id)

    def get(self, item_id: int) -> OpenItem | None:
        return self._items.get(item_id)

    def rewind(self) -> None:
        """Look for open chunks from the start again: some became pending behind the cursor."""
        self._cursor = 0
        self._exhausted = False

    def close(self, item_id: int) -> None:
        self._items.pop(item_id, None)

    @property
    def idle(self) -> bool:
        """Whether no chunk is left to hand out and no item is open, but for chunks that ``only``
        leaves out."""
        if not self._exhausted or self._only is None:
            return self._exhausted and not self._items
        return not self._chunks and all(item.remaining for item in self._items.values())

    def segments(self, item: OpenItem) -> Segments | SegmentFile:
        """Read where the bytes of an item's done chunks lie, in chunk order."""
        context = item.context
        if len(context.plan.grid) < MANY:
            return Segments.pack(self._segments(item))
        try:
            return SegmentFile.write(Path(context.work_dir) / "segments", self._segments(item))
        except OSError:  # a full disk, as it may be: then the message carries them
            return Segments.pack(self._segments(item))

    def _segments(self, item: OpenItem) -> Iterator[Segment]:
        for segment in self._reader.segments(item.context.item_id):
            if "/" in segment.spool:
                raise StateError(
                    f"the ledger names a spool that is not its item's: {safe(segment.spool)}",
                    hint="`geobatch run JOB --fresh` makes a new ledger",
                )
            yield segment

    def _context(self, row: ItemRow) -> ItemContext:
        return ItemContext(
            item_id=row.item_id,
            key=row.key,
            source=row.source,
            source_id=identity_of(row),
            fingerprint=row.fingerprint,
            op=self._op,
            params=self._params,
            output=self._output,
            out_path=str(self._out_path(row.key)),
            work_dir=str(self._state.work(row.item_id)),
            plan=ItemPlan.from_json(row.plan),
        )

    def _out_path(self, key: str) -> Path:
        """Return where an item's output goes. Items come by directories: each is checked once."""
        root = self._state.output_dir
        path = output_path(root, key)
        if path.parent != self._checked_directory:
            refuse_foreign_links(root, path.parent)
            self._checked_directory = path.parent
        return path
