"""The plan phase: probes and decisions, beside each other, for ``plan`` and ``run`` alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from geobatch_tui import errors
from geobatch_tui.errors import GeobatchError, Reaction
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.workers.dispatcher import Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geobatch_tui.execution.protocol.messages import Failure
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.plan.planner import Planner
    from geobatch_tui.orchestration.plan.recipe import Decision
    from geobatch_tui.orchestration.schedule.scheduler import Scheduler
    from geobatch_tui.orchestration.workers.pool import Pool


def _error(failure: Failure) -> GeobatchError:
    """The error that a worker raised, from its evidence."""
    kind = getattr(errors, failure.error_class, GeobatchError)
    error: GeobatchError = kind(failure.message, hint=failure.hint)
    return error


class Planning:
    """One plan phase: ``take`` gets a decision an input, in input order.

    ``dispatcher`` may be told commands while :meth:`run` runs.
    """

    def __init__(
        self, pool: Pool, scheduler: Scheduler, planner: Planner, take: Callable[[Decision], None]
    ) -> None:
        self.dispatcher = Dispatcher(pool, scheduler, planner)
        self._planner = planner
        self._take = take
        planner.attach(self.dispatcher)

    async def run(self, inputs: Sequence[Input]) -> u.Finish:
        """Decide on every input; ``complete`` unless something ended it before.

        When all inputs are decided the dispatcher is told that nothing more will be offered; when
        the dispatcher ends before (drained, failed), deciding is cancelled.

        Raises:
            PreflightError, or another that is no input's fault: what ended a probe.
        """
        running = asyncio.ensure_future(self.dispatcher.run())
        await asyncio.sleep(0)
        deciding = asyncio.ensure_future(self._decide(inputs))
        try:
            await asyncio.wait({running, deciding}, return_when=asyncio.FIRST_COMPLETED)
            if deciding.done():
                deciding.result()
                self.dispatcher.tell(u.Exhausted())
            finish = await running
            if finish.failure is not None and finish.failure.reaction is Reaction.FATAL:
                raise _error(finish.failure)
            return finish
        finally:
            running.cancel()
            deciding.cancel()
            await asyncio.gather(running, deciding, return_exceptions=True)

    async def _decide(self, inputs: Sequence[Input]) -> None:
        async for decision in self._planner.decide(inputs):
            self._take(decision)
