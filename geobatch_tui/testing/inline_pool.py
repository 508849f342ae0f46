"""A pool without processes: a function answers each task on the loop's next turn."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule.events import WorkerUp
from geobatch_tui.orchestration.workers.pool import Answered, Lost, PoolEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Outcome, Task, WorkerCause

    Answer = Callable[[Task], Outcome | None]


class InlinePool:
    """Answers tasks by ``answer``; None means that the task never ends, until its worker is
    killed. Satisfies :class:`geobatch_tui.orchestration.workers.pool.Pool`."""

    def __init__(self, answer: Answer) -> None:
        self.seen: list[Task] = []
        self._answer = answer
        self._queues: dict[int, deque[Task]] = {}
        self._next = 0
        self._tell: Callable[[PoolEvent], None] = lambda _: None

    def listen(self, callback: Callable[[PoolEvent], None]) -> None:
        self._tell = callback

    def spawn(self) -> int:
        self._next += 1
        worker = self._next
        self._queues[worker] = deque()
        ready = WorkerUp(worker, 1, pid=1000 + worker)
        asyncio.get_running_loop().call_soon(self._tell_all, ready)
        return worker

    def submit(self, worker: int, task: Task) -> None:
        self.seen.append(task)
        queue = self._queues[worker]
        queue.append(task)
        if len(queue) == 1:
            asyncio.get_running_loop().call_soon(self._work, worker)

    def retire(self, worker: int) -> None:
        asyncio.get_running_loop().call_soon(self._lose, worker, "retired")

    def kill(self, worker: int, cause: WorkerCause) -> None:
        asyncio.get_running_loop().call_soon(self._lose, worker, cause)

    def compiling(self) -> frozenset[int]:
        return frozenset()

    def rss(self) -> dict[int, int]:
        return dict.fromkeys(self._queues, 1)

    async def close(self, grace: float) -> None:
        del grace
        self._queues.clear()

    def _tell_all(self, event: PoolEvent) -> None:
        self._tell(event)

    def _work(self, worker: int) -> None:
        queue = self._queues.get(worker)
        if not queue:
            return
        outcome = self._answer(queue[0])
        if outcome is None:
            return
        queue.popleft()
        if queue:
            asyncio.get_running_loop().call_soon(self._work, worker)
        self._tell(Answered(worker, outcome))

    def _lose(self, worker: int, cause: WorkerCause) -> None:
        queue = self._queues.pop(worker, None)
        if queue is None:
            return
        ids = [task.task_id for task in queue]
        self._tell(Lost(worker, ids[0] if ids else None, tuple(ids[1:]), cause, None))
