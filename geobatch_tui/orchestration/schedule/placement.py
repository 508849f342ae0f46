"""The placement of units on workers, and the number of workers, within the limits of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.admission import MIB, Admission, Prediction
from geobatch_tui.orchestration.schedule.backlog import Backlog, Entry
from geobatch_tui.orchestration.schedule.backoff import RetryPolicy
from geobatch_tui.orchestration.schedule.crew import Crew, Lane, Worker
from geobatch_tui.orchestration.schedule.durations import Durations
from geobatch_tui.orchestration.schedule.node_rooms import NodeRooms
from geobatch_tui.orchestration.schedule.suspensions import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.config.units import FailureLimit
    from geobatch_tui.execution.protocol.messages import WorkerCause

#: Seconds beyond the automatic timeout for units that read from a store.
REMOTE_SLACK = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig(RetryPolicy):
    """The limits of a run, those of its retries included.

    Args:
        workers: processes to run at most.
        budget_bytes: memory for all workers, their baselines included; 0: no limit.
        max_handles: open files over all workers; 0: no limit.
        chunk_timeout: seconds for a chunk or a probe; None: 20 times the recent 95th percentile,
            at least 60 s. Assembly and inspection always use the latter, with 1 h at least.
        refill_low: ask for more when fewer units than this are queued, up to ``refill_high``.
        max_prefetch: units that a worker may hold, the running one included.
        failure_limit: dead letters that are tolerated; None: any number.
        total: units of the whole job, for a limit that is a share; 0: unknown.
        worker_baseline: bytes of an idle worker, until ``WorkerUp`` tells more.
        measured: times of what is planned that units of functions of the user took; 0: unknown.
        lease: seconds of work that go to a worker at once, on a cluster; 0: little, and often.
        stall_after: seconds between two events after which the engine itself counts as having been
            stopped: the gap is not held against running units. The shell ticks far more often.
    """

    workers: int
    budget_bytes: int = 0
    max_handles: int = 0
    chunk_timeout: float | None = None
    refill_low: int = 64
    refill_high: int = 256
    max_prefetch: int = 64
    failure_limit: FailureLimit | None = None
    total: int = 0
    worker_baseline: int = 120 * MIB
    measured: float = 0.0
    lease: float = 0.0
    stall_after: float = 10.0


class Placement:
    """Places units of the backlog on workers of the crew, as far as the gate is open. Assembly
    comes before the lane, the lane before chunks, chunks before probes. A unit that comes first and
    does not fit holds the others back, or small units would starve a large one for ever."""

    def __init__(self, config: SchedulerConfig, decide: Callable[[u.Decision], None]) -> None:
        self.config = config
        self.target = max(config.workers, 1)
        self.backlog = Backlog()
        self.crew = Crew()
        self.gate = Gate(decide)
        self.admission = Admission(config.budget_bytes, config.max_handles)
        self.rooms = NodeRooms()
        self.prediction = Prediction(config.worker_baseline, config.measured)
        self.durations = Durations(config.max_prefetch, config.lease)
        #: Strips in which workers are, and how many.
        self._strips: Counter[int] = Counter()
        #: Units with workers, running or prefetched.
        self.sent = 0
        #: The one of them that is to run alone.
        self._alone: Entry | None = None
        self._lane = Lane()
        self._make_room = False
        self._decide = decide

    # --- what happened to workers --------------------------------------------------------------

    def arrive(self, event: u.WorkerUp) -> bool:
        """Enter a worker that is ready. Return False if the message is stale."""
        worker = self.crew.arrive(event.worker, fresh=event.fresh, node=event.node)
        if worker is not None:
            self.rooms.came(worker)
        return worker is not None

    def answered(self, worker: Worker, key: u.Key, now: float) -> Entry | None:
        """Take a unit off its worker, which is then free. None if the answer is stale."""
        if not worker.queue or worker.queue[0].key != key:
            return None
        entry = worker.queue.popleft()
        worker.since = now
        self.sent -= 1
        self._ended(entry)
        before = worker.reservation.bytes
        self.admission.give_back(worker.reservation, entry.size, entry.handles)
        self.rooms.changed(worker, before)
        if worker.lane:
            self._lane.closed(now)
            self.retire(worker)
            return entry
        self._lane.passed()
        if not worker.queue and worker.usable:
            if self._make_room:
                self._make_room = False
                self.retire(worker)
            else:
                self.crew.idle[worker.number] = worker
        return entry

    def lost(self, worker: Worker, now: float) -> None:
        """Drop a worker that was up; its queue is left to the caller."""
        self.admission.forget(worker.reservation)
        self.rooms.left(worker)
        self._follow(worker, None)
        self.sent -= len(worker.queue)
        for entry in worker.queue:
            self._ended(entry)
        if worker.lane and worker is self._lane.worker:
            self._lane.closed(now)

    def _ended(self, entry: Entry) -> None:
        if entry is self._alone:
            self._alone = None

    def retire(self, worker: Worker) -> None:
        """Let an idle worker end, unless it is on its way already."""
        if not (worker.leaving or worker.dying):
            self.crew.dismiss(worker)
            self._decide(u.RetireWorker(worker.number))

    def resize(self, event: u.Resized) -> None:
        """Take up new limits: nodes of a cluster came or went."""
        self.target = max(event.workers, 1)
        self.admission.budget, self.admission.max_handles = event.budget, event.handles
        self.rooms.resize(event.nodes)

    def kill(self, worker: Worker, cause: WorkerCause) -> None:
        self.crew.condemn(worker, cause)
        self._decide(u.KillWorker(worker.number, cause))

    def press(self, level: u.Level, number: int | None) -> None:
        """Take a level of memory pressure; at the highest, kill the worker that is named."""
        self.gate.press(level)
        worker = self.crew.up.get(number) if number is not None else None
        if level is u.Level.KILL and worker is not None and not worker.dying:
            self.kill(worker, "memory")

    def kill_overdue(self, now: float, compiling: frozenset[int]) -> None:
        """End workers whose unit runs for too long; for those that compile, time begins anew."""
        given = self.config.chunk_timeout
        limits = {} if given is None else {u.Kind.CHUNK: given, u.Kind.PROBE: given}
        for worker in self.crew.up.values():
            if not worker.queue or worker.dying:
                continue
            if worker.number in compiling:
                worker.since = now
                continue
            unit = worker.queue[0].unit
            if unit.kind not in limits:
                limits[unit.kind] = self.durations.timeout(unit.kind)
            # Requests have time limits of their own, which say what is wrong.
            slack = REMOTE_SLACK if unit.store and given is None else 0.0
            if now - worker.since > limits[unit.kind] + slack:
                worker.limit = limits[unit.kind] + slack
                self.kill(worker, "timeout")

    # --- what follows --------------------------------------------------------------------------

    def settle(self, worker: Worker | None, now: float) -> None:
        """Retire surplus workers, send units that fit, start missing workers. ``worker``: the one
        that just answered, if any."""
        while self.crew.idle and self._surplus > 0:
            # Busy ones follow when they become idle.
            self.retire(next(iter(self.crew.idle.values())))
        if self.gate.open(self.sent):
            self._dispatch(worker, now)
            if self.gate.open(self.sent):
                self._staff(now)

    @property
    def _surplus(self) -> int:
        return self.crew.live - self.crew.leaving - self.target

    def _dispatch(self, worker: Worker | None, now: float) -> None:
        backlog, idle = self.backlog, self.crew.idle
        if backlog.lane and self._lane.worker is None and not self._serve_lane(now):
            return
        while idle and backlog.ready:
            sender = self._with_room()
            if sender is None or not self._send(sender, now):
                return
        if worker is not None and worker.queue and backlog.ready and worker.usable:
            self._prefetch(worker, now)

    def _with_room(self) -> Worker | None:
        """Return the idle worker that is next: the one that worked last is warm, and fresh ones are
        left for the lane; on a cluster one on whose node the next unit fits."""
        full = set()
        for worker in reversed(self.crew.idle.values()):
            if worker.node in full:
                continue
            entry = self._next(worker) if worker.node else None
            if entry is None or self._fits_node(worker, entry):
                return worker
            full.add(worker.node)
        return None

    def _fits_node(self, worker: Worker, entry: Entry) -> bool:
        self._measure(entry)
        return self.rooms.fits(worker, entry.size, self.prediction.baseline)

    def _serve_lane(self, now: float) -> bool:
        """Give the lane its worker. False: hold all others back until its unit fits."""
        worker = self.crew.fresh()
        if worker is None or not self._lane_turn(now):
            return True
        entry = self.backlog.lane[0]
        if not self._admit(worker, entry):
            return False
        self.backlog.lane.popleft()
        self._lane.opened(worker)
        self._assign(worker, entry, now)
        return True

    def _lane_turn(self, now: float) -> bool:
        """Whether the lane may take a worker: always, unless there is only one."""
        if not self.backlog.ready:
            return True
        if self.target > 1 and (self.crew.live != 1 or self._may_hire()):
            return True
        return not self.backlog.finalising and self._lane.turn(now)

    def _prefetch(self, worker: Worker, now: float) -> None:
        """Queue more units behind a running one that is short and of the same kind."""
        if self._make_room:
            return
        backlog, queue = self.backlog, worker.queue
        kind = queue[0].unit.kind
        # Near the end, the last units are shared among the workers.
        depth = max(self.durations.depth(kind), queue[0].unit.held)
        depth = min(depth, 1 + backlog.ready // self.target)
        if len(queue) > depth // 2:
            return
        while len(queue) < depth:
            entry = self._next(worker)
            if entry is None or entry.unit.kind is not kind or not self._send(worker, now):
                return

    def _send(self, worker: Worker, now: float) -> bool:
        """Give the worker the next ready unit; False if it must wait."""
        entry = self._next(worker)
        if entry is None or not self.gate.open(self.sent) or not self._admit(worker, entry):
            return False
        self.backlog.take(entry)
        self._assign(worker, entry, now)
        return True

    def _next(self, worker: Worker) -> Entry | None:
        """Return the ready unit that comes next for a worker: it goes on in its strip."""
        return self.backlog.first(worker.strip, self._strips)

    def _admit(self, worker: Worker, entry: Entry) -> bool:
        """Reserve the needs of a unit. The only unit is always admitted, or it never would be."""
        if self.sent and (self._alone is not None or self.prediction.runs_alone(entry.unit)):
            return False
        self._measure(entry)
        held = worker.reservation
        if self.sent and not self.admission.fits(
            entry.size, entry.handles, held, self.crew.live * self.prediction.baseline
        ):
            return False
        if not self._fits_node(worker, entry):
            return False
        before = held.bytes
        self.admission.take(held, entry.size, entry.handles)
        self.rooms.changed(worker, before)
        return True

    def _measure(self, entry: Entry) -> None:
        unit = entry.unit
        entry.size = self.prediction.bytes_of(unit)
        # A unit that ran short before runs beside fewer.
        entry.handles = unit.handles << unit.subdivide

    def _assign(self, worker: Worker, entry: Entry, now: float) -> None:
        if not worker.queue:
            worker.since = now
            del self.crew.idle[worker.number]
        worker.fresh = False
        worker.queue.append(entry)
        self.sent += 1
        unit = entry.unit
        if self.prediction.runs_alone(unit):
            self.prediction.began_alone()
            self._alone = entry
        self._follow(worker, unit.strip)
        self._decide(u.Dispatch(worker.number, unit, unit.attempts + 1, worker.lane))

    def _follow(self, worker: Worker, strip: int | None) -> None:
        """Note in which strip a worker is: a look at all of them would cost, where there are
        thousands."""
        if strip != worker.strip:
            if worker.strip is not None:
                self._strips[worker.strip] -= 1
                if not self._strips[worker.strip]:
                    del self._strips[worker.strip]
            if strip is not None:
                self._strips[strip] += 1
            worker.strip = strip

    def _staff(self, now: float) -> None:
        """Start workers for ready units, and see that the lane gets a fresh one."""
        crew, backlog = self.crew, self.backlog
        lane = bool(backlog.lane) and self._lane.worker is None and self._lane_turn(now)
        need = backlog.ready + lane - len(crew.idle) - crew.starting
        if lane and not crew.starting and crew.fresh() is None:
            # Idle workers that have worked are of no use to the lane.
            need = max(need, 1)
        while need > 0 and self._may_hire():
            crew.starting += 1
            need -= 1
            self._decide(u.StartWorker())
        self._make_room = False
        if lane and not crew.starting and not crew.leaving and crew.fresh() is None:
            if crew.idle:
                self.retire(next(iter(crew.idle.values())))
            else:
                self._make_room = crew.live > 0

    def _may_hire(self) -> bool:
        """Whether one more worker is allowed, and there is memory for it to do anything."""
        crew = self.crew
        if crew.live >= self.target:
            return False
        if not crew.live:
            return True
        entry = self.backlog.first() or self.backlog.lane[0]
        self._measure(entry)
        more = len(crew.idle) + crew.starting + 1
        baselines = (crew.live + 1) * self.prediction.baseline
        return self.gate.calm and self.admission.room_for(
            more, entry.size, entry.handles, baselines
        )
