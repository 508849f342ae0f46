"""Waits for the disk beside the next task, where the caller allows it.

A sync takes the disk longer than a small file takes the processor. So a worker goes on with its
next task meanwhile, and answers for a task once all that it wrote is on disk.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.execution.raster.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sync:
    """An open file that is complete but may not be on disk. ``shared``: others' bytes are in it,
    too, so that it stays whatever happens."""

    fd: int
    path: Path
    shared: bool = False

    def finish(self) -> None:
        """Sync and close it; remove it where that fails, unless it is shared.

        Raises:
            DiskFullError, OutputGoneError, OSError: it is not on disk. It must not be tried again.
        """
        try:
            with disk_errors("cannot write", self.path):
                try:
                    os.fsync(self.fd)
                finally:
                    os.close(self.fd)
        except BaseException:
            if not self.shared:
                with suppress(OSError):
                    self.path.unlink()
            raise

    def drop(self) -> None:
        """Close it without a sync: what it belongs to failed."""
        os.close(self.fd)


class _Caller(threading.local):
    """What the code that runs a task in this thread collects; None: syncs are waited for."""

    syncs: list[Sync] | None = None


_caller = _Caller()


def finish_later(fd: int, path: Path, *, shared: bool = False) -> None:
    """Sync and close ``fd``: before the task is answered for, but not necessarily now.

    Raises: as :meth:`Sync.finish`, unless the caller collects.
    """
    sync = Sync(fd, path, shared)
    if _caller.syncs is None:
        sync.finish()
    else:
        _caller.syncs.append(sync)


@contextmanager
def collected() -> Iterator[list[Sync]]:
    """Collect the syncs of this thread's task: whoever enters has them finished, or dropped."""
    syncs: list[Sync] = []
    _caller.syncs = syncs
    try:
        yield syncs
    finally:
        _caller.syncs = None
