"""Finished chunks of features on disk until their item is assembled: how they are read.

See ``segment`` for how they lie there.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io import syncing
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import fill, forget, read_exactly
from geobatch_tui.execution.vector.batch.buffers import Room
from geobatch_tui.execution.vector.spool.segment import (
    CRC,
    END,
    END_SIZE,
    MAGIC,
    identity,
    read_back,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import ItemContext, Segment
    from geobatch_tui.execution.vector.batch.arrow_arrays import ChunkStats, Summary
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Bytes of the largest segment whose memory is used again.
_KEPT = 12 * 2**20


@dataclass(frozen=True, slots=True)
class Content:
    """A segment as read: ``stats`` as they were spooled; the features still encoded."""

    index: int
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
        """Read the segments; see :func:`contents`."""
        return contents(self.item, self.segments, in_turn=in_turn, last=last)


def encode(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Buffer:
    """Write batches as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def counts(item: ItemContext, segments: Sequence[Segment]) -> list[ChunkStats]:
    """Read the counts of the chunks of an item, but not their features.

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
    """Read the segments of an item, in the order given, each checked as it is reached.

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
) -> Iterator[tuple[Segment, int, ChunkStats]]:
    """Read the segments of an item through and check them, but keep none: give an open file, for as
    long as it is the turn of this one, and its stats.

    Raises: as :func:`contents`.
    """

    def read(item: ItemContext, segment: Segment, fd: int) -> tuple[int, ChunkStats]:
        stats = _whole(item, segment, fd)
        return os.dup(fd), stats

    for segment in segments:
        fd, stats = _checked(segment, item, read)
        try:
            yield segment, fd, stats
        finally:
            os.close(fd)


def damaged(item: ItemContext, segments: Sequence[Segment]) -> list[int]:
    """List the chunks whose segments are gone or damaged. Reads all of them."""
    chunks = []
    for segment in segments:
        try:
            _checked(segment, item, _whole)
        except VerifyError:
            chunks.append(segment.index)
    return chunks


def _whole(item: ItemContext, segment: Segment, fd: int) -> ChunkStats:
    """Read the stats of a segment, every byte of which is read and checked."""
    _refuse_short(segment)
    path = Path(item.work_dir) / segment.spool
    read_back(fd, path, segment.offset, segment.length, segment.crc32)
    return _stats_of(item, segment, fd)


def _checked[T](
    segment: Segment, item: ItemContext, read: Callable[[ItemContext, Segment, int], T]
) -> T:
    try:
        path = Path(item.work_dir) / segment.spool
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return read(item, segment, fd)
        finally:
            os.close(fd)
    except (VerifyError, FileNotFoundError, pa.ArrowException) as error:
        failure = VerifyError(f"chunk {segment.index} in {segment.spool!r}: {error}")
        failure.evidence = {"chunks": [segment.index]}
        raise failure from error


def _content(room: Room, item: ItemContext, segment: Segment, fd: int, *, last: bool) -> Content:
    _refuse_short(segment)
    view = memoryview(room.of("segment", segment.length))
    fill(fd, segment.offset, view)
    if last and segment.length >= syncing.LARGE:
        forget(fd, segment.offset, segment.length)
    whole = pa.py_buffer(view)
    if crc32(view) != segment.crc32:
        raise VerifyError("its bytes are not those that were spooled")
    good, dead, said = _lengths(item, segment, bytes(view[-END_SIZE:]))
    stats = json.loads(bytes(view[good + dead : good + dead + said]))
    return Content(segment.index, stats, whole[:good], whole[good : good + dead])


def _stats_of(item: ItemContext, segment: Segment, fd: int) -> ChunkStats:
    _refuse_short(segment)
    end = read_exactly(fd, segment.offset + segment.length - END_SIZE, END_SIZE)
    good, dead, said = _lengths(item, segment, end)
    text = read_exactly(fd, segment.offset + good + dead, said)
    if crc32(end[: -CRC.size], crc32(text)) != CRC.unpack(end[-CRC.size :])[0]:
        raise VerifyError("its counts are not those that were spooled")
    stats: ChunkStats = json.loads(text)
    return stats


def _refuse_short(segment: Segment) -> None:
    if segment.length < END_SIZE:
        raise VerifyError(f"{segment.length} bytes are too few for a segment")


def _lengths(item: ItemContext, segment: Segment, end: bytes) -> tuple[int, int, int]:
    magic, whose, index, width, good, dead, said = END.unpack(end[: -CRC.size])
    expected = (MAGIC, identity(item), segment.index, item.plan.grid.chunk_width)
    if (magic, whose, index, width) != expected:
        raise VerifyError("the segment belongs to another item, plan or chunk grid")
    if good + dead + said + END_SIZE > segment.length:
        raise VerifyError("its lengths do not add up")
    return good, dead, said
