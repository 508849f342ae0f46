"""The dispatcher, the scheduler's asynchronous shell: turns pool events into scheduler events, and
decisions into calls on the pool and on a listener. It decides nothing itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.workers.pool import Answered, Lost, PoolEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geobatch_tui.execution.protocol.messages import Failure, Outcome, Task
    from geobatch_tui.orchestration.schedule.scheduler import Scheduler
    from geobatch_tui.orchestration.workers.pool import Pool

TICK = 0.2
"""Seconds between two looks at timeouts and waiting retries."""


class Listener:
    """The owner of a dispatcher, which overrides what it wants to hear. Called on the loop's
    thread; each call returns at once."""

    def build(self, unit: u.Unit, task_id: int, attempt: int) -> Task:
        """Make the task of a unit that is about to be sent."""
        raise NotImplementedError

    def dispatched(self, unit: u.Unit, worker: int, attempt: int) -> None:
        """Note that the unit is in the worker's queue."""

    def began(self, unit: u.Unit, worker: int) -> None:
        """Note that the unit reached the head of the worker's queue: only now can it do harm."""

    def succeeded(self, unit: u.Unit, worker: int, outcome: Outcome) -> None: ...
    def retried(self, unit: u.Unit, delay: float, failure: Failure) -> None: ...
    def buried(self, unit: u.Unit, failure: Failure) -> None: ...
    def released(self, unit: u.Unit) -> None: ...
    def refill(self, count: int) -> None:
        """Offer up to ``count`` more units."""

    def suspended(self, reason: str, seconds: float) -> None: ...
    def unsuspended(self, reason: str) -> None: ...
    def worker_up(self, event: u.WorkerUp) -> None: ...
    def worker_lost(self, event: Lost) -> None: ...


@dataclass(slots=True)
class Record:
    """Numbers of units that a worker finished, and that failed on it."""

    done: int = 0
    failed: int = 0


class Dispatcher:
    """Runs units on a pool until the scheduler says that it is over.

    Args:
        pool: workers; the dispatcher sets its callback.
        scheduler: a fresh scheduler.
        listener: gets each event of a unit.
    """

    def __init__(self, pool: Pool, scheduler: Scheduler, listener: Listener) -> None:
        self.scheduler = scheduler
        self.workers: dict[int, u.WorkerUp] = {}
        self.records: dict[int, Record] = {}
        #: Takes each outcome, of whatever unit.
        self.told: Callable[[Outcome], None] | None = None
        self._pool = pool
        self._listener = listener
        self._tasks: dict[int, u.Unit] = {}
        self._heads: dict[int, u.Key] = {}
        self._next_task = 1
        self._events: list[u.Event] = []
        self._handling = False
        self._over: asyncio.Future[u.Finish] = asyncio.get_running_loop().create_future()
        self._ticker: asyncio.TimerHandle | None = None

    @property
    def over(self) -> bool:
        """Whether the scheduler has finished, or an error ended it: it takes no further unit."""
        return self._over.done()

    def tell(self, event: u.Event) -> None:
        """Hand an event to the scheduler and act on its decisions. An event from within a callback
        of the listener waits until the current one is done."""
        if isinstance(event, u.SetWorkers) and self._pool.wish(event.count):
            return
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                event = self._events.pop(0)
                touched = {event.worker} if isinstance(event, u.Succeeded | u.Failed) else set()
                for decision in self.scheduler.handle(event, time.monotonic()):
                    self._act(decision)
                    if isinstance(decision, u.Dispatch):
                        touched.add(decision.worker)
                for worker in touched:
                    self._look_at_head(worker)
        finally:
            self._handling = False

    def nodes(self) -> list[dict[str, object]]:
        """Return what is noted of the nodes of a cluster."""
        return self._pool.nodes()

    def host_of(self, worker: int) -> str | None:
        """Return the host of a worker, where a run has several."""
        up = self.workers.get(worker)
        return (up.host or None) if up is not None else None

    def adopt(self, workers: Sequence[u.WorkerUp]) -> None:
        """Take over workers that an earlier dispatcher of the same pool left idle; before
        :meth:`run`, which would start others."""
        # They get work at once, and a thread may answer before `run` has its turn: to the
        # dispatcher before this one, which would drop the answer.
        self._pool.listen(self._on_pool)
        kept = tuple(replace(worker, fresh=False) for worker in workers)
        for worker in kept:
            self._enter(worker)
        if kept:
            self.tell(u.WorkersKept(kept))

    async def run(self) -> u.Finish:
        """Work until the scheduler finishes, and leave the workers as they are."""
        self._pool.listen(self._on_pool)
        if not self._over.done():  # adopting workers may show that there is nothing to do
            self._tick()
        try:
            return await self._over
        finally:
            if self._ticker is not None:
                self._ticker.cancel()

    def fail(self, error: BaseException) -> bool:
        """End :meth:`run` with an error that is not a chunk's; False: it has ended already."""
        if self._over.done():
            return False
        self._over.set_exception(error)
        # Taken note of: if nobody runs, asyncio need not log it.
        self._over.exception()
        return True

    def _tick(self) -> None:
        # An error of a callback is only logged by the loop, and the run would hang.
        try:
            self.tell(u.Tick(self._pool.compiling()))
        except Exception as error:  # noqa: BLE001 - boundary: it ends the run, with its name
            self.fail(error)
            return
        self._ticker = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _on_pool(self, event: PoolEvent) -> None:
        if self._over.done():
            # Workers that end now are being closed: nothing is to be started in their place.
            if isinstance(event, Lost):
                self.workers.pop(event.worker, None)
            return
        try:
            match event:
                case Answered():
                    self._answered(event)
                case u.WorkerUp():
                    self._enter(event)
                    self.tell(event)
                case Lost():
                    self._lost(event)
                case u.Resized():
                    self.tell(event)
        except Exception as error:  # noqa: BLE001 - boundary: see _tick
            self.fail(error)

    def _enter(self, event: u.WorkerUp) -> None:
        self.workers[event.worker] = event
        self.records[event.worker] = Record()
        self._listener.worker_up(event)

    def _look_at_head(self, worker: int) -> None:
        unit = self.scheduler.running_on(worker)
        if unit is None:
            self._heads.pop(worker, None)
        elif self._heads.get(worker) != unit.key:
            self._heads[worker] = unit.key
            self._listener.began(unit, worker)

    def _answered(self, event: Answered) -> None:
        outcome = event.outcome
        if self.told is not None:
            self.told(outcome)
        unit = self._tasks.pop(outcome.task_id)
        record = self.records.get(event.worker, Record())
        if outcome.failure is not None:
            record.failed += 1
            self.tell(u.Failed(event.worker, unit.key, outcome.failure))
            return
        record.done += 1
        self._listener.succeeded(unit, event.worker, outcome)
        self.tell(u.Succeeded(event.worker, unit.key, outcome.seconds, outcome.rss_peak))

    def _lost(self, event: Lost) -> None:
        self.workers.pop(event.worker, None)
        self.records.pop(event.worker, None)
        self._heads.pop(event.worker, None)
        running = self._tasks.pop(event.running, None) if event.running is not None else None
        for task_id in event.queued:
            self._tasks.pop(task_id, None)
        self._listener.worker_lost(event)
        self.tell(
            u.WorkerLost(event.worker, running.key if running else None, event.cause, event.failure)
        )

    def _act(self, decision: u.Decision) -> None:  # noqa: C901 - one arm a decision
        listener = self._listener
        match decision:
            case u.Dispatch(worker, unit, attempt, _):
                task_id, self._next_task = self._next_task, self._next_task + 1
                self._tasks[task_id] = unit
                self._pool.submit(worker, listener.build(unit, task_id, attempt))
                listener.dispatched(unit, worker, attempt)
            case u.Retry(unit, delay, failure):
                listener.retried(unit, delay, failure)
            case u.Bury(unit, failure):
                listener.buried(unit, failure)
            case u.Release(unit):
                listener.released(unit)
            case u.StartWorker():
                self._pool.spawn()
            case u.RetireWorker(worker):
                self._pool.retire(worker)
            case u.KillWorker(worker, cause):
                self._pool.kill(worker, cause)
            case u.Refill(count):
                listener.refill(count)
            case u.Suspend(reason, seconds):
                listener.suspended(reason, seconds)
            case u.Unsuspend(reason):
                listener.unsuspended(reason)
            case u.Finish():
                if not self._over.done():
                    self._over.set_result(decision)
