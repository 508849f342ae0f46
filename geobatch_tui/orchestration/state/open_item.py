"""An item whose chunks are not all settled, as a run knows it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import StateError
from geobatch_tui.execution.protocol.messages import chunk_place
from geobatch_tui.execution.protocol.segments import MANY, SegmentFile, Segments
from geobatch_tui.execution.stores import object_url
from geobatch_tui.execution.stores.object_url import is_url
from geobatch_tui.observability.text import safe
from geobatch_tui.observability.time_left import kind_of
from geobatch_tui.orchestration.state.letters import chunk_label

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemContext, ItemPlan, Segment
    from geobatch_tui.ledger.read.reader import LedgerReader
    from geobatch_tui.observability.time_left import Kind
    from geobatch_tui.orchestration.schedule.events import Unit
    from geobatch_tui.orchestration.state.stage_progress import StageProgress

#: Chunks that a worker is told of before it gets them.
MOST_AHEAD = 32
#: Units that a worker holds at least, so that it computes one while another is synced; of objects
#: of one chunk, which are small, so that they are fetched.
HELD, HELD_WHOLE = 2, 8


@dataclass(slots=True)
class OpenItem:
    """An item with unsettled chunks; ``done`` and ``dead`` are counts of settled ones, ``restored``
    has chunks of stages that were found damaged and are computed anew; ``sent``: how many
    ``times_restored`` the stages were when a chunk behind one was sent to a worker.

    ``chunks``: how many it has in all; ``first_of_output``: id of the first chunk of the output;
    ``whole``: one chunk is the output, so that no spool and no assembly is needed."""

    context: ItemContext
    first_chunk: int
    done: int
    dead: int
    stages: StageProgress
    recomputed: bool = False
    restored: set[int] = field(default_factory=set)
    times_restored: int = 0
    sent: dict[int, int] = field(default_factory=dict)
    #: Of the plan, which would count them anew for each chunk.
    chunks: int = field(init=False)
    first_of_output: int = field(init=False)
    whole: bool = field(init=False)
    _grids: tuple[ChunkGrid, ...] = field(init=False)

    def __post_init__(self) -> None:
        plan = self.context.plan
        self._grids, self.chunks = plan.grids, plan.chunks
        outputs = len(plan.grid)
        self.whole, self.first_of_output = outputs == 1, self.first_chunk + self.chunks - outputs

    @property
    def plan(self) -> ItemPlan:
        """Its chunks, and what they are for."""
        return self.context.plan

    @property
    def remaining(self) -> int:
        """The number of chunks that are not settled."""
        return self.chunks - self.done - self.dead

    def strip(self, chunk_id: int) -> int | None:
        """Return the first chunk in the strip of a chunk, if those in a strip share what they read:
        a row of chunks, or as many as the plan says."""
        notes = self.context.plan.notes
        if not notes.get("overlaps"):
            return None
        _, grid, local = chunk_place(self.context.plan.grids, chunk_id - self.first_chunk)
        return chunk_id - local % (int(str(notes.get("strip_rows", 1))) * grid.columns)

    def place(self, chunk_id: int) -> tuple[int, int]:
        """Return column and row of a chunk."""
        _, grid, local = chunk_place(self.context.plan.grids, chunk_id - self.first_chunk)
        return local % grid.columns, local // grid.columns

    @property
    def store(self) -> str:
        """The store of its source; empty: it is a file."""
        source = self.context.source
        return "://".join(object_url.split(source)[:2]) if is_url(source) else ""

    @property
    def held(self) -> int:
        """How many units of it a worker holds at least: it computes one while the one before is
        synced, and of objects it fetches for those that wait."""
        if not self.whole:
            return HELD
        return HELD_WHOLE if is_url(self.context.source) else 1

    def ahead(self, chunk_id: int, handed_out: Collection[int]) -> tuple[int, ...]:
        """Return the chunks that the worker of one will get after it, by their index in the item:
        those of its row that are ``handed_out``. Only objects are read ahead."""
        if not is_url(self.context.source) or self.strip(chunk_id) is None:
            return ()
        _, grid, local = chunk_place(self.context.plan.grids, chunk_id - self.first_chunk)
        row = range(chunk_id + 1, chunk_id - local % grid.columns + grid.columns)
        ahead = islice((each for each in row if each in handed_out), MOST_AHEAD)
        return tuple(each - self.first_chunk for each in ahead)

    def chunk_bytes(self, chunk_id: int) -> int:
        """Return the predicted peak memory of a chunk, in bytes."""
        plan = self.context.plan
        if chunk_id >= self.first_of_output:
            return plan.chunk_bytes
        number, _, _ = chunk_place(self._grids, chunk_id - self.first_chunk)
        return plan.stages[number].chunk_bytes

    def lost(self, chunk_id: int, staged: Collection[int]) -> set[int] | None:
        """Count the chunks of a stage as not done that a chunk behind it found damaged, each once;
        return them. None if the failure has nothing to do with a stage, or the same was found
        before; an empty set if the stage is being made anew, or was since it was read: that proves
        nothing."""
        lost = {int(index) for index in staged} - self.restored
        early = self.sent.get(chunk_id, 0) < self.times_restored
        if not (lost or early or self.stages.waits(chunk_id - self.first_chunk)):
            return None
        self.restored |= lost
        self.done -= len(lost)
        self.stages.lose(lost)
        return lost

    def kind(self, index: int) -> Kind:
        """Return the kind of a chunk by its index: chunks of one kind take about as long."""
        number, grid, _ = chunk_place(self._grids, index)
        return kind_of(number, grid.chunk_width * grid.chunk_height)

    def label(self, index: int) -> str:
        return chunk_label(self.context.key, self._grids, index)


def segments_of(item: OpenItem, reader: LedgerReader) -> Segments | SegmentFile:
    """Read where the bytes of the done chunks of an item's output lie, in chunk order."""
    context = item.context
    if len(context.plan.grid) < MANY:
        return Segments.pack(_segments(item, reader))
    try:
        return SegmentFile.write(Path(context.work_dir) / "segments", _segments(item, reader))
    except OSError:  # a full disk, as it may be: then the message carries them
        return Segments.pack(_segments(item, reader))


def _segments(item: OpenItem, reader: LedgerReader) -> Iterator[Segment]:
    staged = item.context.plan.staged
    for segment in reader.segments(item.context.item_id):
        if segment.index < staged:
            continue
        if "/" in segment.spool:
            raise StateError(
                f"the ledger names a spool that is not its item's: {safe(segment.spool)}",
                hint="`geobatch run JOB --fresh` makes a new ledger",
            )
        yield replace(segment, index=segment.index - staged) if staged else segment


def in_turn(units: Iterable[Unit], items: Mapping[int, OpenItem]) -> Iterator[Unit]:
    """Put units of chunks that follow each other in a strip in the order in which they share most
    of what they read: by columns. ``items`` by chunk."""
    for strip, chunks in groupby(units, lambda unit: unit.strip):
        if strip is None:
            yield from chunks
        else:
            yield from sorted(chunks, key=lambda unit: items[unit.ident].place(unit.ident))
