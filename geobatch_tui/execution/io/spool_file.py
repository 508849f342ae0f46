"""Spools as files: each thread of each worker appends finished chunks to one of its own.

A chunk is synced while the worker computes the next one (:mod:`.syncing`). If its sync fails, its
bytes are cut off again, unless others follow them by then.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING

from geobatch_tui.execution.io import syncing
from geobatch_tui.execution.io.disk import sync_directory

if TYPE_CHECKING:
    from pathlib import Path


class _OwnLock(threading.local):
    """Held where this thread's spools grow or shrink: its syncs may end in another thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()


_own_lock = _OwnLock()


def own_lock() -> threading.RLock:
    """Return the lock of this thread's spools."""
    return _own_lock.lock


def open_spool(path: Path) -> tuple[int, int]:
    """Open a spool to append to it and to read it, or make it; return its descriptor and size.

    The name of a new one is on disk before its first byte is written, and so are those of the
    item's folder and of ``work``: a power cut could take a file whose bytes alone were synced.
    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        size = os.fstat(fd).st_size
        if not size:
            for folder in path.parents[:3]:
                sync_directory(folder)
    except BaseException:
        os.close(fd)
        raise
    return fd, size


def cut(path: Path, offset: int, length: int, lock: threading.RLock) -> None:
    """Give back the room of bytes that nobody will read, if they are the last of a spool whose
    ``lock`` is that of its thread. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with lock:
            if os.fstat(fd).st_size == offset + length:
                os.ftruncate(fd, offset)
    finally:
        os.close(fd)


def sync_later(fd: int, path: Path, offset: int, length: int) -> None:
    """Sync and close ``fd``, the spool at ``path``, before the task is answered for. If that fails,
    the bytes that this thread appended at ``offset`` are cut off. Raises as
    :func:`.syncing.finish_later`."""
    syncing.finish_later(fd, path, undo=partial(cut, path, offset, length, own_lock()))
