"""Finished chunks of features on disk until their item is assembled.

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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io import spool_file, syncing
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import (
    disk_errors,
    fill,
    forget,
    read_exactly,
    write_all,
)
from geobatch_tui.execution.io.run_node import writer_name
from geobatch_tui.execution.protocol.messages import Segment
from geobatch_tui.execution.vector.batch.buffers import Room, own

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.vector.batch.arrow_arrays import ChunkStats, Summary
    from geobatch_tui.execution.vector.plan import VectorPlan

MAGIC = b"GBVEC3\r\n"
_END = struct.Struct("<8s16sQIQQQ")
_CRC = struct.Struct("<I")
_END_SIZE = _END.size + _CRC.size
#: Pieces start at multiples of this, so that their arrays can be used where they lie.
ALIGN = 64
_PIECE = 1 << 20
#: Bytes of the largest segment whose memory is used again.
_KEPT = 12 * 2**20


# --- written -----------------------------------------------------------------------------------


class OpenSegment:
    """Chunk ``index`` as a segment that grows at the end of this thread's spool. Its bytes go to
    the file piece by piece: a chunk of features is too large to be held until it is whole. It is
    cut off again if anything within the ``with`` block raises."""

    def __init__(self, item: ItemContext, index: int, epoch: int, stage: Stage) -> None:
        self._item, self._index, self._stage = item, index, stage
        name = f"{epoch}-{writer_name()}.spool"
        self._path = Path(item.work_dir) / name
        self._lock = spool_file.own_lock()
        self._fd = -1
        self._start = self._crc = 0
        #: Bytes that are written.
        self.length = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:  # the error that counts is the one that led here
            with suppress(OSError), self._lock:
                os.ftruncate(self._fd, self._start)
            os.close(self._fd)
            self._fd = -1

    def write(self, data: bytes | memoryview | pa.Buffer) -> None:
        """Append to the features that are published. Raises as :func:`disk_errors`."""
        with self._stage("spool"), disk_errors("cannot write the spool", self._path), self._lock:
            if self._fd < 0:
                self._fd, self._start = spool_file.open_spool(self._path)
            write_all(self._fd, data)
            self._crc = crc32(data, self._crc)
            self.length += len(data)

    def finish(self, dead: pa.Buffer, stats: ChunkStats) -> Segment:
        """Append the features that are set aside and the counts; read back when it returns, and on
        disk before the chunk is answered for. Raises as :func:`disk_errors`, and VerifyError if the
        spool reads back other bytes."""
        said = json.dumps(stats, sort_keys=True).encode()
        lengths = (self.length, len(dead), len(said))
        pad = bytes(-(sum(lengths) + _END_SIZE) % ALIGN)
        end = _END.pack(*_identity(self._item, self._index), *lengths)
        self.write(dead)
        self.write(said + pad + end + _CRC.pack(crc32(end, crc32(said))))
        made = Segment(self._index, self._path.name, self._start, self.length, self._crc)
        with self._stage("spool"), disk_errors("cannot write the spool", self._path):
            _read_back(self._fd, made)
        # From here on, whoever syncs the file closes it.
        fd, self._fd = self._fd, -1
        spool_file.sync_later(fd, self._path, self._start, self.length)
        return made


@contextmanager
def cut_on_error(item: ItemContext, segment: Segment) -> Iterator[None]:
    """Cut off a segment of this thread's again if anything within raises: its chunk will be
    computed, and spooled, once more."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path = Path(item.work_dir) / segment.spool
            spool_file.cut(path, segment.offset, segment.length, spool_file.own_lock())
        raise


def _read_back(fd: int, segment: Segment) -> None:
    """Raise VerifyError where a segment is not what was written."""
    found, at, end = 0, segment.offset, segment.offset + segment.length
    room = memoryview(own().of("piece", _PIECE))
    while at < end:
        piece = room[: min(_PIECE, end - at)]
        fill(fd, at, piece)
        found = crc32(piece, found)
        at += len(piece)
    if found != segment.crc32:
        raise VerifyError(f"{segment.spool!r} reads back other bytes than were written to it")


def _identity(item: ItemContext, index: int) -> tuple[bytes, bytes, int, int]:
    """Return what a segment says of itself: magic, digest of the fingerprint, chunk, chunk size."""
    digest = hashlib.blake2b(item.fingerprint.encode(), digest_size=16).digest()
    return MAGIC, digest, index, item.plan.grid.chunk_width


# --- read --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Content:
    """A segment as read: ``stats`` as they were spooled; the features still encoded."""

    stats: ChunkStats
    good: pa.Buffer
    dead: pa.Buffer


@dataclass(frozen=True, slots=True)
class Finished:
    """The finished chunks of an item, from which its file is written.

    Attributes:
        item: whose they are.
        plan: of the item.
        segments: of all its chunks, in order.
        summary: their counts, summed up.
    """

    item: ItemContext
    plan: VectorPlan
    segments: Sequence[Segment]
    summary: Summary

    def contents(self, *, in_turn: bool = False, last: bool = False) -> Iterator[Content]:
        """Read the segments, in the order given, each checked as it is reached.

        They are read, not mapped: mapped pages count as memory for as long as the file is open.
        While one is worked on, a thread reads the next. ``in_turn``: the caller is done with one
        when it asks for the next, so its memory is used again. ``last``: they are read for the last
        time, so the system need not keep them; what is written next goes where they were.

        Raises:
            VerifyError: one is damaged or of another item; its evidence names the chunk.
        """
        rooms = (Room(_KEPT), Room(_KEPT)) if in_turn else ()

        with ThreadPoolExecutor(1, "spool") as ahead:
            coming: Future[Content] | None = None
            for number, segment in enumerate(self.segments):
                room = rooms[number % 2] if rooms else Room()
                one, coming = coming, ahead.submit(_content, self.item, segment, room, last=last)
                if one is not None:
                    yield one.result()
                    del one  # or its bytes stay while two others are in memory
            if coming is not None:
                yield coming.result()


def encode(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Buffer:
    """Write batches as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def counts(item: ItemContext, segments: Sequence[Segment]) -> list[ChunkStats]:
    """Read the counts of chunks, but not their features. Raises as :meth:`Finished.contents`."""
    made = []
    for segment in segments:
        with _opened(item, segment) as fd:
            made.append(_stats_of(item, segment, fd))
    return made


def passed(
    item: ItemContext, segments: Sequence[Segment]
) -> Iterator[tuple[Segment, int, ChunkStats]]:
    """Read the segments of an item through and check them, but keep none: give an open file, for as
    long as it is the turn of this one, and its stats. Raises as :meth:`Finished.contents`."""
    for segment in segments:
        with _opened(item, segment) as fd:
            _read_back(fd, segment)
            yield segment, fd, _stats_of(item, segment, fd)


def damaged(item: ItemContext, segments: Sequence[Segment]) -> list[int]:
    """List the chunks whose segments are gone or damaged. Reads all of them."""
    chunks = []
    for segment in segments:
        try:
            list(passed(item, [segment]))
        except VerifyError:
            chunks.append(segment.index)
    return chunks


@contextmanager
def _opened(item: ItemContext, segment: Segment) -> Iterator[int]:
    """Open the spool of a segment; what is wrong with that becomes a VerifyError that names its
    chunk."""
    try:
        path = Path(item.work_dir) / segment.spool
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if segment.length < _END_SIZE:
                raise VerifyError(f"{segment.length} bytes are too few for a segment")
            yield fd
        finally:
            os.close(fd)
    except (VerifyError, FileNotFoundError, pa.ArrowException) as error:
        failure = VerifyError(f"chunk {segment.index} in {segment.spool!r}: {error}")
        failure.evidence = {"chunks": [segment.index]}
        raise failure from error


def _content(item: ItemContext, segment: Segment, room: Room, *, last: bool) -> Content:
    with _opened(item, segment) as fd:
        view = memoryview(room.of("segment", segment.length))
        fill(fd, segment.offset, view)
        if last and segment.length >= syncing.LARGE:
            forget(fd, segment.offset, segment.length)
        whole = pa.py_buffer(view)
        if crc32(view) != segment.crc32:
            raise VerifyError("its bytes are not those that were spooled")
        good, dead, said = _lengths(item, segment, bytes(view[-_END_SIZE:]))
        stats = json.loads(bytes(view[good + dead : good + dead + said]))
        return Content(stats, whole[:good], whole[good : good + dead])


def _stats_of(item: ItemContext, segment: Segment, fd: int) -> ChunkStats:
    end = read_exactly(fd, segment.offset + segment.length - _END_SIZE, _END_SIZE)
    good, dead, said = _lengths(item, segment, end)
    text = read_exactly(fd, segment.offset + good + dead, said)
    if crc32(end[: -_CRC.size], crc32(text)) != _CRC.unpack(end[-_CRC.size :])[0]:
        raise VerifyError("its counts are not those that were spooled")
    stats: ChunkStats = json.loads(text)
    return stats


def _lengths(item: ItemContext, segment: Segment, end: bytes) -> tuple[int, int, int]:
    *whose, good, dead, said = _END.unpack(end[: -_CRC.size])
    if tuple(whose) != _identity(item, segment.index):
        raise VerifyError("the segment belongs to another item, plan or chunk grid")
    if good + dead + said + _END_SIZE > segment.length:
        raise VerifyError("its lengths do not add up")
    return good, dead, said
