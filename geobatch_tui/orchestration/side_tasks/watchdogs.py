"""Side tasks of a run that watch memory pressure, free disk, and a ledger without space. They
report; the scheduler decides."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.errors import DiskFullError, GeobatchError
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.plan.machine import disk_size, free_disk
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.admission import pressure_level
from geobatch_tui.orchestration.schedule.suspensions import AWAY, why, why_no_more
from geobatch_tui.orchestration.side_tasks.host_figures import Outage
from geobatch_tui.orchestration.workers import procfs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.pool import Pool

MEMORY_PERIOD = 0.2
SPACE_PERIOD = 1.0
LEDGER_RETRY = 1.0
"""Seconds between two tries to write a ledger on a full disk."""
STORE_PERIOD, MOST_STORE_PERIOD = 1.0, 30.0
"""Seconds from a store's failure to the first question whether it is back, and between the last."""
LOW_WATER = 64 * 1024 * 1024
LOW_SHARE = 50
"""Admission stops under 64 MiB of free disk, or a 50th of a smaller filesystem."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of the run that uploads are of. ``tell`` takes events for the scheduler, ``moved`` is
    called where there was progress, ``failed`` gets what cannot be published, ``fatal`` what ends
    the run, and ``give_up`` is called where the store was away for too long."""

    tell: Callable[[u.Event], None]
    moved: Callable[[], None]
    failed: Callable[[lu.ItemPublished, GeobatchError], None]
    fatal: Callable[[GeobatchError], None]
    give_up: Callable[[], None]


class MemoryWatch:
    """Measures the RSS of engine and workers at 5 Hz and reports changes of pressure."""

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
        workers = self.workers = self._pool.rss()
        self.rss = procfs.resident(os.getpid()) + sum(workers.values())
        level = pressure_level(self.rss, self._budget, self._level)
        if level is u.Level.KILL and workers:
            self._tell(u.Pressure(level, max(workers, key=workers.__getitem__)))
        elif level is not self._level:
            self._tell(u.Pressure(level))
        self._level = level


class SpaceWatch:
    """Watches the free disk of the output. Under the low-water mark it tells the scheduler to stop
    admitting, above it to go on. It calls ``give_up`` once ``patience`` seconds passed without a
    finished chunk."""

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
        """Note that the scheduler stopped admission for want of space."""
        self._suspended = True
        if self._since is None:
            self._since = time.monotonic()

    def progressed(self) -> None:
        """Start patience anew, as a chunk was written; not for the last ones in flight."""
        if not self._suspended:
            self._since = None

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(SPACE_PERIOD)

    def look(self) -> None:
        enough = free_disk(self._path) >= self._low
        if not enough and not self._suspended:
            self._tell(u.Space(ok=False))
        if self._since is not None and time.monotonic() - self._since > self._patience:
            self._give_up()
        elif enough and self._suspended:
            # ``_since`` stays: until a chunk is written, patience goes on running out.
            self._suspended = False
            self._tell(u.Space(ok=True))


@dataclass(slots=True)
class _Away:
    """A store that does not answer: since when, seconds to the next question, and who asks."""

    since: float
    period: float
    asking: asyncio.Task[None] | None = None
    asked_at: float | None = None

    @property
    def is_asked(self) -> bool:
        return self.asking is not None and not self.asking.done()


class StoreWatch:
    """Asks stores that were away, ever more seldom until a chunk of theirs is finished, whether
    they answer; then their chunks go on. A pause that a store asks for is kept. It calls
    ``give_up`` once ``patience`` seconds passed since a store went, and since any chunk was
    finished."""

    def __init__(
        self, patience: float, tell: Callable[[u.Event], None], give_up: Callable[[], None]
    ) -> None:
        self._patience = patience
        self._tell = tell
        self._give_up = give_up
        self._progress = time.monotonic()
        self._away: dict[str, _Away] = {}

    def suspended(self, root: str, seconds: float = 0.0) -> None:
        """Begin to ask: this store is away, or wants no request for so many seconds."""
        away = self._away.setdefault(root, _Away(time.monotonic(), STORE_PERIOD))
        if not away.is_asked:
            away.asking = asyncio.ensure_future(self._ask(root, away, seconds))

    def progressed(self, root: str = "") -> None:
        """Start patience anew, as a chunk was finished, of this store if of any."""
        self._progress = time.monotonic()
        if root in self._away and not self._away[root].is_asked:
            del self._away[root]

    def away(self) -> dict[str, Outage]:
        """Return the stores that do not answer."""
        return {
            root: Outage(away.since, away.asked_at)
            for root, away in self._away.items()
            if away.is_asked
        }

    async def _ask(self, root: str, away: _Away, seconds: float) -> None:
        from geobatch_tui.execution.stores import store_client

        while True:
            away.asked_at = time.monotonic() + max(away.period, seconds)
            await asyncio.sleep(max(away.period, seconds))
            away.asked_at = None
            away.period = min(2 * away.period, MOST_STORE_PERIOD)
            wanted = await asyncio.to_thread(store_client.seconds_away, root)
            if wanted is None:
                self._tell(u.StoreBack(f"{AWAY}{root}"))
                return
            if time.monotonic() - max(away.since, self._progress) > self._patience:
                self._give_up()
                return
            seconds = wanted

    def close(self) -> None:
        """Ask no more."""
        for away in self._away.values():
            if away.asking is not None:
                away.asking.cancel()


class GateLog:
    """Tells log and ledger why nothing is admitted, or nothing of one store; has a store asked that
    is away."""

    def __init__(self, session: Session, stores: StoreWatch | None) -> None:
        self._session = session
        self._stores = stores

    def suspended(self, reason: str, seconds: float) -> None:
        if reason.startswith(AWAY) and self._stores is not None:
            self._stores.suspended(reason.removeprefix(AWAY), seconds)
        self._session.log.emit("run.suspend", level="warning", message=why(reason))
        self._session.put(lu.Noted("suspend", {"reason": reason}))

    def unsuspended(self, reason: str) -> None:
        self._session.log.emit("run.unsuspend", message=why_no_more(reason))
        self._session.put(lu.Noted("unsuspend", {"reason": reason}))

    def progressed(self, root: str) -> None:
        """Note that something of a store, or of none, was finished."""
        if self._stores is not None:
            self._stores.progressed(root)


class LedgerWatch:
    """Tries again to write a ledger that found no space, until it can.

    Args:
        flush: writes the waiting updates; raises DiskFullError while there is no space.
        patience: seconds after which it gives up.
        fatal: gets the error that ends the run: that of the last try, or another than space.
    """

    def __init__(
        self,
        flush: Callable[[], Awaitable[None]],
        patience: float,
        fatal: Callable[[GeobatchError], None],
    ) -> None:
        self._flush = flush
        self._patience = patience
        self._fatal = fatal
        self._waiting: asyncio.Task[None] | None = None

    def suspended(self) -> None:
        """Begin to try again: the ledger could not be written for want of space."""
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        until = time.monotonic() + self._patience
        while True:
            await asyncio.sleep(LEDGER_RETRY)
            try:
                await self._flush()
            except DiskFullError as error:
                if time.monotonic() <= until:
                    continue
                self._fatal(error)
            except GeobatchError as error:
                self._fatal(error)
            return
