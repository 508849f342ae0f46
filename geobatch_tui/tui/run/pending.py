"""What polls found and the screen has not shown yet."""

from __future__ import annotations

from geobatch_tui.tui.run.model import Delta, View


class Pending:
    """Gathers findings while the picture is frozen, and gives them as one."""

    def __init__(self) -> None:
        self._changed: set[int] = set()
        self._reshaped = False
        self._fresh = False

    def add(self, delta: Delta) -> None:
        """Keep what a poll found."""
        self._reshaped |= delta.reshaped
        self._fresh |= delta.fresh
        if self._reshaped:
            self._changed.clear()
        else:
            self._changed.update(delta.changed)

    def take(self, view: View) -> Delta:
        """All that was kept, with the newest view; nothing is kept any more."""
        delta = Delta(tuple(self._changed), reshaped=self._reshaped, fresh=self._fresh, view=view)
        self.__init__()  # type: ignore[misc]
        return delta
