"""A worker: takes tasks from its pipe, runs them through operations, answers with outcomes.

The core, :func:`run_task`, is shared with the thread pool. The rest is the life of a worker
process: a process group of its own, fd 2 in a file, an end with its engine.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import mmap
import os
import signal
import socket
import sys
import threading
from collections import deque
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.forkserver import get_inherited_fds
from pathlib import Path
from queue import SimpleQueue
from time import thread_time
from typing import Any, Protocol

from geobatch_tui.errors import MemoryBudgetError, OperationError
from geobatch_tui.execution import classify, evidence, syncing, wire
from geobatch_tui.execution.messages import (
    ChunkReceipt,
    ChunkTask,
    Failure,
    FinaliseTask,
    InspectTask,
    Outcome,
    PreviewTask,
    ProbeTask,
    Receipt,
    Task,
)
from geobatch_tui.execution.meter import Meter, resident
from geobatch_tui.execution.ops import registry
from geobatch_tui.execution.recorder import ErrorFile, Recorder, is_flooded, listen_to_gdal

#: In the place of a task id: "ready" from a worker, "that is all" to one.
CONTROL = (1 << 64) - 1
#: Cells of the shared page: one more than the id of the task that the worker works on, or 0; and
#: whether it shall stop before its next task.
RUNNING, STOP = 0, 1
PAGE = mmap.PAGESIZE
#: Seconds without a task after which a worker gives back memory that it kept for it.
IDLE = 0.2


class Measure(Protocol):
    """Measures one task at a time."""

    def begin(self) -> None: ...

    def end(self) -> tuple[float, float, int, int]: ...


def run_task(task: Task, recorder: Recorder, meter: Measure, fd2: ErrorFile | None) -> Outcome:
    """Run one task to its outcome. Raises nothing, whatever the operation does.

    Args:
        task: what to do.
        recorder: of this thread.
        meter: of this process or thread.
        fd2: where fd 2 of this process leads, if it is this worker's alone.
    """
    recorder.begin()
    meter.begin()
    receipt: Receipt | None = None
    failure: Failure | None = None
    try:
        receipt = _call(task, recorder)
    except BaseException as error:  # noqa: BLE001 - boundary: foreign code raises anything
        failure = _failure(error, task, recorder)
    said = fd2.take() if fd2 is not None else b""
    facts: dict[str, Any] = {}
    if said or recorder.messages:
        facts = _facts(said, recorder)
        failure = _weigh(failure, _doubt(task, recorder, said))
        if failure is not None:
            merged = {**facts, **failure.evidence}
            failure, receipt, facts = replace(failure, evidence=merged), None, {}
    if recorder.seconds and isinstance(receipt, ChunkReceipt) and not receipt.seconds:
        receipt = replace(receipt, seconds=recorder.seconds)
    seconds, cpu, rss, peak = meter.end()
    return Outcome(task.task_id, receipt, failure, seconds, cpu, rss, peak, facts)


def _call(task: Task, recorder: Recorder) -> Receipt:
    if isinstance(task, ChunkTask):
        return registry.get_operation(task.item.op).run(task, recorder.stage)
    if isinstance(task, FinaliseTask):
        return registry.get_operation(task.item.op).finalise(task, recorder.stage)
    if isinstance(task, ProbeTask):
        return registry.get_operation(task.op).probe(task, recorder.stage)
    if isinstance(task, PreviewTask):
        from geobatch_tui.execution.raster.preview import preview

        return preview(task, recorder.stage)
    return registry.get_operation(task.op).inspect(task, recorder.stage)


def _places(task: Task) -> tuple[str, str]:
    """What the task reads, and where its output goes."""
    if isinstance(task, ChunkTask | FinaliseTask):
        return task.item.source, task.item.out_path
    if isinstance(task, ProbeTask | PreviewTask):
        return task.source, ""
    return task.path, ""


def _failure(error: BaseException, task: Task, recorder: Recorder) -> Failure:
    source, out = _places(task)
    stage = recorder.current_stage
    try:
        return classify.failure(error, stage=stage, source=source, out=out)
    except Exception as second:  # noqa: BLE001 - boundary: short of memory, even this may fail
        text = f"{type(error).__name__}, and {type(second).__name__} while it was recorded"
        short = isinstance(error, MemoryError) or isinstance(second, MemoryError)
        kind = MemoryBudgetError if short else OperationError
        return Failure(kind.__name__, kind.reaction, text, stage=stage)


def _facts(said: bytes, recorder: Recorder) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if said:
        facts["stderr"] = evidence.tail(said)
    if recorder.messages:
        facts["gdal"] = [evidence.cut(message.text, 2000) for message in recorder.messages]
    return facts


def _doubt(task: Task, recorder: Recorder, said: bytes) -> Failure | None:
    """Whether a task that raised nothing failed all the same."""
    if is_flooded(said):
        text = f"it wrote more than {evidence.FLOOD >> 20} MiB to fd 2, more than can be judged"
        return Failure(OperationError.__name__, OperationError.reaction, text)
    source, _ = _places(task)
    reading_back = isinstance(task, FinaliseTask | InspectTask)
    line = evidence.damage(said) or ""
    return classify.complaint(line, recorder.messages, source=source, reading_back=reading_back)


#: Failures that a full disk causes, and others too: what was said on the way decides.
_VAGUE = {"OperationError", "CorruptSourceError", "VerifyError"}
_PLAIN = {"DiskFullError", "OpenFilesError", "MemoryBudgetError"}


def _weigh(raised: Failure | None, doubt: Failure | None) -> Failure | None:
    """The failure to report: what was raised, unless what was said on the way tells more."""
    if raised is None or doubt is None:
        return raised or doubt
    cause = doubt.error_class
    tells_more = cause in _PLAIN or raised.error_class == "OperationError"
    if raised.error_class in _VAGUE and tells_more and cause != "OperationError":
        message = f"{raised.message} ({doubt.message})"
        return replace(
            raised,
            error_class=cause,
            reaction=doubt.reaction,
            message=message,
            hint=doubt.hint,
        )
    return raised


def answer(outcome: Outcome) -> bytes:
    """The frame of an outcome; of a failure, if the operation's receipt is not plain data."""
    try:
        return wire.pack(outcome.task_id, outcome)
    except Exception as error:  # noqa: BLE001 - boundary: pickling foreign objects raises anything
        failure = classify.failure(error, stage="answer")
        message = f"the operation's receipt cannot be sent: {failure.message}"
        kind = OperationError
        plain = replace(
            failure, error_class=kind.__name__, reaction=kind.reaction, message=message, evidence={}
        )
        return wire.pack(
            outcome.task_id, replace(outcome, receipt=None, failure=plain, evidence={})
        )


def needs_gdal(task: Task) -> bool:
    """Whether a task may call rasterio's GDAL, which takes long to load. Operations of features
    do not: pyogrio has a GDAL of its own."""
    if "rasterio" in sys.modules or isinstance(task, PreviewTask):
        return True
    name = task.item.op if isinstance(task, ChunkTask | FinaliseTask) else task.op
    return not name.startswith("vector.")


def enter_gdal() -> None:
    """Send GDAL's errors of this thread to its recorder and not to fd 2, from here on.

    Entered in the main thread, rasterio's Env holds for the process; in another thread, for that
    one. It is never left: the settings of a worker last as long as it.
    """
    import rasterio

    listen_to_gdal()
    rasterio.Env().__enter__()


class ThreadMeter:
    """Measures a task of one thread; memory is that of the process, and has no peak of its own."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._cpu = 0.0

    def begin(self) -> None:
        """Start measuring a task."""
        self._cpu = thread_time()
        self._meter.begin()

    def end(self) -> tuple[float, float, int, int]:
        """As `Meter.end`, with the CPU time of this thread alone."""
        seconds, _, rss, _ = self._meter.end()
        return seconds, thread_time() - self._cpu, rss, rss


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """What the fork server runs in a new process.

    The fork server unpickles it there and calls ``_bootstrap``, as it does with a Process of
    multiprocessing. A Process is not used itself: it imports the ``__main__`` of the engine in
    every worker, is joined at the engine's exit, and is polled by every start of another one.

    Attributes:
        number: of the worker.
        error_path: file for fd 1 and 2.
        scratch: directory for GDAL's temporary files.
        ops: the engine's GEOBATCH_OPS, which may have changed since the fork server started.
    """

    number: int
    error_path: str
    scratch: str
    ops: str

    def _bootstrap(self, parent_sentinel: int) -> int:
        pipe, page = get_inherited_fds() or (-1, -1)
        code = 70
        errors = None
        try:
            os.umask(os.umask(0o077))
            errors = ErrorFile(Path(self.error_path))
            errors.take_over()
            _isolate()
            _die_with(parent_sentinel)
            self._settle()
            code = _Loop(socket.socket(fileno=pipe), page, errors).run()
        except BaseException:  # noqa: BLE001 - boundary: the last of this process
            if errors is not None:
                import traceback

                traceback.print_exc()
        # No handlers at exit: GDAL's may hang, and all that matters is on disk or in the pipe.
        os._exit(code)

    def _settle(self) -> None:
        # Under the fork server this was imported already; nothing happens then.
        from geobatch_tui.execution import preload  # noqa: F401

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


#: Answers that may wait for the disk before the next task does.
AHEAD = 8


class Answers:
    """Sends outcomes in the order of their tasks, each once all that its task wrote is on disk.

    Syncs are waited for in a thread, which then sends. A worker that dies meanwhile did not
    answer: the task goes to another, and is blamed for nothing.
    """

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._queue: SimpleQueue[tuple[Task, Outcome, bytes, list[syncing.Sync]] | None]
        self._queue = SimpleQueue()
        self._room = threading.Semaphore(AHEAD)
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, task: Task, outcome: Outcome, syncs: list[syncing.Sync]) -> None:
        """Answer for ``task``; may wait until there is room. Raises OSError if nobody listens."""
        frame = answer(outcome)
        if outcome.failure is not None:
            for sync in syncs:
                sync.drop()
            syncs = []
        if not syncs and not self._waiting:
            self._pipe.sendall(frame)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name="answers", daemon=True)
            self._thread.start()
        self._room.acquire()
        with self._lock:
            self._waiting += 1
        self._queue.put((task, outcome, frame, syncs))

    def close(self) -> None:
        """Wait until everything is sent."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _main(self) -> None:
        try:
            while (entry := self._queue.get()) is not None:
                self._pipe.sendall(_synced(*entry))
                with self._lock:
                    self._waiting -= 1
                self._room.release()
        except BaseException:  # noqa: BLE001 - boundary: without its answers a worker is of no use
            import traceback

            traceback.print_exc()
            os._exit(70)


def _synced(task: Task, outcome: Outcome, frame: bytes, syncs: list[syncing.Sync]) -> bytes:
    """The frame to send once the syncs are done: of a failure, if one of them fails."""
    for number, sync in enumerate(syncs):
        try:
            sync.finish()
        except Exception as error:  # noqa: BLE001 - boundary: a failure is an answer
            for other in syncs[number + 1 :]:
                other.drop()
            source, out = _places(task)
            failure = classify.failure(error, stage="write", source=source, out=out)
            return answer(replace(outcome, receipt=None, failure=failure, evidence={}))
    return frame


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
        self._answers = Answers(pipe)
        self._listens = False

    def run(self) -> int:
        recorder, meter = Recorder(), Meter()
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

    def _work(self, ident: int, body: bytes, recorder: Recorder, meter: Meter) -> None:
        try:
            task: Task = wire.unpack(body)
        except Exception as error:  # noqa: BLE001 - boundary: what cannot be read is answered
            failure = classify.failure(error, stage="receive")
            rss = meter.baseline
            unread = InspectTask(ident, "", "")
            self._answers.put(unread, Outcome(ident, None, failure, 0.0, 0.0, rss, rss), [])
            return
        if not self._listens and needs_gdal(task):
            self._listens = True
            enter_gdal()
        with syncing.collected() as syncs:
            outcome = run_task(task, recorder, meter, self._errors)
        self._answers.put(task, outcome, syncs)

    def _next(self, meter: Meter) -> tuple[int, bytes] | None:
        """The next frame; None at the end of the pipe, or where the engine says so."""
        while not self._waiting:
            if meter.swollen and not wait([self._pipe], IDLE):
                meter.rest()
            data = self._pipe.recv(1 << 18)
            if not data:
                return None
            self._waiting.extend(self._frames.feed(data))
        ident, body = self._waiting.popleft()
        return None if ident == CONTROL else (ident, body)
