"""The first phase of a run: every input is planned, and the plan is made durable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.text import many
from geobatch_tui.orchestration.plan.plan_report import PlanReport, most_bytes
from geobatch_tui.orchestration.plan.planner import Planner
from geobatch_tui.orchestration.plan.planning import Planning
from geobatch_tui.orchestration.run.plan_recorder import Intake, report_decision
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.breaker import exceeds
from geobatch_tui.orchestration.state.session import read_suspects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.execution.ops.registry import Operation
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.plan.recipe import Decision
    from geobatch_tui.orchestration.plan.resources import Resources
    from geobatch_tui.orchestration.run.monitor import Monitor
    from geobatch_tui.orchestration.schedule.scheduler import Scheduler
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.dispatcher import Dispatcher
    from geobatch_tui.orchestration.workers.pool import Pool


@dataclass(frozen=True, slots=True)
class Planned:
    """How the phase ended, the dispatcher that it used, and what the plan warns of."""

    finish: u.Finish
    dispatcher: Dispatcher
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanPhase:
    """Plans the inputs of a run into its ledger.

    ``resources`` are those of the job: a trial on a sample plans as the whole job would be.
    """

    session: Session
    loaded: LoadedJob
    operation: Operation
    resources: Resources
    monitor: Monitor

    async def run(
        self, pool: Pool, scheduler: Scheduler, inputs: Sequence[Input], *, adopt: bool
    ) -> Planned:
        """Decide on every input, and write the plan down unless something ended it before.

        Args:
            pool: where inputs are probed.
            scheduler: hands the probes out.
            inputs: of the job, in their order.
            adopt: whether outputs that were made elsewhere or before count as done.

        Raises:
            PreflightError, or another that is no input's fault: what ended a probe.
        """
        session, job = self.session, self.loaded.job
        swept = session.sweep()
        recipe = self.resources.recipe(job, self.operation)
        # A ledger that never had an item need not be asked for each.
        empty = session.next_item_id == 1
        planner = Planner(
            job,
            recipe,
            _no_row if empty else session.reader.item_by_key,
            adopt=adopt,
            named=session.reader.items_named,
            suspects=read_suspects(session.state),
            most_bytes=most_bytes(session.output_dir, compressed=_compressed(job)),
        )
        report = PlanReport(
            self.resources.workers,
            str(session.output_dir),
            warnings=list(self.loaded.warnings),
            budget=self.resources.chunk_budget,
            keeps=False,
            sandbox=self.resources.sandbox(),
        )
        report.chunk_rows = session.reader.chunks
        intake = Intake(session, job, recipe, self.monitor.tally)

        def take(decision: Decision) -> None:
            report_decision(report, decision)
            intake.take(decision)

        planning = Planning(pool, scheduler, planner, take)
        dispatcher = self.monitor.dispatcher = planning.dispatcher
        finish = await planning.run(inputs)
        if finish.reason != "complete":
            return Planned(finish, dispatcher)
        await self._record(report, intake, swept)
        if exceeds(job.failures.max_failures, report.dead, report.chunks):
            finish = u.Finish("failures")
        return Planned(finish, dispatcher, tuple(report.warnings))

    async def _record(self, report: PlanReport, intake: Intake, swept: int) -> None:
        """Make the plan durable, and tell what it found."""
        session, job = self.session, self.loaded.job
        report.check_disk(compressed=_compressed(job))
        report.check_existing(job.output.if_exists)
        for key in intake.orphans():
            report.warn(f"{key}: its input is no longer part of the job; the output is left alone")
        await session.flush()
        self.monitor.tally.dead_by_class = dict(session.reader.dead_by_class())
        for warning in report.warnings:
            session.log.emit("plan.warning", level="warning", message=warning)
        session.log.emit(
            "plan.done",
            message=f"{many(report.items, 'item')}, {many(report.chunks, 'chunk')}",
            reasons=dict(report.reasons),
            peak_memory_bytes=report.peak_memory_bytes,
            output_bytes=report.output_bytes,
            swept_parts=swept,
            struck=session.recovery.running,
        )
        facts = {"current": self.monitor.tally.current, "unit_name": self.monitor.unit_name}
        session.put(lu.Noted("run.planned", facts))
        session.drop_leftovers()


def _no_row(key: str) -> None:
    del key


def _compressed(job: Any) -> bool:
    return str(job.output.creation.get("compress", "deflate")).upper() != "NONE"
