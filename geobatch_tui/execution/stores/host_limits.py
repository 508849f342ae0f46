"""How many requests a host gets at once from this process, and whether it gets any now.

A host that answers gets more, up to a bound; one that asks to slow down gets half as many, and none
for a while; one that is away gets none for a second: whoever wants something of it is told so
without a request. So a host that comes back is not met by all that waited for it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Requests at once of one process to one host: latency is hidden by their number. To begin with, up
#: to which each answer allows one more, and at most.
BEGIN, STEADY, MOST = 8, 16, 32
#: Seconds for which a host that is away gets no request.
REST = 1.0
#: Seconds that a request waits for its turn at most, where a host asks for a pause; what would wait
#: longer is given back to the run.
PATIENCE = 5.0


class HostLimit:
    """The limit of one host, for all threads."""

    def __init__(self) -> None:
        self._turns = threading.Condition()
        self._active = 0
        self._limit, self._steady = float(BEGIN), float(STEADY)
        self._cut_at = self._pause_until = self._away_until = 0.0

    @property
    def limit(self) -> int:
        """How many requests may run at once now."""
        return int(self._limit)

    @property
    def pause(self) -> float:
        """Seconds for which the host asks for nothing."""
        return max(self._pause_until - time.monotonic(), 0.0)

    @property
    def is_away(self) -> bool:
        """Whether it failed a moment ago, as a whole."""
        return time.monotonic() < self._away_until

    @contextlib.contextmanager
    def turn(self) -> Iterator[float]:
        """Wait for a turn; yield the time at which the request begins."""
        with self._turns:
            while self._active >= self.limit or 0 < self.pause <= PATIENCE:
                self._turns.wait(self.pause or None)
            self._active += 1
        try:
            yield time.monotonic()
        finally:
            with self._turns:
                self._active -= 1
                self._turns.notify_all()

    def answered(self) -> None:
        """Note an answer: one more at once, each time below what went well, rarely above."""
        with self._turns:
            step = 1.0 if self._limit < self._steady else 1.0 / self._limit
            self._limit = min(self._limit + step, MOST)
            self._away_until = 0.0

    def slowed(self, began: float, pause: float) -> None:
        """Note that a request that ``began`` then was asked to slow down, and for how many seconds
        nothing is to be asked. Those that began together count once."""
        with self._turns:
            now = time.monotonic()
            self._pause_until = max(self._pause_until, now + pause)
            if began >= self._cut_at:
                self._cut_at = now
                self._steady = self._limit = max(self._limit / 2, 1.0)

    def away(self) -> None:
        """Note that the host failed as a whole: when it is back, it begins with one at once."""
        with self._turns:
            self._steady, self._limit = max(self._limit / 2, self._steady / 2, 1.0), 1.0
            self._away_until = time.monotonic() + REST

    def back(self) -> None:
        """Note that it was asked, and answers."""
        with self._turns:
            self._away_until = self._pause_until = 0.0
            self._turns.notify_all()


@lru_cache(maxsize=256)
def limit_of(root: str) -> HostLimit:
    """Return the limit of the store at ``root`` in this process."""
    del root
    return HostLimit()
