"""A worker for those who ask one thing at a time: no run, no scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.workers.pool import Answered, Lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Outcome, Task
    from geobatch_tui.orchestration.workers.pool import Pool, PoolEvent


class LoneWorker:
    """A worker that is started for the first task. All methods are called on one event loop.

    Args:
        make_pool: makes its pool, given a directory for the pool's files.
        seconds: limit for one task, the start of the worker included.
    """

    def __init__(self, make_pool: Callable[[Path], Pool], seconds: float) -> None:
        self._make_pool = make_pool
        self._seconds = seconds
        self._pool: Pool | None = None
        self._scratch: Path | None = None
        self._worker: int | None = None
        self._count = 0
        self._answer: asyncio.Future[Outcome | Lost] | None = None

    async def ask(self, task: Task) -> Outcome | Lost:
        """Have a task done, whatever its number; return its outcome, or how its worker ended.
        Raises TimeoutError once the worker is ended for it."""
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._put(task)
                if isinstance(answer, Lost) and answer.failure is None:
                    # A worker that had grown too large gives its task back once.
                    answer = await self._put(task)
                return answer
        except TimeoutError:
            if self._pool is not None and self._worker is not None:
                self._pool.kill(self._worker, "timeout")
                self._worker = None
            raise

    async def _put(self, task: Task) -> Outcome | Lost:
        if self._pool is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="geobatch-worker-"))
            self._pool = self._make_pool(self._scratch)
            self._pool.listen(self._on_event)
        if self._worker is None:
            self._worker = self._pool.spawn()
        self._count += 1
        self._answer = asyncio.get_running_loop().create_future()
        self._pool.submit(self._worker, replace(task, task_id=self._count))
        return await self._answer

    def _on_event(self, event: PoolEvent) -> None:
        """Take the answer to the last task; those to tasks that were given up are dropped."""
        answer: Outcome | Lost
        if isinstance(event, Answered) and event.outcome.task_id == self._count:
            answer = event.outcome
        elif isinstance(event, Lost) and event.worker == self._worker:
            self._worker, answer = None, event
        else:
            return
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def let_go(self) -> None:
        """End an idle worker: it holds memory, and perhaps an open file."""
        worker, self._worker = self._worker, None
        if self._pool is not None and worker is not None:
            with contextlib.suppress(KeyError):  # it is gone already
                self._pool.retire(worker)

    async def close(self) -> None:
        pool, self._pool, self._worker = self._pool, None, None
        if pool is not None:
            await pool.close(0.0)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None
