"""Computes the complete layout of a TIFF or COG from its tags and the lengths of its tiles.

All sizes are known before the first byte is written, so offsets are prefix sums, and the choice
between classic TIFF and BigTIFF needs no guess. The structure is that of GDAL's COG driver
(https://gdal.org/en/stable/drivers/raster/cog.html, "File format details"): header, ghost area,
directories with their values, arrays of tile offsets and lengths, then tiles.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.encode.tiff_tag import Tag, TiffForm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geobatch_tui.execution.raster.types import Indices

    type Integers = NDArray[np.integer]

#: Above this a file is BigTIFF: 4 GiB less 64 KiB of room for edits in place.
CLASSIC_LIMIT = (1 << 32) - (1 << 16)
#: Values that lie behind all directories.
_ARRAYS = (tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS)


@dataclass(frozen=True, slots=True)
class Directory:
    """The directory of an image: its tags, without tile offsets and lengths, and the lengths of its
    tiles (0: no such tile) in TIFF's tile order."""

    tags: tuple[Tag, ...]
    lengths: Integers


@dataclass(frozen=True, slots=True)
class Layout:
    """The bytes before the first tile, the offset of each tile in the order of the tile data (0: no
    such tile), and the size of the whole file."""

    header: bytes
    offsets: Indices
    size: int
    bigtiff: bool


def ghost_area(*, by_band: bool, mask: bool) -> bytes:
    """Return GDAL's structural metadata of a COG. Masks are interleaved with imagery only where
    bands are interleaved by pixel."""
    lines = [
        "LAYOUT=IFDS_BEFORE_DATA",
        "BLOCK_ORDER=ROW_MAJOR",
        "BLOCK_LEADER=SIZE_AS_UINT4",
        "BLOCK_TRAILER=LAST_4_BYTES_REPEATED",
        *(["INTERLEAVE=BAND"] if by_band else []),
        # The space is room: a tool that breaks the layout writes YES over "NO\n ".
        "KNOWN_INCOMPATIBLE_EDITION=NO\n ",
    ]
    body = "\n".join(lines)
    if mask and not by_band:
        body += "MASK_INTERLEAVED_WITH_IMAGERY=YES\n"
    return f"GDAL_STRUCTURAL_METADATA_SIZE={len(body):06d} bytes\n{body}".encode()


def lay_out(
    directories: Sequence[Directory],
    order: tuple[Indices, Indices],
    *,
    ghost: bytes,
    frame: tuple[int, int],
    bigtiff: str,
) -> Layout:
    """Place directories and tiles.

    Args:
        directories: in file order.
        order: directory and tile number of every tile, in the order of the tile data.
        ghost: bytes between the header and the first directory.
        frame: bytes before and behind each tile (COG: 4 and 4).
        bigtiff: IF_NEEDED, YES or NO.

    Raises:
        SchemaError: the file is too large for a classic TIFF and BigTIFF was ruled out.
    """
    lengths = np.zeros(len(order[0]), np.int64)
    offsets = [np.zeros(len(entry.lengths), np.uint64) for entry in directories]
    chosen = [order[0] == number for number in range(len(directories))]
    for entry, here in zip(directories, chosen, strict=True):
        lengths[here] = entry.lengths[order[1][here]]
    spans = np.where(lengths > 0, lengths + sum(frame), 0)
    total = int(spans.sum())
    form = TiffForm("<", big=bigtiff == "YES")
    start = len(_header(directories, offsets, ghost, form))
    if not form.big and start + total > CLASSIC_LIMIT:
        if bigtiff == "NO":
            raise SchemaError(
                f"{start + total:,} bytes do not fit a classic TIFF",
                hint="set BIGTIFF to IF_NEEDED or YES",
            )
        form = TiffForm("<", big=True)
        start = len(_header(directories, offsets, ghost, form))
    places = np.where(lengths > 0, start + np.cumsum(spans) - spans + frame[0], 0)
    for target, here in zip(offsets, chosen, strict=True):
        target[order[1][here]] = places[here]
    return Layout(_header(directories, offsets, ghost, form), places, start + total, form.big)


def _header(
    directories: Sequence[Directory], offsets: Sequence[Integers], ghost: bytes, form: TiffForm
) -> bytes:
    """Return the bytes before the first tile; their number depends on counts, not on offsets."""
    all_tags = [
        sorted((*entry.tags, *_tile_tags(entry, at, form)), key=lambda entry: entry.code)
        for entry, at in zip(directories, offsets, strict=True)
    ]
    start = len(form.magic) + form.inline + len(ghost)
    start += start % 2
    arrays_start = start + sum(
        form.directory_size(len(tags))
        + sum(_room(entry, form) for entry in tags if entry.code not in _ARRAYS)
        for tags in all_tags
    )
    out = bytearray(form.magic + struct.pack(form.pointer, start) + ghost).ljust(start, b"\0")
    arrays = bytearray()
    for tags in all_tags:
        _write_directory(out, arrays, arrays_start, tags, form, last=tags is all_tags[-1])
    return bytes(out + arrays)


def _tile_tags(entry: Directory, offsets: Integers, form: TiffForm) -> tuple[Tag, Tag]:
    kind, dtype = (tag.LONG8, "<u8") if form.big else (tag.LONG, "<u4")
    count = len(entry.lengths)
    return (
        Tag(tag.TILE_OFFSETS, kind, count, offsets.astype(dtype).tobytes()),
        Tag(tag.TILE_BYTE_COUNTS, tag.LONG, count, entry.lengths.astype("<u4").tobytes()),
    )


def _room(entry: Tag, form: TiffForm) -> int:
    """Return the bytes that a value takes outside its entry; values start at even offsets."""
    size = len(entry.value)
    return 0 if size <= form.inline else size + size % 2


def _write_directory(
    out: bytearray,
    arrays: bytearray,
    arrays_start: int,
    tags: Sequence[Tag],
    form: TiffForm,
    *,
    last: bool,
) -> None:
    """Append a directory and its values to ``out``, the tables of its tiles to ``arrays``."""
    values = bytearray()
    values_start = len(out) + form.directory_size(len(tags))
    out += struct.pack(form.counter, len(tags))
    for entry in tags:
        inline = entry.value
        if room := _room(entry, form):
            is_array = entry.code in _ARRAYS
            pool, base = (arrays, arrays_start) if is_array else (values, values_start)
            inline = struct.pack(form.pointer, base + len(pool))
            pool += entry.value.ljust(room, b"\0")
        out += struct.pack(form.entry, entry.code, entry.type, entry.count, inline)
    out += struct.pack(form.pointer, 0 if last else values_start + len(values))
    out += values
