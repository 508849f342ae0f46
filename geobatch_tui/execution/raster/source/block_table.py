"""Reads the places and the encoding of a GeoTIFF's blocks from its first directory.

GDAL knows them too, but has no interface for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.source.tiff_directory import first_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.raster.source.tiff_directory import Table, Tags
    from geobatch_tui.execution.raster.source_facts import Facts

#: TIFF's numbers of the codecs that are decoded here, by name.
_CODECS = {1: "NONE", 5: "LZW", 8: "DEFLATE", 32946: "DEFLATE", 50000: "ZSTD"}
_WANTED = frozenset({
    *tag.DEFAULTS, tag.PHOTOMETRIC, tag.IMAGE_WIDTH, tag.IMAGE_LENGTH, tag.BITS_PER_SAMPLE,
    tag.COMPRESSION, tag.STRIP_OFFSETS, tag.ROWS_PER_STRIP, tag.STRIP_BYTE_COUNTS, tag.TILE_WIDTH,
    tag.TILE_LENGTH, tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class BlockTable:
    """The blocks of one image.

    ``width`` and ``height`` of a block are in pixels. Each of ``planes`` planes has ``across`` x
    ``down`` blocks and ``samples`` bands. ``rows`` is the height of the image, ``bits`` the bits of
    a sample. ``compress`` is empty for a codec that is not decoded here. ``plain``: pixels are
    stored as numpy's own, but for codec and ``predictor``. ``strips``: the last row of blocks ends
    with the image. ``offsets`` and ``counts`` are in bytes, one for each block.
    """

    width: int
    height: int
    across: int
    down: int
    planes: int
    samples: int
    rows: int
    bits: int
    compress: str
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
            order, tags = first_directory(Path(path), _WANTED)
        except CorruptSourceError:
            return None  # GDAL will report it
        return _table(order, tags, facts)

    @property
    def full_size(self) -> int:
        """Size in bytes of a decoded block of full height."""
        return self.height * -(-self.width * self.samples * self.bits // 8)

    def length(self, at: int) -> int:
        """Return the bytes of block ``at``; 0 if it is left out, or claims more than any encoder
        makes."""
        length = int(self.counts[at])
        return length if length <= 2 * self.full_size + 1024 else 0

    def under(self, window: Window) -> Iterator[tuple[int, int]]:
        """Yield row and column of each block under ``window``."""
        blocks = window.blocks(self.width, self.height)
        return blocks.clip(Window(0, 0, self.across, self.down)).places()

    def planes_of(self, row: int, col: int) -> range:
        """Return the blocks at a place, one for each plane."""
        plane = self.across * self.down
        return range(row * self.across + col, plane * self.planes, plane)


def _table(order: str, tags: Tags, facts: Facts) -> BlockTable | None:
    first = {code: _first(tags, code) for code in _WANTED}
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
    across, down = -(-facts.width // block[0]), -(-facts.height // block[1])
    planes = facts.count if first[tag.PLANAR_CONFIGURATION] == 2 else 1
    if not len(offsets) == len(counts) == across * down * planes:
        return None
    return BlockTable(
        *block,
        across=across,
        down=down,
        planes=planes,
        samples=facts.count // planes,
        rows=facts.height,
        bits=first[tag.BITS_PER_SAMPLE],
        compress=_CODECS.get(first[tag.COMPRESSION], ""),
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
    dtype = np.dtype(facts.dtype)
    alike = all(
        len(set(np.atleast_1d(tags.get(code, 0)).tolist())) == 1
        for code in (tag.BITS_PER_SAMPLE, tag.SAMPLE_FORMAT)
    )
    floating = dtype.kind == "f"
    return (
        alike
        and first[tag.BITS_PER_SAMPLE] == dtype.itemsize * 8
        and first[tag.SAMPLE_FORMAT] == tag.SAMPLE_FORMATS[dtype.kind]
        and (first[tag.NEW_SUBFILE_TYPE], first[tag.FILL_ORDER]) == (0, 1)
        and first[tag.PHOTOMETRIC] in tag.STORED_AS_THEY_ARE
        and first[tag.PREDICTOR] in ((1, 3) if floating else (1, 2))
    )


def _first(tags: Tags, code: int) -> int:
    """Return the value of a tag, the first of several, or its default; 0 if there is none."""
    values = tags.get(code)
    if values is not None and len(values):
        return int(values[0])
    return 1 if code == tag.PHOTOMETRIC else tag.DEFAULTS.get(code, 0)
