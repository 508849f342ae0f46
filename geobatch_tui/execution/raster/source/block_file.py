"""A file, or an object of a store, whose bytes are read by their places.

What reads objects is imported when there is one.
"""

from __future__ import annotations

import contextlib
import os
import threading
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from geobatch_tui.execution.stores.object_url import is_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geobatch_tui.execution.stores.reading.object_file import ObjectFile
    from geobatch_tui.execution.stores.reading.read_ahead import Batches
    from geobatch_tui.execution.stores.store_client import Version


class BlockFile(Protocol):
    """A file, or an object, whose blocks are read by their places."""

    def expect(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Prepare for these blocks, (start, end) in bytes, to be read next."""
        ...

    def turn_to(self, batches: Batches, room: int) -> None:
        """Prepare for the first of these batches of blocks, to be read in several calls, and for
        those that follow as far as there is ``room`` for their bytes; forget those of others."""
        ...

    def pread(self, count: int, offset: int) -> bytes:
        """Read ``count`` bytes from ``offset`` on; fewer at the end of a file."""
        ...


class LocalBlocks:
    """The blocks of a file on a disk: the system reads ahead."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def expect(self, ranges: Iterable[tuple[int, int]]) -> None:
        del ranges

    def turn_to(self, batches: Batches, room: int) -> None:
        del batches, room

    def pread(self, count: int, offset: int) -> bytes:
        return os.pread(self.fd, count, offset)


class _Last(threading.local):
    """The object that a thread opened last: its head is asked for by several readers in turn."""

    text: str = ""
    file: ObjectFile | None = None


_last = _Last()


def object_at(text: str, wanted: Version | None = None) -> ObjectFile:
    """Open the object at a URL, or return it as it is open in this thread; errors as
    ``ObjectFile.open``."""
    file = _last.file
    if file is None or _last.text != text or (wanted and not file.version.is_same(wanted)):
        from geobatch_tui.execution.stores.reading.object_file import ObjectFile

        forget()
        file = _last.file = ObjectFile.open(text, wanted)
        _last.text = text
    return file


def forget() -> None:
    """Close the object that is open in this thread."""
    file, _last.file = _last.file, None
    if file is not None:
        file.close()


def open_bytes(path: str | Path) -> contextlib.AbstractContextManager[BufferedReader | ObjectFile]:
    """Open a file, or the object at a URL, to read its head."""
    if isinstance(path, str) and is_url(path):
        return contextlib.nullcontext(object_at(path))
    return Path(path).open("rb")


def size_of(path: str) -> int:
    """Return the bytes of a source that was opened before."""
    return object_at(path).size if is_url(path) else os.stat(path).st_size  # noqa: PTH116


def byte_size(file: BufferedReader | ObjectFile) -> int:
    """Return the bytes of an open file."""
    return os.fstat(file.fileno()).st_size if isinstance(file, BufferedReader) else file.size
