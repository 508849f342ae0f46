"""Windows of sources, read by a worker process of the console's own.

What kills or blocks a worker of the run may well kill or block this one, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geobatch_tui.execution.protocol.messages import (
    PreviewReceipt,
    PreviewTask,
)
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.orchestration.workers.pool import Answered, Lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Failure
    from geobatch_tui.orchestration.workers.pool import Pool, PoolEvent
    from geobatch_tui.tui.letters.dossier import Dossier

SECONDS: Final = 20.0
"""That a preview may take, the start of its worker included."""

IDLE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Unseen:
    """The reason why there is no picture, and what to do about it."""

    reason: str
    hint: str = ""


def wanted(found: Dossier, *, band: int = 0) -> PreviewTask | Unseen:
    """Return the preview task of a dead letter, or why there can be none.

    Args:
        found: the letter.
        band: which band, from 1; 0: the first, or three as colours.
    """
    if not found.op.startswith("raster."):
        return Unseen(f"{found.op or 'this operation'} reads no raster: there is no preview")
    if found.item is None or not found.item.source.startswith("/"):
        return Unseen("the letter names no source file")
    window = found.record.get("window")
    return PreviewTask(
        task_id=0,
        source=found.item.source,
        allow_vrt=bool(found.job.get("source", {}).get("allow_vrt")),
        detail=found.item.plan.get("detail") or {},
        window=None if window is None else Window(*(int(value) for value in window)),
        band=band,
        columns=160,
        rows=96,
    )


class Previewer:
    """A worker process, started when a preview is asked for and ended when it idles.

    All methods are called on one event loop.

    Args:
        make_pool: makes the pool, given a directory for its files; by default worker processes.
        seconds: limit for one preview.
        idle: seconds after which the worker is let go.
    """

    def __init__(
        self,
        make_pool: Callable[[Path], Pool] | None = None,
        *,
        seconds: float = SECONDS,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._make_pool = make_pool or _processes
        self._seconds = seconds
        self._idle = idle
        self._pool: Pool | None = None
        self._scratch: Path | None = None
        self._worker: int | None = None
        self._count = 0
        self._answers: dict[int, asyncio.Future[PreviewReceipt | Unseen | None]] = {}
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    async def look(self, task: PreviewTask) -> PreviewReceipt | Unseen:
        """Read a window. A caller that is cancelled gives up its turn."""
        async with self._turn:
            if self._timer is not None:
                self._timer.cancel()
            try:
                async with asyncio.timeout(self._seconds):
                    # A worker that had grown too large gives its task back once.
                    found = await self._ask(task) or await self._ask(task)
            except TimeoutError:
                self._drop()
                return Unseen(
                    f"the window could not be read within {self._seconds:.0f} s",
                    "the source may lie on a slow or a hung filesystem",
                )
            finally:
                self._timer = asyncio.get_running_loop().call_later(self._idle, self._end_idle)
            return found or Unseen("the worker that was to read it ended")

    async def _ask(self, task: PreviewTask) -> PreviewReceipt | Unseen | None:
        """Return the answer of the worker; None if it ended before it came to the task."""
        pool, worker = self._ready()
        self._count += 1
        number = self._count
        answer: asyncio.Future[PreviewReceipt | Unseen | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._answers[number] = answer
        try:
            pool.submit(worker, replace(task, task_id=number))
            return await answer
        finally:
            self._answers.pop(number, None)

    async def close(self) -> None:
        """End the worker and remove its files."""
        if self._timer is not None:
            self._timer.cancel()
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(0.0)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def _ready(self) -> tuple[Pool, int]:
        if self._pool is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="geobatch-preview-"))
            self._pool = self._make_pool(self._scratch)
            self._pool.listen(self._on_event)
        if self._worker is None:
            self._worker = self._pool.spawn()
        return self._pool, self._worker

    def _on_event(self, event: PoolEvent) -> None:
        if isinstance(event, Answered):
            outcome = event.outcome
            receipt = outcome.receipt
            if isinstance(receipt, PreviewReceipt):
                self._answer(outcome.task_id, receipt)
            else:
                self._answer(outcome.task_id, _unseen(outcome.failure))
        elif isinstance(event, Lost):
            if event.worker == self._worker:
                self._worker = None
            for number in event.queued:
                self._answer(number, None if event.failure is None else _unseen(event.failure))
            if event.running is not None:
                self._answer(event.running, _unseen(event.failure))

    def _answer(self, number: int, found: PreviewReceipt | Unseen | None) -> None:
        answer = self._answers.get(number)
        if answer is not None and not answer.done():
            answer.set_result(found)

    def _drop(self) -> None:
        if self._pool is not None and self._worker is not None:
            self._pool.kill(self._worker, "timeout")
            self._worker = None

    def _end_idle(self) -> None:
        """End an idle worker: it holds memory, and perhaps an open file."""
        worker, self._worker = self._worker, None
        if self._pool is not None and worker is not None:
            with contextlib.suppress(KeyError):  # it is gone already
                self._pool.retire(worker)


def _unseen(failure: Failure | None) -> Unseen:
    if failure is None:
        return Unseen("the worker that read it ended")
    return Unseen(f"{failure.error_class}: {failure.message}", failure.hint)


def _processes(scratch: Path) -> Pool:
    from geobatch_tui.orchestration.workers.process_pool import ProcessPool

    return ProcessPool(scratch, write=())
