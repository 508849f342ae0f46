"""The plan phase of a job: probes, decisions and their report, alike for ``plan`` and ``run``."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from geobatch_tui import errors
from geobatch_tui.errors import GeobatchError, PreflightError, Reaction
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.observability.figures import plural
from geobatch_tui.orchestration.plan.groups import combined
from geobatch_tui.orchestration.plan.plan_report import PlanReport, most_bytes
from geobatch_tui.orchestration.plan.planner import Planner
from geobatch_tui.orchestration.plan.standing.standing_outputs import Existing, existing
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.breaker import exceeds
from geobatch_tui.orchestration.workers.dispatcher import Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.execution.protocol.messages import Failure
    from geobatch_tui.ledger.read.reader import LedgerReader
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.plan.parts.group_parts import Kept
    from geobatch_tui.orchestration.plan.recipe import Decision
    from geobatch_tui.orchestration.plan.resources import Resources
    from geobatch_tui.orchestration.schedule.scheduler import Scheduler
    from geobatch_tui.orchestration.workers.pool import Pool


def ended_early(finish: u.Finish) -> GeobatchError:
    """Return the error of a plan that ended before all inputs were decided."""
    prefix = f"the plan ended early ({finish.reason})"
    if finish.failure is None:
        return GeobatchError(prefix)
    return error_of(finish.failure, f"{prefix}: ")


def error_of(failure: Failure, prefix: str = "") -> GeobatchError:
    """Return the error that a worker raised, from its evidence."""
    kind = getattr(errors, failure.error_class, GeobatchError)
    error: GeobatchError = kind(f"{prefix}{failure.message}", hint=failure.hint)
    return error


Orphan = tuple[int, str, ItemState]
"""Id, key and state of an item of the ledger whose input is no longer part of the job."""


class Planning:
    """Plans the items of a job.

    Args:
        loaded: the job.
        resources: those of the whole job, whose workers decide the size of chunks.
        pool, scheduler: run the probes; the scheduler is a fresh one.
        reader, suspects: see :class:`Planner`.
        outputs: its ``existing``; None: as for a run that is not fresh.
        keep_entries: whether the report keeps an entry for each item.
        kept: see :class:`Planner`.

    Attributes:
        dispatcher: takes commands while :meth:`run` runs.
        waits: for stores that go away meanwhile.
        report: of the decisions so far.
        recipe: that of the job's items.
        orphans: items whose inputs left the job; set by :meth:`check`.
    """

    def __init__(  # noqa: PLR0913 - a run and a plan differ in each of them
        self,
        loaded: LoadedJob,
        resources: Resources,
        pool: Pool,
        scheduler: Scheduler,
        reader: LedgerReader | None,
        *,
        outputs: Existing | None = None,
        suspects: frozenset[str] = frozenset(),
        keep_entries: bool = True,
        kept: Kept | None = None,
    ) -> None:
        job = self._job = loaded.job
        output_dir = local_place(job.output.dir)
        compress = str(job.output.creation.get("compress", "deflate"))
        self._compressed = compress.upper() != "NONE"
        self._reader = reader
        self._keys: set[str] = set()
        self.orphans: tuple[Orphan, ...] = ()
        self.recipe = resources.recipe(job, get_operation(job.op.name))
        self.report = PlanReport(
            resources.workers,
            str(output_dir),
            str(self.recipe.prefix or ""),
            warnings=list(loaded.warnings),
            budget=resources.chunk_budget,
            keeps=keep_entries,
            sandbox=resources.sandbox(),
            chunk_rows=reader.chunks if reader is not None else None,
        )
        self._planner = Planner(
            job,
            self.recipe,
            reader,
            existing=outputs or existing(job),
            suspects=suspects,
            most_bytes=most_bytes(output_dir, compressed=self._compressed),
            kept=kept,
        )
        self.dispatcher = Dispatcher(pool, scheduler, self._planner)
        self._planner.attach(self.dispatcher)
        self.waits = self._planner.waits

    async def run(
        self,
        inputs: Sequence[Input],
        lists: Path,
        take: Callable[[Decision], None] = lambda _: None,
    ) -> u.Finish:
        """Decide on every input; ``complete`` unless something ended it before (drained, failed).
        ``lists`` is a directory for the lists of groups of inputs. ``take`` gets each decision, in
        input order. Raises PreflightError, or another that is no
        input's fault: what ended a probe."""
        items = combined(self._job, inputs, lists)
        running = asyncio.ensure_future(self.dispatcher.run())
        await asyncio.sleep(0)
        deciding = asyncio.ensure_future(self._decide(items, take))
        try:
            await asyncio.wait({running, deciding}, return_when=asyncio.FIRST_COMPLETED)
            if deciding.done():
                deciding.result()
                self.dispatcher.tell(u.Exhausted())
            finish = await running
            if finish.failure is not None and finish.failure.reaction is Reaction.FATAL:
                raise error_of(finish.failure)
            return finish
        finally:
            running.cancel()
            deciding.cancel()
            await asyncio.gather(running, deciding, return_exceptions=True)

    async def _decide(self, inputs: Sequence[Input], take: Callable[[Decision], None]) -> None:
        async for decision in self._planner.decide(inputs):
            if decision.failure is not None and decision.failure.evidence.get("store"):
                # No fault of the item: its dead letter would be one of thousands.
                raise PreflightError(
                    f"{decision.failure.message}: the run cannot be planned now",
                    hint="run again when the store is back; what is done stays",
                )
            self._keys.add(decision.key)
            self.report.add(decision)
            take(decision)

    def check(self) -> None:
        """Hold the finished plan against the disk, the files there, and the ledger. Raises
        PreflightError where the output cannot fit, or files are in the way."""
        report = self.report
        report.check_disk(compressed=self._compressed)
        report.check_existing(self._job.output.if_exists)
        for warning in report.traffic.warnings(
            store_settings.current(), self._job.output.dir, os.environ
        ):
            report.warn(warning)
        known = () if self._reader is None else self._reader.names()
        self.orphans = tuple(orphan for orphan in known if orphan[1] not in self._keys)
        for _, key, _ in self.orphans:
            report.warn(f"{key}: its input is no longer part of the job; the output is left alone")
        if self.too_many_refused:
            report.warn(
                f"{len(report.refused)} of {plural(report.chunks, 'chunk')} are refused, more than "
                "failures.max_failures allows: no chunk is computed"
            )

    @property
    def too_many_refused(self) -> bool:
        report = self.report
        return exceeds(self._job.failures.max_failures, len(report.refused), report.chunks)
