"""What a warp fills, and how it is cut into parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Side of the parts in which invalid pixels are looked for.
TILE = 128


@dataclass(frozen=True, slots=True)
class Target:
    """A part of what is filled: color bands ``pixels`` (bands, h, w), ``touched`` (h, w) where they
    have a value, and ``alpha`` (h, w) if the output has it.

    Compiled loops take the whole arrays, which lie in memory in one piece, and the ``corner`` (row,
    column) of the part in them.
    """

    whole: tuple[Any, Any, Any]
    corner: tuple[int, int]
    shape: tuple[int, int]

    @classmethod
    def of(cls, pixels: Any, touched: Any, alpha: Any = None) -> Target:
        """All of these arrays."""
        return cls((pixels, touched, alpha), (0, 0), touched.shape)

    @property
    def pixels(self) -> Any:
        """A view of the part."""
        rows, cols = self._at
        return self.whole[0][:, rows, cols]

    @property
    def touched(self) -> Any:
        """A view of the part."""
        return self.whole[1][self._at]

    @property
    def alpha(self) -> Any:
        """A view of the part; None if there is none."""
        return None if self.whole[2] is None else self.whole[2][self._at]

    @property
    def _at(self) -> tuple[slice, slice]:
        (row, col), (height, width) = self.corner, self.shape
        return slice(row, row + height), slice(col, col + width)

    def part(self, rows: slice, cols: slice) -> Target:
        """Some rows and columns of this part."""
        corner = self.corner[0] + rows.start, self.corner[1] + cols.start
        return Target(self.whole, corner, (rows.stop - rows.start, cols.stop - cols.start))


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
