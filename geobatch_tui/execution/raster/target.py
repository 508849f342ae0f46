"""What a warp fills, and how it is cut into parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Target:
    """Color bands ``pixels`` (bands, h, w), ``touched`` (h, w) where they have a value, and
    ``alpha`` (h, w) if the output has it."""

    pixels: Any
    touched: Any
    alpha: Any

    def part(self, rows: slice, cols: slice) -> Target:
        """A view of some rows and columns."""
        alpha = None if self.alpha is None else self.alpha[rows, cols]
        return Target(self.pixels[:, rows, cols], self.touched[rows, cols], alpha)


def slices(height: int, width: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the tiles of ``side`` pixels, row-major."""
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield slice(top, min(top + side, height)), slice(left, min(left + side, width))


def halves(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the two halves along the longer side."""
    if height >= width:
        middle = height // 2
        yield slice(0, middle), slice(0, width)
        yield slice(middle, height), slice(0, width)
    else:
        middle = width // 2
        yield slice(0, height), slice(0, middle)
        yield slice(0, height), slice(middle, width)
