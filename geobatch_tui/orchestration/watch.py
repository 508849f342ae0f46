"""Side tasks of a run: memory pressure, free disk, deadline. They tell, the scheduler decides."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from geobatch_tui.orchestration import units as u
from geobatch_tui.orchestration.admission import pressure_level
from geobatch_tui.orchestration.machine import disk_size, free_disk, own_rss

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geobatch_tui.orchestration.pool import Pool

MEMORY_PERIOD = 0.2
SPACE_PERIOD = 1.0
LOW_WATER = 64 * 1024 * 1024
LOW_SHARE = 50
"""Admission stops under 64 MiB of free disk, or a 50th of a smaller filesystem."""


class MemoryWatch:
    """Measures the RSS of engine and workers at 5 Hz and tells changes of pressure."""

    def __init__(self, pool: Pool, budget: int, tell: Callable[[u.Event], None]) -> None:
        self.rss = 0
        self.workers: dict[int, int] = {}
        self._pool = pool
        self._budget = budget
        self._tell = tell
        self._level = u.Level.CALM

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(MEMORY_PERIOD)

    def look(self) -> None:
        """Measure once."""
        workers = self.workers = self._pool.rss()
        self.rss = own_rss() + sum(workers.values())
        level = pressure_level(self.rss, self._budget, self._level)
        if level is u.Level.KILL and workers:
            self._tell(u.Pressure(level, max(workers, key=workers.__getitem__)))
        elif level is not self._level:
            self._tell(u.Pressure(level))
        self._level = level


class SpaceWatch:
    """Watches the free disk of the output.

    Under the low-water mark it tells the scheduler to stop admitting, above it to go on. A run
    that waited for longer than ``patience`` seconds without one finished chunk is told to end.
    """

    def __init__(
        self,
        path: Path,
        patience: float,
        tell: Callable[[u.Event], None],
        give_up: Callable[[], None],
    ) -> None:
        self._path = path
        self._low = min(LOW_WATER, disk_size(path) // LOW_SHARE)
        self._patience = patience
        self._tell = tell
        self._give_up = give_up
        self._since: float | None = None
        self._suspended = False

    def suspended(self) -> None:
        """The scheduler stopped admission for want of space."""
        self._suspended = True
        if self._since is None:
            self._since = time.monotonic()

    def progressed(self) -> None:
        """A chunk was written: patience starts anew, unless that is one of the last in flight."""
        if not self._suspended:
            self._since = None

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(SPACE_PERIOD)

    def look(self) -> None:
        """Measure once."""
        enough = free_disk(self._path) >= self._low
        if not enough and not self._suspended:
            self._tell(u.Space(ok=False))
        if self._since is not None and time.monotonic() - self._since > self._patience:
            self._give_up()
        elif enough and self._suspended:
            # ``_since`` stays: without a chunk that is written, patience goes on running out.
            self._suspended = False
            self._tell(u.Space(ok=True))
