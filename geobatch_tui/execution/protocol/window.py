"""Rectangles of pixels: their bounds, their parts, and where one lies in another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Window:
    """A pixel rectangle in a raster: offsets and sizes in pixels.

    Bounds are left, top, right and bottom; right and bottom are the first column and row beyond.
    """

    col_off: int
    row_off: int
    width: int
    height: int

    @classmethod
    def between(cls, left: int, top: int, right: int, bottom: int) -> Window:
        """Return the window with these bounds."""
        return cls(left, top, right - left, bottom - top)

    @property
    def right(self) -> int:
        return self.col_off + self.width

    @property
    def bottom(self) -> int:
        return self.row_off + self.height

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        return self.col_off, self.row_off, self.right, self.bottom

    @property
    def srcwin(self) -> tuple[int, int, int, int]:
        """Offsets and sizes in GDAL's order (``-srcwin``); rasterio's ``Window`` takes them too."""
        return self.col_off, self.row_off, self.width, self.height

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, as of an array."""
        return self.height, self.width

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns in an array of the whole raster."""
        return slice(self.row_off, self.bottom), slice(self.col_off, self.right)

    def slices_in(self, outer: Window) -> tuple[slice, slice]:
        """Return rows and columns in an array of ``outer``, which holds this window."""
        top, left = self.row_off - outer.row_off, self.col_off - outer.col_off
        return slice(top, top + self.height), slice(left, left + self.width)

    def pad(self, pixels: int) -> Window:
        """Return the window grown by ``pixels`` on each side, whatever lies there."""
        left, top, right, bottom = self.bounds
        return Window.between(left - pixels, top - pixels, right + pixels, bottom + pixels)

    def clip(self, other: Window) -> Window:
        """Return the part that lies in ``other``, which may have no pixels."""
        left, top = max(self.col_off, other.col_off), max(self.row_off, other.row_off)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Window.between(left, top, max(left, right), max(top, bottom))

    def blocks(self, cols: int, rows: int) -> Window:
        """Return the blocks of ``cols`` x ``rows`` pixels that the window meets, counted in blocks
        from the raster's corner."""
        return Window.between(
            self.col_off // cols,
            self.row_off // rows,
            -(-self.right // cols),
            -(-self.bottom // rows),
        )

    def align(self, cols: int, rows: int, whole: Window) -> Window:
        """Return the window grown to blocks of ``cols`` x ``rows`` pixels, as far as ``whole``, the
        raster, reaches."""
        left, top, right, bottom = self.blocks(cols, rows).bounds
        return Window.between(left * cols, top * rows, right * cols, bottom * rows).clip(whole)

    def places(self) -> Iterator[tuple[int, int]]:
        """Row and column of each pixel, row-major."""
        rows, cols = range(self.row_off, self.bottom), range(self.col_off, self.right)
        return product(rows, cols)

    def tiles(self, cols: int, rows: int, corner: tuple[int, int] = (0, 0)) -> Iterator[Window]:
        """Cut the window along a grid of ``cols`` x ``rows`` pixels, row-major.

        ``corner`` (column, row) is where the grid starts.
        """
        left, top = corner
        above = self.row_off
        while above < self.bottom:
            below = min(top + ((above - top) // rows + 1) * rows, self.bottom)
            before = self.col_off
            while before < self.right:
                beyond = min(left + ((before - left) // cols + 1) * cols, self.right)
                yield Window.between(before, above, beyond, below)
                before = beyond
            above = below

    def parts(self, cols: int, rows: int) -> Iterator[Window]:
        """Cut the window into parts of ``cols`` x ``rows`` pixels from its corner, row-major."""
        return self.tiles(cols, rows, (self.col_off, self.row_off))

    def halves(self, step: int = 1) -> list[Window]:
        """Cut the window in two along its longer side, at the multiple of ``step`` next to the
        middle; return the window alone if it has none inside."""
        left, top, right, bottom = self.bounds
        tall = self.height >= self.width
        low, high = (top, bottom) if tall else (left, right)
        middle = ((low + high) // 2 + step // 2) // step * step
        if not low < middle < high:
            return [self]
        if tall:
            first, second = (left, top, right, middle), (left, middle, right, bottom)
        else:
            first, second = (left, top, middle, bottom), (middle, top, right, bottom)
        return [Window.between(*first), Window.between(*second)]
