"""Reads plain GeoTIFFs without GDAL: each block is read, decompressed and checked once.

Through GDAL it would be decompressed twice, as GDAL ignores the checksum within (see
:mod:`.checksums`), and copied once more on its way through the cache. Files that are not plain, and
blocks that are left out or have another size, are read by GDAL; the pixels are the same.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window as RasterWindow

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.encode import lossless
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.source.checksums import ends_well

if TYPE_CHECKING:
    from collections.abc import Callable

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.raster.source.block_table import BlockTable
    from geobatch_tui.execution.raster.types import DType, Pixels

#: Bytes of decoded blocks in the cache: the next window often needs blocks at its rim again. Of
#: strips it needs all beside it; a larger cache of tiles only costs, as each new page of memory
#: does.
KEPT_STRIPS, KEPT_TILES = 128 * 2**20, 48 * 2**20


class DamagedBlocksError(Exception):
    """Blocks whose checksum is wrong, as (row, column)."""

    def __init__(self, blocks: list[tuple[int, int]]) -> None:
        super().__init__(f"{len(blocks)} damaged blocks")
        self.blocks = blocks


@dataclass(slots=True)
class Blocks:
    """The blocks of one open source; belongs to one thread. ``dataset`` opens it by GDAL."""

    fd: int
    table: BlockTable
    dtype: DType
    dataset: Callable[[], DatasetReader]
    cached: OrderedDict[int, Pixels] = field(default_factory=OrderedDict)
    cached_bytes: int = 0

    @classmethod
    def of(
        cls, fd: int, table: BlockTable, dtype: str, dataset: Callable[[], DatasetReader]
    ) -> Blocks | None:
        """Return the blocks; None if only GDAL can read them. ``fd`` stays the caller's."""
        if not (table.plain and table.compress):
            return None
        return cls(fd, table, np.dtype(dtype), dataset)

    def read_blocks(self, window: Window) -> Pixels:
        """Read the blocks under ``window``, which lies on the image; return its pixels (bands, h,
        w).

        Raises:
            DamagedBlocksError: checksums are wrong.
            RasterioError: GDAL cannot read a block either.
        """
        table = self.table
        out = np.empty((table.planes * table.samples, *window.shape), self.dtype)
        bad: dict[tuple[int, int], None] = {}
        for row, col in table.under(window):
            whole = Window(col * table.width, row * table.height, table.width, table.height)
            part = whole.clip(window)
            target, source = part.slices_in(window), part.slices_in(whole)
            for plane, at in enumerate(table.planes_of(row, col)):
                block = self._block(at, plane, row, col)
                if block is None:
                    bad[row, col] = None
                    continue
                bands = slice(plane * table.samples, (plane + 1) * table.samples)
                out[bands, *target] = block[:, *source]
        if bad:
            raise DamagedBlocksError(list(bad))
        return out

    def _block(self, at: int, plane: int, row: int, col: int) -> Pixels | None:
        """Return a decoded block (samples, h, w), from the cache or read; None if it is damaged."""
        cached = self.cached.get(at)
        if cached is not None:
            self.cached.move_to_end(at)
            return cached
        block = self._decoded(at, plane, row, col)
        if block is not None:
            self.cached[at] = block
            self.cached_bytes += block.nbytes
            room = KEPT_STRIPS if self.table.strips else KEPT_TILES
            while self.cached_bytes > room and len(self.cached) > 1:
                self.cached_bytes -= self.cached.popitem(last=False)[1].nbytes
        return block

    def _decoded(self, at: int, plane: int, row: int, col: int) -> Pixels | None:
        table = self.table
        height = table.height
        if table.strips:
            height = min(height, table.rows - row * height)
        length = table.length(at)
        data = os.pread(self.fd, length, int(table.offsets[at])) if length else b""
        raw = np.empty(height * table.width * table.samples * self.dtype.itemsize, np.uint8)
        try:
            lossless.expand(table.compress, data, raw)
        except VerifyError:
            # Left out, or of another size than a full block: GDAL reads it. Damage is an error.
            if table.compress == "DEFLATE" and length and not ends_well(data, 4 * len(raw) + 1024):
                return None
            return self._by_gdal(plane, row, col)
        return _by_band(raw, (height, table.width, table.samples), self.dtype, table.predictor)

    def _by_gdal(self, plane: int, row: int, col: int) -> Pixels:
        table, dataset = self.table, self.dataset()
        whole = Window(0, 0, dataset.width, dataset.height)
        block = Window(col * table.width, row * table.height, table.width, table.height).clip(whole)
        first = plane * table.samples + 1
        pixels: Pixels = dataset.read(
            list(range(first, first + table.samples)), window=RasterWindow(*block.srcwin)
        )
        return pixels


def _by_band(raw: Pixels, shape: tuple[int, int, int], dtype: DType, predictor: int) -> Pixels:
    """Return a decompressed block of ``shape`` (h, w, samples) as (samples, h, w)."""
    height, width, samples = shape
    unsigned = np.dtype(f"u{dtype.itemsize}")
    if predictor == 1:
        return np.ascontiguousarray(np.moveaxis(raw.view(dtype).reshape(shape), -1, 0))
    out = np.empty((samples, height, width), unsigned)
    if predictor == lossless.HORIZONTAL:
        pixel_loops.sum_differences(raw.view(unsigned).reshape(shape), out)
    else:
        pixel_loops.join_bytes(raw.reshape(height, -1), out)
    return out.view(dtype)
