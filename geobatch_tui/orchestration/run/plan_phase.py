"""The first phase of a run: every input is planned, and the plan is made durable."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.errors import UnsafeInputError
from geobatch_tui.execution.protocol.messages import ItemPlan
from geobatch_tui.execution.stores.object_url import gdal_name
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.figures import plural
from geobatch_tui.observability.redact import redact_value
from geobatch_tui.orchestration.plan.kept_stages import kept_stages, with_fingerprints
from geobatch_tui.orchestration.plan.parts.group_parts import KeptInLedger
from geobatch_tui.orchestration.plan.planning import Planning
from geobatch_tui.orchestration.plan.recipe import UNPLANNED
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.side_tasks.watchdogs import GateLog, StoreWatch
from geobatch_tui.orchestration.state.letters import item_letter
from geobatch_tui.orchestration.state.session import read_suspects
from geobatch_tui.orchestration.state.stac_items import STAC, with_catalogued

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from geobatch_tui.execution.protocol.looking import InspectReceipt
    from geobatch_tui.execution.protocol.messages import Failure, Json
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.plan.planning import Orphan
    from geobatch_tui.orchestration.plan.recipe import Decision, Recipe
    from geobatch_tui.orchestration.plan.resources import Resources
    from geobatch_tui.orchestration.plan.standing.standing_outputs import Existing
    from geobatch_tui.orchestration.run.monitor import Monitor
    from geobatch_tui.orchestration.schedule.scheduler import Scheduler
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.pool import Pool


class PlanPhase:
    """Plans the inputs of a run into its ledger.

    Args:
        session: ledger, log, job.
        resources: those of the job: a trial on a sample plans as the whole job would be.
        monitor: has the tally.
        pool: runs the probes.
        scheduler: a fresh scheduler for them.
        outputs: what becomes of outputs that the ledger does not know.

    Attributes:
        dispatcher: takes commands while :meth:`run` runs.
        warnings: those of the whole plan; none before it is complete.
    """

    def __init__(
        self,
        session: Session,
        resources: Resources,
        monitor: Monitor,
        pool: Pool,
        scheduler: Scheduler,
        *,
        outputs: Existing,
    ) -> None:
        self._session = session
        self._monitor = monitor
        # A ledger that never had an item need not be asked for each.
        self._planning = Planning(
            session.loaded,
            resources,
            pool,
            scheduler,
            None if session.next_item_id == 1 else session.reader,
            outputs=outputs,
            suspects=read_suspects(session.state),
            keep_entries=False,
            kept=KeptInLedger(session),
        )
        self._recorder = PlanRecorder(session, self._planning.recipe, monitor)
        self.dispatcher = self._planning.dispatcher
        self.warnings: tuple[str, ...] = ()

    async def run(
        self, inputs: Sequence[Input], give_up: Callable[[], None] = lambda: None
    ) -> u.Finish:
        """Decide on every input, and write the plan down unless something ended it before.
        ``give_up`` is called where a store was away for too long. Raises as :meth:`Planning.run`
        and :meth:`Planning.check` do."""
        patience = self._session.job.engine.space_wait
        stores = StoreWatch(patience, self.dispatcher.tell, give_up)
        self._planning.waits.listener = GateLog(self._session, stores)
        self._monitor.outages.append(stores.away)
        with contextlib.closing(stores):
            return await self._run(inputs)

    async def _run(self, inputs: Sequence[Input]) -> u.Finish:
        swept = self._session.sweep()
        self._recorder.facts |= {entry.key: entry.facts for entry in inputs if entry.facts}
        lists = self._session.state.root / "sources"
        finish = await self._planning.run(inputs, lists, self._recorder.take)
        if finish.reason != "complete":
            return finish
        self._planning.check()
        self._recorder.mark(self._planning.orphans)
        await self._record(swept)
        self.warnings = tuple(self._planning.report.warnings)
        return u.Finish("failures") if self._planning.too_many_refused else finish

    async def _record(self, swept: int) -> None:
        session, report = self._session, self._planning.report
        await session.flush()
        tally = self._monitor.tally
        tally.dead_by_class = dict(session.reader.dead_by_class())
        for warning in report.warnings:
            session.log.emit("plan.warning", level="warning", message=warning)
        session.log.emit(
            "plan.done",
            message=f"{plural(report.items, 'item')}, {plural(report.chunks, 'chunk')}",
            reasons=dict(report.reasons),
            peak_memory_bytes=report.peak_memory_bytes,
            output_bytes=report.output_bytes,
            swept_parts=swept,
            struck=session.recovery.running,
        )
        facts = {"current": tally.current, "unit_name": self._monitor.unit_name}
        session.put(lu.Noted("run.planned", facts))
        session.drop_leftovers()


class PlanRecorder:
    """Turns decisions into updates of the ledger, and counts the chunks that are settled already.
    Item and chunk ids grow for ever: a chunk that is planned anew never takes an old one's id.

    ``facts``: what catalogues say of items, by key.
    """

    def __init__(self, session: Session, recipe: Recipe, monitor: Monitor) -> None:
        self._session = session
        self._recipe = recipe
        self._kept = redact_value(recipe.params)
        self._overwrites = session.job.output.if_exists == "overwrite"
        self._tally = monitor.tally
        self._outlook = monitor.outlook
        self.facts: dict[str, Json] = {}
        self._item_id = session.next_item_id
        self._chunk_id = session.next_chunk_id

    def take(self, decision: Decision) -> None:
        """Write an item down, unless a file is in its way that the plan is refused for: the next
        run would take what the ledger knows for its own, and replace it."""
        self._tally.items += 1
        if decision.replaces and not self._overwrites:
            return
        if decision.failure is not None:
            self._refused(decision, decision.failure)
        elif decision.adopted is not None and decision.plan is not None:
            self._adopted(decision, decision.plan, decision.adopted)
        elif decision.plan is not None:
            self._planned(decision, decision.plan)
        elif decision.row is not None:
            self._known(decision, decision.row)

    def mark(self, orphans: Iterable[Orphan]) -> None:
        """Mark the items whose inputs left the job."""
        for item_id, _, state in orphans:
            if state is not lu.ItemState.ORPHAN:
                self._session.put(
                    lu.ItemChanged(item_id, lu.ItemState.ORPHAN, "no longer an input")
                )

    def _new_row(self, decision: Decision, plan: ItemPlan) -> ItemRow:
        if plan is not UNPLANNED and (facts := self.facts.get(decision.key)):
            plan = replace(plan, notes={**plan.notes, STAC: facts})
        recipe, row = self._recipe, decision.row
        if row is None:
            item_id, self._item_id = self._item_id, self._item_id + 1
        else:
            item_id = row.item_id
        first, self._chunk_id = self._chunk_id, self._chunk_id + plan.chunks
        return lu.ItemRow(
            item_id=item_id,
            key=decision.key,
            source=decision.source,
            src_size=decision.identity.size,
            src_mtime_ns=decision.identity.mtime_ns,
            src_digest=decision.identity.digest,
            params_digest=recipe.params_digest,
            code_digest=recipe.code_digest,
            fingerprint=decision.fingerprint,
            params=self._kept,
            plan={} if plan is UNPLANNED else plan.to_json(),
            out_path=os.path.join(recipe.output_dir, decision.key),  # noqa: PTH118 -- as text
            first_chunk=first,
            n_chunks=plan.chunks,
            reason=decision.reason,
        )

    def _planned(self, decision: Decision, plan: ItemPlan) -> None:
        plan = with_fingerprints(plan, self._recipe, decision.identity)
        row = self._new_row(decision, plan)
        stages = () if decision.row is None else kept_stages(decision.row, plan)
        kept = sum(len(stage.grid) for stage in stages)
        self._session.drop_work(row.item_id, but=[stage.file_name for stage in stages])
        if kept and decision.row is not None:
            states = self._session.reader.states(decision.row.first_chunk, kept)
            self._tally.current += states.count(lu.ChunkState.DONE)
        self._session.put(lu.ItemPlanned(row, kept=kept))
        self._tally.total += row.n_chunks
        self._outlook.expect(plan, kept)

    def _adopted(self, decision: Decision, plan: ItemPlan, receipt: InspectReceipt) -> None:
        row = replace(
            self._new_row(decision, plan),
            state=lu.ItemState.PUBLISHED,
            n_done=plan.chunks,
            out_size=receipt.size,
            out_mtime_ns=decision.made_ns,
            out_digest=receipt.digest,
            reason="adopted",
        )
        row = replace(row, facts=with_catalogued(receipt.facts, row.plan["notes"]))
        self._session.put(lu.ItemPlanned(row, adopted=True))
        self._tally.total += row.n_chunks
        self._tally.current += row.n_chunks
        self._tally.published += 1

    def _refused(self, decision: Decision, failure: Failure) -> None:
        row = self._new_row(decision, UNPLANNED)
        command = _inspect_line(decision.source, self._recipe.operation.data, failure)
        letter = item_letter(row, 1, failure, command)
        self._session.put(lu.ItemPlanned(row))
        self._session.put(lu.DeadLetter(row.item_id, None, 1, 0, failure.error_class, letter))
        self._tally.total += 1
        self._tally.dead += 1
        self._tally.items_dead += 1
        self._session.log.emit(
            "item.dead",
            level="error",
            message=f"{failure.error_class}: {failure.message}",
            item=decision.key,
            stage=failure.stage,
            crs_source=failure.evidence.get("crs_source"),
            error_class=failure.error_class,
            error_message=failure.message,
            traceback=failure.traceback or None,
        )

    def _known(self, decision: Decision, row: ItemRow) -> None:
        tally = self._tally
        tally.total += row.n_chunks
        tally.current += row.n_done
        tally.dead += row.n_dead
        if decision.reason == "current":
            tally.published += 1
            if row.state is lu.ItemState.ORPHAN:
                self._session.put(lu.ItemChanged(row.item_id, lu.ItemState.PUBLISHED, row.reason))
            if decision.identity.mtime_ns != row.src_mtime_ns:
                self._session.put(lu.SourceTouched(row.item_id, decision.identity.mtime_ns))
        elif row.state is lu.ItemState.DEAD:
            tally.items_dead += 1
        elif row.state is lu.ItemState.HELD:
            self._held(row)
        elif row.state is lu.ItemState.ORPHAN:
            self._session.put(lu.ItemChanged(row.item_id, lu.ItemState.PLANNED, row.reason))
            self._expect(row)
        else:
            self._expect(row)

    def _expect(self, row: ItemRow) -> None:
        if row.plan:
            self._outlook.expect(ItemPlan.from_json(row.plan), row.n_done + row.n_dead)

    def _held(self, row: ItemRow) -> None:
        """A held item stays held, unless the job now fills holes with nodata."""
        staged = ItemPlan.from_json(row.plan).staged
        states = self._session.reader.states(row.first_chunk, staged)
        fills = self._session.job.output.on_dead_chunk == "fill"
        # What is behind a stage cannot do without a part of it.
        if fills and row.n_done and not states.count(lu.ChunkState.DEAD):
            self._session.put(lu.ItemChanged(row.item_id, lu.ItemState.PLANNED, row.reason))
            self._expect(row)
        else:
            self._tally.held += 1


def _inspect_line(source: str, data: str, failure: Failure) -> str:
    """Return a command that describes a refused source; empty if GDAL had better not try it."""
    from shlex import join

    if failure.error_class == UnsafeInputError.__name__:
        return ""
    name = gdal_name(source)
    return join(["ogrinfo", "-so", "-al", name] if data == "vector" else ["gdalinfo", name])
