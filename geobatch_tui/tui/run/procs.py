"""CPU use of worker processes on this machine."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT: Final = 60


class CpuMeter:
    """Shares of one core that processes used, a value a second, for the last minute."""

    def __init__(self) -> None:
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
            used = _seconds(pid)
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


def _seconds(pid: int) -> float | None:
    """Return the CPU seconds that a process has used; None if it is gone."""
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)
