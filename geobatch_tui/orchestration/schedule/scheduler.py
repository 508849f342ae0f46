"""The scheduler: a state machine without clock or I/O that runs units on workers.

``Scheduler.handle(event, now)`` returns decisions; the shell carries them out and reports the
results as further events. The same events at the same times give the same decisions, so a run can
be replayed from its log.

The shell must:

- send ``Tick`` about once a second, and at ``next_due`` if that is earlier;
- answer ``StartWorker`` by ``WorkerUp`` or ``WorkerLost``, ``RetireWorker`` and ``KillWorker`` by
  ``WorkerLost``;
- answer ``Refill`` by ``Offered``: empty if there is nothing for now (it is asked again when a unit
  ends, or on the next ``Tick``); ``Exhausted`` only once no unit depends on another any more;
- stop at ``Finish``: later events are ignored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.backlog import Entry, Refilling
from geobatch_tui.orchestration.schedule.backoff import RetryBudget, RetryPolicy
from geobatch_tui.orchestration.schedule.breaker import Breaker, CrashLoop, exceeds
from geobatch_tui.orchestration.schedule.placement import Placement
from geobatch_tui.orchestration.schedule.scheduler_config import SchedulerConfig, Stats
from geobatch_tui.orchestration.schedule.verdicts import (
    FEWER_TRIES,
    Action,
    Judge,
    Verdict,
    from_outside,
    hopeless,
    is_limited,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Failure
    from geobatch_tui.orchestration.schedule.crew import Worker

__all__ = ["Scheduler", "SchedulerConfig", "Stats"]

Key = tuple[u.Kind, int]

#: Deaths in a row that name no running unit and end the run; see CrashLoop.
BLAMELESS_DEATHS = 20


class Scheduler:
    """See the module. Not thread-safe: one event loop owns it."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self._out: list[u.Decision] = []
        self._place = Placement(config, self._out.append)
        self._known: dict[Key, Entry] = {}
        self._budget = RetryBudget()
        policy = RetryPolicy(
            config.max_attempts, config.backoff_base, config.backoff_cap, config.run_id
        )
        self._judge = Judge(policy, self._budget)
        self._breaker = Breaker()
        self._stillborn = CrashLoop()
        self._blameless = CrashLoop(BLAMELESS_DEATHS)
        self._refilling = Refilling(config.refill_low, config.refill_high)
        self._succeeded = self._buried = self._retries = 0
        self._exhausted = False
        self._draining = False
        self._ending: u.Finish | None = None
        self._finished = False
        self._now: float | None = None
        self._handlers: dict[type, Callable[..., Worker | None]] = {
            u.Offered: self._on_offered,
            u.Exhausted: self._on_exhausted,
            u.WorkerUp: self._on_up,
            u.WorkersKept: self._on_kept,
            u.Succeeded: self._on_succeeded,
            u.Failed: self._on_failed,
            u.WorkerLost: self._on_lost,
            u.Tick: self._on_tick,
            u.Pressure: self._on_pressure,
            u.Space: self._on_space,
            u.Command: self._on_command,
            u.SetWorkers: self._on_set_workers,
        }

    # --- the outside ---------------------------------------------------------------------------

    def handle(self, event: u.Event, now: float) -> list[u.Decision]:
        """Take an event at ``now`` (seconds of a monotonic clock); return decisions, in order.

        Raises:
            ValueError: a unit was offered that is already known.
        """
        if self._finished:
            return []
        now = self._advance(now)
        worker = self._handlers[type(event)](event, now)
        self._settle(worker, now)
        decisions = self._out.copy()
        self._out.clear()
        return decisions

    @property
    def finished(self) -> bool:
        return self._finished

    @property
    def next_due(self) -> float | None:
        """Time at which the next waiting unit becomes ready, on the shell's clock."""
        return self._place.backlog.next_due

    def running_on(self, worker: int) -> u.Unit | None:
        """Return the unit that a worker works on; units queued behind it have not begun."""
        known = self._place.crew.up.get(worker)
        return known.queue[0].unit if known is not None and known.queue else None

    def stats(self) -> Stats:
        place = self._place
        crew, backlog, admission = place.crew, place.backlog, place.admission
        return Stats(
            ready=backlog.ready,
            lane=len(backlog.lane),
            waiting=backlog.waiting,
            sent=place.sent,
            succeeded=self._succeeded,
            buried=self._buried,
            retries=self._retries,
            workers=len(crew.up),
            starting=crew.starting,
            idle=len(crew.idle),
            target=place.target,
            reserved_bytes=admission.bytes,
            reserved_handles=admission.handles,
            suspended=place.gate.reasons,
            in_flight=tuple(
                (worker.number, worker.queue[0].unit, worker.since)
                for worker in crew.up.values()
                if worker.queue
            ),
        )

    # --- events --------------------------------------------------------------------------------

    def _on_offered(self, event: u.Offered, now: float) -> None:
        del now
        keys = {unit.key for unit in event.units}
        if len(keys) < len(event.units) or not self._known.keys().isdisjoint(keys):
            twice = sorted(str(key) for key in keys if key in self._known)
            raise ValueError(f"units offered twice: {', '.join(twice) or 'in the same event'}")
        self._refilling.answered(len(event.units))
        admission = self._place.admission
        for unit in event.units:
            entry = self._known[unit.key] = Entry(unit)
            if admission.hopeless(unit):
                self._bury(entry, unit, hopeless(unit, admission.budget))
            else:
                self._place.backlog.append(entry)

    def _on_exhausted(self, event: u.Exhausted, now: float) -> None:
        del event, now
        self._exhausted = True

    def _on_up(self, event: u.WorkerUp, now: float) -> None:
        del now
        if self._place.crew.arrive(event.worker, fresh=event.fresh):
            self._stillborn.alive()
            self._place.prediction.warmed_up(event.rss)

    def _on_kept(self, event: u.WorkersKept, now: float) -> None:
        for each in event.workers:
            self._on_up(each, now)

    def _on_succeeded(self, event: u.Succeeded, now: float) -> Worker | None:
        worker, entry = self._answered(event.worker, event.key, now)
        if entry is not None:
            self._succeeded += 1
            self._budget.earn()
            self._breaker.succeeded()
            self._place.durations.note(entry.unit.kind, event.seconds)
            self._place.prediction.learn(entry.unit, event.rss_peak)
            del self._known[entry.key]
        return worker

    def _on_failed(self, event: u.Failed, now: float) -> Worker | None:
        worker, entry = self._answered(event.worker, event.key, now)
        if entry is not None:
            self._carry_out(entry, self._judge.failed(entry, event.failure), now)
        return worker

    def _on_lost(self, event: u.WorkerLost, now: float) -> None:
        crew = self._place.crew
        asked = event.cause in ("retired", "timeout", "memory")
        if not crew.expects(event.worker, asked=asked):
            return
        outside = from_outside(event.cause, event.failure)
        worker = crew.remove(event.worker)
        if outside and event.running is None:
            self._judge.stray()
        if worker is None:
            if is_limited(event.failure) and crew.live:  # some may be long in starting
                self._place.target = crew.live
            elif self._stillborn.died(from_outside=outside):
                self._end("crash-loop", event.failure)
            return
        self._place.lost(worker, now)
        blamed = _blamed(worker, event)
        for entry in reversed(worker.queue):
            if entry is not blamed:
                self._release(entry)
        if blamed is not None:
            self._blameless.alive()
            verdict = self._judge.lost(
                blamed, event.cause, event.failure, now, worker.limit, others=len(crew.up)
            )
            self._carry_out(blamed, verdict, now)
        elif event.cause != "retired" and self._blameless.died(from_outside=outside):
            self._end("crash-loop", event.failure)

    def _on_tick(self, event: u.Tick, now: float) -> None:
        self._refilling.again()
        self._place.kill_overdue(now, event.compiling)

    def _on_pressure(self, event: u.Pressure, now: float) -> None:
        del now
        self._place.gate.press(event.level)
        if event.level is u.Level.KILL and event.worker is not None:
            worker = self._place.crew.up.get(event.worker)
            if worker is not None and not worker.dying:
                self._place.kill(worker, "memory")

    def _on_space(self, event: u.Space, now: float) -> None:
        del now
        if event.ok:
            self._place.gate.resume("space")
        else:
            self._place.gate.suspend("space")

    def _on_command(self, event: u.Command, now: float) -> None:
        del now
        match event.verb:
            case u.Verb.PAUSE:
                self._place.gate.suspend("operator")
            case u.Verb.RESUME:
                self._place.gate.resume("operator")
            case u.Verb.DRAIN:
                self._draining = True
            case u.Verb.CANCEL:
                self._stop_now("cancelled", None)

    def _on_set_workers(self, event: u.SetWorkers, now: float) -> None:
        del now
        self._place.target = max(event.count, 1)

    # --- the end of a unit ---------------------------------------------------------------------

    def _answered(self, number: int, key: Key, now: float) -> tuple[Worker | None, Entry | None]:
        """Take a unit off its worker; no entry if the message is stale."""
        worker = self._place.crew.up.get(number)
        entry = self._place.answered(worker, key, now) if worker is not None else None
        if entry is not None:
            self._blameless.alive()
            self._refilling.again()
        return worker, entry

    def _carry_out(self, entry: Entry, verdict: Verdict, now: float) -> None:
        match verdict.action:
            case Action.BURY:
                self._bury(entry, verdict.unit, verdict.failure)
            case Action.RETRY:
                self._retry(entry, verdict, now)
            case Action.RELEASE:
                self._release(entry)
            case Action.FEWER:
                self._try_with_fewer(entry, verdict, now)
            case Action.SUSPEND:
                self._release(entry)
                self._place.gate.suspend("space")
            case Action.END:
                self._release(entry)
                self._stop_now("fatal", verdict.failure)

    def _try_with_fewer(self, entry: Entry, verdict: Verdict, now: float) -> None:
        place = self._place
        if place.target > 1:
            place.target = max(1, min(place.target, place.crew.live) - 1)
        else:
            entry.refused += 1
        if entry.refused >= FEWER_TRIES:
            self._release(entry)
            self._stop_now("fatal", verdict.failure)
        else:
            delay = verdict.delay * (1 + entry.refused)
            self._retry(entry, replace(verdict, delay=delay), now)

    def _retry(self, entry: Entry, verdict: Verdict, now: float) -> None:
        was_suspect = entry.suspect
        entry.unit = verdict.unit
        self._retries += 1
        self._out.append(u.Retry(verdict.unit, verdict.delay, verdict.failure))
        backlog = self._place.backlog
        if verdict.delay > 0:
            backlog.wait(entry, now + verdict.delay)
        elif entry.suspect and not was_suspect:
            backlog.append(entry)
        else:
            # A suspect is tried on until it is cleared or convicted.
            backlog.prepend(entry)

    def _bury(self, entry: Entry, unit: u.Unit, failure: Failure) -> None:
        del self._known[entry.key]
        self._buried += 1
        self._out.append(u.Bury(unit, failure))
        if self._breaker.buried(failure.reaction):
            self._place.gate.suspend("breaker")
            self._end("systemic", failure)
        if exceeds(self.config.failure_limit, self._buried, self.config.total):
            self._end("failures", failure)

    def _release(self, entry: Entry) -> None:
        self._out.append(u.Release(entry.unit))
        self._place.backlog.prepend(entry)

    # --- the end of the run --------------------------------------------------------------------

    def _end(self, reason: str, failure: Failure | None) -> None:
        """Let the units in flight finish, then end. The first reason stands."""
        if self._ending is None:
            self._ending = u.Finish(reason, failure)

    def _stop_now(self, reason: str, failure: Failure | None) -> None:
        for worker in self._place.crew.up.values():
            if not worker.dying:
                self._place.kill(worker, "exit")
            for entry in worker.queue:
                self._out.append(u.Release(entry.unit))
        self._finish(u.Finish(reason, failure))

    def _finish(self, finish: u.Finish) -> None:
        self._finished = True
        self._out.append(finish)

    def _over(self) -> bool:
        """Whether nothing more is to be dispatched; finishes once nothing is in flight."""
        in_flight = self._place.sent
        if self._ending is not None:
            if not in_flight:
                self._finish(self._ending)
            return True
        if self._exhausted and not self._known:
            self._finish(u.Finish("complete"))
            return True
        if self._draining and not in_flight:
            self._finish(u.Finish("drained"))
        return self._draining

    # --- after each event ----------------------------------------------------------------------

    def _advance(self, now: float) -> float:
        """Return the time, which never goes back; a gap in it is not held against running units."""
        last = self._now
        if last is not None:
            if now < last:
                now = last
            elif now - last > self.config.stall_after:
                for worker in self._place.crew.up.values():
                    worker.since += now - last
        self._now = now
        return now

    def _settle(self, worker: Worker | None, now: float) -> None:
        if self._finished:
            return
        backlog = self._place.backlog
        backlog.wake(now)
        if self._over():
            return
        self._place.settle(worker, now)
        if not self._exhausted:
            count = self._refilling.ask(len(backlog))
            if count:
                self._out.append(u.Refill(count))


def _blamed(worker: Worker, event: u.WorkerLost) -> Entry | None:
    """Return the unit that is blamed for the loss of its worker, if any."""
    if event.running is None or event.cause == "retired":
        return None
    # Mostly the first; not if the answer of the one before went down with the worker.
    running = next((entry for entry in worker.queue if entry.key == event.running), None)
    # It was to be killed for one unit, whose answer came just before; the next had begun.
    if worker.dying == event.cause and running is not worker.condemned:
        return None
    return running
