"""Ways to misbehave, by name. Each is what a bug in a C library or a plug-in has done to somebody.

``misbehave`` either does not return, raises, or leaves something behind that should fail the task
or spare it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, NoReturn

from geobatch_tui.errors import RemoteIOError
from geobatch_tui.execution.runtime.recorder import compiling

if TYPE_CHECKING:
    from collections.abc import Callable


class Unpicklable(Exception):  # noqa: N818 - the name says it
    """An exception that cannot leave its process, nor be printed."""

    def __init__(self) -> None:
        super().__init__("unpicklable")
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise RuntimeError("no text either")


class _DiesLater:
    """Its finaliser crashes the process."""

    def __del__(self) -> None:
        _segfault(0)


def _segfault(_: int) -> NoReturn:
    ctypes.string_at(0)
    raise AssertionError("unreachable")


def _abort(_: int) -> NoReturn:
    os.abort()


def _hang(_: int) -> None:
    while True:
        sleep(3600)


def _compile(_: int) -> None:
    """Compile for ever: that time does not count."""
    with compiling():
        _hang(0)


def _busy(_: int) -> None:
    """Loop in C with the GIL, so that no other thread of the process runs."""
    _ = 9**9**9


def _deaf(_: int) -> None:
    """Hang, and ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _hang(0)


def _stop(_: int) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _term(_: int) -> None:
    """End by SIGTERM, as if another program had sent it."""
    os.kill(os.getpid(), signal.SIGTERM)
    sleep(60)


def _few_files(_: int) -> None:
    """Lower the limit of open files, the hard one too: only root could raise it again."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))


def _cut_page(_: int) -> None:
    """Cut the page that the worker shares with the engine."""
    for link in Path("/proc/self/fd").iterdir():
        if os.path.lexists(link) and "memfd:geobatch" in os.fspath(link.readlink()):
            os.ftruncate(int(link.name), 0)


def _no_thread(_: int) -> NoReturn:
    raise RuntimeError("can't start new thread")


def _exit_zero(_: int) -> NoReturn:
    os._exit(0)


def _sys_exit(_: int) -> NoReturn:
    sys.exit(3)


def _sigkill(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _unpicklable(_: int) -> NoReturn:
    raise Unpicklable


def _interrupt(_: int) -> NoReturn:
    raise KeyboardInterrupt


def _raise(_: int) -> NoReturn:
    raise ZeroDivisionError("a bug")


def _transient(_: int) -> NoReturn:
    raise RemoteIOError("the server is away")


def _recursion(_: int) -> None:
    def down() -> None:
        down()

    down()


def _memory_error(_: int) -> NoReturn:
    raise MemoryError


def _allocate(size: int) -> None:
    """Touch every page, slowly enough to be seen."""
    blocks = []
    for _ in range(max(1, size >> 24)):
        blocks.append(bytearray(b"x") * (1 << 24))
        sleep(0.005)


_kept: list[bytearray] = []


def _leak(size: int) -> None:
    _kept.append(bytearray(b"x") * size)


def _child(_: int) -> None:
    """Start a process, then hang."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    _hang(0)


def _flood(size: int) -> None:
    line = b"x" * 65535 + b"\n"
    for _ in range(size >> 16):
        os.write(2, line)


def _binary(_: int) -> None:
    os.write(2, bytes(range(256)) * 4)


def _warn(_: int) -> None:
    """Print a warning that means no harm: the task is fine."""
    os.write(2, b"Warning 1: TIFFReadDirectory:Unknown field with tag 42112\n")


def _disk_full(_: int) -> None:
    """Say what libtiff says on fd 2 when the disk is full and GDAL reports success."""
    os.write(2, b"_tiffWriteProc: No space left on device.\n")


def _file_limit(_: int) -> None:
    """Write a TIFF past RLIMIT_FSIZE: rasterio raises nothing, and the file is damaged."""
    import numpy as np
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = Path(tempfile.mkdtemp()) / "full.tif"
    resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, hard))
    try:
        profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 1, "dtype": "uint8"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", **profile) as dataset:
                dataset.write(np.ones((1, 512, 512), dtype="uint8"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        path.unlink()
        path.parent.rmdir()


def _close_pipe(_: int) -> None:
    """Close files of others, as a double close in a C library does."""
    os.closerange(3, 256)
    sleep(0.05)


def _lost_finaliser(_: int) -> None:
    """Leave garbage that crashes when it is collected, in the middle of something else."""
    trap = _DiesLater()
    trap.cycle = trap  # type: ignore[attr-defined]


FAULTS: dict[str, Callable[[int], None]] = {
    "segfault": _segfault,
    "abort": _abort,
    "hang": _hang,
    "compile": _compile,
    "busy": _busy,
    "deaf": _deaf,
    "stop": _stop,
    "exit": _exit_zero,
    "term": _term,
    "few_files": _few_files,
    "cut_page": _cut_page,
    "no_thread": _no_thread,
    "sys_exit": _sys_exit,
    "sigkill": _sigkill,
    "unpicklable": _unpicklable,
    "interrupt": _interrupt,
    "raise": _raise,
    "transient": _transient,
    "recursion": _recursion,
    "memory_error": _memory_error,
    "allocate": _allocate,
    "leak": _leak,
    "child": _child,
    "flood": _flood,
    "binary": _binary,
    "warn": _warn,
    "disk_full": _disk_full,
    "file_limit": _file_limit,
    "close_pipe": _close_pipe,
    "lost_finaliser": _lost_finaliser,
}


def misbehave(fault: str, size: int) -> None:
    """Do ``fault``; ``size`` in bytes for those that allocate or write."""
    FAULTS[fault](size)
