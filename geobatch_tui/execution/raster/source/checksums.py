"""Verifies the checksums within the DEFLATE blocks of a GeoTIFF before GDAL decodes them.

libtiff accepts a damaged block as long as it yields enough bytes: the pixels are wrong, without an
error. About a third of the blocks with a few bytes changed pass so. The stream itself ends in a
checksum, which is verified here, once for each block that a thread reads.

Other codecs of TIFF carry none.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import imagecodecs

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.source.block_file import BlockFile
    from geobatch_tui.execution.raster.source.block_table import BlockTable


@dataclass(frozen=True, slots=True)
class Checksums:
    """The blocks of one open source; belongs to one thread. ``seen`` has a byte for each block: 1
    if its checksum was right."""

    file: BlockFile
    table: BlockTable
    seen: bytearray

    @classmethod
    def of(cls, file: BlockFile, table: BlockTable) -> Checksums | None:
        """Return the checksums; None if blocks do not end in one. ``file`` stays the
        caller's."""
        if table.compress != "DEFLATE":
            return None
        return cls(file, table, bytearray(len(table.counts)))

    def damaged(self, window: Window) -> list[tuple[int, int]]:
        """Return row and column of each block under ``window`` whose checksum is wrong."""
        grid = self.table.grid
        return [
            divmod(number, grid.columns)
            for number in grid.under(window)
            if not all(map(self._is_good, self.table.planes_of(number)))
        ]

    def _is_good(self, at: int) -> bool:
        if not self.seen[at]:
            length, data = self.table.length(at), self.table.read(self.file, at)
            size = self.table.full_size
            try:
                # GDAL judges blocks that are left out, or claim more than any encoder makes.
                if length:
                    imagecodecs.deflate_decode(data, out=size)
                self.seen[at] = len(data) == length
            except RuntimeError:
                # A block may have another size than a full one without being damaged.
                self.seen[at] = len(data) == length and ends_well(data, 4 * size + 1024)
        return bool(self.seen[at])


def ends_well(data: bytes, limit: int) -> bool:
    """Whether a zlib stream of at most ``limit`` bytes ends, with the right checksum."""
    stream = zlib.decompressobj()
    try:
        stream.decompress(data, limit)
    except zlib.error:
        return False
    return stream.eof
