"""The workers of a scheduler, and the lane in which suspects run one at a time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule.admission import Reservation

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import WorkerCause
    from geobatch_tui.orchestration.schedule.backlog import Entry

#: Numbers of dead workers that are remembered, to tell their late messages from news.
_REMEMBERED = 1024


class Worker:
    """A worker that is up.

    ``queue``: units that it has not answered; the first runs since ``since``. ``fresh``: it was
    never given a unit. ``lane``: it serves the lane, once. ``leaving``: it was asked to end.
    ``condemned``: the unit for which it is being killed, and ``limit`` the time that this unit
    overran, in seconds. ``strip``: that of the last unit that it was given. ``node``: that of a
    cluster.
    """

    def __init__(self, number: int, *, fresh: bool = True, node: str = "") -> None:
        self.number = number
        self.node = node
        self.queue: deque[Entry] = deque()
        self.since = 0.0
        self.fresh = fresh
        self.lane = False
        self.leaving = False
        self.dying: WorkerCause | None = None
        self.condemned: Entry | None = None
        self.limit = 0.0
        self.strip: int | None = None
        self.reservation = Reservation()

    @property
    def usable(self) -> bool:
        return not (self.leaving or self.dying or self.lane)


class Crew:
    """The workers that are up, idle or starting, and the last that died."""

    def __init__(self) -> None:
        self.up: dict[int, Worker] = {}
        #: Up, usable, with an empty queue; the last used comes last.
        self.idle: dict[int, Worker] = {}
        self.starting = 0
        #: Asked to end or being killed, and not gone yet.
        self.leaving = 0
        self._gone: dict[int, None] = {}

    @property
    def live(self) -> int:
        """Number of workers that are up or starting: none may be started above the target."""
        return len(self.up) + self.starting

    def arrive(self, number: int, *, fresh: bool, node: str = "") -> Worker | None:
        """Enter a worker that is ready, and return it. None: the message is stale."""
        if number in self.up or number in self._gone:
            return None
        if fresh:
            self.starting = max(self.starting - 1, 0)
        worker = self.up[number] = self.idle[number] = Worker(number, fresh=fresh, node=node)
        return worker

    def expects(self, number: int, *, asked: bool) -> bool:
        """Whether a loss is news: of a worker that is up or starts. Workers that start have no
        number yet. Nobody asks them to end, so with ``asked`` it is a late message of another."""
        if number in self.up:
            return True
        return not asked and number not in self._gone and self.starting > 0

    def remove(self, number: int) -> Worker | None:
        """Remove a worker that ended, and return it; None if it never was ready."""
        self._gone[number] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        worker = self.up.pop(number, None)
        if worker is None:
            self.starting = max(self.starting - 1, 0)
            return None
        self.idle.pop(number, None)
        if worker.leaving or worker.dying:
            self.leaving -= 1
        return worker

    def dismiss(self, worker: Worker) -> None:
        """Give a worker nothing more: it is asked to end."""
        self.leaving += 1
        worker.leaving = True
        self.idle.pop(worker.number, None)

    def condemn(self, worker: Worker, cause: WorkerCause) -> None:
        """Give a worker nothing more: it is being killed for the unit that it runs."""
        if not (worker.leaving or worker.dying):
            self.leaving += 1
        worker.dying = cause
        worker.condemned = worker.queue[0] if worker.queue else None
        self.idle.pop(worker.number, None)

    def fresh(self) -> Worker | None:
        """Return an idle worker that has never worked."""
        # Fresh ones are few and were added last: looking from the end is short.
        for worker in reversed(self.idle.values()):
            if worker.fresh:
                return worker
        return None


#: Where a single worker serves the lane and the queues in turns, a turn of the queues is over after
#: so many units or seconds: each change of turns costs the start of a worker.
TURN_UNITS, TURN_SECONDS = 16, 1.0


class Lane:
    """The worker that serves the lane, and the turns of lane and queues if there is only one."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self._units = TURN_UNITS
        self._since = 0.0

    def opened(self, worker: Worker) -> None:
        self.worker = worker
        worker.lane = True

    def closed(self, now: float) -> None:
        """Note that the lane's unit, or its worker, ended."""
        self.worker = None
        self._units = 0
        self._since = now

    def passed(self) -> None:
        """Note that a unit outside the lane ended."""
        self._units += 1

    def turn(self, now: float) -> bool:
        """Whether the queues have had their turn."""
        if self._units >= TURN_UNITS:
            return True
        return self._units > 0 and now - self._since >= TURN_SECONDS
