"""Writes and reads spools: finished chunks on disk until their item is assembled.

Each thread of each worker appends to a file of its own, ``<epoch>-<writer>.spool`` in the
item's work directory. A segment is one chunk::

    tiles, as they go into the final file (COG: with leader and trailer)
    index: one encode_chunk.ROW a tile
    end:   magic, fingerprint, chunk, chunk size, rows, length of the tiles, CRC-32

and is durable before its chunk is answered for. A segment that could not be completed is cut off
again; if even that fails, its bytes stay unused, since only reported places are read.
"""

from __future__ import annotations

import hashlib
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io import spool_file
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import (
    disk_errors,
    fill,
    read_exactly,
    write_parts,
)
from geobatch_tui.execution.io.run_node import writer_name
from geobatch_tui.execution.protocol.messages import Segment
from geobatch_tui.execution.raster.geotiff.tile_stores import SpoolStore
from geobatch_tui.execution.raster.pyramid.encode_chunk import ROW, Rows, encode_chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.pyramid.encode_chunk import EncodedTiles
    from geobatch_tui.execution.raster.types import Pixels, Valid

MAGIC = b"GBSEG1\r\n"
_END = struct.Struct("<8s16sQIIIQ")
_CRC = struct.Struct("<I")
#: Bytes that are read back at a time.
_PIECE = 2**20
#: Bytes of a segment behind its index.
END_SIZE = _END.size + _CRC.size


def write_chunk(  # noqa: PLR0913, PLR0917 -- what a chunk is, one by one
    item: ItemContext,
    plan: RasterPlan,
    index: int,
    pixels: Pixels,
    valid: Valid | None,
    epoch: int,
    stage: Stage,
    encoded: EncodedTiles | None = None,
) -> tuple[Segment, int]:
    """Encode chunk ``index`` and append it to this thread's spool: read back when this returns, and
    on disk before the chunk is answered for.

    Args:
        item: the item; its ``work_dir`` is made if it is not there.
        plan: the item's plan.
        index: which chunk of ``item.plan.grid``.
        pixels: (bands, h, w) of exactly the chunk's window, in the plan's dtype.
        valid: (h, w) bool, or None where all are valid or validity lies in the pixels.
        epoch: of the run.
        stage: names what is being done.
        encoded: tiles at full resolution that are not to be encoded.

    Returns:
        Where the segment lies, and its length in bytes.

    Raises:
        VerifyError: a tile decodes to other pixels, or the spool reads back other bytes.
        DiskFullError: no space; what had been written of the segment is cut off again.
        OutputGoneError: the work directory vanished or became read-only.
    """
    with stage("encode"):
        chunk = encode_chunk(plan, item.plan.grid, index, pixels, valid, encoded)
        parts = [*chunk.parts, _footer(item, index, chunk.rows, chunk.size)]
    name = f"{epoch}-{writer_name()}.spool"
    path = Path(item.work_dir) / name
    with stage("spool"), disk_errors("cannot write the spool", path):
        offset, length, crc = _append(path, parts)
    return Segment(index, name, offset, length, crc), length


def _append(path: Path, parts: Sequence[bytes]) -> tuple[int, int, int]:
    """Append and read back, and have it synced; return the segment's offset, its length and its
    CRC-32."""
    length, crc = sum(map(len, parts)), 0
    for part in parts:
        crc = crc32(part, crc)
    with spool_file.own_lock():
        fd, start = spool_file.open_spool(path)
        try:
            write_parts(fd, parts)
            _read_back(fd, path, start, length, crc)
        except BaseException:
            # Room is given back at once; the error that counts is the first one.
            with suppress(OSError):
                os.ftruncate(fd, start)
            os.close(fd)
            raise
    # From here on, whoever syncs the file closes it.
    spool_file.sync_later(fd, path, start, length)
    return start, length, crc


def _read_back(fd: int, path: Path, offset: int, length: int, crc: int) -> None:
    if _crc_of(fd, offset, length) != crc:
        raise VerifyError(f"{path.name!r} reads back other bytes than were written to it")


def _crc_of(fd: int, offset: int, length: int) -> int:
    """Return the CRC-32 of bytes of a file, which are read piece by piece."""
    buffer, crc = memoryview(bytearray(min(length, _PIECE))), 0
    for done in range(0, length, _PIECE):
        piece = buffer[: min(_PIECE, length - done)]
        fill(fd, offset + done, piece)
        crc = crc32(piece, crc)
    return crc


def _footer(item: ItemContext, index: int, rows: Rows, length: int) -> bytes:
    grid = item.plan.grid
    whose = (_identity(item), index, grid.chunk_width, grid.chunk_height)
    footer = rows.tobytes() + _END.pack(MAGIC, *whose, len(rows), length)
    return footer + _CRC.pack(crc32(footer))


def _identity(item: ItemContext) -> bytes:
    """Return 16 bytes that differ wherever the item's fingerprint does."""
    return hashlib.blake2b(item.fingerprint.encode(), digest_size=16).digest()


def read_rows(fd: int, item: ItemContext, segment: Segment) -> Rows:
    """Read the index of a segment in the open spool ``fd``; offsets count from the file's start.

    Raises:
        VerifyError: cut short, damaged, or of another item, plan, chunk or chunk grid.
    """
    where = f"chunk {segment.index} in {segment.spool!r} at byte {segment.offset}"
    if segment.length < END_SIZE:
        raise VerifyError(f"{where}: {segment.length} bytes are too few for a segment")
    tail = segment.offset + segment.length - END_SIZE
    end = read_exactly(fd, tail, END_SIZE)
    magic, identity, index, width, height, count, length = _END.unpack(end[: _END.size])
    if magic != MAGIC or length + count * ROW.itemsize + END_SIZE != segment.length:
        raise VerifyError(f"{where}: no segment ends there")
    grid = item.plan.grid
    expected = (_identity(item), segment.index, grid.chunk_width, grid.chunk_height)
    if (identity, index, width, height) != expected:
        raise VerifyError(f"{where}: the segment belongs to another item, plan or chunk grid")
    packed = read_exactly(fd, segment.offset + length, count * ROW.itemsize)
    if crc32(packed + end[: _END.size]) != _CRC.unpack(end[_END.size :])[0]:
        raise VerifyError(f"{where}: its index is damaged")
    rows = np.frombuffer(packed, ROW).copy()
    if (rows["offset"] + rows["length"] > length).any():
        raise VerifyError(f"{where}: its index points outside the segment")
    rows["offset"] += segment.offset
    return rows


def is_intact(item: ItemContext, segment: Segment) -> bool:
    """Whether a segment is still there, byte for byte; reads all of it."""
    if not segment.length:
        return True
    store = SpoolStore(Path(item.work_dir) / segment.spool, stays=False)
    try:
        with store.opened() as fd:
            read_rows(fd, item, segment)
            return _crc_of(fd, segment.offset, segment.length) == segment.crc32
    except VerifyError:
        return False
