"""The pool of worker processes of one node: as on one machine, but tasks come as bytes that the
engine packed, and answers leave as bytes that the engine reads."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.workers import procfs
from geobatch_tui.orchestration.workers.process_pool import ProcessPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from geobatch_tui.execution.io.run_node import RunNode
    from geobatch_tui.orchestration.workers.process_pool import WorkerState

#: Seconds from SIGTERM to SIGKILL: a node whose engine is gone is to be empty soon.
KILL_AFTER = 2.0


class RelayPool(ProcessPool):
    """Worker processes for an engine elsewhere. Workers have the numbers that the engine gives.

    Args:
        scratch: directory for what workers write to fd 2, and for temporary files.
        on_answer: called with the number of a worker, the id of its task, and the packed outcome.
        node: this node.
        write: as for ProcessPool.
        ports: as for ProcessPool.
    """

    def __init__(
        self,
        scratch: Path,
        on_answer: Callable[[int, int, bytes], None],
        *,
        node: RunNode,
        write: Sequence[str] | None,
        ports: Sequence[int],
    ) -> None:
        super().__init__(scratch, kill_after=KILL_AFTER, write=write, ports=ports, node=node)
        self._on_answer = on_answer

    def start(self, number: int) -> None:
        """Start worker ``number``; ``WorkerUp`` or ``Lost`` follows."""
        self._count = number - 1
        self.spawn()

    def has(self, number: int) -> bool:
        return number in self._workers

    def cpu(self) -> float:
        """Return the CPU seconds that the workers have used so far."""
        processes = (worker.process for worker in self._workers.values())
        return sum(procfs.cpu_seconds(each.pid) for each in processes if each is not None)

    async def finish(self, seconds: float) -> None:
        """Let the workers do what they have, and end; no longer than so many seconds."""
        self._empty = asyncio.Event()
        for worker in list(self._workers.values()):
            self._retire(worker)
        if self._workers:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._empty.wait()

    def send(self, number: int, idents: Sequence[int], frame: bytes) -> bool:
        """Queue tasks that are packed as one frame; False: the worker is gone, or about to go."""
        worker = self._workers.get(number)
        if worker is None or worker.retiring:
            return False
        worker.queue.extend(idents)
        worker.pipe.send(frame)
        return True

    def _answered(self, worker: WorkerState, ident: int, body: bytes) -> None:
        # Whether a worker has grown too large is the engine's to see, which reads the outcome.
        self._on_answer(worker.number, ident, body)
