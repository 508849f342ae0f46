"""Suspensions: the reasons for which nothing new is admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule import events as u

if TYPE_CHECKING:
    from collections.abc import Callable


#: Beginning of the reason for a store that is away; its root follows.
AWAY = "store "


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

    def suspend(self, reason: str) -> None:
        if reason not in self._reasons:
            self._reasons[reason] = None
            self._decide(u.Suspend(reason))

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
        if not self._reasons and self.level is u.Level.CALM:
            return True
        if in_flight or len(self._reasons) > 1:
            return False
        return not self._reasons or "memory" in self._reasons
