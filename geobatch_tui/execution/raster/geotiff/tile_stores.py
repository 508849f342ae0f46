"""Stores of encoded tiles, from which they are copied into the final file.

Each reads bytes, or copies them to the end of an open file; VerifyError says that they are not
there, OSError that the file refuses them.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io.disk import copy_range, disk_errors, read_exactly, write_all

if TYPE_CHECKING:
    from collections.abc import Buffer, Iterator
    from pathlib import Path


class SpoolStore:
    """A spool to read from. With ``stays`` it stays open; else it is opened for each read, as there
    may be more spools than a process can have open."""

    def __init__(self, path: Path, *, stays: bool) -> None:
        self._path = path
        self._fd = self._open() if stays else -1

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise VerifyError(f"the spool {self._path.name!r} is gone") from error

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Yield its file descriptor, open while the block lasts."""
        if self._fd >= 0:
            yield self._fd
            return
        fd = self._open()
        try:
            yield fd
        finally:
            os.close(fd)

    def read_bytes(self, offset: int, length: int) -> bytes:
        with self.opened() as fd:
            return read_exactly(fd, offset, length)

    def copy(self, target: int, offset: int, length: int) -> None:
        with self.opened() as fd:
            copy_range(fd, target, offset, length)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class MemoryStore:
    """Tiles in memory, which were never on disk."""

    def __init__(self, payload: Buffer) -> None:
        self._payload = memoryview(payload)

    def read_bytes(self, offset: int, length: int) -> bytes:
        return bytes(self._payload[offset : offset + length])

    def copy(self, target: int, offset: int, length: int) -> None:
        write_all(target, self._payload[offset : offset + length])

    def close(self) -> None:
        self._payload.release()


class ScratchStore:
    """A nameless file for the tiles that assembly itself encodes. It is gone when closed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self.size = 0

    def append(self, payload: Buffer) -> int:
        """Append ``payload``; return its offset. Raises DiskFullError and its kin."""
        with disk_errors("cannot write scratch data in", self._directory):
            if self._file is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(  # noqa: SIM115 -- closed by close()
                    buffering=0, dir=self._directory
                )
            write_all(self._file.fileno(), payload)
        start = self.size
        self.size += memoryview(payload).nbytes
        return start

    def read_bytes(self, offset: int, length: int) -> bytes:
        return read_exactly(self._fd, offset, length)

    def copy(self, target: int, offset: int, length: int) -> None:
        copy_range(self._fd, target, offset, length)

    @property
    def _fd(self) -> int:
        if self._file is None:
            raise VerifyError("nothing was written to the scratch file")
        return self._file.fileno()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


type Store = SpoolStore | MemoryStore | ScratchStore
