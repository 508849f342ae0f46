"""Worker processes behind the `Pool` protocol: one pipe, one sentinel and one page for each.

The engine gives the tasks out, so it always knows which worker has which. When one dies, its
pipe is read to the end first, as its answer may already be there; then the shared page names the
task that it worked on, which alone is to blame.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.io.run_node import RunNode
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.messages import Failure, Outcome
from geobatch_tui.execution.runtime import classify, evidence
from geobatch_tui.execution.runtime.sandbox import Sandbox, landlock
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.store_settings import OBJECTS
from geobatch_tui.execution.worker.process import (
    COMPILING,
    CONTROL,
    PAGE,
    RUNNING,
    STOP,
    WorkerProcess,
)
from geobatch_tui.orchestration.schedule.events import WorkerUp
from geobatch_tui.orchestration.workers import procfs
from geobatch_tui.orchestration.workers.deaths import death
from geobatch_tui.orchestration.workers.fork_server import Process, ask, start_fork_server
from geobatch_tui.orchestration.workers.pipe import Pipe
from geobatch_tui.orchestration.workers.pool import COMPILING_SECONDS, Answered, Lost, Roster
from geobatch_tui.orchestration.workers.shared_files import cut_flood, read_tail
from geobatch_tui.orchestration.workers.spare import Ends, take_spare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Task, WorkerCause
    from geobatch_tui.orchestration.workers.fork_server import Request

#: Growth of a worker over its baseline from which it is replaced, in bytes.
GROWTH: Final = 300 * 1024 * 1024
#: Seconds from SIGTERM to SIGKILL.
KILL_AFTER: Final = 5.0


@dataclass(slots=True, eq=False)
class WorkerState:
    """A worker process as its pool knows it."""

    number: int
    shared: mmap.mmap
    cells: memoryview
    error_path: Path
    pipe: Pipe = field(init=False)
    process: Process | None = None
    baseline: int = 0
    queue: deque[int] = field(default_factory=deque)
    retiring: bool = False
    held: list[int] = field(default_factory=list)
    cause: WorkerCause | None = None
    timer: asyncio.TimerHandle | None = None


class ProcessPool(Roster[WorkerState]):
    """Worker processes, started by a fork server.

    Args:
        err_dir: directory for the files that catch fd 2 of the workers, and for temporary files of
            GDAL; made if missing.
        growth: bytes over its baseline at which a worker is replaced after a task.
        kill_after: seconds that a worker has to end after SIGTERM.
        write: the only directories that workers may write to, beside that; None: any.
        ports: those that they may connect to, if they are confined. They have the settings of
            stores that hold where the pool is made.
        node: this machine, where a run has several.
    """

    def __init__(
        self,
        err_dir: Path,
        *,
        growth: int = GROWTH,
        kill_after: float = KILL_AFTER,
        write: Sequence[str] | None = None,
        ports: Sequence[int] = (),
        node: RunNode | None = None,
    ) -> None:
        super().__init__()
        self._node = node or RunNode()
        self._ports = tuple(ports)
        scratch = os.fspath(err_dir / OBJECTS)
        self._stores = replace(store_settings.current(), scratch=scratch)
        start_fork_server()
        self._err_dir = err_dir
        self._growth = growth
        self._kill_after = kill_after
        self._write = write
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._oom_kills = procfs.oom_kills()
        self._starts: SimpleQueue[tuple[WorkerState, Ends, Request | None] | None] = SimpleQueue()
        self._starter: threading.Thread | None = None
        self._flood_timer: asyncio.TimerHandle | None = None

    # --- the protocol ----------------------------------------------------------------------

    def spawn(self) -> int:
        self._count += 1
        number = self._count
        try:
            self._begin(number)
        except (OSError, RuntimeError) as error:
            failure = classify.failure(error, stage="start", out=os.fspath(self._err_dir / "out"))
            lost = Lost(number, None, (), "exit", failure)
            asyncio.get_running_loop().call_soon(self._callback, lost)
        return number

    def _begin(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        self._err_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._starter is None:
            starter = threading.Thread(
                target=self._start_all, args=(loop,), name="worker starter", daemon=True
            )
            starter.start()
            self._starter = starter
        ends, request = take_spare() or (Ends.made(), None)
        shared = mmap.mmap(ends.page, PAGE)
        path = self._err_dir / f"worker-{number}.err"
        worker = WorkerState(number, shared, memoryview(shared).cast("Q"), path)
        worker.pipe = Pipe(ends.ours, partial(self._message, worker), partial(self._torn, worker))
        self._workers[number] = worker
        if self._flood_timer is None:
            self._flood_timer = loop.call_later(1.0, self._watch_floods)
        self._starts.put((worker, ends, request))

    def submit(self, worker: int, task: Task) -> None:
        """Queue a task on a worker. One that is being replaced gives it back by its ``Lost``."""
        to = self._workers[worker]
        try:
            frame = wire.pack(task.task_id, task)
        except Exception as error:  # noqa: BLE001 - boundary: pickling foreign objects
            failure = classify.failure(error, stage="send")
            answer = Answered(worker, Outcome(task.task_id, None, failure, 0.0, 0, 0))
            # Later, as no answer may come within this call.
            asyncio.get_running_loop().call_soon(self._callback, answer)
            return
        if to.retiring:
            to.held.append(task.task_id)
            return
        to.queue.append(task.task_id)
        to.pipe.send(frame)

    def retire(self, worker: int) -> None:
        self._retire(self._workers[worker])

    def kill(self, worker: int, cause: WorkerCause) -> None:
        """End a worker and its children now: SIGTERM, then SIGKILL. ``Lost`` follows."""
        target = self._workers[worker]
        if target.cause is None:
            target.cause = cause
            self._end(target)

    def compiling(self) -> frozenset[int]:
        oldest = time.monotonic_ns() - int(COMPILING_SECONDS * 1e9)
        return frozenset(
            number
            for number, worker in self._workers.items()
            if worker.cells[COMPILING] > max(oldest, 0)
        )

    def rss(self) -> dict[int, int]:
        return {
            number: procfs.resident_of_tree(worker.process.pid)
            for number, worker in self._workers.items()
            if worker.process is not None
        }

    async def close(self, grace: float) -> None:
        self._empty = asyncio.Event()
        for worker in list(self._workers.values()):
            worker.cells[STOP] = 1
            self._retire(worker)
        if self._workers:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._empty.wait()
        for worker in list(self._workers.values()):
            worker.cause = worker.cause or "retired"
            self._end(worker)
        if self._workers:
            await self._empty.wait()
        if self._flood_timer is not None:
            self._flood_timer.cancel()
        self._starts.put(None)
        if self._temporary is not None:
            self._temporary.cleanup()

    # --- starting --------------------------------------------------------------------------

    def _start_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Body of the starter thread: a start waits for the fork server."""
        while (job := self._starts.get()) is not None:
            worker, ends, request = job
            outcome: Process | Exception
            try:
                body = WorkerProcess(
                    worker.number,
                    os.fspath(worker.error_path),
                    os.fspath(self._err_dir),
                    os.environ.get("GEOBATCH_OPS", ""),
                    self._sandbox(),
                    self._stores,
                    self._node,
                )
                outcome = (request or ask(ends.fds)).run(body)
            except Exception as error:  # noqa: BLE001 - boundary: told by Lost, on the loop
                outcome = error
            ends.hand_over()
            try:
                loop.call_soon_threadsafe(self._started, worker, outcome)
            except RuntimeError:  # the loop is closed: nobody wants this worker any more
                if isinstance(outcome, Process):
                    outcome.close()
                return

    def _sandbox(self) -> Sandbox | None:
        if self._write is None or not landlock():
            return None
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(
                prefix="geobatch-", ignore_cleanup_errors=True
            )
        own = (os.fspath(self._err_dir), self._temporary.name)
        return Sandbox((*self._write, *own), self._temporary.name, self._ports)

    def _started(self, worker: WorkerState, outcome: Process | Exception) -> None:
        if isinstance(outcome, Exception):
            failure = classify.failure(outcome, stage="start")
            self._forget(worker, Lost(worker.number, None, tuple(worker.queue), "exit", failure))
            return
        worker.process = outcome
        asyncio.get_running_loop().add_reader(outcome.sentinel, self._died, worker)
        worker.pipe.start()
        if worker.cause is not None:
            self._end(worker)

    # --- messages --------------------------------------------------------------------------

    def _torn(self, worker: WorkerState) -> None:
        """Kill the worker after a while: no more will come through its pipe."""
        if worker.timer is None:
            loop = asyncio.get_running_loop()
            worker.timer = loop.call_later(self._kill_after, self._signal, worker, signal.SIGKILL)

    def _message(self, worker: WorkerState, ident: int, body: bytes) -> None:
        if ident == CONTROL:
            message = _read(body)
            worker.baseline = message if isinstance(message, int) else 0
            pid = worker.process.pid if worker.process else 0
            self._callback(WorkerUp(worker.number, worker.baseline, pid=pid))
            return
        if not worker.queue or worker.queue[0] != ident:
            worker.pipe.tear(f"the worker answered task {ident}, which it does not have")
            return
        worker.queue.popleft()
        self._answered(worker, ident, body)

    def _answered(self, worker: WorkerState, ident: int, body: bytes) -> None:
        message = _read(body)
        outcome = message if isinstance(message, Outcome) else unreadable(ident, message)
        if outcome.rss - worker.baseline > self._growth and not worker.retiring:
            self._retire(worker)
        self._callback(Answered(worker.number, outcome))

    def _retire(self, worker: WorkerState) -> None:
        if not worker.retiring:
            worker.retiring = True
            worker.pipe.send(wire.pack(CONTROL, None))

    # --- ending ----------------------------------------------------------------------------

    def _end(self, worker: WorkerState) -> None:
        """SIGTERM now, SIGKILL later. A worker that has no pid yet gets it when it has."""
        if worker.process is None:
            return
        self._signal(worker, signal.SIGTERM)
        # A stopped process takes SIGTERM only when it goes on.
        self._signal(worker, signal.SIGCONT)
        if worker.timer is not None:
            worker.timer.cancel()
        loop = asyncio.get_running_loop()
        worker.timer = loop.call_later(self._kill_after, self._signal, worker, signal.SIGKILL)

    def _signal(self, worker: WorkerState, number: signal.Signals) -> None:
        """Send a signal to the worker's process group; only to it while it has no group yet."""
        if worker.process is None:
            return
        try:
            os.killpg(worker.process.pid, number)
        except (ProcessLookupError, PermissionError):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, number)

    def _died(self, worker: WorkerState) -> None:
        process = worker.process
        if process is None:
            return
        exitcode = process.exitcode()
        # Its children die with it; and it does, if it was the fork server that died.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        worker.pipe.drain()
        kills = procfs.oom_kills()
        running = worker.cells[RUNNING] - 1
        blamed = running if running in worker.queue else None
        queued = tuple(ident for ident in worker.queue if ident != blamed) + tuple(worker.held)
        cause, failure = death(
            exitcode,
            asked=worker.cause,
            retiring=worker.retiring and blamed is None,
            oom=kills > self._oom_kills,
            said=read_tail(worker.error_path),
            torn=worker.pipe.why,
        )
        self._oom_kills = kills
        self._forget(worker, Lost(worker.number, blamed, queued, cause, failure))

    def _forget(self, worker: WorkerState, lost: Lost) -> None:
        if worker.timer is not None:
            worker.timer.cancel()
        worker.pipe.close()
        worker.cells.release()
        worker.shared.close()
        if worker.process is not None:
            asyncio.get_running_loop().remove_reader(worker.process.sentinel)
            worker.process.close()
        with contextlib.suppress(OSError):
            worker.error_path.unlink()
        self._strike_off(lost)

    def _watch_floods(self) -> None:
        """Cut files that a task floods; here, as the task may hold the worker's GIL."""
        for worker in self._workers.values():
            with contextlib.suppress(OSError):
                cut_flood(worker.error_path)
        loop = asyncio.get_running_loop()
        self._flood_timer = loop.call_later(1.0, self._watch_floods)


def _read(body: bytes) -> object:
    try:
        return wire.unpack(body)
    except Exception as error:  # noqa: BLE001 - boundary: a worker's bytes may be anything
        return error


def unreadable(ident: int, message: object) -> Outcome:
    """Return the outcome of a task whose answer, or the error of reading it, is ``message``."""
    if isinstance(message, Exception):
        text = f"the operation's receipt is not plain data: {evidence.message_of(message)}"
    else:
        text = f"the worker answered with a {type(message).__name__}"
    failure = Failure(OperationError.__name__, OperationError.reaction, text, stage="answer")
    return Outcome(ident, None, failure, 0.0, 0, 0)
