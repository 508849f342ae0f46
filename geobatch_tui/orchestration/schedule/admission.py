"""Admission by bytes and open files: predicted from plans, corrected by measured peaks."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule.events import Kind, Level

if TYPE_CHECKING:
    from geobatch_tui.orchestration.schedule.events import Unit

MIB = 1 << 20

#: A unit whose own prediction exceeds the budget by this factor cannot run even alone.
HOPELESS = 2.0

#: Shares of the budget from which a rung is entered, the highest first.
_RUNGS = {Level.KILL: 0.95, Level.PAUSE: 0.85, Level.HOLD: 0.70}
#: A rung is left only this far below where it was entered, as a share of the budget.
_HYSTERESIS = 0.05


def pressure_level(rss: int, budget: int, previous: Level = Level.CALM) -> Level:
    """Return the rung of the pressure ladder for ``rss`` bytes resident of a ``budget`` in bytes.
    Rungs are entered at 70, 85 and 95 % and left 5 points below that, so that a reading that wavers
    about a threshold does not. A ``budget`` of 0 or less means no limit."""
    if budget <= 0:
        return Level.CALM
    share = rss / budget
    order = list(Level)
    for level, threshold in _RUNGS.items():
        held = order.index(previous) >= order.index(level)
        if share >= threshold - (_HYSTERESIS if held else 0.0):
            return level
    return Level.CALM


class Prediction:
    """Predicts the peak bytes of a unit: its plan, times a factor learned for its kind.

    The factor is a moving average of measured over planned bytes. Units weigh by their size
    against the largest of late: a few MiB of caches are many times the plan of a small unit, and
    must not inflate what is reserved for large ones. It rises faster than it falls, as too little
    memory is worse than too few workers, and stays within 0.5 to 4.

    The plan of an ``unmeasured`` unit is a guess. So the first of them runs alone, and what it
    took, however much that was, holds from then on for those that follow. As one says little of
    the others, four times that is held ready for the next, twice for the one after it, so that
    they run beside others only where even that fits. None runs alone where it was ``measured``
    before: times of what is planned; 0: it was not.
    """

    RISE, FALL = 0.3, 0.05
    LEAST, MOST = 0.5, 4.0
    FADE = 0.99
    #: Units that show what others will take, and the factor that they may show at most. As many
    #: run alone at most, where they fail and show nothing.
    SHOWING, MOST_SHOWN = 3, 100.0
    #: Bytes of libraries and caches, which are in no plan: a small unit says nothing of large ones.
    ASIDE = 64 * MIB

    def __init__(self, baseline: int, measured: float = 0.0) -> None:
        self.baseline = baseline
        self._alone = self._to_learn = 0 if measured else self.SHOWING
        self._guessed = measured
        self.factor = dict.fromkeys(Kind, 1.0)
        self._scale = dict.fromkeys(Kind, 0.0)

    def warmed_up(self, rss: int) -> None:
        """Learn the bytes of a worker that is ready: each costs as much before it does anything.
        The largest is kept: measured peaks are taken against it, and too high a baseline only
        wastes a little, while too low a one admits too much."""
        self.baseline = max(self.baseline, rss)

    def learn(self, unit: Unit, rss_peak: int) -> None:
        """Learn from the measured peak of a unit, in bytes."""
        # A subdivided unit ran in quarters: it says nothing of whole ones.
        if unit.bytes <= 0 or rss_peak <= 0 or unit.subdivide:
            return
        if unit.unmeasured and self._to_learn:
            self._to_learn -= 1
            self._alone = 0
            taken = max(rss_peak - self.baseline - self.ASIDE, 0) / unit.bytes
            self._guessed = max(self._guessed, min(taken, self.MOST_SHOWN))
        kind, factor = unit.kind, self.factor[unit.kind]
        ratio = max(rss_peak - self.baseline, 0) / unit.bytes
        ratio = min(max(ratio, self.LEAST), self.MOST)
        scale = self._scale[kind] = max(float(unit.bytes), self._scale[kind] * self.FADE)
        rate = self.RISE if ratio > factor else self.FALL
        self.factor[kind] = factor + rate * unit.bytes / scale * (ratio - factor)

    def bytes_of(self, unit: Unit) -> int:
        """Return the bytes to reserve. A unit that ran short before reserves 2, 4, then 8 times its
        prediction, which it evidently exceeded: fewer run beside it, at last none."""
        factor = self.factor[unit.kind]
        if unit.unmeasured:
            factor = max(factor, self._guessed)
            if self._to_learn < self.SHOWING:
                factor *= 1 << self._to_learn
        return int(unit.bytes * factor) << unit.subdivide

    def runs_alone(self, unit: Unit) -> bool:
        """Whether a unit is to run alone, as none of its kind has shown yet what it takes."""
        return unit.unmeasured and self._alone > 0

    def began_alone(self) -> None:
        """Note that one of these was sent; what fails tells nothing, but is not waited for."""
        self._alone -= 1


class Reservation:
    """Bytes and open files reserved for a worker: the most that any unit of its queue needs.

    Units of one worker run one after the other, so their needs do not add up; but the next one
    starts without asking, so the largest of the queue must be held ready. Two queues of falling
    maxima give it in constant time.
    """

    def __init__(self) -> None:
        self._bytes: deque[int] = deque()
        self._handles: deque[int] = deque()
        self.bytes = 0
        self.handles = 0

    def push(self, size: int, handles: int) -> None:
        _push_max(self._bytes, size)
        _push_max(self._handles, handles)
        self.bytes = self._bytes[0]
        self.handles = self._handles[0]

    def pop(self, size: int, handles: int) -> None:
        """Remove the oldest unit, which was pushed with these figures."""
        self.bytes = _pop_max(self._bytes, size)
        self.handles = _pop_max(self._handles, handles)


def _push_max(maxima: deque[int], value: int) -> None:
    while maxima and maxima[-1] < value:
        maxima.pop()
    maxima.append(value)


def _pop_max(maxima: deque[int], value: int) -> int:
    if maxima[0] == value:
        maxima.popleft()
    return maxima[0] if maxima else 0


class Admission:
    """Keeps the sum of all reservations within the ``budget`` in bytes less the baselines, and
    within ``max_handles`` open files; 0: no limit."""

    def __init__(self, budget: int, max_handles: int) -> None:
        self.budget = budget
        self.max_handles = max_handles
        self.bytes = 0
        self.handles = 0

    def hopeless(self, unit: Unit) -> bool:
        """Whether the unit would exceed the budget by far even if it ran alone. Judged by the plan
        alone: a factor learned from other units must not condemn this one."""
        return self.budget > 0 and unit.bytes > HOPELESS * self.budget

    def fits(self, size: int, handles: int, held: Reservation, baselines: int) -> bool:
        """Whether a worker that holds ``held`` may also be given a unit of ``size`` bytes.
        ``baselines``: bytes that all workers take before any work. It is the caller who always
        admits a unit when nothing else runs."""
        if self.budget > 0:
            total = self.bytes + max(size - held.bytes, 0)
            if total + baselines > self.budget:
                return False
        if self.max_handles > 0:
            return self.handles + max(handles - held.handles, 0) <= self.max_handles
        return True

    def room_for(self, units: int, size: int, handles: int, baselines: int) -> bool:
        """Whether ``units`` more workers' worth of such units fit beside what is reserved."""
        if self.budget > 0 and self.bytes + units * size + baselines > self.budget:
            return False
        return self.max_handles <= 0 or self.handles + units * handles <= self.max_handles

    def take(self, held: Reservation, size: int, handles: int) -> None:
        bytes_before, handles_before = held.bytes, held.handles
        held.push(size, handles)
        self.bytes += held.bytes - bytes_before
        self.handles += held.handles - handles_before

    def give_back(self, held: Reservation, size: int, handles: int) -> None:
        bytes_before, handles_before = held.bytes, held.handles
        held.pop(size, handles)
        self.bytes += held.bytes - bytes_before
        self.handles += held.handles - handles_before

    def forget(self, held: Reservation) -> None:
        self.bytes -= held.bytes
        self.handles -= held.handles
