"""A simulated shell for the scheduler: carries its decisions out on paper, and holds every one of
them against the rules."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from geobatch_tui.errors import Reaction
from geobatch_tui.execution.protocol.messages import Failure
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.scheduler import Scheduler, SchedulerConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

REACTIONS = {
    Reaction.TRANSIENT: "RemoteIOError",
    Reaction.RESOURCE: "OpenFilesError",
    Reaction.SPACE: "DiskFullError",
    Reaction.PERMANENT: "CorruptSourceError",
    Reaction.POISON: "WorkerCrashError",
    Reaction.UNKNOWN: "OperationError",
    Reaction.FATAL: "OutputGoneError",
}


def failure(reaction: Reaction = Reaction.UNKNOWN, **fields) -> Failure:
    return Failure(REACTIONS[reaction], reaction, f"simulated {reaction}", **fields)


def death(signal: int | str | None = None) -> Failure:
    evidence = {} if signal is None else {"signal": signal}
    return failure(Reaction.POISON, evidence=evidence)


def chunk(ident: int, **fields) -> u.Unit:
    return u.Unit(u.Kind.CHUNK, ident, **fields)


def chunks(count: int, first: int = 0, **fields) -> tuple[u.Unit, ...]:
    return tuple(chunk(ident, **fields) for ident in range(first, first + count))


@dataclass
class Hand:
    """A worker on paper."""

    queue: deque[u.Unit] = field(default_factory=deque)
    served: int = 0
    lane: bool = False
    leaving: bool = False
    dying: str | None = None

    @property
    def running(self) -> u.Unit | None:
        return self.queue[0] if self.queue else None


class Shell:
    """Feeds events in, checks what comes out. ``place`` says of each unit where it is: queued,
    waiting, flight, done, dead or released."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.scheduler = Scheduler(config)
        self.now = 100.0
        self.log: list[tuple[u.Event, float]] = []
        self.decisions: list[list[u.Decision]] = []
        self.place: dict[tuple[u.Kind, int], str] = {}
        self.unit: dict[tuple[u.Kind, int], u.Unit] = {}
        self.offered: dict[tuple[u.Kind, int], u.Unit] = {}
        self.charged: Counter[tuple[u.Kind, int]] = Counter()
        self.due: dict[tuple[u.Kind, int], float] = {}
        self.dead: dict[tuple[u.Kind, int], u.Bury] = {}
        self.workers: dict[int, Hand] = {}
        self.starting: list[int] = []
        self.spawned = 0
        self.target = config.workers
        self.suspended: set[str] = set()
        self.level = u.Level.CALM
        self.draining = self.exhausted = False
        self.finish: u.Finish | None = None
        self.asked_for = 0
        self.peak_live = 0

    # --- events --------------------------------------------------------------------------------

    def send(self, event: u.Event) -> list[u.Decision]:
        self.log.append((event, self.now))
        out = self.scheduler.handle(event, self.now)
        self.decisions.append(out)
        for decision in out:
            assert self.finish is None, f"{decision} after {self.finish}"
            getattr(self, "_" + type(decision).__name__.lower())(decision)
        self.check()
        return out

    def offer(self, *offered: u.Unit) -> list[u.Decision]:
        self.asked_for = 0
        for unit in offered:
            self.place[unit.key] = "queued"
            self.unit[unit.key] = self.offered[unit.key] = unit
        return self.send(u.Offered(offered))

    def exhaust(self) -> list[u.Decision]:
        self.exhausted = True
        return self.send(u.Exhausted())

    def up(self, rss: int = 0) -> int:
        number = self.starting.pop(0)
        self.workers[number] = Hand()
        self.send(u.WorkerUp(number, rss))
        return number

    def all_up(self) -> None:
        while self.starting and self.finish is None:
            self.up()

    def _take(self, number: int) -> u.Unit:
        hand = self.workers[number]
        unit = hand.queue.popleft()
        hand.lane = False
        return unit

    def succeed(self, number: int, seconds: float = 1.0, rss_peak: int = 0) -> list[u.Decision]:
        unit = self._take(number)
        self.place[unit.key] = "done"
        return self.send(u.Succeeded(number, unit.key, seconds, rss_peak))

    def fail(self, number: int, told: Failure) -> list[u.Decision]:
        unit = self._take(number)
        self.charged[unit.key] += 1
        self.place[unit.key] = "failed"
        out = self.send(u.Failed(number, unit.key, told))
        assert self.place[unit.key] != "failed", "the scheduler said nothing of a failed unit"
        return out

    def lose(self, number: int, cause: str, told: Failure | None = None, *, blame: bool = True):
        """A worker ends; ``blame``: it had begun with its first unit."""
        hand = self.workers.pop(number)
        running = hand.running if blame else None
        for unit in hand.queue:
            self.place[unit.key] = "lost"
        if running is not None:
            self.charged[running.key] += 1
        out = self.send(u.WorkerLost(number, running.key if running else None, cause, told))
        lost = [unit.key for unit in hand.queue if self.place[unit.key] == "lost"]
        assert not lost or self.finish, f"nothing was said of {lost}"
        return out

    def stillborn(self, cause: str = "exit", told: Failure | None = None) -> list[u.Decision]:
        number = self.starting.pop(0)
        return self.send(u.WorkerLost(number, None, cause, told))

    def tick(self, seconds: float = 0.0, compiling: Iterable[int] = ()) -> list[u.Decision]:
        self.now += seconds
        return self.send(u.Tick(frozenset(compiling)))

    def pressure(self, level: u.Level, worker: int | None = None) -> list[u.Decision]:
        self.level = level
        return self.send(u.Pressure(level, worker))

    def command(self, verb: u.Verb) -> list[u.Decision]:
        self.draining |= verb is u.Verb.DRAIN
        return self.send(u.Command(verb))

    def set_workers(self, count: int) -> list[u.Decision]:
        self.target = max(count, 1)
        return self.send(u.SetWorkers(count))

    def resize(self, event: u.Resized) -> list[u.Decision]:
        self.target = max(event.workers, 1)
        self.config = replace(self.config, budget_bytes=event.budget)
        return self.send(event)

    # --- decisions -----------------------------------------------------------------------------

    def _dispatch(self, decision: u.Dispatch) -> None:
        unit, hand = decision.unit, self.workers[decision.worker]
        assert unit == self.unit[unit.key], "stale counts"
        assert self.place[unit.key] in ("queued", "waiting")
        if self.place[unit.key] == "waiting":
            assert self.due[unit.key] <= self.now, "before its time"
        assert not hand.leaving
        assert hand.dying is None
        assert not self.draining
        assert not {each for each in self.suspended if not each.startswith("store ")} - {"memory"}
        assert f"store {unit.store}" not in self.suspended
        if self.level is not u.Level.CALM:
            assert not self.in_flight(), "admitted under pressure"
        assert decision.attempt == unit.attempts + 1
        assert decision.lane == bool(unit.strikes or unit.crashes)
        assert not hand.lane, "queued behind a suspect"
        if decision.lane:
            assert hand.served == 0, "a suspect on a used worker"
            assert not any(other.lane for other in self.workers.values()), "two in the lane"
        if hand.queue:
            assert {queued.kind for queued in hand.queue} == {unit.kind}
        hand.queue.append(unit)
        hand.served += 1
        hand.lane = decision.lane
        assert len(hand.queue) <= self.config.max_prefetch
        self.place[unit.key] = "flight"
        if self.config.budget_bytes and self.in_flight() > 1:
            baselines = self.live() * self.config.worker_baseline
            assert self.reserved() + baselines <= self.config.budget_bytes
        if self.config.max_handles and self.in_flight() > 1:
            assert self.handles() <= self.config.max_handles

    def _retry(self, decision: u.Retry) -> None:
        unit = decision.unit
        before = self.unit[unit.key]
        assert self.place[unit.key] in ("failed", "lost")
        assert decision.delay >= 0
        assert unit.attempts in (before.attempts, before.attempts + 1)
        counts = (unit.attempts, unit.crashes, unit.strikes, unit.subdivide)
        same = (before.attempts, before.crashes, before.strikes, before.subdivide)
        limited = decision.failure.error_class == "ProcessLimitError"
        assert counts == same if limited else counts > same
        self.unit[unit.key] = unit
        self.place[unit.key] = "waiting" if decision.delay else "queued"
        self.due[unit.key] = self.now + decision.delay

    def _bury(self, decision: u.Bury) -> None:
        key = decision.unit.key
        if self.charged[key]:
            assert self.place[key] in ("failed", "lost")
            assert decision.unit.attempts <= self.tries_allowed(key)
        else:
            assert decision.unit.bytes > self.config.budget_bytes, "an innocent was buried"
            assert self.place[key] == "queued"
        self.place[key] = "dead"
        self.dead[key] = decision

    def tries_allowed(self, key: tuple[u.Kind, int]) -> int:
        return self.offered[key].attempts + self.config.max_attempts + 4

    def _release(self, decision: u.Release) -> None:
        key = decision.unit.key
        assert decision.unit == self.unit[key], "a release leaves no mark"
        assert self.place[key] in ("lost", "failed", "flight")
        self.place[key] = "queued"

    def _startworker(self, decision: u.StartWorker) -> None:
        del decision
        self.spawned += 1
        self.starting.append(self.spawned)
        self.peak_live = max(self.peak_live, self.live())
        assert self.live() <= self.target

    def _retireworker(self, decision: u.RetireWorker) -> None:
        hand = self.workers[decision.worker]
        assert not hand.queue
        assert not hand.leaving
        assert hand.dying is None
        hand.leaving = True

    def _killworker(self, decision: u.KillWorker) -> None:
        hand = self.workers[decision.worker]
        assert hand.dying is None
        hand.dying = decision.cause

    def _refill(self, decision: u.Refill) -> None:
        assert decision.count > 0
        assert not self.exhausted
        self.asked_for = decision.count

    def _suspend(self, decision: u.Suspend) -> None:
        assert decision.reason not in self.suspended
        self.suspended.add(decision.reason)

    def _unsuspend(self, decision: u.Unsuspend) -> None:
        self.suspended.remove(decision.reason)

    def _finish(self, decision: u.Finish) -> None:
        self.finish = decision
        if decision.reason == "complete":
            assert self.exhausted
            assert set(self.place.values()) <= {"done", "dead"}
        elif decision.reason not in ("cancelled", "fatal"):
            assert not self.in_flight()

    # --- what is true at any time --------------------------------------------------------------

    def in_flight(self) -> int:
        return sum(len(hand.queue) for hand in self.workers.values())

    def live(self) -> int:
        return len(self.workers) + len(self.starting)

    def reserved(self) -> int:
        """Bytes: what the largest unit of each worker may take (nothing is measured here)."""
        return sum(
            max((unit.bytes << unit.subdivide for unit in hand.queue), default=0)
            for hand in self.workers.values()
        )

    def handles(self) -> int:
        return sum(
            max((unit.handles << unit.subdivide for unit in hand.queue), default=0)
            for hand in self.workers.values()
        )

    def check(self) -> None:
        """Conservation: each unit is in exactly one place, and both sides agree how many."""
        if self.finish is not None:
            return
        theirs, places = self.scheduler.place, Counter(self.place.values())
        assert theirs.sent == places["flight"] == self.in_flight()
        waiting = len(theirs.backlog) + theirs.backlog.parked
        assert waiting == places["queued"] + places["waiting"]
        assert len(theirs.crew.up) == len(self.workers)
        assert theirs.crew.starting == len(self.starting)
        assert theirs.admission.bytes == self.reserved()
        assert theirs.admission.handles == self.handles()
        assert not places.keys() & {"failed", "lost"}
        flying = [unit.key for hand in self.workers.values() for unit in hand.queue]
        assert len(flying) == len(set(flying))
        heads = {n: hand.running for n, hand in self.workers.items() if hand.queue}
        assert {n: unit for n, unit, _ in self.scheduler.in_flight()} == heads

    # --- to the end ----------------------------------------------------------------------------

    def busy(self) -> list[int]:
        return [n for n, hand in self.workers.items() if hand.queue and hand.dying is None]

    def obey(self) -> None:
        """Workers that were told to end do so; those that start are ready."""
        for number, hand in list(self.workers.items()):
            if self.finish is not None:
                return
            if hand.dying is not None:
                self.lose(number, hand.dying)
            elif hand.leaving:
                self.lose(number, "retired")
        self.all_up()

    def run_out(self, steps: int = 20_000) -> u.Finish:
        """Everything succeeds from here on: the run must end."""
        for _ in range(steps):
            self.obey()
            for number in self.busy():
                if self.finish is None:
                    self.now += 0.01
                    self.succeed(number)
            if self.finish is None:
                self.tick(1.0)
            if self.finish is not None:
                return self.finish
        raise AssertionError(f"no end after {steps} steps: {Counter(self.place.values())}")

    def replay(self) -> None:
        """The same events give the same decisions."""
        other = Scheduler(self.config)
        for (event, now), decided in zip(self.log, self.decisions, strict=True):
            assert other.handle(event, now) == decided
