"""The protocol of a pool of workers, and its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Failure, Outcome, Task, WorkerCause
    from geobatch_tui.orchestration.schedule.events import Resized, WorkerUp


#: A worker that compiles for longer hangs.
COMPILING_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A worker finished the oldest of its tasks."""

    worker: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone, and everything that it had sent has been delivered before this.

    ``running`` is the id of the task that it was working on, ``queued`` those behind it.
    ``failure`` describes the death (exit code, signal, stack, tail of fd 2) where it was not asked
    for, and is None after ``retire``.
    """

    worker: int
    running: int | None
    queued: tuple[int, ...]
    cause: WorkerCause
    failure: Failure | None


type PoolEvent = WorkerUp | Answered | Lost | Resized


class Roster[W]:
    """The workers of a pool by number, and who is told of them."""

    def __init__(self) -> None:
        self._workers: dict[int, W] = {}
        self._count = 0
        self._callback: Callable[[PoolEvent], None] = lambda _: None
        self._empty: asyncio.Event | None = None

    def listen(self, callback: Callable[[PoolEvent], None]) -> None:
        self._callback = callback

    def nodes(self) -> list[dict[str, object]]:
        """Return what is noted of the nodes of a cluster; nothing on one machine."""
        return []

    def wish(self, workers: int) -> bool:
        """Whether this pool makes room for so many workers itself, as an operator wishes."""
        del workers
        return False

    def _strike_off(self, lost: Lost) -> None:
        """Tell that a worker is gone; also a pool that waits for the last one to close."""
        del self._workers[lost.worker]
        self._callback(lost)
        if self._empty is not None and not self._workers:
            self._empty.set()


class Pool(Protocol):
    """A pool of workers. All methods are called on the event loop's thread and return at once; the
    ``listen`` callback gets every event, on the same thread."""

    def listen(self, callback: Callable[[PoolEvent], None]) -> None:
        """Set the callback. Once, before the first ``spawn``."""
        ...

    def spawn(self) -> int:
        """Start a worker and return its number; ``WorkerUp`` or ``Lost`` follows."""
        ...

    def submit(self, worker: int, task: Task) -> None:
        """Queue a task on a worker; it works through its queue in order."""
        ...

    def retire(self, worker: int) -> None:
        """Let a worker finish its queue and end; ``Lost`` with cause ``retired`` follows."""
        ...

    def kill(self, worker: int, cause: WorkerCause) -> None:
        """End a worker now: SIGTERM, then SIGKILL after 5 s. ``Lost`` follows with this cause."""
        ...

    def compiling(self) -> frozenset[int]:
        """Return workers that compile machine code, for at most :data:`COMPILING_SECONDS`."""
        ...

    def rss(self) -> dict[int, int]:
        """Return the resident bytes of each worker, its children included."""
        ...

    def nodes(self) -> list[dict[str, object]]:
        """Return what is noted of the nodes of a cluster; nothing on one machine."""
        ...

    def wish(self, workers: int) -> bool:
        """Whether this pool makes room for so many workers itself, as an operator wishes, and then
        tells ``Resized``."""
        ...

    async def close(self, grace: float) -> None:
        """End all workers: they may finish what they work on within ``grace`` seconds."""
        ...
