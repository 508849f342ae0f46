"""The life of items in the run phase: complete, held, assembled, published, computed again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.protocol.messages import Failure
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.run.feeder import FINALISE_BYTES, HANDLES
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.state.letters import item_letter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from geobatch_tui.config.schema import Job
    from geobatch_tui.errors import GeobatchError
    from geobatch_tui.execution.ops.registry import Operation
    from geobatch_tui.execution.protocol.messages import ItemReceipt
    from geobatch_tui.orchestration.run.feeder import Feeder, OpenItem
    from geobatch_tui.orchestration.state.outcome import Tally
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.dispatcher import Dispatcher

FEED = 64
"""Chunks asked for at once when some became pending behind the feeder's cursor."""


class Items:
    """What happens to an item once its chunks are settled.

    Args:
        session: ledger and log.
        job: for its policy on dead chunks.
        operation: names the command that reproduces a failed assembly.
        tally: counts.
        feeder: knows the open items.
        feed: asks the feeder for more chunks and offers them.

    ``publishing`` has the keys, by item id, of those whose publication is not durable yet.
    """

    def __init__(
        self,
        session: Session,
        job: Job,
        operation: Operation,
        tally: Tally,
        feeder: Feeder,
        feed: Callable[[int], None],
    ) -> None:
        self._session = session
        self._job = job
        self._operation = operation
        self._tally = tally
        self._feeder = feeder
        self._feed = feed
        self._dispatcher: Dispatcher | None = None
        self._side: set[asyncio.Task[None]] = set()
        self.publishing: dict[int, str] = {}

    @property
    def dispatcher(self) -> Dispatcher:
        """The dispatcher of the run phase; set by :meth:`attach`."""
        if self._dispatcher is None:
            raise RuntimeError("the run phase has not begun")
        return self._dispatcher

    def attach(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def close(self) -> None:
        """Cancel what waits for a commit."""
        for task in self._side:
            task.cancel()

    def look_at(self, item: OpenItem) -> None:
        """A chunk of the item is settled: is the item complete, or lost?"""
        if item.remaining:
            self.maybe_exhausted()
            return
        context = item.context
        if not item.dead or (self._job.output.on_dead_chunk == "fill" and item.done):
            self._assemble(item)
            return
        reason = f"{item.dead} of {len(context.plan.grid)} chunks are dead letters"
        self._session.put(lu.ItemChanged(context.item_id, lu.ItemState.HELD, reason))
        self._tally.held += 1
        self._session.log.emit("item.held", level="error", message=reason, item=context.key)
        self._close(item)

    def _assemble(self, item: OpenItem) -> None:
        """Offer the assembly once the item's last chunk is durable: it is built from the ledger."""
        self._beside(self._offer_assembly(item))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._side.add(task)
        task.add_done_callback(self._side_done)

    async def _offer_assembly(self, item: OpenItem) -> None:
        await self._session.flush()
        unit = u.Unit(
            u.Kind.FINALISE,
            item.context.item_id,
            bytes=FINALISE_BYTES,
            handles=HANDLES[u.Kind.FINALISE],
        )
        self.dispatcher.tell(u.Offered((unit,)))

    def _side_done(self, task: asyncio.Task[None]) -> None:
        self._side.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.dispatcher.fail(error)

    def recompute(self, item: OpenItem, failure: Failure) -> bool:
        """Spooled chunks turned out damaged when the item was assembled: once, compute them anew.

        Returns False where the failure names no chunk, or it happened before.
        """
        damaged = [int(index) for index in failure.evidence.get("chunks", ())]
        if not damaged or item.recomputed:
            return False
        item.recomputed = True
        for index in damaged:
            self._session.put(lu.ChunkReleased(item.first_chunk + index))
        item.done -= len(damaged)
        item.remaining += len(damaged)
        self._tally.lose(len(damaged))
        self._beside(self._feed_again())
        return True

    def requeue(self, classes: Sequence[str], keys: Sequence[str]) -> int:
        """Give dead letters another chance while the run goes on; all if nothing is named.

        Letters of items that could not be planned, and of single features, are left: they take a
        new run. Returns how many were requeued.
        """
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
            item = self._feeder.open_item(int(letter["item_id"]))
            if item is not None and letter["chunk"] is not None:
                item.dead -= 1
                item.remaining += 1
        names = tuple(str(letter["chunk"] or letter["item"]) for letter in chosen)
        self._session.put(lu.LettersRequeued(None, names))
        self._beside(self._feed_again())
        return len(chosen)

    def _is_planned(self, item_id: int) -> bool:
        row = self._session.reader.item(item_id)
        return row is not None and bool(row.plan)

    async def _feed_again(self) -> None:
        """Chunks behind the feeder's cursor became pending: find them once that is durable."""
        await self._session.flush()
        self._tally.settle(self._session.reader)
        self._feeder.rewind()
        self._feed(FEED)

    def publish(self, item: OpenItem, receipt: ItemReceipt) -> None:
        """The part is complete and checked: have it named."""
        facts = {**receipt.facts, "holes": item.dead}
        if crs_source := item.context.plan.notes.get("crs_source"):
            facts["crs_source"] = crs_source
        self.publishing[item.context.item_id] = item.context.key
        self._session.put(
            lu.ItemPublished(
                item.context.item_id, receipt.part_path, receipt.size, receipt.digest, facts
            )
        )
        self._close(item)

    def not_published(self, update: lu.ItemPublished, error: GeobatchError) -> None:
        """A finished part could not take its final name, for a reason of its own."""
        self.publishing.pop(update.item_id, None)
        row = self._session.reader.item(update.item_id)
        if row is None:
            raise error
        failure = Failure(
            type(error).__name__, error.reaction, error.message, stage="publish", hint=error.hint
        )
        self._tally.bury(failure.error_class)
        self._tally.items_dead += 1
        letter = item_letter(row.item_id, row.key, row.source, row.src_digest, 1, failure, "")
        self._session.put(lu.DeadLetter(row.item_id, None, 1, 0, failure.error_class, letter))
        self._session.log.emit(
            "item.dead", level="error", item=row.key, error_message=failure.message
        )

    def bury(self, item: OpenItem, attempts: int, failure: Failure) -> None:
        """The item cannot be assembled: a dead letter of its own."""
        context = item.context
        record = item_letter(
            context.item_id,
            context.key,
            context.source,
            context.source_id.digest,
            attempts,
            failure,
            self._operation.gdal_command(context),
        )
        record["crs_source"] = context.plan.notes.get("crs_source")
        self._session.put(
            lu.DeadLetter(context.item_id, None, attempts, 0, failure.error_class, record)
        )
        self._tally.bury(failure.error_class)
        self._tally.items_dead += 1
        self._close(item)

    def _close(self, item: OpenItem) -> None:
        self._feeder.close(item.context.item_id)
        self.maybe_exhausted()

    def maybe_exhausted(self) -> None:
        """Tell the dispatcher once nothing more can come."""
        if self._feeder.idle:
            self.dispatcher.tell(u.Exhausted())
