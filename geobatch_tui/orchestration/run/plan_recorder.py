"""Records the planner's decisions in the ledger and in the tally."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.errors import UnsafeInputError
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.redact import redact_value
from geobatch_tui.orchestration.plan.recipe import UNPLANNED
from geobatch_tui.orchestration.state.letters import item_letter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geobatch_tui.config.schema import Job
    from geobatch_tui.execution.protocol.messages import Failure, InspectReceipt, ItemPlan, Json
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.orchestration.plan.planning import Orphan
    from geobatch_tui.orchestration.plan.recipe import Decision, Recipe
    from geobatch_tui.orchestration.state.outcome import Tally
    from geobatch_tui.orchestration.state.session import Session


class PlanRecorder:
    """Turns decisions into updates of the ledger, and counts the chunks that are settled already.

    Item and chunk ids grow for ever: a chunk that is planned anew never takes an old one's id.
    """

    def __init__(self, session: Session, job: Job, recipe: Recipe, tally: Tally) -> None:
        self._session = session
        self._job = job
        self._recipe = recipe
        self._kept = redact_value(recipe.params)
        self._tally = tally
        self._item_id = session.next_item_id
        self._chunk_id = session.next_chunk_id

    def take(self, decision: Decision) -> None:
        """Record one decision."""
        self._tally.items += 1
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
        for orphan in orphans:
            if orphan.state is not lu.ItemState.ORPHAN:
                self._session.put(
                    lu.ItemChanged(orphan.item_id, lu.ItemState.ORPHAN, "no longer an input")
                )

    def _new_row(self, decision: Decision, plan: ItemPlan, plan_json: Json) -> ItemRow:
        recipe, row = self._recipe, decision.row
        if row is None:
            item_id, self._item_id = self._item_id, self._item_id + 1
        else:
            item_id = row.item_id
        first, self._chunk_id = self._chunk_id, self._chunk_id + len(plan.grid)
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
            plan=plan_json,
            out_path=str(recipe.output_dir / decision.key),
            first_chunk=first,
            n_chunks=len(plan.grid),
            reason=decision.reason,
        )

    def _planned(self, decision: Decision, plan: ItemPlan) -> None:
        row = self._new_row(decision, plan, plan.to_json())
        self._session.drop_work(row.item_id)
        self._session.put(lu.ItemPlanned(row))
        self._tally.total += row.n_chunks

    def _adopted(self, decision: Decision, plan: ItemPlan, receipt: InspectReceipt) -> None:
        row = self._new_row(decision, plan, plan.to_json())
        row = replace(
            row,
            state=lu.ItemState.PUBLISHED,
            n_done=row.n_chunks,
            out_size=receipt.size,
            out_mtime_ns=(self._recipe.output_dir / decision.key).stat().st_mtime_ns,
            out_digest=receipt.digest,
            facts=receipt.facts,
            reason="adopted",
        )
        self._session.put(lu.ItemAdopted(row))
        self._tally.total += row.n_chunks
        self._tally.current += row.n_chunks
        self._tally.published += 1

    def _refused(self, decision: Decision, failure: Failure) -> None:
        row = self._new_row(decision, UNPLANNED, {})
        letter = item_letter(
            row.item_id,
            decision.key,
            decision.source,
            decision.identity.digest,
            1,
            failure,
            _inspect_line(decision.source, self._recipe.operation.data, failure),
        )
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

    def _held(self, row: ItemRow) -> None:
        """A held item stays held, unless the job now fills holes with nodata."""
        if self._job.output.on_dead_chunk == "fill" and row.n_done:
            self._session.put(lu.ItemChanged(row.item_id, lu.ItemState.PLANNED, row.reason))
        else:
            self._tally.held += 1


def _inspect_line(source: str, data: str, failure: Failure) -> str:
    """Return a command that describes a refused source; empty if it might harm GDAL, which tries
    all of its drivers."""
    from shlex import join

    if failure.error_class == UnsafeInputError.__name__:
        return ""
    return join(["ogrinfo", "-so", "-al", source] if data == "vector" else ["gdalinfo", source])
