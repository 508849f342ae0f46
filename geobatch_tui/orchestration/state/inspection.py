"""Has published files read back by a worker, for facts that the ledger lacks."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from geobatch_tui.execution.protocol.messages import InspectReceipt, InspectTask
from geobatch_tui.orchestration.workers.pool import Answered, Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.orchestration.workers.pool import Pool, PoolEvent

SECONDS: Final = 600.0
"""Time limit for a file."""


class Inspector:
    """A worker that is started for the first file. Use it in a ``with`` block.

    Its pool lives on a loop in a thread of its own, so it can be asked from anywhere.

    Args:
        make_pool: makes the pool, given a directory for its files; by default worker processes.
    """

    def __init__(self, make_pool: Callable[[Path], Pool] | None = None) -> None:
        self._make_pool = make_pool or _processes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._scratch: Path | None = None
        self._pool: Pool | None = None
        self._worker: int | None = None
        self._count = 0
        self._events: asyncio.Queue[PoolEvent] = asyncio.Queue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loop is None or self._thread is None:
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def facts(self, op: str, path: str) -> Json:
        """Read the facts of a file: none if it cannot be read, or its worker died."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="inspector")
            self._thread.start()
        return self._run(self._ask(op, path))

    def _run[T](self, work: Coroutine[object, object, T]) -> T:
        assert self._loop is not None  # noqa: S101 - both callers have made it
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _ask(self, op: str, path: str) -> Json:
        self._count += 1
        task = InspectTask(self._count, op, path)
        try:
            async with asyncio.timeout(SECONDS):
                # A worker that had grown too large gives its task back once.
                facts = await self._put(task)
                return (await self._put(task) if facts is None else facts) or {}
        except TimeoutError:
            if self._pool is not None and self._worker is not None:
                self._pool.kill(self._worker, "timeout")
                self._worker = None
            return {}

    async def _put(self, task: InspectTask) -> Json | None:
        """Return the facts from the worker; None if it ended before it came to the task."""
        if self._pool is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="geobatch-outputs-"))
            self._pool = self._make_pool(self._scratch)
            self._pool.listen(self._events.put_nowait)
        if self._worker is None:
            self._worker = self._pool.spawn()
        self._pool.submit(self._worker, task)
        while True:
            event = await self._events.get()
            if isinstance(event, Answered) and event.outcome.task_id == task.task_id:
                receipt = event.outcome.receipt
                return receipt.facts if isinstance(receipt, InspectReceipt) else {}
            if isinstance(event, Lost) and event.worker == self._worker:
                self._worker = None
                return {} if event.running == task.task_id else None

    async def _close(self) -> None:
        if self._pool is not None:
            await self._pool.close(0.0)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _processes(scratch: Path) -> Pool:
    from geobatch_tui.orchestration.workers.process_pool import ProcessPool

    return ProcessPool(scratch)
