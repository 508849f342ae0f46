"""The scheduler: a state machine without clock or I/O that runs units on workers.

``Scheduler.handle(event, now)`` returns decisions; the shell carries them out and reports the
results as further events. The same events at the same times give the same decisions, so a run can
be replayed from its log.

The shell must:

- send ``Tick`` several times a second: a unit that waits becomes ready only then;
- answer ``StartWorker`` by ``WorkerUp`` or ``WorkerLost``, ``RetireWorker`` and ``KillWorker`` by
  ``WorkerLost``;
- answer ``Refill`` by ``Offered``: empty if there is nothing for now (it is asked again when a unit
  ends, or on the next ``Tick``); ``Exhausted`` only once no unit depends on another any more,
  ``Reopened`` as soon as there will be further units after all;
- stop at ``Finish``: later events are ignored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.backlog import Entry, Refilling, depth_of
from geobatch_tui.orchestration.schedule.backoff import RetryBudget
from geobatch_tui.orchestration.schedule.breaker import Breaker, CrashLoop, exceeds
from geobatch_tui.orchestration.schedule.placement import Placement, SchedulerConfig
from geobatch_tui.orchestration.schedule.suspensions import AWAY
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
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import Failure
    from geobatch_tui.orchestration.schedule.crew import Worker

__all__ = ["Scheduler", "SchedulerConfig"]

#: Deaths in a row that name no running unit and end the run; see CrashLoop.
BLAMELESS_DEATHS = 20


class Scheduler:
    """See the module. Not thread-safe: one event loop owns it."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self._out: list[u.Decision] = []
        self.place = Placement(config, self._out.append)
        self._known: dict[u.Key, Entry] = {}
        self._budget = RetryBudget()
        self._judge = Judge(config, self._budget)
        self._breaker = Breaker()
        self._stillborn = CrashLoop()
        self._blameless = CrashLoop(BLAMELESS_DEATHS)
        self._refilling = Refilling(config.refill_low, config.refill_high)
        self._buried = 0
        self._exhausted = False
        self._draining = False
        self._ending: u.Finish | None = None
        self._finished = False
        self._now: float | None = None

    # --- the outside ---------------------------------------------------------------------------

    def handle(self, event: u.Event, now: float) -> list[u.Decision]:
        """Take an event at ``now`` (seconds of a monotonic clock); return decisions, in order.
        Raises ValueError where a unit was offered that is already known."""
        if self._finished:
            return []
        now = self._advance(now)
        self._settle(self._take(event, now), now)
        decisions = self._out.copy()
        self._out.clear()
        return decisions

    @property
    def suspended(self) -> tuple[str, ...]:
        """The reasons for which nothing new is admitted, or nothing of one store."""
        return self.place.gate.reasons

    def running_on(self, worker: int) -> u.Unit | None:
        """Return the unit that a worker works on; units queued behind it have not begun."""
        known = self.place.crew.up.get(worker)
        return known.queue[0].unit if known is not None and known.queue else None

    def in_flight(self) -> Iterator[tuple[int, u.Unit, float]]:
        """Yield worker, unit and start (on the shell's clock) of each running unit."""
        for worker in self.place.crew.up.values():
            if worker.queue:
                yield worker.number, worker.queue[0].unit, worker.since

    # --- events --------------------------------------------------------------------------------

    def _take(self, event: u.Event, now: float) -> Worker | None:
        """Take note of an event; return the worker that answered, if one did."""
        match event:
            case u.Succeeded() | u.Failed():
                return self._answered(event, now)
            case u.WorkerUp():
                self._up(event)
            case u.WorkersKept(workers):
                for each in workers:
                    self._up(each)
            case u.WorkerLost():
                self._lost(event, now)
            case u.Offered(units):
                self._offered(units)
            case u.Exhausted() | u.Reopened():
                self._exhausted = isinstance(event, u.Exhausted)
            case u.Tick(compiling):
                self._refilling.again()
                self.place.kill_overdue(now, compiling)
            case _:
                self._told(event)
        return None

    def _told(
        self,
        event: u.Pressure
        | u.Space
        | u.StoreAway
        | u.StoreBack
        | u.Command
        | u.Resized
        | u.SetWorkers,
    ) -> None:
        """Take note of what the machine, a store or the operator says."""
        match event:
            case u.Pressure(level, number):
                self.place.press(level, number)
            case u.Space(True):
                self.place.gate.resume("space")
            case u.Space():
                self.place.gate.suspend("space")
            case u.StoreAway(reason, seconds):
                self.place.gate.suspend(reason, seconds)
                if reason.startswith(AWAY):
                    self.place.backlog.park(reason.removeprefix(AWAY))
            case u.StoreBack(reason):
                self.place.gate.resume(reason)
                self.place.backlog.unpark(reason.removeprefix(AWAY))
            case u.Command(verb):
                self._obey(verb)
            case u.Resized():
                self.place.resize(event)
                self._refilling.deepen(*depth_of(event.workers))
            case u.SetWorkers(count):
                self.place.target = max(count, 1)

    def _offered(self, units: Sequence[u.Unit]) -> None:
        keys = {unit.key for unit in units}
        if len(keys) < len(units) or not self._known.keys().isdisjoint(keys):
            twice = sorted(str(key) for key in keys if key in self._known)
            raise ValueError(f"units offered twice: {', '.join(twice) or 'in the same event'}")
        self._refilling.answered(len(units))
        admission = self.place.admission
        for unit in units:
            entry = self._known[unit.key] = Entry(unit)
            if admission.hopeless(unit):
                self._bury(entry, unit, hopeless(unit, admission.budget))
            else:
                self.place.backlog.append(entry)

    def _up(self, event: u.WorkerUp) -> None:
        if self.place.arrive(event):
            self._stillborn.alive()
            self.place.prediction.warmed_up(event.rss)

    def _answered(self, event: u.Succeeded | u.Failed, now: float) -> Worker | None:
        """Take a unit off its worker, which is returned; nothing more if the message is stale."""
        worker = self.place.crew.up.get(event.worker)
        entry = self.place.answered(worker, event.key, now) if worker is not None else None
        if entry is None:
            return worker
        self._blameless.alive()
        self._refilling.again()
        if isinstance(event, u.Succeeded):
            self._budget.earn()
            self._breaker.succeeded()
            self.place.durations.note(entry.unit.kind, event.seconds)
            self.place.prediction.learn(entry.unit, event.rss_peak)
            del self._known[entry.key]
        else:
            self._carry_out(entry, self._judge.failed(entry, event.failure), now)
        return worker

    def _lost(self, event: u.WorkerLost, now: float) -> None:
        crew = self.place.crew
        asked = event.cause in ("retired", "timeout", "memory")
        if not crew.expects(event.worker, asked=asked):
            return
        outside = from_outside(event.cause, event.failure)
        worker = crew.remove(event.worker)
        if outside and event.running is None:
            self._judge.stray()
        if worker is None:
            if is_limited(event.failure) and crew.live:  # some may be long in starting
                self.place.target = crew.live
            elif self._stillborn.died(from_outside=outside):
                self._end("crash-loop", event.failure)
            return
        self.place.lost(worker, now)
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

    def _obey(self, verb: u.Verb) -> None:
        match verb:
            case u.Verb.PAUSE:
                self.place.gate.suspend("operator")
            case u.Verb.RESUME:
                self.place.gate.resume("operator")
            case u.Verb.DRAIN:
                self._draining = True
            case u.Verb.CANCEL:
                self._stop_now("cancelled", None)

    # --- the end of a unit ---------------------------------------------------------------------

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
                self.place.gate.suspend("space")
            case Action.AWAY:
                self._park(entry, verdict)
            case Action.END:
                self._release(entry)
                self._stop_now("fatal", verdict.failure)

    def _park(self, entry: Entry, verdict: Verdict) -> None:
        """Put a unit aside, and all others of the store that is away: it may be another than that
        of its source."""
        failure = verdict.failure
        store = str(failure.evidence["store"])
        entry.unit = replace(entry.unit, store=store)
        self.place.backlog.park(store)
        self._release(entry)
        self.place.gate.suspend(f"{AWAY}{store}", failure.retry_after or 0.0)

    def _try_with_fewer(self, entry: Entry, verdict: Verdict, now: float) -> None:
        place = self.place
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
        self._out.append(u.Retry(verdict.unit, verdict.delay, verdict.failure))
        backlog = self.place.backlog
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
            self.place.gate.suspend("breaker")
            self._end("systemic", failure)
        if exceeds(self.config.failure_limit, self._buried, self.config.total):
            self._end("failures", failure)

    def _release(self, entry: Entry) -> None:
        self._out.append(u.Release(entry.unit))
        self.place.backlog.prepend(entry)

    # --- the end of the run --------------------------------------------------------------------

    def _end(self, reason: str, failure: Failure | None) -> None:
        """Let the units in flight finish, then end. The first reason stands."""
        if self._ending is None:
            self._ending = u.Finish(reason, failure)

    def _stop_now(self, reason: str, failure: Failure | None) -> None:
        for worker in self.place.crew.up.values():
            if not worker.dying:
                self.place.kill(worker, "exit")
            for entry in worker.queue:
                self._out.append(u.Release(entry.unit))
        self._finish(u.Finish(reason, failure))

    def _finish(self, finish: u.Finish) -> None:
        self._finished = True
        self._out.append(finish)

    def _over(self) -> bool:
        """Whether nothing more is to be dispatched; finishes once nothing is in flight."""
        in_flight = self.place.sent
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
                for worker in self.place.crew.up.values():
                    worker.since += now - last
        self._now = now
        return now

    def _settle(self, worker: Worker | None, now: float) -> None:
        if self._finished:
            return
        backlog = self.place.backlog
        backlog.wake(now)
        if self._over():
            return
        self.place.settle(worker, now)
        if not self._exhausted:
            count = self._refilling.ask(len(backlog))
            if count:
                self._out.append(u.Refill(count))


def _blamed(worker: Worker, event: u.WorkerLost) -> Entry | None:
    if event.running is None or event.cause == "retired":
        return None
    # Mostly the first; not if the answer of the one before went down with the worker.
    running = next((entry for entry in worker.queue if entry.key == event.running), None)
    # It was to be killed for one unit, whose answer came just before; the next had begun.
    if worker.dying == event.cause and running is not worker.condemned:
        return None
    return running
