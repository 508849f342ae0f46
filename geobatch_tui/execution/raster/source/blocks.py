"""Reads plain GeoTIFFs without GDAL: each block is read, decompressed and checked once.

Through GDAL it would be decompressed twice, as GDAL ignores the checksum within (see
:mod:`.checksums`), and copied once more on its way through the cache. Files that are not plain, and
blocks that are left out or have another size, are read by GDAL; the pixels are the same.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window as RasterWindow

from geobatch_tui.errors import CorruptSourceError, VerifyError
from geobatch_tui.execution.raster.encode import lossless, predicted
from geobatch_tui.execution.raster.source.checksums import ends_well

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.source.block_file import BlockFile
    from geobatch_tui.execution.raster.source.block_table import BlockTable
    from geobatch_tui.execution.raster.types import DType, Pixels

#: Bytes of decoded blocks in the cache: the next window often needs blocks at its rim again. Of
#: strips it needs all beside it; a larger cache of tiles only costs, as each new page of memory
#: does.
KEPT_STRIPS, KEPT_TILES = 128 * 2**20, 64 * 2**20

#: Blocks that the evidence of an error lists.
MOST_LISTED = 1000


@dataclass(slots=True)
class Blocks:
    """The plain blocks of an open ``file``, for one thread; ``dataset`` opens it by GDAL."""

    file: BlockFile
    table: BlockTable
    dtype: DType
    dataset: Callable[[], DatasetReader]
    cached: OrderedDict[int, Pixels] = field(default_factory=OrderedDict)
    cached_bytes: int = 0

    def read_blocks(self, window: Window) -> tuple[Pixels, list[tuple[int, int]]]:
        """Read the blocks under ``window``, which lies on the image; return its pixels (bands, h,
        w), and row and column of each block whose checksum is wrong.

        Raises:
            RasterioError: GDAL cannot read a block either.
        """
        table, grid = self.table, self.table.grid
        out = np.empty((table.planes * table.samples, *window.shape), self.dtype)
        bad: dict[tuple[int, int], None] = {}
        self.file.expect(self._places(window))
        for number in grid.under(window):
            whole = grid.window(number)
            part = whole.clip(window)
            target, source = part.slices_in(window), part.slices_in(whole)
            for plane, at in enumerate(table.planes_of(number)):
                block = self._block(at, plane, whole)
                if block is None:
                    bad[divmod(number, grid.columns)] = None
                    continue
                bands = slice(plane * table.samples, (plane + 1) * table.samples)
                out[bands, *target] = block[:, *source]
        return out, list(bad)

    def turn_to(self, windows: Mapping[int, Callable[[], Window]], room: int) -> None:
        """Prepare for the first of these windows, by the numbers of their chunks, whose parts are
        read next, and for those that follow it, as far as there is ``room`` for their bytes."""
        batches = {
            key: partial(self._places_in, window, cached=place == 0)
            for place, (key, window) in enumerate(windows.items())
        }
        self.file.turn_to(batches, room)

    def _places_in(
        self, window: Callable[[], Window], *, cached: bool
    ) -> Iterator[tuple[int, int]]:
        return self._places(window(), cached=cached)

    def _places(self, window: Window, *, cached: bool = True) -> Iterator[tuple[int, int]]:
        """Yield the places of the blocks under a window; with ``cached``, of those that are not in
        the cache. What is there now may not be when a later window is read: then each block would
        be waited for by itself."""
        numbers = self.table.grid.under(window)
        wanted = (at for number in numbers for at in self.table.planes_of(number))
        return self.table.places(at for at in wanted if not (cached and at in self.cached))

    def _block(self, at: int, plane: int, window: Window) -> Pixels | None:
        """Return a decoded block (samples, h, w), from the cache or read; None if it is damaged."""
        cached = self.cached.get(at)
        if cached is not None:
            self.cached.move_to_end(at)
            return cached
        block = self._decoded(at, plane, window)
        if block is not None:
            self.cached[at] = block
            self.cached_bytes += block.nbytes
            room = KEPT_STRIPS if self.table.strips else KEPT_TILES
            while self.cached_bytes > room and len(self.cached) > 1:
                self.cached_bytes -= self.cached.popitem(last=False)[1].nbytes
        return block

    def _decoded(self, at: int, plane: int, window: Window) -> Pixels | None:
        table = self.table
        height = window.height if table.strips else table.grid.chunk_height
        shape = height, table.grid.chunk_width, table.samples
        data = table.read(self.file, at)
        raw = np.empty(math.prod(shape) * self.dtype.itemsize, np.uint8)
        try:
            lossless.expand(table.compress, data, raw)
        except VerifyError:
            # Left out, or of another size than a full block: GDAL reads it. Damage is an error.
            there = table.compress == "DEFLATE" and table.length(at)
            if there and not ends_well(data, 4 * len(raw) + 1024):
                return None
            first = plane * table.samples + 1
            bands = list(range(first, first + table.samples))
            pixels: Pixels = self.dataset().read(bands, window=RasterWindow(*window.srcwin))
            return pixels
        return predicted.by_band(raw, shape, self.dtype, table.predictor)


def attach_blocks(error: CorruptSourceError, blocks: Collection[tuple[int, int]]) -> None:
    """Add evidence to ``error``: the first of the ``blocks`` that cannot be read."""
    listed = [list(block) for block in itertools.islice(blocks, MOST_LISTED)]
    error.evidence = {"blocks": listed, "blocks_total": len(blocks)}


def unreadable(path: str, blocks: list[tuple[int, int]], of: str, why: str) -> CorruptSourceError:
    """Return the error for unreadable ``blocks`` (row, column); ``of`` names all that were read."""
    listed = ", ".join(f"{row},{col}" for row, col in blocks[:5])
    error = CorruptSourceError(
        f"{path}: {len(blocks)} of {of} cannot be read (row,column {listed}"
        f"{' ...' if len(blocks) > 5 else ''}): {why}"
    )
    attach_blocks(error, blocks)
    return error
