"""The open items of a run phase, and the chunks that the scheduler is refilled with.

Only chunks that were handed out and not yet settled, and the items that they belong to, are objects
here: a job of a million chunks costs no more memory than one of a thousand.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from geobatch_tui.execution.protocol.messages import ItemContext, ItemPlan
from geobatch_tui.ledger.place.owner import refuse_foreign_links
from geobatch_tui.ledger.place.state_directory import output_path
from geobatch_tui.orchestration.plan.fingerprints import identity_of
from geobatch_tui.orchestration.schedule.events import Kind, Unit
from geobatch_tui.orchestration.state.open_item import OpenItem, in_turn, segments_of
from geobatch_tui.orchestration.state.stage_progress import StageProgress

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.segments import SegmentFile, Segments
    from geobatch_tui.ledger.schema.updates import ChunkRow, ItemRow
    from geobatch_tui.orchestration.state.session import Session

FINALISE_BYTES = 96 * 1024 * 1024
"""Predicted peak of an assembly: a row of tiles in hand, GDAL's cache for the read-back."""

HANDLES = {Kind.CHUNK: 2, Kind.FINALISE: 4}
"""Open files of a unit: source and spool; spools, part, and GDAL's own handle."""


class OpenItems:
    """Reads open chunks in id order, hands them out as units, and keeps their items. ``only`` has
    the ids of the only chunks to hand out; None: all. Items of which others are open stay as they
    are.

    Chunks behind a stage are handed out once it is complete. ``stuck`` gets items that an earlier
    run left with nothing but dead letters in a stage; the caller takes them out.
    """

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
        self._released: deque[tuple[int, int]] = deque()
        self.stuck: list[OpenItem] = []
        self._checked_folder: str | None = None
        self._exhausted = False

    def refill(self, count: int) -> tuple[Unit, ...]:
        """Return up to ``count`` further chunks as units; fewer once the ledger holds no more that
        wait for no stage."""
        units: list[Unit] = []
        while len(units) < count and (self._released or not self._exhausted):
            wanted = count - len(units)
            rows = self._rows_released(wanted) if self._released else self._rows_ahead(wanted)
            units += [self._unit(row) for row in rows]
        return tuple(in_turn(units, self._chunks))

    def _rows_released(self, count: int) -> list[ChunkRow]:
        """Read open chunks whose stage has become complete."""
        after, end = self._released[0]
        rows = [row for row in self._reader.open_chunks(after, count) if row.chunk_id < end]
        if len(rows) < count:
            self._released.popleft()
        else:
            self._released[0] = rows[-1].chunk_id, end
        # A stage that was found damaged since then releases them again.
        return [row for row in self._fresh(rows) if not self._waits(row)]

    def _rows_ahead(self, count: int) -> list[ChunkRow]:
        """Read the next open chunks; those that wait for a stage are passed over."""
        rows = self._rows(count)
        self._exhausted = len(rows) < count
        if rows:
            self._cursor = rows[-1].chunk_id
        fresh = self._fresh(rows)
        for at, row in enumerate(fresh):
            if self._waits(row):
                # And so do all that follow in the item: its stage releases them.
                item = self.item(row.item_id)
                self._cursor = item.first_chunk + item.context.plan.chunks - 1
                self._exhausted = False
                if item.stages.stuck:
                    self.stuck.append(item)
                return fresh[:at]
        return fresh

    def _waits(self, row: ChunkRow) -> bool:
        item = self.item(row.item_id)
        return item.stages.waits(row.chunk_id - item.first_chunk)

    def _fresh(self, rows: list[ChunkRow]) -> list[ChunkRow]:
        """Leave out, after a rewind, what was handed out before and is not settled, or not durably
        so; load the items of the others."""
        rows = [
            row
            for row in rows
            if row.chunk_id not in self._chunks and row.chunk_id not in self._settling
        ]
        self._load({row.item_id for row in rows} - self._items.keys())
        return rows

    def _unit(self, row: ChunkRow) -> Unit:
        item = self.item(row.item_id)
        self._chunks[row.chunk_id] = item
        return Unit(
            Kind.CHUNK,
            row.chunk_id,
            bytes=item.chunk_bytes(row.chunk_id),
            handles=HANDLES[Kind.CHUNK],
            attempts=row.attempts,
            crashes=row.crashes,
            strikes=row.strikes,
            divisible=bool(item.context.plan.notes.get("divisible")),
            strip=item.strip(row.chunk_id),
            unmeasured=bool(item.context.plan.notes.get("unmeasured")),
            held=item.held,
            store=item.store,
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
            context = self._context(row)
            staged = context.plan.staged
            states = self._reader.states(row.first_chunk, staged) if staged else b""
            self._items[row.item_id] = OpenItem(
                context=context,
                first_chunk=row.first_chunk,
                done=row.n_done,
                dead=row.n_dead,
                stages=StageProgress.of(context.plan, states),
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
        item.sent.pop(chunk_id, None)
        released = item.stages.settle(chunk_id - item.first_chunk, done=done)
        item.times_restored += released is not None
        if released is not None and self._only is None:
            first, end = released
            self._released.append((item.first_chunk + first - 1, item.first_chunk + end))

    def take_back(self, chunk_id: int) -> None:
        """Forget that a chunk was handed out."""
        self._chunks.pop(chunk_id).sent.pop(chunk_id, None)

    def send(self, chunk_id: int) -> tuple[OpenItem, int]:
        """Return the same as :meth:`chunk` of a chunk that is sent to a worker now."""
        item, index = self.chunk(chunk_id)
        if item.stages.undone:
            item.sent[chunk_id] = item.times_restored
        return item, index

    def ahead(self, chunk_id: int) -> tuple[int, ...]:
        """Return the chunks that follow one as :meth:`OpenItem.ahead` does."""
        return self._chunks[chunk_id].ahead(chunk_id, self._chunks.keys())

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
        if self._released:
            return False
        if not self._exhausted or self._only is None:
            return self._exhausted and not self._items
        return not self._chunks and all(item.remaining for item in self._items.values())

    def segments(self, item: OpenItem) -> Segments | SegmentFile:
        """Read where the bytes of an item's done chunks lie, in chunk order."""
        return segments_of(item, self._reader)

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
            out_path=self._out_path(row.key),
            work_dir=str(self._state.work(row.item_id)),
            plan=ItemPlan.from_json(row.plan),
        )

    def _out_path(self, key: str) -> str:
        """Return where an item's output goes. Items come by directories: each is checked once."""
        root = self._state.output_dir
        path = output_path(root, key)
        folder = key.rpartition("/")[0]
        if folder != self._checked_folder:
            refuse_foreign_links(root, path.parent)
            self._checked_folder = folder
        return str(path)
