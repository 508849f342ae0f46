"""Syncs files beside the next task, if the caller allows it.

A sync takes the disk longer than a small file takes the processor. So a worker goes on with its
next task meanwhile, and answers for a task once its files are on disk. A large file is synced while
its own task reads it back.
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


#: Bytes of a file from which a thread for its sync pays.
LARGE = 1 << 20


@dataclass(slots=True)
class Sync:
    """An open file that is complete but may not be on disk. If the sync fails, ``undo`` is called,
    where the file holds other bytes too; else the file is removed."""

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
        """Wait for the one sync, and close the file; raise the error of the sync."""
        if self._thread is None:
            self._attempt()
        else:
            self._thread.join()
        os.close(self.fd)
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Sync and close it; undo the write if that fails: then it must not be tried again. Raises
        as :func:`.disk.disk_errors`."""
        try:
            with disk_errors("cannot write", self.path):
                self._end()
        except BaseException:
            with suppress(OSError):
                (self.undo or self.path.unlink)()
            raise

    def drop(self) -> None:
        """Close it, on disk or not, as its task failed."""
        if self._thread is not None:
            self._thread.join()
        os.close(self.fd)


class _Caller(threading.local):
    """Syncs that the runner of this thread's task collects; None: each is waited for."""

    syncs: list[Sync] | None = None


_caller = _Caller()


def finish_later(fd: int, path: Path, *, undo: Callable[[], None] | None = None) -> None:
    """Sync and close ``fd`` before the task is answered for, but perhaps not now. Raises as
    :meth:`Sync.finish`, unless the caller collects; ``undo`` is as in :class:`Sync`."""
    sync = Sync(fd, path, undo)
    if _caller.syncs is None:
        sync.finish()
    else:
        _caller.syncs.append(sync)
        if undo is None and os.fstat(fd).st_size >= LARGE:
            sync.begin()


@contextmanager
def collected() -> Iterator[list[Sync]]:
    """Collect the syncs of this thread's task, for the caller to finish or drop."""
    syncs: list[Sync] = []
    _caller.syncs = syncs
    try:
        yield syncs
    finally:
        _caller.syncs = None
