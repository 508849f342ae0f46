"""Records a task while it runs: seconds by stage, messages of GDAL, text on fd 2.

rasterio hands GDAL's errors to the logger ``rasterio._err`` or ``rasterio._env``: those of class
CE_Failure at level INFO, since many a call reports an error and succeeds. So a call that returned
is not trusted: messages that tell of lost bytes fail the task (`evidence.py` knows them), the
others are kept as evidence.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from geobatch_tui.execution.runtime import evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Messages kept of one task.
MESSAGES = 200

_SIGNALLED = "GDAL signalled an error"


@dataclass(frozen=True, slots=True)
class GdalMessage:
    """A message of GDAL: ``number`` is its CPLE number, 0 if unknown; ``failed`` if its class was
    CE_Failure or worse."""

    number: int
    text: str
    failed: bool


class _Current(threading.local):
    """The recorder of each thread that runs tasks."""

    recorder: Recorder | None = None


_current = _Current()


class _Collector(logging.Handler):
    """Hands records of rasterio to the recorder of the thread that logs them."""

    def emit(self, record: logging.LogRecord) -> None:
        recorder = _current.recorder
        if recorder is None:
            return
        if isinstance(record.msg, str) and record.msg.startswith(_SIGNALLED):
            number, text = record.args if isinstance(record.args, tuple) else (0, record.msg)
            if isinstance(text, bytes):
                text = text.decode("utf-8", "backslashreplace")
            recorder.add(GdalMessage(number if isinstance(number, int) else 0, str(text), True))
        elif record.levelno >= logging.WARNING:
            failed = record.levelno >= logging.ERROR
            recorder.add(GdalMessage(0, record.getMessage(), failed))


def listen_to_gdal() -> None:
    """Collect the messages of GDAL from now on, in this process."""
    for name in ("rasterio._err", "rasterio._env"):
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _Collector) for handler in logger.handlers):
            logger.addHandler(_Collector())
            logger.setLevel(logging.INFO)
            logger.propagate = False


@contextmanager
def expected_gdal_errors(warning: str = "") -> Iterator[None]:
    """Forget the errors that GDAL reports in the block, whose failure the caller handles.

    Text on fd 2 stays, and so do warnings, but for those that hold ``warning``.
    """
    recorder = _current.recorder
    before = len(recorder.messages) if recorder else 0
    try:
        yield
    finally:
        if recorder is not None:
            recorder.messages[before:] = [
                message
                for message in recorder.messages[before:]
                if not (message.failed or (warning and warning in message.text))
            ]


@contextmanager
def apart() -> Iterator[None]:
    """Leave the block out of the time that the task of this thread took."""
    since = perf_counter()
    try:
        yield
    finally:
        if _current.recorder is not None:
            _current.recorder.apart += perf_counter() - since


@contextmanager
def compiling() -> Iterator[None]:
    """Say that this thread compiles machine code, or waits for another that does.

    That happens once on a machine, and is no part of the time that a task may take.
    """
    recorder = _current.recorder
    if recorder is None:
        yield
        return
    recorder.on_compiling(True)
    try:
        yield
    finally:
        recorder.on_compiling(False)


def is_alone() -> bool:
    """Whether this process works on one task at a time, as worker processes do."""
    recorder = _current.recorder
    return recorder is not None and recorder.alone


def note(name: str, text: str) -> None:
    """Keep a text as evidence of the task of this thread; it proves no failure. The last one of a
    name is kept."""
    if _current.recorder is not None:
        _current.recorder.notes[name] = text


class Recorder:
    """Records one task at a time, of one thread.

    Args:
        on_compiling: called with True before the thread compiles, with False afterwards.
        alone: whether no other thread of the process runs tasks.

    Attributes:
        seconds: wall time by stage; that of a stage inside another counts for the inner one only.
        failed_stage: the innermost stage that an exception left, if any.
        messages: of GDAL, in order.
        notes: texts of functions of the user, by their names.
        apart: seconds that are no part of the task's own time.
    """

    def __init__(
        self, on_compiling: Callable[[bool], None] = lambda _: None, *, alone: bool = False
    ) -> None:
        self.on_compiling = on_compiling
        self.alone = alone
        self.notes: dict[str, str] = {}
        self.apart = 0.0
        self.seconds: dict[str, float] = {}
        self.failed_stage = ""
        self.messages: list[GdalMessage] = []
        self._stages: list[str] = []
        self._since = 0.0

    def begin(self) -> None:
        """Forget the task before, and take the messages of this thread."""
        if self.seconds:
            self.seconds = {}
        if self.messages:
            self.messages = []
        if self.notes:
            self.notes = {}
        self.apart = 0.0
        self.failed_stage = ""
        self._stages.clear()
        _current.recorder = self

    def add(self, message: GdalMessage) -> None:
        """Keep a message, if it is among the first, which tell the cause."""
        if len(self.messages) < MESSAGES:
            self.messages.append(message)

    @property
    def current_stage(self) -> str:
        """The stage that the task is in, or that it failed in."""
        return self.failed_stage or (self._stages[-1] if self._stages else "")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage of the task, and name it in failures inside."""
        self._charge()
        self._stages.append(name)
        try:
            yield
        except BaseException:
            self.failed_stage = self.failed_stage or name
            raise
        finally:
            self._charge()
            self._stages.pop()

    def _charge(self) -> None:
        now = perf_counter()
        if self._stages:
            name = self._stages[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


class ErrorFile:
    """The file that a worker's fd 1 and fd 2 lead to, emptied after each task.

    It is opened to append, so the engine may cut it short from outside, when a task floods it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)

    def take_over(self) -> None:
        """Lead fd 1 and 2 here, and fd 0 to /dev/null."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        for target in (1, 2):
            os.dup2(self._fd, target)
        for name, number in (("stdout", 1), ("stderr", 2)):
            # Own text streams: those of the engine may be closed, or belong to a test runner.
            stream = os.fdopen(number, "w", buffering=1, errors="backslashreplace", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)

    def take(self) -> bytes:
        """Read the bytes that were written since the last call, and empty the file."""
        sys.stdout.flush()
        sys.stderr.flush()
        size = os.fstat(self._fd).st_size
        if size == 0:
            return b""
        note, dropped = b"", 0
        if size > evidence.FLOOD + evidence.TAIL:
            dropped = size - evidence.TAIL
            note = f"{evidence.FLOOD_NOTE} {dropped} bytes dropped\n".encode()
        data = note + os.pread(self._fd, evidence.FLOOD + evidence.TAIL, dropped)
        os.ftruncate(self._fd, 0)
        return data


#: Held while warning filters are changed: they belong to the process, not to a thread.
filters = threading.Lock()
