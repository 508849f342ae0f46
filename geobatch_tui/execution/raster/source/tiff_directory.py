"""Reads the directories of a TIFF, and finds blocks beyond the end of the file, without decoding.

A truncated TIFF opens without an error: reading its missing blocks fails, hours later. Its
directory lists offset and length of every block, so this is known before.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.encode.tiff_tag import TiffForm
from geobatch_tui.execution.raster.source.block_file import byte_size, open_bytes, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.stores.reading.object_file import ObjectFile

    type ByteFile = BufferedReader | ObjectFile

#: Values by the code of their tag.
type Table = NDArray[np.unsignedinteger]
type Tags = dict[int, Table]

#: Tables of the places of blocks, and of their sizes.
_TABLES = (
    (tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS),
    (tag.STRIP_OFFSETS, tag.STRIP_BYTE_COUNTS),
)
_WANTED = frozenset(chain.from_iterable(_TABLES))
_SIZES = {3: "u2", 4: "u4", 16: "u8"}
_MAX_DIRECTORIES = 4096

#: Names of compressions that a build of GDAL may lack.
_COMPRESSIONS = {
    6: "old-style JPEG", 7: "JPEG", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC",
    34892: "lossy JPEG of DNG", 34925: "LZMA", 50000: "ZSTD", 50001: "WEBP", 50002: "JPEG XL",
    52546: "JPEG XL of DNG",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MissingBlocks:
    """Blocks beyond the end of the file: ``blocks`` are their row-major indices in the directory
    number ``directory`` (0: the full-resolution image), which lists ``total``."""

    directory: int
    blocks: tuple[int, ...]
    total: int


def missing_blocks(path: str | Path) -> list[MissingBlocks]:
    """Return the directories of the TIFF at ``path`` with blocks beyond the end of the file.

    Raises:
        CorruptSourceError: a directory, or one of its tables, is itself beyond the end.
    """
    size = size_of(str(path))
    found = [
        _missing(tables, size, number)
        for number, (_, tables) in enumerate(_directories(path, _WANTED))
    ]
    return [missing for missing in found if missing is not None]


def first_directory(path: str | Path, wanted: frozenset[int]) -> tuple[str, Tags]:
    """Read the first directory of the TIFF at ``path``: its byte order, ``<`` or ``>``, and the
    ``wanted`` tags that hold whole numbers.

    Raises:
        CorruptSourceError: the directory, or one of its tables, is beyond the end.
    """
    for form, tags in _directories(path, wanted):
        return form.order, tags
    raise CorruptSourceError(f"{path} has no directory")


def compression_of(path: str | Path) -> str:
    """Return the compression of the first directory of the TIFF at ``path``, for a message."""
    try:
        _, tags = first_directory(path, frozenset({tag.COMPRESSION}))
    except CorruptSourceError:
        return "an unknown codec"
    number = next((int(value) for value in tags.get(tag.COMPRESSION, ())), 0)  # it may have none
    return f"{_COMPRESSIONS.get(number, 'an unknown codec')} (TIFF compression {number})"


def _directories(path: str | Path, wanted: frozenset[int]) -> Iterator[tuple[TiffForm, Tags]]:
    """Yield the form of the file and the ``wanted`` tags of each directory."""
    with open_bytes(path) as file:
        file.seek(0)
        head = file.read(4)
        order = "<" if head[:2] == b"II" else ">"
        form = TiffForm(order, struct.unpack(order + "H", head[2:4])[0] == 43)
        file.seek(8 if form.big else 4)
        offset = _unpack(file, form.pointer, path, "the offset of its first directory")
        seen: set[int] = set()
        while offset and len(seen) < _MAX_DIRECTORIES:
            if offset in seen:
                raise CorruptSourceError(f"{path}: its directories form a loop")
            seen.add(offset)
            tags, offset = _directory(file, form, offset, path, wanted)
            yield form, tags


def _unpack(file: ByteFile, form: str, path: str | Path, what: str) -> int:
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise CorruptSourceError(f"{path} is cut off: {what} lies beyond the end of the file")
    return int(struct.unpack(form, data)[0])


def _seek(file: ByteFile, offset: int, path: str | Path, what: str) -> None:
    """Go to ``offset``, which a hostile file puts anywhere within 64 bits."""
    if offset > byte_size(file):
        raise CorruptSourceError(f"{path} is cut off: {what} lies beyond the end of the file")
    file.seek(offset)


def _directory(
    file: ByteFile, form: TiffForm, offset: int, path: str | Path, wanted: frozenset[int]
) -> tuple[Tags, int]:
    _seek(file, offset, path, "a directory")
    count = _unpack(file, form.counter, path, "a directory")
    step = struct.calcsize(form.entry)
    entries = file.read(count * step) if count * step <= byte_size(file) else b""
    if len(entries) < count * step:
        raise CorruptSourceError(f"{path} is cut off inside a directory")
    next_offset = _unpack(file, form.pointer, path, "the end of a directory")
    tables = {}
    for start in range(0, count * step, step):
        code, kind, values, inline = struct.unpack_from(form.entry, entries, start)
        if code in wanted and kind in _SIZES:
            tables[code] = _table(file, form, (kind, values, inline), path)
    return tables, next_offset


def _table(
    file: ByteFile, form: TiffForm, entry: tuple[int, int, bytes], path: str | Path
) -> Table:
    kind, values, inline = entry
    dtype = np.dtype(form.order + _SIZES[kind])
    length = values * dtype.itemsize
    if length <= len(inline):
        return np.frombuffer(inline[:length], dtype)
    offset = struct.unpack(form.pointer, inline)[0]
    _seek(file, offset, path, f"the table of its {values} blocks")
    remaining = byte_size(file) - file.tell()
    if length > remaining:
        raise CorruptSourceError(
            f"{path} is cut off: the table of its {values} blocks needs {length} bytes, "
            f"{max(remaining, 0)} are left"
        )
    return np.frombuffer(file.read(length), dtype)


def _missing(tables: Tags, size: int, number: int) -> MissingBlocks | None:
    for offsets_tag, counts_tag in _TABLES:
        offsets, counts = tables.get(offsets_tag), tables.get(counts_tag)
        if offsets is None or counts is None or len(offsets) != len(counts):
            continue
        # In float64 the sum cannot wrap round, whatever a hostile table says.
        ends = offsets.astype("f8") + counts
        beyond = np.flatnonzero((ends > size) & (counts > 0))
        if len(beyond):
            return MissingBlocks(number, tuple(beyond.tolist()), len(offsets))
    return None
