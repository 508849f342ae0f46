"""The run phase: tasks for workers, and their outcomes for the ledger, the log and the counts.

The engine takes no decision (the scheduler does), holds no pixel (workers do) and no truth (the
ledger does): it carries events between them and counts.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import (
    ChunkReceipt,
    ChunkTask,
    Failure,
    ItemReceipt,
)
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.figures import plural
from geobatch_tui.orchestration.run.item_finisher import ItemFinisher
from geobatch_tui.orchestration.run.open_items import OpenItems
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.side_tasks.sending import sent
from geobatch_tui.orchestration.side_tasks.watchdogs import GateLog
from geobatch_tui.orchestration.state.letters import chunk_letter, feature_letter
from geobatch_tui.orchestration.workers.dispatcher import Dispatcher, Listener

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.messages import Outcome, Task
    from geobatch_tui.orchestration.run.monitor import Monitor
    from geobatch_tui.orchestration.schedule.scheduler import Scheduler
    from geobatch_tui.orchestration.side_tasks.uploader import Uploader
    from geobatch_tui.orchestration.side_tasks.watchdogs import SpaceWatch, StoreWatch
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.pool import Lost, Pool

LISTED = 100
"""Ids of features that one line of the log names."""
BRIEF = 0.03
"""Seconds that a chunk runs before its start is written: a commit waits as long for others."""
LETTERS = 20_000
"""Features of one chunk that get a letter each; the quarantine file has all of them."""


class Engine(Listener):
    """Runs the chunks and assemblies that the ledger holds open, on one event loop.

    Args:
        session: lock, ledger, log, job.
        monitor: counts as they stood when the run began, and figures; kept up to date here.
        pool: its workers.
        scheduler: a fresh scheduler.
        only: ids of the only chunks to run; None: all that are open.

    Attributes:
        dispatcher: carries the scheduler's decisions to the pool; the engine is its listener.
        finisher: ends items whose chunks are settled.
    """

    def __init__(
        self,
        session: Session,
        monitor: Monitor,
        pool: Pool,
        scheduler: Scheduler,
        *,
        only: frozenset[int] | None = None,
    ) -> None:
        self.dispatcher = Dispatcher(pool, scheduler, self)
        self._open_items = OpenItems(session, only)
        self._proves = only is not None
        self._tally = monitor.tally
        self.finisher = ItemFinisher(session, self._tally, self._open_items, self.dispatcher)
        self.uploader: Uploader | None = None
        self._lost_work = False
        self._session = session
        self._operation = get_operation(session.job.op.name)
        self._monitor = monitor
        self._space: SpaceWatch | None = None
        self._gate = GateLog(session, None)
        self._running: set[int] = set()
        self._begun: list[int] = []  # lately
        self._undefined: set[str] = set()  # keys of items with results that are no numbers
        self._debug = session.job.log.level == "debug"

    async def run(
        self, planned: Dispatcher, space: SpaceWatch, stores: StoreWatch | None = None
    ) -> u.Finish:
        """Work off everything that the ledger holds open, with the workers of the dispatcher that
        ``planned``."""
        dispatcher, self._space, self._gate = self.dispatcher, space, GateLog(self._session, stores)
        self._monitor.outages += [each.away for each in (stores, self.uploader) if each is not None]
        await self._redo_unpublished()
        # Opened before the dispatcher asks for chunks, or it would find nothing to wait for.
        complete = self._open_items.complete()
        # Asked only now: a worker may have ended since the plan.
        dispatcher.adopt(list(planned.workers.values()))
        running = asyncio.ensure_future(dispatcher.run())
        # The dispatcher must listen before anything is offered.
        await asyncio.sleep(0)
        for item in complete:
            self.finisher.finish_if_settled(item)
        try:
            return await sent(self._session, self.uploader, await running)
        finally:
            self.finisher.close()
            if self.uploader is not None:
                await self.uploader.close()

    def sweep(self, finish: u.Finish) -> None:
        """Remove the part files that lost workers left beside the outputs, once all work is done
        and published."""
        if self._lost_work and finish.reason == "complete":
            self._session.sweep_lost()

    def end_uploads(self) -> None:
        """Leave the uploads to the next run."""
        if self.uploader is not None:
            self.uploader.stop()

    def progressed(self, store: str = "") -> None:
        """Start the patience with disks and stores anew, as a chunk was finished, of this store if
        of any."""
        if self._space is not None:
            self._space.progressed()
        self._gate.progressed(store)

    async def _redo_unpublished(self) -> None:
        """Release the chunk of items that are done but not published, where one chunk is the item:
        it has no spool to assemble from."""
        for item in self._open_items.complete():
            if item.whole and item.done:
                self._session.put(lu.ChunkReleased(item.first_of_output))
                self._tally.current -= 1
                self._open_items.close(item.context.item_id)
        await self._session.flush()

    # --- the dispatcher's listener -------------------------------------------------------------

    def build(self, unit: u.Unit, task_id: int, attempt: int) -> Task:
        if unit.kind is u.Kind.FINALISE:
            return self.finisher.task(task_id, self._open_items.item(unit.ident))
        item, index = self._open_items.send(unit.ident)
        return ChunkTask(
            task_id,
            item.context,
            index,
            attempt,
            self._session.epoch,
            whole=item.whole and unit.ident >= item.first_of_output,
            subdivide=unit.subdivide,
            crashes=unit.crashes,
            proves=self._proves,
            ahead=self._open_items.ahead(unit.ident),
        )

    def dispatched(self, unit: u.Unit, worker: int, attempt: int) -> None:
        if unit.kind is u.Kind.CHUNK and self._debug:
            self._log_unit("chunk.start", "debug", unit, worker=worker, attempt=attempt)

    def began(self, unit: u.Unit, worker: int) -> None:
        del worker
        if unit.kind is u.Kind.CHUNK:
            self._running.add(unit.ident)
            self._tally.running = len(self._running)
            if not self._begun:
                asyncio.get_running_loop().call_later(BRIEF, self._note_begun)
            self._begun.append(unit.ident)

    def _note_begun(self) -> None:
        """Note the chunks that run: only they are suspect if the engine dies now, not those queued
        behind them. Of brief ones the end alone is written."""
        for chunk_id in self._running.intersection(self._begun):
            self._session.put(lu.ChunkStarted(chunk_id))
        self._begun.clear()

    def _stop_counting(self, chunk_id: int) -> bool:
        """Count a chunk as running no more; return whether it had begun."""
        begun = chunk_id in self._running
        self._running.discard(chunk_id)
        self._tally.running = len(self._running)
        return begun

    def succeeded(self, unit: u.Unit, worker: int, outcome: Outcome) -> None:
        receipt = outcome.receipt
        self.progressed(unit.store)
        if isinstance(receipt, ChunkReceipt):
            self._chunk_done(unit, worker, outcome, receipt)
        elif isinstance(receipt, ItemReceipt):
            item = self._open_items.item(unit.ident)
            self._monitor.outlook.put_together(item.plan.chunks, receipt.size, outcome.seconds)
            self.finisher.publish(item, receipt)
        else:
            raise TypeError(f"{unit.key} answered {type(receipt).__name__}")

    def _chunk_done(
        self, unit: u.Unit, worker: int, outcome: Outcome, receipt: ChunkReceipt
    ) -> None:
        attempt = unit.attempts + 1
        item, index = self._open_items.chunk(unit.ident)
        segment = receipt.segment
        self._stop_counting(unit.ident)
        self._tally.done += 1
        self._monitor.chunk_done(item.kind(index), outcome.seconds, receipt)
        self._session.put(
            lu.ChunkDone(
                chunk_id=unit.ident,
                item_id=item.context.item_id,
                attempts=attempt,
                spool=segment.spool,
                offset=segment.offset,
                length=segment.length,
                crc32=segment.crc32,
                units=receipt.units,
                bytes_in=receipt.bytes_in,
                bytes_out=receipt.bytes_out,
                seconds=outcome.seconds,
                nodata=receipt.nodata,
                rss_peak=outcome.rss_peak,
                letters=tuple(
                    (
                        letter.position,
                        letter.error_class,
                        feature_letter(item.context, index, attempt, letter, self._operation),
                    )
                    for letter in receipt.letters[:LETTERS]
                ),
                undefined=receipt.undefined,
                reading=receipt.spent("open", "read"),
                writing=receipt.spent("encode", "copy", "spool", "store", "write"),
                worker=worker,
                ended=time.time(),
            )
        )
        if receipt.undefined:
            self._undefined.add(item.context.key)
        self._log_done(unit, worker, outcome.seconds, receipt)
        self._open_items.settle(unit.ident, done=True)
        if receipt.item is not None:
            self.finisher.publish(item, receipt.item)
        else:
            self.finisher.finish_if_settled(item)

    def _log_done(self, unit: u.Unit, worker: int, seconds: float, receipt: ChunkReceipt) -> None:
        item, index = self._open_items.chunk(unit.ident)
        chunk = item.label(index)
        self._session.log.emit(
            "chunk.done",
            item=item.context.key,
            chunk=chunk,
            chunk_offset=index,
            attempt=unit.attempts + 1,
            duration_ms=round(seconds * 1000, 3),
            crs_source=item.context.plan.notes.get("crs_source"),
            worker=worker,
            host=self.dispatcher.host_of(worker),
            undefined_pixels=receipt.undefined or None,
        )
        if receipt.letters:
            first = receipt.letters[0]
            self._session.log.emit(
                "features.quarantined",
                level="warning",
                message=f"{plural(len(receipt.letters), 'feature')} set aside; "
                f"feature {first.fid}: {first.reason}",
                item=item.context.key,
                chunk=chunk,
                error_class=first.error_class,
                fids=[letter.fid for letter in receipt.letters[:LISTED]],
            )

    def retried(self, unit: u.Unit, delay: float, failure: Failure) -> None:
        if unit.kind is u.Kind.CHUNK:
            self._stop_counting(unit.ident)
            counts = (unit.attempts, unit.crashes, unit.strikes)
            start = time.time() + delay if delay else 0.0
            why = (failure.error_class, failure.message, str(failure.evidence.get("host") or ""))
            self._session.put(lu.ChunkWaiting(unit.ident, *counts, start, *why))
        self._log_unit("chunk.retry", "warning", unit, failure=failure, delay_s=round(delay, 3))

    def buried(self, unit: u.Unit, failure: Failure) -> None:
        event = "chunk.dead" if unit.kind is u.Kind.CHUNK else "assembly.failed"
        self._log_unit(event, "error", unit, failure=failure)
        if unit.kind is not u.Kind.CHUNK:
            item = self._open_items.item(unit.ident)
            if not self.finisher.recompute(item, failure):
                self.finisher.bury(item, unit.attempts, failure)
            return
        item, index = self._open_items.chunk(unit.ident)
        self._stop_counting(unit.ident)
        if self.finisher.restore(item, unit.ident, failure):
            return
        self._tally.bury(failure.error_class)
        self._tally.dead += 1
        record = chunk_letter(item.context, index, unit.attempts, failure, self._operation)
        self._session.put(
            lu.DeadLetter(
                item.context.item_id,
                unit.ident,
                unit.attempts,
                unit.crashes,
                failure.error_class,
                record,
            )
        )
        self._open_items.settle(unit.ident, done=False)
        self.finisher.finish_if_settled(item)

    def released(self, unit: u.Unit) -> None:
        if unit.kind is u.Kind.CHUNK and self._stop_counting(unit.ident):
            self._session.put(lu.ChunkReleased(unit.ident))

    def refill(self, count: int) -> None:
        self.finisher.refill(count)

    def suspended(self, reason: str, seconds: float) -> None:
        if reason == "space" and self._space is not None:
            self._space.suspended()
        self._gate.suspended(reason, seconds)

    def unsuspended(self, reason: str) -> None:
        self._gate.unsuspended(reason)

    def worker_up(self, event: u.WorkerUp) -> None:
        host = event.host or None
        log = self._session.log
        log.emit("worker.up", level="debug", worker=event.worker, pid=event.pid, host=host)

    def worker_lost(self, event: Lost) -> None:
        level = "debug" if event.cause == "retired" else "warning"
        failure = event.failure
        self._session.log.emit(
            "worker.lost",
            level=level,
            message=failure.message if failure else event.cause,
            worker=event.worker,
        )
        self._lost_work |= event.running is not None
        if event.cause != "retired":
            self._lost_work |= bool(event.queued)
            self._session.put(
                lu.Noted("worker.lost", {"worker": event.worker, "cause": event.cause})
            )

    def committed(self, batch: Sequence[lu.Update]) -> None:
        """Take note of a batch that is durable (called on the loop's thread)."""
        for update in batch:
            if isinstance(update, lu.ChunkDone | lu.DeadLetter):
                self._open_items.committed(update.chunk_id)
            elif isinstance(update, lu.ItemPublished):
                self._tally.published += 1
                self._session.drop_published(update.item_id)
                key = self.finisher.publishing.pop(update.item_id, None)
                row = self._session.reader.item(update.item_id) if key in self._undefined else None
                self._session.log.emit(
                    "item.published",
                    item=key,
                    crs_source=update.facts.get("crs_source"),
                    bytes=update.out_size,
                    undefined_pixels=row and row.facts.get("undefined_pixels"),
                )

    def label(self, unit: u.Unit) -> str:
        if unit.kind is not u.Kind.CHUNK:
            return self._open_items.item(unit.ident).context.key
        item, index = self._open_items.chunk(unit.ident)
        return item.label(index)

    def _log_unit(
        self, event: str, level: str, unit: u.Unit, failure: Failure | None = None, **fields: Any
    ) -> None:
        if unit.kind is u.Kind.CHUNK:
            item, index = self._open_items.chunk(unit.ident)
            fields |= {"chunk": item.label(index), "chunk_offset": index}
        else:
            item = self._open_items.item(unit.ident)
        fields["crs_source"] = item.context.plan.notes.get("crs_source")
        message = ""
        if failure is not None:
            message = f"{failure.error_class}: {failure.message}"
            fields |= {
                "attempt": unit.attempts,
                "stage": failure.stage,
                "error_class": failure.error_class,
                "error_message": failure.message,
                "traceback": failure.traceback or None,
                "host": failure.evidence.get("host"),
            }
        self._session.log.emit(event, level=level, message=message, item=item.context.key, **fields)
