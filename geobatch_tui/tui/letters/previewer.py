"""Windows of sources and results of steps, made by a worker process of the console's own.

What kills or blocks a worker of the run may well kill or block this one, and nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.execution.protocol.messages import Outcome
from geobatch_tui.execution.protocol.preview_messages import FeaturesReceipt, PreviewReceipt
from geobatch_tui.orchestration.workers.lone_worker import LoneWorker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Receipt, ResultTask, Task
    from geobatch_tui.execution.protocol.preview_messages import PreviewTask
    from geobatch_tui.orchestration.workers.pool import Pool

SECONDS: Final = 20.0
"""That a preview may take, the start of its worker included."""

IDLE_SECONDS: Final = 60.0
_LATE: Final = (
    "the window could not be read",
    "the source may lie on a slow or a hung filesystem",
)
_ENDED: Final = "the worker that read it ended"

type Seen = PreviewReceipt | FeaturesReceipt
"""What there is to see: a picture, or features."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """The reason why there is no picture, and what to do about it."""

    reason: str
    hint: str = ""


class Previewer:
    """A worker process, started when a preview is asked for and ended when it idles.

    All methods are called on one event loop.

    Args:
        make_pool: makes the pool, given a directory for its files; by default worker processes.
        seconds: limit for one preview.
        idle: seconds after which the worker is let go.
        late: what is said, and advised, of a task that took longer than the limit.
    """

    def __init__(
        self,
        make_pool: Callable[[Path], Pool] | None = None,
        *,
        seconds: float = SECONDS,
        idle: float = IDLE_SECONDS,
        late: tuple[str, str] = _LATE,
    ) -> None:
        self._worker = LoneWorker(make_pool or _processes, seconds)
        self._seconds = seconds
        self._what, self._hint = late
        self._idle = idle
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    async def look(self, task: PreviewTask | ResultTask) -> Seen | Unseen:
        """Make a picture, or find the features behind a step. A caller that is cancelled gives up
        its turn."""
        receipt = await self.receipt(task)
        if isinstance(receipt, PreviewReceipt | FeaturesReceipt | Unseen):
            return receipt
        return Unseen(_ENDED)

    async def receipt(self, task: Task) -> Receipt | Unseen:
        """Have a task done, as :meth:`look`; return what it gives, or why there is nothing."""
        async with self._turn:
            if self._timer is not None:
                self._timer.cancel()
            try:
                answer = await self._worker.ask(task)
            except TimeoutError:
                return Unseen(f"{self._what} within {self._seconds:.0f} s", self._hint)
            finally:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(self._idle, self._worker.let_go)
        receipt = answer.receipt if isinstance(answer, Outcome) else None
        if receipt is not None:
            return receipt
        failure = answer.failure
        if failure is None:
            return Unseen(_ENDED)
        return Unseen(f"{failure.error_class}: {failure.message}", failure.hint)

    async def close(self) -> None:
        """End the worker and remove its files."""
        if self._timer is not None:
            self._timer.cancel()
        await self._worker.close()


def _processes(scratch: Path) -> Pool:
    from geobatch_tui.orchestration.workers.process_pool import ProcessPool

    return ProcessPool(scratch, write=())
