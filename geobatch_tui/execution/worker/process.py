"""Runs a worker process: takes tasks from its pipe, runs them, answers with outcomes.

It has a process group of its own, fd 2 in a file, and ends with its engine.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import mmap
import os
import resource
import signal
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.forkserver import get_inherited_fds
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.io import syncing
from geobatch_tui.execution.io.run_node import RunNode, enter_node
from geobatch_tui.execution.native.code_cache import cache_directory
from geobatch_tui.execution.ops import registry
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.looking import InspectTask
from geobatch_tui.execution.protocol.messages import Failure, Outcome, Task
from geobatch_tui.execution.runtime import classify
from geobatch_tui.execution.runtime.meter import Meter, resident
from geobatch_tui.execution.runtime.recorder import ErrorFile, Recorder
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.store_settings import Stores
from geobatch_tui.execution.worker.answers import Answers
from geobatch_tui.execution.worker.tasks import (
    MOST_FORESEEN,
    enter_gdal,
    foresee,
    is_remote,
    needs_gdal,
    run_task,
)

if TYPE_CHECKING:
    from geobatch_tui.execution.runtime.sandbox import Sandbox

#: In the place of a task id: "ready" from a worker, "that is all" to one; several tasks at once.
CONTROL, TASKS = (1 << 64) - 1, (1 << 64) - 2
#: Cells of the shared page: one more than the id of the task that the worker works on, or 0; and
#: whether it shall stop before its next task; since when it compiles machine code, by the clock of
#: time.monotonic_ns, or 0.
RUNNING, STOP, COMPILING = 0, 1, 2
PAGE = mmap.PAGESIZE
#: Exit codes: the system refused a thread; any other error that no task is to blame for.
LIMITED, BROKEN = 75, 70
#: Seconds without a task after which a worker gives back memory that it kept for it.
IDLE = 0.2


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """The worker that the fork server runs in a new process.

    The fork server unpickles it there and calls ``_bootstrap``, as it does with a Process of
    multiprocessing. A Process is not used itself: it imports the ``__main__`` of the engine in
    every worker, is joined at the engine's exit, and is polled by every start of another one.

    Attributes:
        number: of the worker.
        error_path: file for fd 1 and 2.
        scratch: directory for GDAL's temporary files.
        ops: the engine's GEOBATCH_OPS, which may have changed since the fork server started.
        sandbox: its limits; None: those of its user.
        stores: settings of the stores that it reads.
        node: the node that it works for, where a run has several.
    """

    number: int
    error_path: str
    scratch: str
    ops: str
    sandbox: Sandbox | None = None
    stores: Stores = field(default_factory=Stores, repr=False)
    node: RunNode = field(default_factory=RunNode)

    def _bootstrap(self, parent_sentinel: int) -> int:
        pipe, page = get_inherited_fds() or (-1, -1)
        code = BROKEN
        errors = None
        try:
            os.umask(os.umask(0o077))
            errors = ErrorFile(Path(self.error_path))
            errors.take_over()
            _isolate()
            self._settle()
            if self.sandbox is not None:
                # Before there is another thread, which would stay free.
                cache = cache_directory()
                self.sandbox.apply(*([str(cache)] if cache else []))
            _die_with(parent_sentinel)
            code = _Loop(socket.socket(fileno=pipe), page, errors).run()
        except BaseException as error:  # noqa: BLE001 - boundary: the last of this process
            if classify.no_thread(error):
                code = LIMITED
            if errors is not None:
                import traceback

                traceback.print_exc()
        # No handlers at exit: GDAL's may hang, and all that matters is on disk or in the pipe.
        os._exit(code)

    def _settle(self) -> None:
        # Under the fork server this was imported already; nothing happens then.
        from geobatch_tui.execution.worker import preload  # noqa: F401

        store_settings.use(self.stores)
        enter_node(self.node)
        os.environ["CPL_TMPDIR"] = self.scratch
        os.environ["GDAL_PAM_PROXY_DIR"] = self.scratch
        if os.environ.get("GEOBATCH_OPS", "") != self.ops:
            os.environ["GEOBATCH_OPS"] = self.ops
            registry._entries.cache_clear()  # noqa: SLF001 - the same package, for tests


def _isolate() -> None:
    """Leave the engine's process group and its signals; write a stack to fd 2 on a crash."""
    with contextlib.suppress(PermissionError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    # A file that reaches RLIMIT_FSIZE then gives EFBIG instead of a dead worker.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    faulthandler.enable(file=2, all_threads=True)


def _die_with(parent_sentinel: int) -> None:
    """End this process group when the engine dies, however it dies.

    The kernel does it: the end of the engine closes the pipe behind the sentinel, which raises a
    signal of our choice. That works while C code holds the GIL and while the process is stopped,
    where a thread cannot run. The thread is for systems that lack F_SETSIG.
    """
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(parent_sentinel, fcntl.F_SETOWN, -os.getpid())
        fcntl.fcntl(parent_sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(parent_sentinel, fcntl.F_GETFL)
        fcntl.fcntl(parent_sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)

    def guard() -> None:
        wait([parent_sentinel])
        os.killpg(0, signal.SIGKILL)

    # Started after the signal is armed: an engine that died before is seen here.
    threading.Thread(target=guard, name="parent guard", daemon=True).start()


class _Loop:
    """Tasks in, outcomes out, in order, until the engine says that it is enough."""

    def __init__(self, pipe: socket.socket, page: int, errors: ErrorFile) -> None:
        self._pipe = pipe
        self._shared = mmap.mmap(page, PAGE)
        os.close(page)
        self._cells = memoryview(self._shared).cast("Q")
        self._errors = errors
        self._frames = wire.Frames()
        self._waiting: deque[tuple[int, bytes]] = deque()
        #: Waiting tasks that were unpacked before their turn.
        self._unpacked: dict[int, Task] = {}
        self._answers = Answers(pipe)
        self._listens = False
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._spoilt = False

    def run(self) -> int:
        recorder, meter = Recorder(self._compiling, alone=True), Meter()
        self._pipe.setblocking(True)
        self._pipe.sendall(wire.pack(CONTROL, resident()))
        while True:
            frame = self._next(meter)
            if frame is None or self._cells[STOP]:
                self._answers.close()
                return 0
            ident, body = frame
            self._cells[RUNNING] = ident + 1
            self._work(ident, body, recorder, meter)
            self._cells[RUNNING] = 0
            if self._spoilt:
                self._answers.close()
                return 0

    def _compiling(self, now: bool) -> None:  # noqa: FBT001 - a switch
        self._cells[COMPILING] = time.monotonic_ns() if now else 0

    def _work(self, ident: int, body: bytes, recorder: Recorder, meter: Meter) -> None:
        try:
            task: Task = self._unpacked.pop(ident, None) or wire.unpack(body)
        except Exception as error:  # noqa: BLE001 - boundary: what cannot be read is answered
            failure = classify.failure(error, stage="receive")
            rss = meter.baseline
            unread = InspectTask(ident, "", "")
            self._answers.put(unread, Outcome(ident, None, failure, 0.0, rss, rss), [])
            return
        if not self._listens and needs_gdal(task):
            self._listens = True
            enter_gdal()
        if is_remote(task):
            self._look_ahead()
        with syncing.collected() as syncs:
            outcome = run_task(task, recorder, meter, self._errors)
            if resource.getrlimit(resource.RLIMIT_NOFILE) != self._files:
                outcome = self._refuse(outcome)
        self._answers.put(task, outcome, syncs)

    def _look_ahead(self) -> None:
        """Begin to fetch what tasks that wait will read of stores."""
        with contextlib.suppress(BlockingIOError):
            while data := self._pipe.recv(1 << 18, socket.MSG_DONTWAIT):
                self._arrived(data)
        fresh: list[Task] = []
        for ident, body in islice(self._waiting, MOST_FORESEEN):
            if ident not in self._unpacked and ident != CONTROL:
                # What cannot be read is answered in its turn.
                with contextlib.suppress(Exception):
                    self._unpacked[ident] = wire.unpack(body)
                    fresh.append(self._unpacked[ident])
        foresee(fresh)

    def _refuse(self, outcome: Outcome) -> Outcome:
        """Fail a task that changed the limit of open files, by which later tasks live; end this
        worker if it cannot be put back."""
        now = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._files)
        except (ValueError, OSError):
            self._spoilt = True
        failure = Failure(
            OperationError.__name__,
            OperationError.reaction,
            f"the operation changed the limit of open files from {self._files[0]} to {now[0]}",
            evidence=outcome.failure.evidence if outcome.failure else outcome.evidence,
        )
        return outcome.failed(failure)

    def _next(self, meter: Meter) -> tuple[int, bytes] | None:
        """Return the next frame; None at the end of the pipe, or if the engine says so."""
        while not self._waiting:
            if meter.swollen and not wait([self._pipe], IDLE):
                meter.rest()
            data = self._pipe.recv(1 << 18)
            if not data:
                return None
            self._arrived(data)
        ident, body = self._waiting.popleft()
        return None if ident == CONTROL else (ident, body)

    def _arrived(self, data: bytes) -> None:
        """Queue the frames that are whole now; of one with several tasks, each."""
        for ident, body in self._frames.feed(data):
            if ident != TASKS:
                self._waiting.append((ident, body))
                continue
            for task in wire.unpack(body):
                self._unpacked[task.task_id] = task
                self._waiting.append((task.task_id, b""))
