"""The end of an item in the run phase: assembled and published, held, dead, or computed again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import Failure, FinaliseTask
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.run.open_items import FINALISE_BYTES, HANDLES
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.state.letters import item_letter
from geobatch_tui.orchestration.state.stac_items import with_catalogued

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from geobatch_tui.errors import GeobatchError
    from geobatch_tui.execution.protocol.messages import ItemReceipt, Json
    from geobatch_tui.orchestration.run.open_items import OpenItems
    from geobatch_tui.orchestration.side_tasks.uploader import Uploader
    from geobatch_tui.orchestration.state.open_item import OpenItem
    from geobatch_tui.orchestration.state.outcome import Tally
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.dispatcher import Dispatcher

REFILL = 64
"""Chunks offered at once when some became pending behind the cursor of the open items."""


class ItemFinisher:
    """Assembles, publishes, holds back or buries an item once its chunks are settled.

    Args:
        session: ledger, log, and the job with its policy on dead chunks.
        tally: counts.
        open_items: items with unsettled chunks.
        dispatcher: that of the run phase.

    Attributes:
        publishing: keys, by item id, of items whose publication is not durable yet.
    """

    def __init__(
        self, session: Session, tally: Tally, open_items: OpenItems, dispatcher: Dispatcher
    ) -> None:
        self._session = session
        self._tally = tally
        self._open_items = open_items
        self._dispatcher = dispatcher
        self._side_tasks: set[asyncio.Task[None]] = set()
        self._reopening = 0
        self.publishing: dict[int, str] = {}
        #: Sends outputs to a store; None: they go to a directory.
        self.uploader: Uploader | None = None

    def close(self) -> None:
        for task in self._side_tasks:
            task.cancel()

    def refill(self, count: int) -> None:
        """Offer up to ``count`` further chunks to the scheduler, or tell it that none is left."""
        self._dispatcher.tell(u.Offered(self._open_items.refill(count)))
        while self._open_items.stuck:
            self._hold(self._open_items.stuck.pop())
        self._tell_if_exhausted()

    def finish_if_settled(self, item: OpenItem) -> None:
        """Assemble the item, or hold it back, if all of its chunks are settled, or nothing but
        dead letters is left of a stage."""
        if item.stages.stuck:
            self._hold(item)
            return
        if item.remaining:
            self._tell_if_exhausted()
            return
        if not item.dead or (self._session.job.output.on_dead_chunk == "fill" and item.done):
            # Once the item's last chunk is durable: it is assembled from the ledger.
            self._beside(self._offer_assembly(item))
            return
        self._hold(item)

    def _hold(self, item: OpenItem) -> None:
        context = item.context
        reason = f"{item.dead} of {context.plan.chunks} chunks are dead letters"
        if item.stages.stuck:
            reason = item.stages.told()
        self._session.put(lu.ItemChanged(context.item_id, lu.ItemState.HELD, reason))
        self._tally.held += 1
        self._session.log.emit("item.held", level="error", message=reason, item=context.key)
        self._close(item)

    def _beside(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_task_done)

    async def _offer_assembly(self, item: OpenItem) -> None:
        await self._session.flush()
        unit = u.Unit(
            u.Kind.FINALISE,
            item.context.item_id,
            bytes=FINALISE_BYTES,
            handles=HANDLES[u.Kind.FINALISE],
        )
        self._dispatcher.tell(u.Offered((unit,)))

    def task(self, task_id: int, item: OpenItem) -> FinaliseTask:
        """Return the task that assembles an item."""
        segments = self._open_items.segments(item)
        pieced = self.uploader is not None and self.uploader.pieced
        return FinaliseTask(task_id, item.context, self._session.epoch, segments, pieced)

    def _side_task_done(self, task: asyncio.Task[None]) -> None:
        self._side_tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._dispatcher.fail(error)

    def recompute(self, item: OpenItem, failure: Failure) -> bool:
        """Compute the chunks anew that the assembly found damaged, once for each item. Returns
        False if the failure names no chunk, or it happened before."""
        damaged = [int(index) for index in failure.evidence.get("chunks", ())]
        if not damaged or item.recomputed:
            return False
        item.recomputed = True
        for index in damaged:
            self._session.put(lu.ChunkReleased(item.first_of_output + index))
        item.done -= len(damaged)
        self._tally.lose(len(damaged))
        self._reopen()
        return True

    def restore(self, item: OpenItem, chunk_id: int, failure: Failure) -> bool:
        """Compute the chunks of a stage anew that a chunk behind it found damaged, and that chunk
        after them. Returns False if its failure is its own."""
        lost = item.lost(chunk_id, failure.evidence.get("staged", ()))
        if lost is None:
            return False
        for index in sorted(lost):
            self._session.put(lu.ChunkReleased(item.first_chunk + index))
        self._session.put(lu.ChunkReleased(chunk_id))
        self._open_items.take_back(chunk_id)
        self._tally.lose(len(lost))
        self._reopen()
        return True

    def requeue(self, classes: Sequence[str], keys: Sequence[str]) -> int:
        """Give dead letters another chance while the run goes on; all if nothing is named. Letters
        of items that could not be planned, and of single features, are left: they take a new run.
        Returns how many were requeued.

        Raises:
            ValueError: the run is ending: nothing would compute what is requeued.
        """
        if self._dispatcher.over:
            raise ValueError("the run is ending: retry once it has ended")
        chosen = [
            letter
            for letter in self._session.reader.dead_letters()
            if (not classes or letter["error_class"] in classes)
            and (not keys or letter["chunk"] in keys or letter["item"] in keys)
            and letter["feature"] is None
            and self._is_planned(int(letter["item_id"]))
        ]
        if not chosen:
            return 0
        for letter in chosen:
            item = self._open_items.get(int(letter["item_id"]))
            if item is not None and letter["chunk"] is not None:
                item.dead -= 1
                item.stages.revive(letter["chunk"])
        names = tuple(str(letter["chunk"] or letter["item"]) for letter in chosen)
        self._session.put(lu.LettersRequeued(None, names))
        self._reopen()
        return len(chosen)

    def _is_planned(self, item_id: int) -> bool:
        row = self._session.reader.item(item_id)
        return row is not None and bool(row.plan)

    def _reopen(self) -> None:
        """Offer the chunks that became pending behind the cursor, once that is durable. Until then
        the run must not end: its last unit may."""
        self._reopening += 1
        self._dispatcher.tell(u.Reopened())
        self._beside(self._refill_from_start())

    async def _refill_from_start(self) -> None:
        await self._session.flush()
        self._reopening -= 1
        self._tally.settle(self._session.reader)
        self._open_items.rewind()
        self.refill(REFILL)

    def publish(self, item: OpenItem, receipt: ItemReceipt) -> None:
        """Have the committer rename a part file that is complete and checked, or have it sent."""
        notes = item.context.plan.notes
        facts = {**with_catalogued(receipt.facts, notes), "holes": item.dead}
        if crs_source := notes.get("crs_source"):
            facts["crs_source"] = crs_source
        self.publishing[item.context.item_id] = item.context.key
        update = lu.ItemPublished(
            item.context.item_id, receipt.part_path, receipt.size, receipt.digest, facts
        )
        if self.uploader is None:
            self._session.put(update)
        else:
            self.uploader.take(update, item.context, receipt.spools)
        self._close(item)

    def not_published(self, update: lu.ItemPublished, error: GeobatchError) -> None:
        """Bury an item whose finished part could not take its final name."""
        self.publishing.pop(update.item_id, None)
        row = self._session.reader.item(update.item_id)
        if row is None:
            raise error
        failure = Failure(
            type(error).__name__, error.reaction, error.message, stage="publish", hint=error.hint
        )
        self._write_letter(item_letter(row, 1, failure, ""))
        self._session.log.emit(
            "item.dead", level="error", item=row.key, error_message=failure.message
        )

    def bury(self, item: OpenItem, attempts: int, failure: Failure) -> None:
        context = item.context
        command = get_operation(context.op).gdal_command(context)
        record = item_letter(context, attempts, failure, command)
        record["crs_source"] = context.plan.notes.get("crs_source")
        self._write_letter(record)
        self._close(item)

    def _write_letter(self, record: Json) -> None:
        error_class = record["error_class"]
        self._session.put(
            lu.DeadLetter(record["item_id"], None, record["attempts"], 0, error_class, record)
        )
        self._tally.bury(error_class)
        self._tally.items_dead += 1

    def _close(self, item: OpenItem) -> None:
        self._open_items.close(item.context.item_id)
        self._tell_if_exhausted()

    def _tell_if_exhausted(self) -> None:
        if self._open_items.idle and not self._reopening:
            self._dispatcher.tell(u.Exhausted())
