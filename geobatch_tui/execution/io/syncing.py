"""Waits for the disk beside the next task, where the caller allows it.

A sync takes the disk longer than a small file takes the processor. So a worker goes on with its
next task meanwhile, and answers for a task once all that it wrote is on disk. A large file is
synced beside its own task already, which reads it back meanwhile.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.execution.io.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


#: Bytes of a file from which a thread of its own is soon paid for.
LARGE = 1 << 20


@dataclass(slots=True)
class Sync:
    """An open file that is complete but may not be on disk. ``undo``: what is done where it is not;
    without it the file is removed."""

    fd: int
    path: Path
    undo: Callable[[], None] | None = None
    _thread: threading.Thread | None = None
    _error: OSError | None = None

    def begin(self) -> None:
        """Sync it in a thread, so that less is left to :meth:`finish`."""
        self._thread = threading.Thread(target=self._attempt, name="sync", daemon=True)
        self._thread.start()

    def _attempt(self) -> None:
        try:
            os.fsync(self.fd)
        except OSError as error:
            self._error = error

    def _end(self) -> None:
        """Wait until it was tried, once, and close it; raises what the try raised."""
        if self._thread is None:
            self._attempt()
        else:
            self._thread.join()
        os.close(self.fd)
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Sync and close it; take back what was written where that fails.

        Raises:
            DiskFullError, OutputGoneError, OSError: it is not on disk. It must not be tried again.
        """
        try:
            with disk_errors("cannot write", self.path):
                self._end()
        except BaseException:
            with suppress(OSError):
                (self.undo or self.path.unlink)()
            raise

    def drop(self) -> None:
        """Close it, on disk or not: what it belongs to failed."""
        if self._thread is not None:
            self._thread.join()
        os.close(self.fd)


class _Caller(threading.local):
    """What the code that runs a task in this thread collects; None: syncs are waited for."""

    syncs: list[Sync] | None = None


_caller = _Caller()


def finish_later(fd: int, path: Path, *, undo: Callable[[], None] | None = None) -> None:
    """Sync and close ``fd``: before the task is answered for, but not necessarily now. ``undo``: in
    place of removing ``path``, where that fails; other bytes in it stay.

    Raises: as :meth:`Sync.finish`, unless the caller collects.
    """
    sync = Sync(fd, path, undo)
    if _caller.syncs is None:
        sync.finish()
    else:
        _caller.syncs.append(sync)
        if undo is None and os.fstat(fd).st_size >= LARGE:
            sync.begin()


@contextmanager
def collected() -> Iterator[list[Sync]]:
    """Collect the syncs of this thread's task: whoever enters has them finished, or dropped."""
    syncs: list[Sync] = []
    _caller.syncs = syncs
    try:
        yield syncs
    finally:
        _caller.syncs = None
