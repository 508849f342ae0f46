"""Reads the places and the encoding of a GeoTIFF's blocks from its first directory.

GDAL knows them too, but has no interface for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.source.tiff_directory import first_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from geobatch_tui.execution.raster.source.block_file import BlockFile
    from geobatch_tui.execution.raster.source.tiff_directory import Table, Tags
    from geobatch_tui.execution.raster.source_facts import Facts

#: Codecs that are decoded here, by TIFF's number.
_CODECS = {number: name for name, number in tag.COMPRESSIONS.items()} | {32946: "DEFLATE"}
_WANTED = frozenset({
    *tag.DEFAULTS, tag.PHOTOMETRIC, tag.IMAGE_WIDTH, tag.IMAGE_LENGTH, tag.BITS_PER_SAMPLE,
    tag.COMPRESSION, tag.STRIP_OFFSETS, tag.ROWS_PER_STRIP, tag.STRIP_BYTE_COUNTS, tag.TILE_WIDTH,
    tag.TILE_LENGTH, tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class BlockTable:
    """The blocks of one image.

    Each of ``planes`` planes has the blocks of ``grid``, with ``samples`` bands of ``bits`` bits.
    ``compression`` is TIFF's number. ``plain``: pixels are stored as numpy's own, but for codec and
    ``predictor``. ``strips``: the last row of blocks ends with the image. ``offsets`` and
    ``counts`` are in bytes, one for each block, plane by plane.
    """

    grid: ChunkGrid
    planes: int
    samples: int
    bits: int
    compression: int
    predictor: int
    plain: bool
    strips: bool
    offsets: Table
    counts: Table

    @classmethod
    def of(cls, path: str, facts: Facts) -> BlockTable | None:
        """Read the table of the file at ``path`` with these ``facts``; None if it is no GeoTIFF, or
        its directory does not list its blocks."""
        if facts.driver != "GTiff":
            return None
        try:
            order, tags = first_directory(path, _WANTED)
        except CorruptSourceError:
            return None  # GDAL will report it
        return _table(order, tags, facts)

    @property
    def compress(self) -> str:
        """Name of the codec; empty for one that is not decoded here."""
        return _CODECS.get(self.compression, "")

    @property
    def full_size(self) -> int:
        """Size in bytes of a decoded block of full height."""
        return self.grid.chunk_height * -(-self.grid.chunk_width * self.samples * self.bits // 8)

    def length(self, at: int) -> int:
        """Return the bytes of block ``at``; 0 if it is left out, or claims more than any encoder
        makes."""
        length = int(self.counts[at])
        return length if length <= 2 * self.full_size + 1024 else 0

    def read(self, file: BlockFile, at: int) -> bytes:
        """Read block ``at`` as it is stored, as far as the file reaches."""
        length = self.length(at)
        return file.pread(length, int(self.offsets[at])) if length else b""

    def places(self, blocks: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield where ``blocks`` begin and end, without those that are left out."""
        starts = ((int(self.offsets[at]), self.length(at)) for at in blocks)
        return ((start, start + length) for start, length in starts if length)

    def planes_of(self, number: int) -> range:
        """Return the blocks at the place ``number`` of the grid, one for each plane."""
        return range(number, len(self.counts), len(self.grid))


def _table(order: str, tags: Tags, facts: Facts) -> BlockTable | None:
    first = dict.fromkeys(_WANTED, 0) | tag.DEFAULTS
    first |= {code: int(values[0]) for code, values in tags.items() if len(values)}
    image = first[tag.IMAGE_WIDTH], first[tag.IMAGE_LENGTH], first[tag.SAMPLES_PER_PIXEL]
    if image != (facts.width, facts.height, facts.count) or not first[tag.BITS_PER_SAMPLE]:
        return None
    strips = tag.TILE_OFFSETS not in tags
    if strips:
        block = facts.width, min(first[tag.ROWS_PER_STRIP] or facts.height, facts.height)
        offsets, counts = tags.get(tag.STRIP_OFFSETS), tags.get(tag.STRIP_BYTE_COUNTS)
    else:
        block = first[tag.TILE_WIDTH], first[tag.TILE_LENGTH]
        offsets, counts = tags[tag.TILE_OFFSETS], tags.get(tag.TILE_BYTE_COUNTS)
    if not all(block) or offsets is None or counts is None:
        return None
    grid = ChunkGrid(facts.width, facts.height, *block)
    planes = facts.count if first[tag.PLANAR_CONFIGURATION] == 2 else 1
    if not len(offsets) == len(counts) == len(grid) * planes:
        return None
    return BlockTable(
        grid=grid,
        planes=planes,
        samples=facts.count // planes,
        bits=first[tag.BITS_PER_SAMPLE],
        compression=first[tag.COMPRESSION],
        predictor=first[tag.PREDICTOR],
        plain=order == "<" and _is_plain(tags, first, facts),
        strips=strips,
        offsets=offsets,
        counts=counts,
    )


def _is_plain(tags: Tags, first: dict[int, int], facts: Facts) -> bool:
    """Whether pixels are stored as numpy's own, but for codec and predictor."""
    if facts.dtype.startswith("complex"):
        return False
    dtype, photometric = np.dtype(facts.dtype), tags.get(tag.PHOTOMETRIC)
    alike = all(
        len(set(np.atleast_1d(tags.get(code, 0)).tolist())) == 1
        for code in (tag.BITS_PER_SAMPLE, tag.SAMPLE_FORMAT)
    )
    floating = dtype.kind == "f"
    return (
        alike
        and photometric is not None
        and first[tag.BITS_PER_SAMPLE] == dtype.itemsize * 8
        and first[tag.SAMPLE_FORMAT] == tag.SAMPLE_FORMATS[dtype.kind]
        and (first[tag.NEW_SUBFILE_TYPE], first[tag.FILL_ORDER]) == (0, 1)
        and tag.STORED_AS_THEY_ARE.issuperset(photometric.tolist())
        and first[tag.PLANAR_CONFIGURATION] in (1, 2)
        and first[tag.PREDICTOR] in ((1, 3) if floating else (1, 2))
    )
