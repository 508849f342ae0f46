"""Workers that are threads of this process, behind the `Pool` protocol.

For `executor = "thread"`: no process to start, and a debugger sees everything. Limits of threads:
a crash of GDAL ends the engine, too; ``kill`` abandons a thread, which goes on until its call
returns; text on fd 2 goes to the process's fd 2; memory is that of the whole process.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

from geobatch_tui.execution.runtime import classify, environment
from geobatch_tui.execution.runtime.meter import ThreadMeter, resident
from geobatch_tui.execution.runtime.recorder import Recorder
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.worker.tasks import enter_gdal, foresee, is_remote, leave, run_task
from geobatch_tui.orchestration.schedule.events import WorkerUp
from geobatch_tui.orchestration.workers.deaths import death
from geobatch_tui.orchestration.workers.pool import COMPILING_SECONDS, Answered, Lost, Roster

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Failure, Outcome, Task, WorkerCause

#: GDAL is loaded and called once by one thread before a second one may touch it.
_warming = threading.Lock()
_warm = False


def _warm_up() -> None:
    global _warm  # noqa: PLW0603 - the state of the process: GDAL is loaded once
    with _warming:
        if not _warm:
            environment.complete()
            from geobatch_tui.execution.worker import warmup

            warmup.warm_up_raster()
            _warm = True


@dataclass(slots=True, eq=False)
class _Worker:
    number: int
    tasks: SimpleQueue[Task | None] = field(default_factory=SimpleQueue)
    waiting: deque[Task] = field(default_factory=deque)
    queue: deque[int] = field(default_factory=deque)
    running: int | None = None
    compiling: float = 0.0
    stop: bool = False

    def note_compiling(self, now: bool) -> None:  # noqa: FBT001 - a switch
        self.compiling = time.monotonic() if now else 0.0


class ThreadPool(Roster[_Worker]):
    """Worker threads. They are daemons: one that hangs does not keep the process from ending."""

    def __init__(self) -> None:
        super().__init__()
        self._stores = store_settings.current()

    def spawn(self) -> int:
        self._count += 1
        worker = _Worker(self._count)
        self._workers[worker.number] = worker
        loop = asyncio.get_running_loop()
        thread = threading.Thread(
            target=self._run, args=(worker, loop), name=f"worker {worker.number}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            loop.call_soon(self._lose, worker, "exit", classify.failure(error, stage="start"))
        return worker.number

    def submit(self, worker: int, task: Task) -> None:
        to = self._workers[worker]
        to.queue.append(task.task_id)
        to.waiting.append(task)
        to.tasks.put(task)

    def retire(self, worker: int) -> None:
        self._workers[worker].tasks.put(None)

    def kill(self, worker: int, cause: WorkerCause) -> None:
        """Abandon a thread: ``Lost`` follows, while its call may still run to its end."""
        target = self._workers[worker]
        target.stop = True
        target.tasks.put(None)
        asyncio.get_running_loop().call_soon(self._abandon, target, cause)

    def compiling(self) -> frozenset[int]:
        """Return threads that compile machine code, or wait for one that does."""
        oldest = time.monotonic() - COMPILING_SECONDS
        return frozenset(
            number for number, each in self._workers.items() if each.compiling > max(oldest, 0.0)
        )

    def rss(self) -> dict[int, int]:
        """Return 0 for each thread: its memory is part of this process's."""
        return dict.fromkeys(self._workers, 0)

    async def close(self, grace: float) -> None:
        self._empty = asyncio.Event()
        for worker in list(self._workers.values()):
            worker.stop = True
            worker.tasks.put(None)
        try:
            async with asyncio.timeout(grace):
                if self._workers:
                    await self._empty.wait()
        except TimeoutError:
            for worker in list(self._workers.values()):
                self._abandon(worker, "retired")

    def _run(self, worker: _Worker, loop: asyncio.AbstractEventLoop) -> None:
        """Body of a worker thread."""

        def tell(call: Callable[..., None], *args: object) -> None:
            try:
                loop.call_soon_threadsafe(call, *args)
            except RuntimeError:  # the loop is closed: nobody listens any more
                worker.stop = True

        try:
            store_settings.use(self._stores)
            _warm_up()
            enter_gdal()
            recorder, meter = Recorder(worker.note_compiling), ThreadMeter()
        except Exception as error:  # noqa: BLE001 - boundary: told by Lost, on the loop
            tell(self._lose, worker, "exit", classify.failure(error, stage="start"))
            return
        tell(self._ready, worker, resident())
        with contextlib.closing(meter), contextlib.ExitStack() as stack:
            stack.callback(leave)
            while (task := worker.tasks.get()) is not None and not worker.stop:
                worker.running = task.task_id
                worker.waiting.popleft()
                if is_remote(task):
                    foresee(tuple(worker.waiting))
                outcome = run_task(task, recorder, meter, None)
                worker.running = None
                tell(self._answered, worker, outcome)
                del task, outcome
        tell(self._lose, worker, "retired", None)

    def _ready(self, worker: _Worker, rss: int) -> None:
        if worker.number in self._workers:
            self._callback(WorkerUp(worker.number, rss, pid=threading.get_native_id()))

    def _answered(self, worker: _Worker, outcome: Outcome) -> None:
        if worker.number in self._workers:
            worker.queue.popleft()
            self._callback(Answered(worker.number, outcome))

    def _abandon(self, worker: _Worker, cause: WorkerCause) -> None:
        _, failure = death(None, asked=cause, retiring=False, oom=False, said="")
        self._lose(worker, cause, failure)

    def _lose(self, worker: _Worker, cause: WorkerCause, failure: Failure | None) -> None:
        if worker.number not in self._workers:
            return
        running = worker.running if worker.running in worker.queue else None
        queued = tuple(ident for ident in worker.queue if ident != running)
        self._strike_off(Lost(worker.number, running, queued, cause, failure))
