"""The quarantine lane: suspects run there one at a time, each on a worker of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geobatch_tui.orchestration.crew import Worker

#: Where one worker serves the lane and the rest in turns, a turn of the rest is over after so
#: many units or seconds: each change of turns costs the start of a worker.
TURN_UNITS = 16
TURN_SECONDS = 1.0


class Lane:
    """Who serves the lane, and whose turn it is if there is one worker for all."""

    __slots__ = ("_since", "_units", "worker")

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self._units = TURN_UNITS
        self._since = 0.0

    def opened(self, worker: Worker) -> None:
        self.worker = worker
        worker.lane = True

    def closed(self, now: float) -> None:
        """The lane's unit ended, or its worker did."""
        self.worker = None
        self._units = 0
        self._since = now

    def passed(self) -> None:
        """A unit outside the lane ended."""
        self._units += 1

    def turn(self, now: float) -> bool:
        """Whether the rest has had its turn."""
        if self._units >= TURN_UNITS:
            return True
        return self._units > 0 and now - self._since >= TURN_SECONDS
