"""Looks at the checksums within the DEFLATE blocks of a GeoTIFF before GDAL decodes them.

libtiff takes a damaged block for good as long as it yields enough bytes: the pixels come out wrong,
and nothing is said. About a third of the blocks with a few bytes changed pass so. The stream itself
ends in a checksum, which is looked at here, once for each block that a thread reads.

Other codecs of TIFF carry none.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.raster.tiff_layout import first_directory

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

#: TIFF's numbers of zlib streams.
_DEFLATE = frozenset({8, 32946})
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PLANAR = 256, 257, 258, 259, 277, 284
_STRIPS, _ROWS, _STRIP_COUNTS = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_COUNTS = 322, 323, 324, 325
_WANTED = frozenset({
    _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PLANAR, _STRIPS, _ROWS, _STRIP_COUNTS,
    _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_COUNTS,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checksums:
    """The blocks of one open source; belongs to one thread.

    ``width`` and ``height`` are those of a block in pixels, ``size`` its bytes at full height;
    ``across`` and ``down`` count the blocks of a plane. ``seen`` has a byte for each that was good.
    """

    fd: int
    width: int
    height: int
    across: int
    down: int
    size: int
    offsets: Any
    counts: Any
    seen: bytearray

    @classmethod
    def of(cls, path: str, dataset: DatasetReader) -> Checksums | None:
        """None if the blocks of ``dataset`` at ``path`` are not streams that end in a checksum."""
        if dataset.driver != "GTiff":
            return None
        try:
            _, tags = first_directory(Path(path), _WANTED)
        except CorruptSourceError:
            return None  # GDAL has its own words for it
        layout = _layout(tags, dataset)
        if layout is None:
            return None
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return cls(fd=fd, seen=bytearray(len(layout["counts"])), **layout)

    def close(self) -> None:
        os.close(self.fd)

    def damaged(self, left: int, top: int, right: int, bottom: int) -> list[tuple[int, int]]:
        """Row and column of the blocks under these bounds in pixels whose checksum is wrong."""
        bad: dict[tuple[int, int], None] = {}
        plane = self.across * self.down
        for row in range(max(top, 0) // self.height, min(-(-bottom // self.height), self.down)):
            for col in range(max(left, 0) // self.width, min(-(-right // self.width), self.across)):
                for at in range(row * self.across + col, len(self.seen), plane):
                    if not self.seen[at]:
                        if self._is_good(at):
                            self.seen[at] = 1
                        else:
                            bad[row, col] = None
        return list(bad)

    def _is_good(self, at: int) -> bool:
        length = int(self.counts[at])
        # A block that is left out, or that claims more than any encoder makes, is GDAL's to judge.
        if not 0 < length <= 2 * self.size + 1024:
            return True
        data = os.pread(self.fd, length, int(self.offsets[at]))
        if len(data) < length:
            return False
        try:
            imagecodecs.deflate_decode(data, out=self.size)
        except RuntimeError:
            # Other sizes than that of a full block are no damage.
            return _ends_well(data, 4 * self.size + 1024)
        return True


def _ends_well(data: bytes, limit: int) -> bool:
    """Whether a zlib stream of at most ``limit`` bytes ends, with the right checksum."""
    stream = zlib.decompressobj()
    try:
        stream.decompress(data, limit)
    except zlib.error:
        return False
    return stream.eof


def _layout(tags: dict[int, Any], dataset: DatasetReader) -> dict[str, Any] | None:
    """The fields of :class:`Checksums` by name; None if the blocks cannot be told, or have
    another codec."""
    if _one(tags, _COMPRESSION) not in _DEFLATE:
        return None
    samples, planar = _one(tags, _SAMPLES) or 1, _one(tags, _PLANAR) or 1
    width, height, bits = (_one(tags, tag) for tag in (_WIDTH, _HEIGHT, _BITS))
    if (width, height, samples) != (dataset.width, dataset.height, dataset.count) or not bits:
        return None
    if _TILES in tags:
        block = _one(tags, _TILE_WIDTH), _one(tags, _TILE_HEIGHT)
        offsets, counts = tags[_TILES], tags.get(_TILE_COUNTS)
    else:
        rows = _one(tags, _ROWS) or dataset.height
        block = width, min(rows, dataset.height)
        offsets, counts = tags.get(_STRIPS), tags.get(_STRIP_COUNTS)
    if not block[0] or not block[1] or offsets is None or counts is None:
        return None
    across, down = -(-dataset.width // block[0]), -(-dataset.height // block[1])
    planes = samples if planar == 2 else 1
    if not len(offsets) == len(counts) == across * down * planes:
        return None
    each = samples // planes * bits
    return {
        "width": block[0],
        "height": block[1],
        "across": across,
        "down": down,
        "size": block[1] * -(-block[0] * each // 8),
        "offsets": offsets,
        "counts": counts,
    }


def _one(tags: dict[int, Any], tag: int) -> int:
    """The value of a tag, the first of several; 0 if it is not there."""
    found = tags.get(tag)
    return int(found[0]) if found is not None and len(found) else 0
