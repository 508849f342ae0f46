"""CPU use of worker processes on this machine, from /proc."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT: Final = 60


class CpuMeter:
    """Shares of one core that processes used, a value a second, for the last minute."""

    def __init__(self) -> None:
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._last: dict[int, tuple[float, float]] = {}
        self.history: dict[int, deque[float]] = {}

    def measure(self, pids: Iterable[int], now: float) -> None:
        """Take a value for each process; within a second of the last one do nothing.

        Args:
            pids: processes of this machine; one that is gone is dropped.
            now: seconds on any clock that only goes forward.
        """
        alive = {}
        for pid in pids:
            before = self._last.get(pid)
            if before is not None and now - before[0] < 0.95:
                alive[pid] = before
                continue
            used = self._seconds(pid)
            if used is None:
                continue
            alive[pid] = (now, used)
            if before is not None:
                share = max(0.0, used - before[1]) / (now - before[0])
                self.history.setdefault(pid, deque(maxlen=KEPT)).append(share)
        self._last = alive
        for pid in [pid for pid in self.history if pid not in alive]:
            del self.history[pid]

    def share(self, pid: int) -> float | None:
        """The newest value; None where there is none."""
        values = self.history.get(pid)
        return values[-1] if values else None

    def _seconds(self, pid: int) -> float | None:
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            # The name stands in parentheses and may hold blanks; user and system time are fields
            # 14 and 15, counted from 1 with the pid.
            fields = text.rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / self._ticks
        except (OSError, IndexError, ValueError):
            return None
