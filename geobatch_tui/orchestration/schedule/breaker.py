"""Limits that stop a run: failures of the machine, too many failures, workers that cannot start."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from geobatch_tui.errors import Reaction

if TYPE_CHECKING:
    from geobatch_tui.config.units import FailureLimit

#: Failures that there must be before anything is called systemic.
MINIMUM = 20
SHARE = 0.5
WINDOW = 40
POISON_WINDOW = 200

_COUNTED = frozenset({Reaction.TRANSIENT, Reaction.RESOURCE, Reaction.UNKNOWN})


class FailureWindow:
    """The last ``size`` outcomes. They look systemic when at least ``minimum`` of them, and at
    least half, are failures."""

    def __init__(self, size: int, minimum: int = MINIMUM) -> None:
        self._size = size
        self._minimum = minimum
        self._outcomes: deque[bool] = deque()
        self._failed = 0

    def note(self, *, failed: bool) -> None:
        outcomes = self._outcomes
        outcomes.append(failed)
        self._failed += failed
        if len(outcomes) > self._size:
            self._failed -= outcomes.popleft()

    @property
    def systemic(self) -> bool:
        return self._failed >= self._minimum and self._failed >= SHARE * len(self._outcomes)


class Breaker:
    """Opens when failures stop being about single chunks.

    It sees final outcomes only: a unit that succeeded in the end is a success, however often it
    was tried. Invalid input (``permanent``) is no evidence about the machine, and is not counted.

    The textbook rule, half of the last 20, calls ten bad chunks side by side at the start of a
    job an outage. An outage hits whatever is tried; bad chunks are a bounded set. So the rule
    asks for 20 failures, and for half of the last 40: that opens after 20 failures in a row in
    the middle of a run, and never for fewer than 20 bad chunks close together.

    Poison gets a longer memory, because it arrives bunched by its nature: suspects leave
    their lane one after the other when everything else has long succeeded. Half of the last
    200 (or of all, before that) tells "each chunk crashes GDAL" from "the 25 crashing ones were
    judged last".
    """

    def __init__(self) -> None:
        self._recent = FailureWindow(WINDOW)
        self._poison = FailureWindow(POISON_WINDOW)

    def succeeded(self) -> None:
        self._recent.note(failed=False)
        self._poison.note(failed=False)

    def buried(self, reaction: Reaction) -> bool:
        """Note a dead letter; True if the failures now look systemic."""
        if reaction is Reaction.POISON:
            self._poison.note(failed=True)
            return self._poison.systemic
        if reaction in _COUNTED:
            self._recent.note(failed=True)
            return self._recent.systemic
        return False


def exceeds(limit: FailureLimit | None, dead: int, total: int) -> bool:
    """Whether ``dead`` dead letters of ``total`` units are more than ``limit`` tolerates. A share
    of an unknown ``total`` (0) is never exceeded."""
    if limit is None:
        return False
    if limit.count is not None and dead > limit.count:
        return True
    return limit.share is not None and total > 0 and dead > limit.share * total


class CrashLoop:
    """Worker deaths in a row that no unit is to blame for.

    Five in a row mean that workers cannot live here (a library is missing, a limit too low), and
    starting more only burns the machine. A kill from outside counts a hundredth: an operator or a
    test may shoot at workers while they start, faster than they can; but where something kills
    each of them for good, the run must end at last.
    """

    def __init__(self, limit: int = 5) -> None:
        self._limit = limit * 100
        self._hundredths = 0

    def alive(self) -> None:
        """Something worked: the row is broken."""
        self._hundredths = 0

    def died(self, *, from_outside: bool) -> bool:
        """Note a death; True if it is a crash loop."""
        self._hundredths += 1 if from_outside else 100
        return self._hundredths >= self._limit
