"""The backlog: units that no worker has, ready, in the lane of suspects, or waiting; and its
refill."""

from __future__ import annotations

import heapq
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule.events import Kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from geobatch_tui.orchestration.schedule.events import Unit

#: Units of stores that are away do not count as queued, up to so many: others are to be found.
MOST_PARKED = 10_000
#: Assembly first: it frees spools and publishes. Probing last: it makes more work.
_RANK = {Kind.FINALISE: 0, Kind.CHUNK: 1, Kind.PROBE: 2, Kind.INSPECT: 2}


class Entry:
    """A live unit and its history in this run.

    ``size`` and ``handles`` were reserved at dispatch. ``unknowns`` counts failures of class
    unknown, ``kills`` the workers that were killed from outside under this unit, since
    ``first_kill``: ``alone`` of them in a row hit this unit and no other worker, the last was
    number ``last_shot`` of all. ``refused`` counts how often the system refused it a process or a
    thread while there was only one worker.
    """

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.key = unit.key
        self.size = 0
        self.handles = 0
        self.unknowns = 0
        self.kills = self.refused = 0
        self.first_kill = 0.0
        self.alone = self.last_shot = 0

    @property
    def suspect(self) -> bool:
        """Whether it may run only alone, in the lane."""
        crashed = self.unit.crashes > 0 and not self.unit.divisible
        return crashed or self.unit.strikes > 0


class Backlog:
    """Queues by kind, the lane of suspects, a heap of units that wait, and, apart, the units of
    stores that are away."""

    def __init__(self) -> None:
        self._parked: dict[str, deque[Entry]] = {}
        self._queues: tuple[deque[Entry], ...] = (deque(), deque(), deque())
        self._waiting: list[tuple[float, int, Entry]] = []
        self._serial = 0
        self.lane: deque[Entry] = deque()
        #: Units in the queues, without the lane and the waiting units.
        self.ready = 0

    def __len__(self) -> int:
        beyond = max(self.parked - MOST_PARKED, 0) if self._parked else 0
        return self.ready + len(self.lane) + len(self._waiting) + beyond

    @property
    def parked(self) -> int:
        """The number of units of stores that are away."""
        return sum(map(len, self._parked.values()))

    @property
    def finalising(self) -> bool:
        return bool(self._queues[0])

    def append(self, entry: Entry) -> None:
        """Queue behind the others of its kind, or in the lane."""
        if entry.unit.store in self._parked:
            self._parked[entry.unit.store].append(entry)
        elif entry.suspect:
            self.lane.append(entry)
        else:
            self._queues[_RANK[entry.unit.kind]].append(entry)
            self.ready += 1

    def prepend(self, entry: Entry) -> None:
        """Queue before the others of its kind, or in the lane."""
        if entry.unit.store in self._parked:
            self._parked[entry.unit.store].appendleft(entry)
        elif entry.suspect:
            self.lane.appendleft(entry)
        else:
            self._queues[_RANK[entry.unit.kind]].appendleft(entry)
            self.ready += 1

    def park(self, store: str) -> None:
        """Put the units of a store aside, with those that come back from workers."""
        if store in self._parked:
            return
        parked = self._parked[store] = deque[Entry]()
        for queue in (*self._queues, self.lane):
            aside = [entry for entry in queue if entry.unit.store == store]
            if aside:
                rest = [entry for entry in queue if entry.unit.store != store]
                queue.clear()
                queue.extend(rest)
                self.ready -= len(aside) if queue is not self.lane else 0
            parked.extend(aside)

    def unpark(self, store: str) -> None:
        """Queue the units of a store again, before the others of their kind."""
        for entry in reversed(self._parked.pop(store, ())):
            self.prepend(entry)

    def wait(self, entry: Entry, due: float) -> None:
        self._serial += 1
        heapq.heappush(self._waiting, (due, self._serial, entry))

    def wake(self, now: float) -> None:
        """Queue the units whose wait is over, before the others of their kind."""
        while self._waiting and self._waiting[0][0] <= now:
            self.prepend(heapq.heappop(self._waiting)[2])

    def first(self, strip: int | None = None, taken: Collection[int | None] = ()) -> Entry | None:
        """Return the next unit to run outside the lane, and leave it there.

        Where the first lies in a strip, it is the first in ``strip``, or, if there is none, the
        first in one that is not ``taken``, so that workers go along strips of their own.
        """
        queue = next((queue for queue in self._queues if queue), None)
        if queue is None:
            return None
        if queue[0].unit.strip is None:
            return queue[0]
        apart = None
        for entry in queue:
            if strip is not None and entry.unit.strip == strip:
                return entry
            if apart is None and entry.unit.strip not in taken:
                apart = entry
        return apart or queue[0]

    def take(self, entry: Entry) -> None:
        """Take a unit that ``first`` returned. ValueError if it is not there."""
        queue = self._queues[_RANK[entry.unit.kind]]
        if queue and queue[0] is entry:
            queue.popleft()
        else:
            queue.remove(entry)
        self.ready -= 1


class _State(Enum):
    CONTENT = 0
    ASKED = 1
    DRY = 2  #: asked, and got nothing


#: Units that are queued for each worker of a cluster, from which its leases are made, or for all.
QUEUED, MOST_QUEUED = 1024, 65_536


def depth_of(workers: int) -> tuple[int, int]:
    """Return how few queued units are too few on a cluster, and how many are enough."""
    high = min(QUEUED * workers, MOST_QUEUED)
    return high // 4, high


class Refilling:
    """Decides when to ask for more units: once when fewer than ``low`` are queued, for so many that
    ``high`` is reached; and after an empty answer only when something has changed, or shell and
    scheduler would ask and answer each other for ever."""

    def __init__(self, low: int, high: int) -> None:
        self._low = low
        self._high = max(high, low)
        self._state = _State.CONTENT

    def deepen(self, low: int, high: int) -> None:
        """Ask for more from now on: there are more workers than there were."""
        self._low, self._high = max(low, self._low), max(high, self._high)

    def answered(self, count: int) -> None:
        self._state = _State.CONTENT if count else _State.DRY

    def again(self) -> None:
        """Allow another question: a unit ended or time passed, so there may be more."""
        if self._state is _State.DRY:
            self._state = _State.CONTENT

    def ask(self, queued: int) -> int:
        """Return how many units to ask for now; 0: do not ask."""
        if self._state is not _State.CONTENT or queued >= self._low:
            return 0
        self._state = _State.ASKED
        return self._high - queued
