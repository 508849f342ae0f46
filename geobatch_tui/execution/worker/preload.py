"""Loads libraries once, in the fork server, so that a worker starts in milliseconds.

It is imported for its effect, in the process that all workers are forked from: so it starts no
thread and leaves no dataset open. PROJ's database stays open, which PROJ opens again after a fork.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from geobatch_tui.execution.runtime import environment
from geobatch_tui.execution.worker import warmup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

#: Of the engine; they do not stay in the environment.
_ENGINE = os.environ.get(environment.ENGINE, "")
_FOLDER = os.environ.get(environment.FOLDER, "")
_PR_SET_PDEATHSIG = 1
_MADV_DONTNEED = 4


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _leave_terminal() -> None:
    """Move the fork server out of the terminal's foreground group: Ctrl-C and the end of a terminal
    session are for the engine, which tells its workers what to do."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(PermissionError):  # a session leader may not, and need not
        os.setpgid(0, 0)


def _drop_mapped() -> None:
    """Unmap the pages that loading libraries touched: most are LLVM's, and not needed again. Those
    that a worker needs are mapped from the page cache. Relocated pages stay: only ranges of files
    that were not written to are dropped."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with open("/proc/self/smaps", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        lines = file.read().splitlines()
    span, of_file = "", False
    for line in lines:
        word, *fields = line.split(maxsplit=4)
        if not word.endswith(":"):
            span, of_file = word, "w" not in fields[0] and fields[3] != "0"
        elif word == "Anonymous:" and of_file and fields[0] == "0":
            start, end = (int(side, 16) for side in span.split("-"))
            libc.madvise(start, end - start, _MADV_DONTNEED)


@contextlib.contextmanager
def _dying_with_the_engine() -> Iterator[None]:
    """End at once if the engine dies while GDAL loads: the fork server looks at it only once it
    serves. Not beyond the block: the kernel means the thread that started this process, which need
    not live as long as the engine."""
    before = signal.signal(signal.SIGTERM, _on_sigterm)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if _is_orphan():
        _end(1)
    try:
        yield
    finally:
        _prctl(_PR_SET_PDEATHSIG, 0)
        signal.signal(signal.SIGTERM, before)


def _is_orphan() -> bool:
    """Whether the engine died, and left this process to init or another reaper of orphans."""
    return _ENGINE not in {"", str(os.getppid())}


def _on_sigterm(*_: object) -> None:
    if _is_orphan():
        _end()
    # Of somebody else's SIGTERM; the engine may start another server, in the same folder.
    os._exit(1)


def _end(code: int = 0) -> None:
    """End at once: the process holds only memory, and a socket's name. Taking down GDAL and LLVM in
    order takes long on a busy machine. The folder of the socket is the engine's to remove, if it
    still can."""
    if _FOLDER:
        with contextlib.suppress(OSError):
            for name in os.listdir(_FOLDER):  # noqa: PTH208 - pathlib is no lighter here
                if name.startswith("listener-"):
                    os.unlink(os.path.join(_FOLDER, name))  # noqa: PTH108, PTH118
            os.rmdir(_FOLDER)  # noqa: PTH106
    os._exit(code)


_fork, _server = os.fork, os.getpid()


def _fork_or_say() -> int:
    """Fork; where the system refuses that, return the number of its error, negative, which the
    server passes on as a pid. An error raised in the server would end it, and all workers."""
    if os.getpid() != _server:
        return _fork()
    try:
        return _fork()
    except OSError as error:
        return -(error.errno or 1)


def _end_quietly(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print what nobody caught, but for the end of the pipe that tells a new process what to do: it
    was asked for ahead, and its engine has no use for it, or is dead."""
    if not issubclass(kind, EOFError):
        sys.__excepthook__(kind, error, trace)


os.fork = _fork_or_say
sys.excepthook = _end_quietly
gc.disable()  # what is loaded here stays
_leave_terminal()
atexit.register(_end)
with _dying_with_the_engine():
    environment.apply()
    if os.environ[environment.DATA] == "vector":
        warmup.warm_up_vector()
    else:
        warmup.warm_up_raster()
        if os.environ[environment.DATA] == "chain":
            warmup.import_for_steps()
    # What each worker runs first.
    importlib.import_module("geobatch_tui.execution.worker.process")
    _drop_mapped()
    gc.freeze()  # a collection in a worker would write to every page with objects
    gc.enable()
