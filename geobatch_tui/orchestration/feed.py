"""When to ask for more units."""

from __future__ import annotations

from enum import Enum


class _State(Enum):
    CONTENT = 0
    ASKED = 1
    DRY = 2  #: asked, and there was nothing


class Feeding:
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
