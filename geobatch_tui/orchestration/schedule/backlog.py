"""The units that a scheduler knows and that no worker has: ready, in the lane, or waiting; and
when to ask for more."""

from __future__ import annotations

import heapq
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule.events import Kind

if TYPE_CHECKING:
    from geobatch_tui.orchestration.schedule.events import Unit

#: Assembly first: it frees spools and publishes. Probing last: it makes more work.
_RANK = {Kind.FINALISE: 0, Kind.CHUNK: 1, Kind.PROBE: 2, Kind.INSPECT: 2}


class Entry:
    """A live unit and what this run has learned of it.

    ``size`` and ``handles`` are what was reserved at dispatch. ``unknowns`` counts failures of
    class unknown, ``kills`` the workers that were killed from outside under this unit, since
    ``first_kill``: ``alone`` of them in a row hit this unit and no other worker, the last was
    number ``last_shot`` of all. ``refused`` counts how often the system refused it a process or a
    thread while one worker was all there was.
    """

    __slots__ = (
        "alone",
        "first_kill",
        "handles",
        "key",
        "kills",
        "last_shot",
        "refused",
        "size",
        "unit",
        "unknowns",
    )

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
    """Queues by kind, the lane of suspects, and a heap of units that wait."""

    __slots__ = ("_queues", "_serial", "_waiting", "lane", "ready")

    def __init__(self) -> None:
        self._queues: tuple[deque[Entry], ...] = (deque(), deque(), deque())
        self._waiting: list[tuple[float, int, Entry]] = []
        self._serial = 0
        self.lane: deque[Entry] = deque()
        #: Units in the queues, the lane and those that wait not counted.
        self.ready = 0

    def __len__(self) -> int:
        return self.ready + len(self.lane) + len(self._waiting)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def finalising(self) -> bool:
        """Whether an assembly is ready."""
        return bool(self._queues[0])

    @property
    def next_due(self) -> float | None:
        """When the first of those that wait becomes ready."""
        return self._waiting[0][0] if self._waiting else None

    def append(self, entry: Entry) -> None:
        """Queue behind the others of its kind, or in the lane."""
        if entry.suspect:
            self.lane.append(entry)
        else:
            self._queues[_RANK[entry.unit.kind]].append(entry)
            self.ready += 1

    def prepend(self, entry: Entry) -> None:
        """Queue before the others of its kind, or in the lane."""
        if entry.suspect:
            self.lane.appendleft(entry)
        else:
            self._queues[_RANK[entry.unit.kind]].appendleft(entry)
            self.ready += 1

    def wait(self, entry: Entry, due: float) -> None:
        self._serial += 1
        heapq.heappush(self._waiting, (due, self._serial, entry))

    def wake(self, now: float) -> None:
        """Make ready what has waited long enough: first in its queue, for it came early."""
        while self._waiting and self._waiting[0][0] <= now:
            self.prepend(heapq.heappop(self._waiting)[2])

    def first(self) -> Entry | None:
        """The next to run outside the lane; it stays."""
        for queue in self._queues:
            if queue:
                return queue[0]
        return None

    def pop(self) -> Entry:
        """Take what ``first`` showed. IndexError if there is none."""
        for queue in self._queues:
            if queue:
                self.ready -= 1
                return queue.popleft()
        raise IndexError("nothing is ready")


class _State(Enum):
    CONTENT = 0
    ASKED = 1
    DRY = 2  #: asked, and there was nothing


class Refilling:
    """Asks once, waits for the answer, and after an empty one waits until something changes:
    otherwise shell and scheduler would ask and answer each other for ever.

    Args:
        low: ask when fewer units than this are queued.
        high: ask for so many that this is reached.
    """

    __slots__ = ("_high", "_low", "_state")

    def __init__(self, low: int, high: int) -> None:
        self._low = low
        self._high = max(high, low)
        self._state = _State.CONTENT

    def answered(self, count: int) -> None:
        self._state = _State.CONTENT if count else _State.DRY

    def again(self) -> None:
        """A unit ended or time passed: there may be more by now."""
        if self._state is _State.DRY:
            self._state = _State.CONTENT

    def ask(self, queued: int) -> int:
        """How many to ask for now; 0: do not ask."""
        if self._state is not _State.CONTENT or queued >= self._low:
            return 0
        self._state = _State.ASKED
        return self._high - queued
