"""The file of a stage: a tiled TIFF in which each byte has its place before any is written.

Tiles are DEFLATE without compression: their length is known, they end in a checksum that readers
verify, and GDAL reads them too. Those of a chunk lie together, so a chunk is one stretch of bytes,
which is written in place, in any order, and again if need be: always the same bytes. The header is
written with chunk 0. Who reads the file waits for all of its chunks.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import disk_errors, read_exactly, sync_directory, write_at
from geobatch_tui.execution.protocol.messages import ChunkGrid, Segment
from geobatch_tui.execution.raster.geotiff import tags
from geobatch_tui.execution.raster.geotiff.directories import plain_directories
from geobatch_tui.execution.raster.geotiff.layout import lay_out
from geobatch_tui.execution.raster.plan import Encoding, Raster, RasterPlan
from geobatch_tui.execution.raster.pyramid.tiles import pack_mask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Side of a tile in pixels.
SIDE = 256
#: Bytes of a stored block of DEFLATE at most, and round it: its header; header and end of a stream.
_BLOCK, _HEAD, _ENDS = 65535, 5, 6
#: Bytes that header and tags may take, beside what there is of each tile.
_TAGS, _ENTRY = 16384, 12


def size_of(raster: Raster) -> int:
    """Return how many bytes a file of ``raster`` takes at most."""
    tiles = len(_tiles(raster))
    image, mask = _lengths(raster)
    planes = raster.count + (mask > 0)
    return _TAGS + tiles * (raster.count * image + mask + planes * _ENTRY)


@dataclass(frozen=True, slots=True)
class StageFile:
    """The file at ``path`` that holds ``raster``, written by chunks of ``grid``.

    ``mark`` stands in its tags; ``offsets`` are where the chunks begin, and the end.
    """

    path: Path
    raster: Raster
    grid: ChunkGrid
    header: bytes
    offsets: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, raster: Raster, grid: ChunkGrid, mark: str) -> StageFile:
        """Lay the file out. Raises SchemaError if TIFF cannot hold such bands."""
        plan = RasterPlan.of(_bare(raster), _ENCODING)
        tiles = _tiles(raster)
        image, mask = _lengths(raster)
        template = tags.make_template(plan, mark)
        directories = plain_directories(plan, tiles, template, (image, mask))
        counts = np.array([len(tiles.under(window)) for window in _windows(grid)], np.int64)
        numbers = np.concatenate([tiles.under(window) for window in _windows(grid)])
        planes = np.arange(raster.count) * len(tiles)
        which, order = np.zeros((len(numbers), raster.count), np.int64), numbers[:, None] + planes
        if mask:
            which = np.column_stack([which, np.ones(len(numbers), np.int64)])
            order = np.column_stack([order, numbers])
        layout = lay_out(
            directories, (which.ravel(), order.ravel()), ghost=b"", frame=(0, 0),
            bigtiff="IF_NEEDED",
        )  # fmt: skip
        ends = len(layout.header) + np.cumsum(counts) * (raster.count * image + mask)
        offsets = (len(layout.header), *map(int, ends))
        return cls(path, raster, grid, layout.header, offsets)

    def write(self, index: int, pixels: Pixels, valid: Valid | None, stage: Stage) -> Segment:
        """Write chunk ``index``, durably; ``valid`` (h, w) where a mask says so.

        Raises:
            VerifyError: other bytes are read back than were written.
            DiskFullError, OutputGoneError: of the disk.
        """
        with stage("encode"):
            data = bytearray()
            for piece in self._encoded(index, pixels, valid):
                data += piece
        start, end = self.offsets[index : index + 2]
        if len(data) != end - start:
            raise VerifyError(f"chunk {index} of a stage has {len(data)} bytes, not {end - start}")
        crc = crc32(data)
        with stage("store"), disk_errors("cannot write the stage", self.path):
            fd = self._open()
            try:
                if index == 0:
                    write_at(fd, 0, self.header)
                write_at(fd, start, data)
                os.fsync(fd)
                head = read_exactly(fd, 0, len(self.header)) if index == 0 else self.header
                if crc32(read_exactly(fd, start, len(data))) != crc or head != self.header:
                    raise VerifyError(
                        f"{self.path.name!r} reads back other bytes than were written to it"
                    )
            finally:
                os.close(fd)
        return Segment(index, self.path.name, start, len(data), crc)

    def _open(self) -> int:
        """Open the file, or make it; a new name is on disk before its first byte is written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.path, flags, 0o600)
        try:
            if not os.fstat(fd).st_size:
                for folder in self.path.parents[:3]:
                    sync_directory(folder)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _encoded(self, index: int, pixels: Pixels, valid: Valid | None) -> Iterator[bytes]:
        """Yield the tiles of a chunk in the order of the file: bands, then the mask."""
        window, tiles = self.grid.window(index), _tiles(self.raster)
        masked = self.raster.validity == "mask"
        for number in tiles.under(window):
            part = tiles.window(number)
            rows, cols = part.slices_in(window)
            for band in pixels:
                tile = np.zeros((SIDE, SIDE), band.dtype)
                tile[: part.height, : part.width] = band[rows, cols]
                yield stored(tile.tobytes())
            if masked:
                seen = np.ones(part.shape, bool) if valid is None else valid[rows, cols]
                yield stored(pack_mask(seen, SIDE, SIDE).tobytes())


_ENCODING = Encoding("GTiff", SIDE, SIDE, "DEFLATE", 0, 1, "band", (), "nearest")


def stored(data: bytes) -> bytes:
    """Return ``data`` as a stream of zlib whose length depends on that of ``data`` alone."""
    pieces = [b"\x78\x01"]
    for start in range(0, len(data), _BLOCK):
        piece = data[start : start + _BLOCK]
        last = start + _BLOCK >= len(data)
        pieces += (struct.pack("<BHH", last, len(piece), len(piece) ^ 0xFFFF), piece)
    pieces.append(struct.pack(">I", zlib.adler32(data)))
    return b"".join(pieces)


def _stored_length(length: int) -> int:
    return length + -(-length // _BLOCK) * _HEAD + _ENDS


def _lengths(raster: Raster) -> tuple[int, int]:
    """Return the bytes of a tile of one band, and of the mask (0: there is none)."""
    image = _stored_length(SIDE * SIDE * np.dtype(raster.dtype).itemsize)
    return image, _stored_length(SIDE * SIDE // 8) if raster.validity == "mask" else 0


def _tiles(raster: Raster) -> ChunkGrid:
    return ChunkGrid(raster.width, raster.height, SIDE, SIDE)


def _windows(grid: ChunkGrid) -> Iterator[Window]:
    return (grid.window(index) for index in range(len(grid)))


def _bare(raster: Raster) -> Raster:
    """Return ``raster`` without what nobody reads from the file: the plan has it."""
    return replace(
        raster,
        crs="", descriptions=("",) * raster.count, scales=(1.0,) * raster.count,
        offsets=(0.0,) * raster.count, units=("",) * raster.count, tags={}, domains={},
        band_tags=(), area_or_point="Area",
    )  # fmt: skip
