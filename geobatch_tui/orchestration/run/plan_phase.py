"""The first phase of a run: every input is planned, and the plan is made durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.figures import plural
from geobatch_tui.orchestration.plan.planning import Planning
from geobatch_tui.orchestration.run.plan_recorder import PlanRecorder
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.state.session import read_suspects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.plan.resources import Resources
    from geobatch_tui.orchestration.run.monitor import Monitor
    from geobatch_tui.orchestration.schedule.scheduler import Scheduler
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.pool import Pool


class PlanPhase:
    """Plans the inputs of a run into its ledger.

    Args:
        session: ledger and log.
        loaded: the job.
        resources: those of the job: a trial on a sample plans as the whole job would be.
        monitor: has the tally.
        pool: runs the probes.
        scheduler: a fresh scheduler for them.
        adopt: whether outputs that were made elsewhere or before count as done.

    Attributes:
        dispatcher: takes commands while :meth:`run` runs.
        warnings: those of the whole plan; none before it is complete.
    """

    def __init__(
        self,
        session: Session,
        loaded: LoadedJob,
        resources: Resources,
        monitor: Monitor,
        pool: Pool,
        scheduler: Scheduler,
        *,
        adopt: bool,
    ) -> None:
        self._session = session
        self._monitor = monitor
        # A ledger that never had an item need not be asked for each.
        self._planning = Planning(
            loaded,
            resources,
            pool,
            scheduler,
            None if session.next_item_id == 1 else session.reader,
            adopt=adopt,
            suspects=read_suspects(session.state),
            keep_entries=False,
        )
        self._recorder = PlanRecorder(session, loaded.job, self._planning.recipe, monitor.tally)
        self.dispatcher = self._planning.dispatcher
        self.warnings: tuple[str, ...] = ()

    async def run(self, inputs: Sequence[Input]) -> u.Finish:
        """Decide on every input, and write the plan down unless something ended it before.

        Raises:
            PreflightError, or another that is no input's fault: what ended a probe.
        """
        swept = self._session.sweep()
        finish = await self._planning.run(inputs, self._recorder.take)
        if finish.reason != "complete":
            return finish
        self._planning.check()
        self._recorder.mark(self._planning.orphans)
        await self._record(swept)
        self.warnings = tuple(self._planning.report.warnings)
        return u.Finish("failures") if self._planning.too_many_refused else finish

    async def _record(self, swept: int) -> None:
        """Make the plan durable, and log its totals and warnings."""
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
