"""Measures a task: wall time, resident memory and its peak, from /proc/self."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import resource
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

#: Tasks shorter than this (seconds) are not asked for their peak: reading it costs more than they
#: do, and they can't have allocated much.
SHORT = 0.010
#: Bytes over its baseline from which a worker first tidies up, then reports its size; from which
#: it does so when it has had nothing to do for a while.
TIDY, TIDY_IDLE = 250 * 1024 * 1024, 16 * 1024 * 1024

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PEAK = re.compile(rb"VmHWM:\s+(\d+) kB")


def resident() -> int:
    """Return the resident bytes of this process."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    except OSError:
        return _maximum()


def _maximum() -> int:
    """Return the largest resident size so far, which Linux gives in KiB, macOS in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Meter:
    """Measures one task at a time, for the whole process. Keeps its files of /proc open until it
    is closed."""

    #: Whether the peak of a task is read.
    peaks: ClassVar[bool] = True

    def __init__(self) -> None:
        self.baseline = resident()
        self._statm = self._open("/proc/self/statm", os.O_RDONLY)
        self._status = self._clear = None
        if self.peaks:
            self._status = self._open("/proc/self/status", os.O_RDONLY)
            self._clear = self._open("/proc/self/clear_refs", os.O_WRONLY)
        self._dirty = True
        self._rss, self._rested = self.baseline, 0
        self.begin()

    @staticmethod
    def _open(path: str, flags: int) -> int | None:
        try:
            return os.open(path, flags)
        except OSError:
            return None

    def close(self) -> None:
        """Close the files of /proc; nothing is measured any more."""
        for file in (self._statm, self._status, self._clear):
            if file is not None:
                os.close(file)
        self._statm = self._status = self._clear = None

    def begin(self) -> None:
        """Start measuring a task."""
        if self._dirty and self._clear is not None:
            # 5: set the peak to what is resident now. Not all sandboxes know it.
            with contextlib.suppress(OSError):
                os.pwrite(self._clear, b"5", 0)
            self._dirty = False
        self._wall = perf_counter()

    def end(self) -> tuple[float, int, int]:
        """Return seconds, resident bytes and the peak of resident bytes of the task."""
        seconds = perf_counter() - self._wall
        self._rss = rss = self._read_rss()
        if seconds < SHORT:
            return seconds, rss, rss
        self._dirty = True
        peak = max(self._read_peak(), rss)
        if rss > self.baseline + TIDY:
            tidy()
            self._rss = rss = self._read_rss()
        return seconds, rss, peak

    def rest(self) -> None:
        """Give back memory that was kept for another task, as none came."""
        tidy()
        self._rss = self._read_rss()
        # The rest is in use for good; only more is worth another try.
        self._rested = self._rss

    @property
    def swollen(self) -> bool:
        """Whether the last task left the process larger than at first, or at its last rest."""
        return self._rss > max(self.baseline, self._rested) + TIDY_IDLE

    def _read_rss(self) -> int:
        if self._statm is None:
            return _maximum()
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE

    def _read_peak(self) -> int:
        peak = _PEAK.search(os.pread(self._status, 4096, 0)) if self._status is not None else None
        return int(peak[1]) * 1024 if peak else _maximum()


class ThreadMeter(Meter):
    """Measures a task of one thread; memory is that of the process, and has no peak of its own."""

    peaks = False

    def end(self) -> tuple[float, int, int]:
        """Return seconds, and twice the resident bytes: see `Meter.end`."""
        seconds, rss, _ = super().end()
        return seconds, rss, rss


#: Called by :func:`tidy`.
_keepers: list[Callable[[], None]] = []


def when_tidied(let_go: Callable[[], None]) -> None:
    """Have ``let_go``, which drops buffers that are kept, called whenever memory is given back."""
    _keepers.append(let_go)


def tidy() -> None:
    """Give memory back: kept buffers, cycles of Python's objects, free arenas of glibc."""
    for let_go in _keepers:
        let_go()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
