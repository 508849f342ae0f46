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
from geobatch_tui.execution.raster.encode.tiff_tag import (
    LONG,
    LONG8,
    TILE_BYTE_COUNTS,
    TILE_OFFSETS,
    Tag,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geobatch_tui.execution.raster.types import Indices

    type Integers = NDArray[np.integer]

#: Above this a file is BigTIFF: 4 GiB less 64 KiB of room for edits in place.
CLASSIC_LIMIT = (1 << 32) - (1 << 16)


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


@dataclass(frozen=True, slots=True)
class _Flavour:
    """Widths of a classic TIFF or a BigTIFF."""

    big: bool

    @property
    def magic(self) -> bytes:
        return b"II+\0\x08\0\0\0" if self.big else b"II*\0"

    @property
    def pointer(self) -> str:
        return "<Q" if self.big else "<I"

    @property
    def entry(self) -> str:
        return "<HHQ" if self.big else "<HHI"

    @property
    def counter(self) -> str:
        return "<Q" if self.big else "<H"

    @property
    def inline(self) -> int:
        return 8 if self.big else 4

    def directory_size(self, entries: int) -> int:
        """Return the bytes of a directory with its pointer to the next, without values outside."""
        entry = 2 + 2 + 2 * self.inline  # code, type, count, value or pointer
        return struct.calcsize(self.counter) + entries * entry + self.inline


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
    lengths = _in_order(directories, order)
    spans = np.where(lengths > 0, lengths + sum(frame), 0)
    total = int(spans.sum())
    flavour = _Flavour(bigtiff == "YES")
    start = _header_size(directories, ghost, flavour)
    if not flavour.big and start + total > CLASSIC_LIMIT:
        if bigtiff == "NO":
            raise SchemaError(
                f"{start + total:,} bytes do not fit a classic TIFF",
                hint="set BIGTIFF to IF_NEEDED or YES",
            )
        flavour = _Flavour(big=True)
        start = _header_size(directories, ghost, flavour)
    places = np.where(lengths > 0, start + np.cumsum(spans) - spans + frame[0], 0)
    by_directory = [np.zeros(len(entry.lengths), np.uint64) for entry in directories]
    for number, target in enumerate(by_directory):
        chosen = order[0] == number
        target[order[1][chosen]] = places[chosen]
    header = _header(directories, by_directory, ghost, flavour)
    return Layout(header, places, start + total, flavour.big)


def _in_order(directories: Sequence[Directory], order: tuple[Indices, Indices]) -> Indices:
    lengths = np.zeros(len(order[0]), np.int64)
    for number, entry in enumerate(directories):
        chosen = order[0] == number
        lengths[chosen] = entry.lengths[order[1][chosen]]
    return lengths


def _header_size(directories: Sequence[Directory], ghost: bytes, flavour: _Flavour) -> int:
    size = _start(ghost, flavour)
    for entry in directories:
        tags = (*entry.tags, *_tile_tags(entry, np.zeros(len(entry.lengths), np.uint64), flavour))
        size += flavour.directory_size(len(tags)) + sum(_room(tag, flavour) for tag in tags)
    return size


def _start(ghost: bytes, flavour: _Flavour) -> int:
    """Return the offset of the first directory."""
    start = len(flavour.magic) + flavour.inline + len(ghost)
    return start + start % 2


def _header(
    directories: Sequence[Directory],
    offsets: Sequence[Integers],
    ghost: bytes,
    flavour: _Flavour,
) -> bytes:
    """Return the bytes before the first tile. Their length depends on counts alone, not on
    offsets."""
    all_tags = [
        sorted((*entry.tags, *_tile_tags(entry, at, flavour)), key=lambda tag: tag.code)
        for entry, at in zip(directories, offsets, strict=True)
    ]
    start = _start(ghost, flavour)
    starts, small = [], start
    for tags in all_tags:
        starts.append(small)
        small += flavour.directory_size(len(tags))
        small += sum(_room(tag, flavour) for tag in tags if not _is_array(tag))
    out = bytearray(flavour.magic + struct.pack(flavour.pointer, start) + ghost)
    out += b"\0" * (start - len(out))
    arrays = bytearray()
    for tags, following in zip(all_tags, [*starts[1:], 0], strict=True):
        _write_directory(out, arrays, small, tags, following, flavour)
    return bytes(out + arrays)


def _tile_tags(entry: Directory, offsets: Integers, flavour: _Flavour) -> tuple[Tag, Tag]:
    kind, dtype = (LONG8, "<u8") if flavour.big else (LONG, "<u4")
    count = len(entry.lengths)
    return (
        Tag(TILE_OFFSETS, kind, count, offsets.astype(dtype).tobytes()),
        Tag(TILE_BYTE_COUNTS, LONG, count, entry.lengths.astype("<u4").tobytes()),
    )


def _is_array(tag: Tag) -> bool:
    return tag.code in (TILE_OFFSETS, TILE_BYTE_COUNTS)


def _room(tag: Tag, flavour: _Flavour) -> int:
    """Return the bytes that a value takes outside its entry; values start at even offsets."""
    size = len(tag.value)
    return 0 if size <= flavour.inline else size + size % 2


def _write_directory(
    out: bytearray,
    arrays: bytearray,
    arrays_start: int,
    tags: Sequence[Tag],
    following: int,
    flavour: _Flavour,
) -> None:
    values = bytearray()
    values_start = len(out) + flavour.directory_size(len(tags))
    out += struct.pack(flavour.counter, len(tags))
    for tag in tags:
        out += struct.pack(flavour.entry, tag.code, tag.type, tag.count)
        if not _room(tag, flavour):
            out += tag.value.ljust(flavour.inline, b"\0")
            continue
        pool, base = (arrays, arrays_start) if _is_array(tag) else (values, values_start)
        out += struct.pack(flavour.pointer, base + len(pool))
        pool += tag.value
        pool += b"\0" * (len(tag.value) % 2)
    out += struct.pack(flavour.pointer, following)
    out += values
