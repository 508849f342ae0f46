"""Memory that is used again: pages of a new array are cleared one by one, which takes longer than
to fill them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.runtime.meter import when_tidied

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bytes of an array that a thread holds for its next batch at most.
_MOST = 4 * 2**20


class Room:
    """Byte arrays by their uses, each as large as it had to be so far, up to ``most`` bytes."""

    def __init__(self, most: int = 2**62) -> None:
        self._held: dict[str, NDArray[np.uint8]] = {}
        self._most = most

    def of(self, use: str, size: int) -> NDArray[np.uint8]:
        """Return ``size`` bytes, with anything in them. The array given for ``use`` before is the
        same memory."""
        if size > self._most:
            return np.empty(size, np.uint8)
        held = self._held.get(use)
        if held is None or len(held) < size:
            self._held.pop(use, None)  # or both are there at once
            held = self._held[use] = np.empty(size, np.uint8)
        return held[:size]

    def clear(self) -> None:
        """Hold none."""
        self._held.clear()


class _Own(threading.local):
    def __init__(self) -> None:
        self.room = Room(_MOST)


_own = _Own()


def own() -> Room:
    """Return the room of this thread, for arrays that are gone with their batch."""
    return _own.room


when_tidied(lambda: own().clear())
