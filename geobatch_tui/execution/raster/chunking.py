"""Cuts an item into chunks, and predicts the memory of one.

Chunks are operational: output bytes never depend on them. Sides are multiples of the output's
tiles, 2**k of them where the choice is free, so that a chunk makes its own overviews.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.errors import MemoryBudgetError
from geobatch_tui.execution.protocol.messages import ChunkGrid

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Chunking

#: An item of no more pixels than this is one chunk.
WHOLE_PIXELS = 2048 * 2048
#: The longest and the shortest side that is chosen.
MAX_SIDE, MIN_SIDE = 4096, 1024
#: Chunks that an item should have at least, so that several workers share it and end together.
ENOUGH = 12
#: Copies of a chunk's pixels in memory at once: as read, as tiles, encoded and decoded again.
COPIES = 3
#: The predicted peak that is not exceeded by choice in a chain, whose steps have copies of their
#: own: so two workers and the engine stay under 500 MB.
CHAIN_BYTES = 256 * 2**20
#: Bytes that reading takes beside these: the warper's buffers, and the blocks in a worker's cache.
OVERHEAD = 160 * 2**20


@dataclass(frozen=True, slots=True)
class Cost:
    """Memory of chunks: ``pixel_bytes`` of one output pixel over all bands with validity, and
    ``read_bytes`` that reading takes beside the chunk's own pixels."""

    pixel_bytes: int
    read_bytes: int

    def of(self, width: int, height: int) -> int:
        """Return the predicted peak bytes of a chunk of ``width`` x ``height`` pixels."""
        return COPIES * width * height * self.pixel_bytes + self.read_bytes


def cut(
    size: tuple[int, int],
    block: tuple[int, int],
    limits: Chunking,
    cost: Cost,
    *,
    full_width: bool = False,
    by_choice: int = 0,
) -> tuple[ChunkGrid, tuple[str, ...]]:
    """Return the chunk grid over ``size`` pixels, and warnings.

    ``full_width``: prefer chunks as wide as the item, as for a source that is stored in rows.
    ``by_choice``: the predicted peak of a chunk whose size nobody gave, in bytes; 0: as much as one
    may have.

    Raises:
        MemoryBudgetError: not even one tile fits in ``limits.max_bytes``.
    """
    warnings: list[str] = []
    most = min(by_choice or limits.max_bytes, limits.max_bytes)
    chosen = _choose(size, block, most, cost, full_width=full_width)
    sides = []
    for given, step, free, length, name in zip(
        (limits.cols, limits.rows), block, chosen, size, ("chunk_cols", "chunk_rows"), strict=True
    ):
        side = _up(given, step) if given else free
        if given and side != given and given < length:
            warnings.append(
                f"{name} {given} is rounded up to {side}, a multiple of the output's tiles"
            )
        sides.append(min(side, _up(length, step)))
    grid = ChunkGrid(*size, *sides)
    needed = cost.of(min(sides[0], size[0]), min(sides[1], size[1]))
    if needed > limits.max_bytes:
        raise MemoryBudgetError(
            f"a chunk of {sides[0]}x{sides[1]} pixels needs {needed} bytes, one may have "
            f"{limits.max_bytes}"
        )
    return grid, tuple(warnings)


def _choose(
    size: tuple[int, int], block: tuple[int, int], max_bytes: int, cost: Cost, *, full_width: bool
) -> tuple[int, int]:
    width, height = size
    if width * height <= WHOLE_PIXELS and cost.of(width, height) <= max_bytes:
        return _up(width, block[0]), _up(height, block[1])
    if full_width:
        rows = _rows_at(width, height, block[1], max_bytes, cost)
        if rows:
            return _up(width, block[0]), rows
    best, factor = block, 1
    while max(block) * factor <= max(MAX_SIDE, *block):
        cols, rows = block[0] * factor, block[1] * factor
        if cost.of(min(cols, width), min(rows, height)) > max_bytes:
            break
        if max(cols, rows) > MIN_SIDE and len(ChunkGrid(*size, cols, rows)) < ENOUGH:
            break
        best, factor = (cols, rows), factor * 2
    return best


def _rows_at(width: int, height: int, step: int, max_bytes: int, cost: Cost) -> int:
    """Return the rows of a chunk of full width; 0 if not even one row of tiles fits."""
    rows, side = 0, step
    while side <= max(MAX_SIDE, step) and cost.of(width, min(side, height)) <= max_bytes:
        if rows and -(-height // side) < ENOUGH:
            break
        rows, side = side, side * 2
    return rows


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
