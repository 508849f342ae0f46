"""Refuses a source whose header claims more than its file holds, or than memory does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError, MemoryBudgetError, UnsafeInputError
from geobatch_tui.execution.raster.source import block_file, tiff_directory
from geobatch_tui.execution.raster.source.blocks import attach_blocks

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

#: A header that claims more raw bytes than this, and BOMB_RATIO times the file, is not believed.
BOMB_BYTES = 2**36
BOMB_RATIO = 10_000


def refuse_missing_blocks(path: str) -> None:
    """Raise CorruptSourceError if blocks of the TIFF at ``path`` lie beyond its end.

    Its evidence lists them as [directory, index].
    """
    missing = tiff_directory.missing_blocks(path)
    if not missing:
        return
    first = missing[0]
    error = CorruptSourceError(
        f"{path} is cut off at {block_file.size_of(path)} bytes: {len(first.blocks)} of "
        f"{first.total} blocks lie beyond its end",
        hint="fetch the file again: it is shorter than its own directory says",
    )
    attach_blocks(error, [(part.directory, index) for part in missing for index in part.blocks])
    raise error


def refuse_bomb(path: str, dataset: DatasetReader, max_bytes: int) -> None:
    """Raise UnsafeInputError if the header claims far more pixels than the file can hold.

    ``max_bytes`` is the budget of one chunk.
    """
    raw = dataset.width * dataset.height * pixel_bytes(dataset)
    size = max(block_file.size_of(path), 1)
    if dataset.driver != "VRT" and raw > BOMB_BYTES and raw // size > BOMB_RATIO:
        raise UnsafeInputError(
            f"{path}: {size} bytes claim to hold {dataset.width}x{dataset.height} pixels in "
            f"{dataset.count} bands, {raw} bytes ({raw // size} times the file)",
            hint="if the file is what it says, cut it into parts with gdal_translate -srcwin",
        )
    rows, cols = dataset.block_shapes[0]
    refuse_large_block(path, block_bytes(dataset), (cols, rows), max_bytes)


def refuse_large_block(path: str, taken: int, block: tuple[int, int], max_bytes: int) -> None:
    """Raise MemoryBudgetError if a block of ``taken`` bytes takes more than ``max_bytes``."""
    if taken > max_bytes:
        raise MemoryBudgetError(
            f"{path}: one of its blocks ({block[0]}x{block[1]} pixels) takes {taken} bytes, a "
            f"chunk may take {max_bytes}",
            hint="rewrite it in tiles (gdal_translate -co TILED=YES), or raise memory_budget",
        )


def pixel_bytes(dataset: DatasetReader) -> int:
    """Return the bytes of one pixel over all bands."""
    return int(sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes))


def block_bytes(dataset: DatasetReader) -> int:
    """Return the bytes of one decoded block, over all bands in it."""
    rows, cols = dataset.block_shapes[0]
    one = int(rows) * int(cols)
    if dataset.interleaving is not None and dataset.interleaving.name == "pixel":
        return one * pixel_bytes(dataset)
    return one * int(max(np.dtype(dtype).itemsize for dtype in dataset.dtypes))
