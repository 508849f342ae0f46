"""A finished chunk of features on its way to the disk.

Each thread of each worker appends to a file of its own. A segment is one chunk::

    features that are published, in pieces (see ``pieces``)
    Arrow stream of those in quarantine, with their reasons
    counts and extent, as JSON
    end:   magic, fingerprint, chunk, chunk size, the three lengths, CRC-32 of counts and end

padded at the front of ``end`` so that every segment starts at a multiple of 64 bytes. One that is
not answered for after all is cut off again, unless another follows it by then.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io import syncing
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import disk_errors, fill, open_spool, write_all
from geobatch_tui.execution.protocol.messages import Segment
from geobatch_tui.execution.vector.batch.buffers import own

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.vector.batch.arrow_arrays import ChunkStats

MAGIC = b"GBVEC3\r\n"
END = struct.Struct("<8s16sQIQQQ")
CRC = struct.Struct("<I")
END_SIZE = END.size + CRC.size
#: Pieces start at multiples of this, so that their arrays can be used where they lie.
ALIGN = 64
_PIECE = 1 << 20


@contextmanager
def open_segment(item: ItemContext, index: int, epoch: int, stage: Stage) -> Iterator[OpenSegment]:
    """Open chunk ``index`` as a segment that grows at the end of this thread's spool; it is cut off
    again if anything within raises.

    Raises:
        DiskFullError, OutputGoneError: see :func:`disk_errors`.
    """
    name = f"{epoch}-{os.getpid()}-{threading.get_ident()}.spool"
    segment = OpenSegment(item, index, Path(item.work_dir) / name, stage)
    try:
        yield segment
    except BaseException:
        segment.drop()
        raise


class OpenSegment:
    """A segment that is being written. Its bytes go to the file piece by piece: a chunk of features
    is too large to be held until it is whole."""

    def __init__(self, item: ItemContext, index: int, path: Path, stage: Stage) -> None:
        self._item, self._index, self._path = item, index, path
        self._stage = stage
        self._lock = _own_lock.lock
        self._fd = -1
        self._start = self._crc = 0
        #: Bytes that are written.
        self.length = 0

    def write(self, data: bytes | memoryview | pa.Buffer) -> None:
        """Append to the features that are published.

        Raises:
            DiskFullError, OutputGoneError: see :func:`disk_errors`.
        """
        with self._stage("spool"), disk_errors("cannot write the spool", self._path), self._lock:
            if self._fd < 0:
                self._fd, self._start = open_spool(self._path)
            write_all(self._fd, data)
            self._crc = crc32(data, self._crc)
            self.length += len(data)

    def finish(self, dead: pa.Buffer, stats: ChunkStats) -> Segment:
        """Append the features that are set aside and the counts; read back when it returns, and on
        disk before the chunk is answered for.

        Raises:
            VerifyError: the spool reads back other bytes.
            DiskFullError, OutputGoneError: see :func:`disk_errors`.
        """
        said = json.dumps(stats, sort_keys=True).encode()
        lengths = (self.length, len(dead), len(said))
        width = self._item.plan.grid.chunk_width
        pad = bytes(-(sum(lengths) + END_SIZE) % ALIGN)
        end = END.pack(MAGIC, identity(self._item), self._index, width, *lengths)
        self.write(dead)
        self.write(said + pad + end + CRC.pack(crc32(end, crc32(said))))
        with self._stage("spool"), disk_errors("cannot write the spool", self._path):
            read_back(self._fd, self._path, self._start, self.length, self._crc)
        # From here on, whoever syncs the file closes it.
        fd, self._fd = self._fd, -1
        undo = partial(_cut, self._path, self._start, self._start + self.length, self._lock)
        syncing.finish_later(fd, self._path, undo=undo)
        return Segment(self._index, self._path.name, self._start, self.length, self._crc)

    def drop(self) -> None:
        """Give the room back at once; the error that counts is the one that led here."""
        if self._fd < 0:
            return
        with suppress(OSError), self._lock:
            os.ftruncate(self._fd, self._start)
        os.close(self._fd)
        self._fd = -1


class _OwnLock(threading.local):
    """Held where this thread's spools grow or shrink: its syncs may end in another thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()


_own_lock = _OwnLock()


def _cut(path: Path, start: int, end: int, lock: threading.RLock) -> None:
    """Give back the room of a segment that nobody will read, if it is the last."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with lock:
            if os.fstat(fd).st_size == end:
                os.ftruncate(fd, start)
    finally:
        os.close(fd)


@contextmanager
def cut_on_error(item: ItemContext, segment: Segment) -> Iterator[None]:
    """Cut off a segment of this thread's again if anything within raises: its chunk will be
    computed, and spooled, once more."""
    try:
        yield
    except BaseException:
        path, end = Path(item.work_dir) / segment.spool, segment.offset + segment.length
        with suppress(OSError):
            _cut(path, segment.offset, end, _own_lock.lock)
        raise


def read_back(fd: int, path: Path, start: int, length: int, crc: int) -> None:
    """Raise VerifyError where a segment is not what was written."""
    found, at, end = 0, start, start + length
    room = memoryview(own().of("piece", _PIECE))
    while at < end:
        piece = room[: min(_PIECE, end - at)]
        fill(fd, at, piece)
        found = crc32(piece, found)
        at += len(piece)
    if found != crc:
        raise VerifyError(f"{path.name!r} reads back other bytes than were written to it")


def identity(item: ItemContext) -> bytes:
    """Return the digest of its item's fingerprint that a segment carries."""
    return hashlib.blake2b(item.fingerprint.encode(), digest_size=16).digest()
