"""Finished chunks of features on disk until their item is assembled.

As with rasters, each thread of each worker appends to a file of its own. A segment is one chunk::

    Arrow stream of the features that are published
    Arrow stream of those in quarantine, with their reasons
    counts and extent, as JSON
    end:   magic, fingerprint, chunk, chunk size, the three lengths, CRC-32

padded at the front of ``end`` so that every segment starts at a multiple of 64 bytes, and its
arrays can be used where they lie.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.messages import Segment
from geobatch_tui.execution.raster.disk import (
    disk_errors,
    read_exactly,
    sync_directory,
    write_all,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.messages import ItemContext

MAGIC = b"GBVEC1\r\n"
_END = struct.Struct("<8s16sQIQQQ")
_CRC = struct.Struct("<I")
_END_SIZE = _END.size + _CRC.size
_ALIGN = 64


@dataclass(frozen=True, slots=True)
class Content:
    """A segment as read: ``stats`` as they were spooled; the streams still encoded."""

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
    item: ItemContext, index: int, epoch: int, streams: tuple[pa.Buffer, pa.Buffer], stats: Any
) -> tuple[Segment, int]:
    """Append chunk ``index`` to this thread's spool; durable and read back when it returns.

    Raises:
        VerifyError: the spool reads back other bytes.
        DiskFullError, OutputGoneError: see :func:`disk_errors`.
    """
    said = json.dumps(stats, sort_keys=True).encode()
    lengths = (streams[0].size, streams[1].size, len(said))
    width = item.plan.grid.chunk_width
    pad = bytes(-(sum(lengths) + _END_SIZE) % _ALIGN)
    end = _END.pack(MAGIC, _identity(item), index, width, *lengths)
    tail = said + pad + end + _CRC.pack(zlib.crc32(end))
    name = f"{epoch}-{os.getpid()}-{threading.get_ident()}.spool"
    path = Path(item.work_dir) / name
    with disk_errors("cannot write the spool", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        offset, length, crc = _append(path, (*streams, tail))
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
                crc = zlib.crc32(piece, crc)
                length += len(piece)
            os.fsync(fd)
            if not start:
                sync_directory(path.parent)
            _read_back(fd, path, start, length, crc)
        except BaseException:
            # Room is given back at once; the error that counts is the first one.
            with suppress(OSError):
                os.ftruncate(fd, start)
            raise
    finally:
        os.close(fd)
    return start, length, crc


def _read_back(fd: int, path: Path, start: int, length: int, crc: int) -> None:
    if zlib.crc32(read_exactly(fd, start, length)) != crc:
        raise VerifyError(f"{path.name!r} reads back other bytes than were written to it")


def _identity(item: ItemContext) -> bytes:
    return hashlib.blake2b(item.fingerprint.encode(), digest_size=16).digest()


def contents(item: ItemContext, segments: Sequence[Segment]) -> Iterator[Content]:
    """The segments of an item, in the order given, each mapped and checked as it is reached.

    Raises:
        VerifyError: one is damaged or of another item; its evidence names the chunk.
    """
    for segment in segments:
        try:
            yield _content(item, segment)
        except (VerifyError, FileNotFoundError, pa.ArrowException) as error:
            found = VerifyError(f"chunk {segment.index} in {segment.spool!r}: {error}")
            found.evidence = {"chunks": [segment.index]}
            raise found from error


def _content(item: ItemContext, segment: Segment) -> Content:
    if segment.length < _END_SIZE:
        raise VerifyError(f"{segment.length} bytes are too few for a segment")
    with pa.memory_map(str(Path(item.work_dir) / segment.spool)) as file:
        if file.size() < segment.offset + segment.length:
            raise VerifyError("the spool is cut off")
        file.seek(segment.offset)
        whole = file.read_buffer(segment.length)
    view = memoryview(whole)
    if zlib.crc32(view) != segment.crc32:
        raise VerifyError("its bytes are not those that were spooled")
    end = bytes(view[-_END_SIZE : -_CRC.size])
    magic, identity, index, width, good, dead, said = _END.unpack(end)
    expected = (MAGIC, _identity(item), segment.index, item.plan.grid.chunk_width)
    if (magic, identity, index, width) != expected:
        raise VerifyError("the segment belongs to another item, plan or chunk grid")
    stats = json.loads(bytes(view[good + dead : good + dead + said]))
    return Content(segment.index, stats, whole[:good], whole[good : good + dead])
