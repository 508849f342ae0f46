"""Finished chunks of features on disk until their item is assembled.

As with rasters, each thread of each worker appends to a file of its own. A segment is one chunk::

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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution import syncing
from geobatch_tui.execution.crc import crc32
from geobatch_tui.execution.messages import Segment
from geobatch_tui.execution.raster.disk import (
    disk_errors,
    fill,
    forget,
    read_exactly,
    sync_directory,
    write_all,
)
from geobatch_tui.execution.vector.room import Room, own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from geobatch_tui.execution.messages import ItemContext

MAGIC = b"GBVEC3\r\n"
_END = struct.Struct("<8s16sQIQQQ")
_CRC = struct.Struct("<I")
_END_SIZE = _END.size + _CRC.size
#: Pieces start at multiples of it, so that their arrays can be used where they lie.
ALIGN = 64
_PIECE = 1 << 20
#: Bytes of a segment whose memory is used again.
_KEPT = 12 * 2**20


@dataclass(frozen=True, slots=True)
class Content:
    """A segment as read: ``stats`` as they were spooled; the features still encoded."""

    index: int
    stats: dict[str, Any]
    good: pa.Buffer
    dead: pa.Buffer


def encode(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Buffer:
    """Batches as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def append(
    item: ItemContext, index: int, epoch: int, good: Sequence[Any], dead: Any, stats: Any
) -> tuple[Segment, int]:
    """Append chunk ``index`` to this thread's spool; read back when it returns, and on disk before
    the chunk is answered for.

    Raises:
        VerifyError: the spool reads back other bytes.
        DiskFullError, OutputGoneError: see :func:`disk_errors`.
    """
    said = json.dumps(stats, sort_keys=True).encode()
    lengths = (sum(len(piece) for piece in good), len(dead), len(said))
    width = item.plan.grid.chunk_width
    pad = bytes(-(sum(lengths) + _END_SIZE) % ALIGN)
    end = _END.pack(MAGIC, _identity(item), index, width, *lengths)
    tail = said + pad + end + _CRC.pack(crc32(end, crc32(said)))
    name = f"{epoch}-{os.getpid()}-{threading.get_ident()}.spool"
    path = Path(item.work_dir) / name
    with disk_errors("cannot write the spool", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _own_lock.lock:
            offset, length, crc = _append(path, (*good, dead, tail))
    return Segment(index, name, offset, length, crc), length


def _append(path: Path, pieces: Sequence[Any]) -> tuple[int, int, int]:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        start = os.fstat(fd).st_size
        try:
            crc = length = 0
            for piece in pieces:
                write_all(fd, piece)
                crc = crc32(piece, crc)
                length += len(piece)
            if not start:
                sync_directory(path.parent)
            _read_back(fd, path, start, length, crc)
        except BaseException:
            # Room is given back at once; the error that counts is the first one.
            with suppress(OSError):
                os.ftruncate(fd, start)
            raise
    except BaseException:
        os.close(fd)
        raise
    syncing.finish_later(fd, path, undo=partial(_cut, path, start, start + length, _own_lock.lock))
    return start, length, crc


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


def _read_back(fd: int, path: Path, start: int, length: int, crc: int) -> None:
    found, at, end = 0, start, start + length
    room = memoryview(own().of("piece", _PIECE))
    while at < end:
        piece = room[: min(_PIECE, end - at)]
        fill(fd, at, piece)
        found = crc32(piece, found)
        at += len(piece)
    if found != crc:
        raise VerifyError(f"{path.name!r} reads back other bytes than were written to it")


def _identity(item: ItemContext) -> bytes:
    return hashlib.blake2b(item.fingerprint.encode(), digest_size=16).digest()


def counts(item: ItemContext, segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """What the chunks of an item counted, without reading their features.

    Raises: as :func:`contents`.
    """
    return [_checked(segment, item, _stats_of) for segment in segments]


def contents(
    item: ItemContext,
    segments: Sequence[Segment],
    *,
    in_turn: bool = False,
    last: bool = False,
) -> Iterator[Content]:
    """The segments of an item, in the order given, each read and checked as it is reached.

    They are read, not mapped: mapped pages count as memory for as long as the file is open. While
    one is worked on, a thread reads the next. ``in_turn``: the caller is done with one when it asks
    for the next, so its memory is used again. ``last``: they are read for the last time, so the
    system need not keep them; what is written next goes where they were.

    Raises:
        VerifyError: one is damaged or of another item; its evidence names the chunk.
    """
    rooms = (Room(_KEPT), Room(_KEPT)) if in_turn else ()

    with ThreadPoolExecutor(1, "spool") as ahead:
        coming: Future[Content] | None = None
        for number, segment in enumerate(segments):
            room = rooms[number % 2] if rooms else Room()
            read = partial(_content, room, last=last)
            one, coming = coming, ahead.submit(_checked, segment, item, read)
            if one is not None:
                yield one.result()
                del one  # or its bytes stay while two others are in memory
        if coming is not None:
            yield coming.result()


def passed(
    item: ItemContext, segments: Sequence[Segment]
) -> Iterator[tuple[Segment, int, dict[str, Any]]]:
    """The segments of an item, each read through and checked, but not kept: with an open file, for
    as long as it is the turn of this one, and its stats.

    Raises: as :func:`contents`.
    """

    def read(item: ItemContext, segment: Segment, fd: int) -> tuple[int, dict[str, Any]]:
        _refuse_short(segment)
        path = Path(item.work_dir) / segment.spool
        _read_back(fd, path, segment.offset, segment.length, segment.crc32)
        stats = _stats_of(item, segment, fd)
        return os.dup(fd), stats

    for segment in segments:
        fd, stats = _checked(segment, item, read)
        try:
            yield segment, fd, stats
        finally:
            os.close(fd)


def _checked[T](
    segment: Segment, item: ItemContext, read: Callable[[ItemContext, Segment, int], T]
) -> T:
    try:
        path = Path(item.work_dir) / segment.spool
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return read(item, segment, fd)
        finally:
            os.close(fd)
    except (VerifyError, FileNotFoundError, pa.ArrowException) as error:
        found = VerifyError(f"chunk {segment.index} in {segment.spool!r}: {error}")
        found.evidence = {"chunks": [segment.index]}
        raise found from error


def _content(room: Room, item: ItemContext, segment: Segment, fd: int, *, last: bool) -> Content:
    _refuse_short(segment)
    view = memoryview(room.of("segment", segment.length))
    fill(fd, segment.offset, view)
    if last and segment.length >= syncing.LARGE:
        forget(fd, segment.offset, segment.length)
    whole = pa.py_buffer(view)
    if crc32(view) != segment.crc32:
        raise VerifyError("its bytes are not those that were spooled")
    good, dead, said = _lengths(item, segment, bytes(view[-_END_SIZE:]))
    stats = json.loads(bytes(view[good + dead : good + dead + said]))
    return Content(segment.index, stats, whole[:good], whole[good : good + dead])


def _stats_of(item: ItemContext, segment: Segment, fd: int) -> dict[str, Any]:
    _refuse_short(segment)
    end = read_exactly(fd, segment.offset + segment.length - _END_SIZE, _END_SIZE)
    good, dead, said = _lengths(item, segment, end)
    text = read_exactly(fd, segment.offset + good + dead, said)
    if crc32(end[: -_CRC.size], crc32(text)) != _CRC.unpack(end[-_CRC.size :])[0]:
        raise VerifyError("its counts are not those that were spooled")
    stats: dict[str, Any] = json.loads(text)
    return stats


def _refuse_short(segment: Segment) -> None:
    if segment.length < _END_SIZE:
        raise VerifyError(f"{segment.length} bytes are too few for a segment")


def _lengths(item: ItemContext, segment: Segment, end: bytes) -> tuple[int, int, int]:
    magic, identity, index, width, good, dead, said = _END.unpack(end[: -_CRC.size])
    expected = (MAGIC, _identity(item), segment.index, item.plan.grid.chunk_width)
    if (magic, identity, index, width) != expected:
        raise VerifyError("the segment belongs to another item, plan or chunk grid")
    if good + dead + said + _END_SIZE > segment.length:
        raise VerifyError("its lengths do not add up")
    return good, dead, said
