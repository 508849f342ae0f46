"""Has published files read back by a worker, for facts that the ledger lacks."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final, Self

from geobatch_tui.execution.protocol.looking import InspectReceipt, InspectTask
from geobatch_tui.execution.protocol.messages import Outcome
from geobatch_tui.orchestration.workers.lone_worker import LoneWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.orchestration.workers.pool import Pool

SECONDS: Final = 600.0
"""Time limit for a file."""


class Inspector:
    """A worker that is started for the first file. Use it in a ``with`` block.

    Its pool lives on a loop in a thread of its own, so it can be asked from anywhere.

    Args:
        make_pool: makes the pool, given a directory for its files; by default worker processes.
    """

    def __init__(self, make_pool: Callable[[Path], Pool] | None = None) -> None:
        self._worker = LoneWorker(make_pool or _processes, SECONDS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loop is None or self._thread is None:
            return
        self._run(self._worker.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def facts(self, op: str, path: str) -> Json:
        """Read the facts of a file: none if it cannot be read, or its worker died."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="inspector")
            self._thread.start()
        try:
            answer = self._run(self._worker.ask(InspectTask(0, op, path)))
        except TimeoutError:
            return {}
        receipt = answer.receipt if isinstance(answer, Outcome) else None
        return receipt.facts if isinstance(receipt, InspectReceipt) else {}

    def _run[T](self, work: Coroutine[object, object, T]) -> T:
        assert self._loop is not None  # noqa: S101 - both callers have made it
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _processes(scratch: Path) -> Pool:
    from geobatch_tui.orchestration.workers.process_pool import ProcessPool

    return ProcessPool(scratch)
