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
from typing import NoReturn

from geobatch_tui.errors import RemoteIOError
from geobatch_tui.execution.runtime.recorder import compiling


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
        ctypes.string_at(0)


_kept: list[bytearray] = []


class Faults:
    """Each fault is the method ``do_<name>``; some take a size in bytes."""

    def do_segfault(self, _: int) -> NoReturn:
        ctypes.string_at(0)
        raise AssertionError("unreachable")

    def do_abort(self, _: int) -> NoReturn:
        os.abort()

    def do_hang(self, _: int) -> None:
        while True:
            sleep(3600)

    def do_compile(self, _: int) -> None:
        """Compile for ever: that time does not count."""
        with compiling():
            self.do_hang(0)

    def do_busy(self, _: int) -> None:
        """Loop in C with the GIL, so that no other thread of the process runs."""
        _ = 9**9**9

    def do_deaf(self, _: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.do_hang(0)

    def do_stop(self, _: int) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def do_term(self, _: int) -> None:
        """End by SIGTERM, as if another program had sent it."""
        os.kill(os.getpid(), signal.SIGTERM)
        sleep(60)

    def do_few_files(self, _: int) -> None:
        """Lower the limit of open files, the hard one too: only root could raise it again."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))

    def do_cut_page(self, _: int) -> None:
        """Cut the page that the worker shares with the engine."""
        for link in Path("/proc/self/fd").iterdir():
            if os.path.lexists(link) and "memfd:geobatch" in os.fspath(link.readlink()):
                os.ftruncate(int(link.name), 0)

    def do_no_thread(self, _: int) -> NoReturn:
        raise RuntimeError("can't start new thread")

    def do_exit(self, _: int) -> NoReturn:
        os._exit(0)

    def do_sys_exit(self, _: int) -> NoReturn:
        sys.exit(3)

    def do_sigkill(self, _: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_unpicklable(self, _: int) -> NoReturn:
        raise Unpicklable

    def do_interrupt(self, _: int) -> NoReturn:
        raise KeyboardInterrupt

    def do_raise(self, _: int) -> NoReturn:
        raise ZeroDivisionError("a bug")

    def do_transient(self, _: int) -> NoReturn:
        raise RemoteIOError("the server is away")

    def do_recursion(self, _: int) -> None:
        def down() -> None:
            down()

        down()

    def do_memory_error(self, _: int) -> NoReturn:
        raise MemoryError

    def do_allocate(self, size: int) -> None:
        """Touch every page, slowly enough to be seen."""
        blocks = []
        for _ in range(max(1, size >> 24)):
            blocks.append(bytearray(b"x") * (1 << 24))
            sleep(0.005)

    def do_leak(self, size: int) -> None:
        _kept.append(bytearray(b"x") * size)

    def do_child(self, _: int) -> None:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        self.do_hang(0)

    def do_flood(self, size: int) -> None:
        line = b"x" * 65535 + b"\n"
        for _ in range(size >> 16):
            os.write(2, line)

    def do_binary(self, _: int) -> None:
        os.write(2, bytes(range(256)) * 4)

    def do_warn(self, _: int) -> None:
        """Print a warning that means no harm: the task is fine."""
        os.write(2, b"Warning 1: TIFFReadDirectory:Unknown field with tag 42112\n")

    def do_disk_full(self, _: int) -> None:
        """Say what libtiff says on fd 2 when the disk is full and GDAL reports success."""
        os.write(2, b"_tiffWriteProc: No space left on device.\n")

    def do_file_limit(self, _: int) -> None:
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

    def do_close_pipe(self, _: int) -> None:
        """Close files of others, as a double close in a C library does."""
        os.closerange(3, 256)
        sleep(0.05)

    def do_lost_finaliser(self, _: int) -> None:
        """Leave garbage that crashes when it is collected, in the middle of something else."""
        trap = _DiesLater()
        trap.cycle = trap  # type: ignore[attr-defined]


def misbehave(fault: str, size: int) -> None:
    """Do ``fault``; ``size`` in bytes for those that allocate or write."""
    getattr(Faults(), f"do_{fault}")(size)
