"""The time that a run works, and how long it has stood still; without a clock of its own.

Planning, pauses, and waiting for space or a store are no work: a rate or a time to the end that
counted them would tell of the operator, not of the job.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds without a finished chunk that are a stall: the least, and before any was measured.
LEAST_STALL: Final = 30.0
UNKNOWN_STALL: Final = 120.0
#: Times the longest usual chunk.
_UNUSUAL: Final = 10.0
_USUAL: Final = 0.95


class WorkingTime:
    """Turns the times of a monotonic clock into seconds of work since :meth:`begin`."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._held = 0.0
        self._since: float | None = None
        self._moved = 0.0

    @property
    def begun(self) -> bool:
        return self._begun is not None

    def begin(self, now: float) -> None:
        """Work begins: the plan is made. Later calls change nothing."""
        if self._begun is None:
            self._begun = now

    def hold(self, now: float, *, held: bool) -> None:
        """Say whether the run is held at the moment: paused, or waiting for something."""
        if held and self._since is None:
            self._since = now
        elif not held and self._since is not None:
            self._held += max(0.0, now - max(self._since, self._begun or self._since))
            self._since = None

    def at(self, now: float) -> float:
        """Return the seconds of work up to ``now``: 0 before it began."""
        if self._begun is None:
            return 0.0
        until = now if self._since is None else max(self._begun, min(now, self._since))
        return max(0.0, until - self._begun - self._held)

    def moved(self, now: float) -> None:
        """Note that a chunk was finished."""
        self._moved = max(self._moved, self.at(now))

    def still(self, now: float) -> float:
        """Return the seconds of work since the last chunk was finished, or since work began."""
        return max(0.0, self.at(now) - self._moved)


def stall_limit(durations: Sequence[float], asked: float | None = None) -> float:
    """Return the seconds without a finished chunk from which a run stalls: what the user asked
    for, else ten times what most chunks take.

    Args:
        durations: of recent chunks, in seconds.
        asked: the user's own limit.
    """
    if asked is not None:
        return asked
    if not durations:
        return UNKNOWN_STALL
    ranked = sorted(durations)
    usual = ranked[math.floor(_USUAL * (len(ranked) - 1))]
    return max(LEAST_STALL, _UNUSUAL * usual)
