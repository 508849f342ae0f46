"""Suspensions: the reasons for which nothing new is admitted, or nothing of one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule import events as u

if TYPE_CHECKING:
    from collections.abc import Callable


#: Beginning of the reason for a store that is away; its root follows. Units of others go on.
AWAY = "store "
#: The same for one that takes no outputs now.
NO_OUTPUTS = "outputs to "
#: Finished outputs are waiting to be sent to a store, too many.
BEHIND = "uploads"
_WHY = {
    "space": "the disk is full: waiting for space; free some, or stop the run and resume later",
    "memory": "memory is short: nothing new is started until it falls",
    "operator": "paused by the operator",
    BEHIND: "finished outputs wait to be sent: nothing new is started until few do",
}
_WHY_NO_MORE = {
    "space": "there is space on the disk again",
    "memory": "there is memory again",
    "operator": "taken up again by the operator",
    BEHIND: "few outputs wait to be sent",
}


def why(reason: str) -> str:
    """Say in words for what reason nothing is admitted."""
    if reason.startswith(AWAY):
        root = reason.removeprefix(AWAY)
        return f"{root} is away, or asks to slow down: its items wait until it answers"
    if reason.startswith(NO_OUTPUTS):
        root = reason.removeprefix(NO_OUTPUTS)
        return f"{root} takes no outputs now: nothing starts until it does"
    return _WHY.get(reason, reason)


def why_no_more(reason: str) -> str:
    """Say in words that a reason is gone."""
    return _WHY_NO_MORE.get(reason, reason)


class Gate:
    """Open while there is no reason to suspend admission, and memory pressure is low.

    Args:
        decide: takes the gate's decisions.
    """

    def __init__(self, decide: Callable[[u.Decision], None]) -> None:
        self._decide = decide
        self._reasons: dict[str, None] = {}
        self.level = u.Level.CALM

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(self._reasons)

    @property
    def calm(self) -> bool:
        return self.level is u.Level.CALM

    def suspend(self, reason: str, seconds: float = 0.0) -> None:
        if reason not in self._reasons:
            self._reasons[reason] = None
            self._decide(u.Suspend(reason, seconds))

    def resume(self, reason: str) -> None:
        if reason in self._reasons:
            del self._reasons[reason]
            self._decide(u.Unsuspend(reason))

    def press(self, level: u.Level) -> None:
        """Take a new level of memory pressure. A pause at 85 % lasts until calm."""
        self.level = level
        if level is u.Level.CALM:
            self.resume("memory")
        elif level is not u.Level.HOLD:
            self.suspend("memory")

    def open(self, in_flight: int) -> bool:
        """Whether a unit may be sent while ``in_flight`` others are with workers.

        Memory pressure never holds the only unit: if the idle workers alone are too large, to
        wait for them to shrink would be to wait for ever.
        """
        closing = [reason for reason in self._reasons if not reason.startswith(AWAY)]
        if not closing and self.level is u.Level.CALM:
            return True
        if in_flight or len(closing) > 1:
            return False
        return not closing or "memory" in closing
