"""Interpolates source coordinates in cells of the item's grid.

Cells lie at fixed multiples of ``CELL`` pixels of the item. Within a cell, x and y are bicubic
through 4x4 nodes at thirds of its sides. A cell where that is not near enough to PROJ is cut in
four, down to single pixels. All this is a function of the cell alone, so any window gets the same
bits as the whole.

Positions count from the corner of the first pixel; NaN stands for "not on the source".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.warp.coordinates import exact

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.grid.projection import Mapper
    from geobatch_tui.execution.raster.types import Indices, Pair, Points, Valid

#: Sides in pixels of the cells, largest first. For sides below 8, nodes and checks would cost as
#: much as the pixels.
SIZES = (64, 32, 16, 8)
CELL = SIZES[0]
#: Cells of this side and smaller are taken to be empty if no point of them has a position; so are
#: the largest cells, if no point of their neighbours has one either.
_EMPTY = 16
#: Points at which interpolation is compared with PROJ, as column and row in sixths of a side: the
#: middle, and between the outer nodes, where a cubic through thirds is at its worst.
_CHECKS = np.array([(3, 3), (1, 1), (5, 1), (1, 5), (5, 5)])
#: The error is known at a few points only, so there it must be this many times smaller.
_RESERVE = 4


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of ``size`` pixels, ordered by row: ``places`` (n, 2: column and row, in cells), and
    source ``x`` and ``y`` (n, 4, 4) at their nodes."""

    size: int
    places: Indices
    x: Points
    y: Points

    def take(self, which: Valid | Indices | slice) -> Cells:
        return Cells(self.size, self.places[which], self.x[which], self.y[which])

    def within(self, window: Window) -> Cells:
        """Return the cells in the rows of ``window``."""
        met = window.blocks(self.size, self.size)
        first, last = np.searchsorted(self.places[:, 1], (met.row_off, met.bottom)).tolist()
        return self.take(slice(first, last))

    def by_row(self) -> Cells:
        return self.take(np.argsort(self.places[:, 1], kind="stable"))


@dataclass(frozen=True, slots=True)
class Cover:
    """The coordinates of one window: interpolated in ``cells``, by PROJ in single pixels.

    ``offsets`` are the places in a pixel whose coordinates are known (0.5: its centre). Single
    pixels are ordered by row: ``places`` (n, 2), and ``at``: for each offset source x and y (n,).
    ``extents`` are least and largest positions in each of the cells ``largest``, counted in cells
    of side ``CELL``. ``gaps``: some cells have no position.
    """

    offsets: tuple[float, ...]
    cells: list[Cells]
    places: Indices
    at: list[Pair]
    largest: Window
    extents: Points
    gaps: bool

    def fill(self, window: Window, which: int = 0) -> Pair:
        """Return x and y (h, w) of the pixels of ``window``, a part of this one, at the offset
        number ``which``."""
        x, y = np.empty((2, *window.shape))
        if self.gaps:
            x[:], y[:] = np.nan, np.nan
        for level in self.cells:
            cells = level.within(window)
            if len(cells.places):
                basis = _basis(cells.size, self.offsets[which])
                pixel_loops.interpolate(
                    cells.x, cells.y, cells.places, cells.size, basis, x, y,
                    window.col_off, window.row_off,
                )  # fmt: skip
        self._fill_singles(window, which, x, y)
        return x, y

    def _fill_singles(self, window: Window, which: int, x: Points, y: Points) -> None:
        places, at = self.places, self.at[which]
        low, high = np.searchsorted(places[:, 1], (window.row_off, window.bottom)).tolist()
        cols, rows = places[low:high, 0] - window.col_off, places[low:high, 1] - window.row_off
        inside = (cols >= 0) & (cols < window.width)
        x[rows[inside], cols[inside]] = at[0][low:high][inside]
        y[rows[inside], cols[inside]] = at[1][low:high][inside]

    def extent(self, window: Window) -> tuple[float, float, float, float] | None:
        """Return least x, least y, largest x and largest y of the positions on the source in all
        cells that ``window`` meets; None if there are none."""
        part = self.extents[:, *window.blocks(CELL, CELL).slices_in(self.largest)]
        x0, y0 = float(part[0].min()), float(part[2].min())
        return None if np.isinf(x0) else (x0, y0, float(part[1].max()), float(part[3].max()))


@dataclass(frozen=True, slots=True)
class Lattice:
    """Computes the coordinates of windows; ``threshold`` is the error allowed, in source pixels."""

    mapper: Mapper
    threshold: float

    def cover(self, window: Window, offsets: tuple[float, ...] = (0.5,)) -> Cover:
        """Compute the coordinates of the pixels of ``window`` at ``offsets``."""
        interpolated: list[Cells] = []
        gaps = False
        cells = self._largest(window)
        points = (cells.places[:, None, :] * 6 + _CHECKS[None]) * cells.size / 6
        checks = exact(self.mapper, points[..., 0], points[..., 1])
        for size in SIZES:
            if not len(cells.places):
                break
            good, empty = self._judge(cells, checks)
            interpolated.append(cells.take(good).by_row())
            if size == CELL and empty.any():
                empty = self._surely_empty(empty, window)
            elif size > _EMPTY:
                empty[:] = False
            gaps |= bool(empty.any())
            left = ~good & ~empty
            if size == SIZES[-1]:
                cells = cells.take(left)
            else:
                cells, checks = self._quarters(
                    cells.take(left), (checks[0][left], checks[1][left]), window
                )
        places, at = self._singles(cells, window, offsets)
        largest = window.blocks(CELL, CELL)
        extents = np.empty((4, *largest.shape))
        extents[::2], extents[1::2] = np.inf, -np.inf
        first = largest.col_off, largest.row_off
        source = self.mapper.source
        side = (source.width, source.height)
        for each in interpolated:
            pixel_loops.extents_of_cells(
                each.x, each.y, each.places, CELL // each.size, first, side, extents,
                np.empty((4, 4)),
            )  # fmt: skip
        for x, y in at:
            pixel_loops.extents_of_pixels(x, y, places, CELL, first, side, extents)
        return Cover(offsets, interpolated, places, at, largest, extents, gaps)

    def corners(self, window: Window) -> tuple[Pair, Pair]:
        """Return x and y (h, w) of the upper left and of the lower right corners of the pixels."""
        cover = self.cover(window, (0.0, 1.0))
        return cover.fill(window), cover.fill(window, 1)

    def _largest(self, window: Window) -> Cells:
        """Return the largest cells that ``window`` meets. Neighbours share their nodes."""
        left, top, cols, rows = window.blocks(CELL, CELL).srcwin
        nodes = np.meshgrid(
            (left * 3 + np.arange(cols * 3 + 1)) * CELL / 3,
            (top * 3 + np.arange(rows * 3 + 1)) * CELL / 3,
        )
        places = _pairs(np.arange(left, left + cols), np.arange(top, top + rows))
        at = ((places - (left, top)) * 3)[:, :, None] + np.arange(4)
        pick = at[:, 1, :, None], at[:, 0, None, :]
        x, y = exact(self.mapper, *nodes)
        return Cells(CELL, places, x[pick], y[pick])

    def _judge(self, cells: Cells, checks: Pair) -> tuple[Valid, Valid]:
        """Return which of ``cells`` are interpolated near enough, and which have no position."""
        good, empty = np.empty((2, len(cells.places)), bool)
        half = self.mapper.source.width / 2
        limit = self.threshold / _RESERVE
        pixel_loops.judge(
            cells.x, cells.y, *checks, lagrange(_CHECKS / 6), limit, half, good, empty
        )
        return good, empty

    def _surely_empty(self, empty: Valid, window: Window) -> Valid:
        """Return which of the largest cells of ``window`` are ``empty``, and all eight around them
        too.

        So no shape that reaches out of a cell is lost, however pointed; a shape inside a cell is
        lost if it is smaller than the distance of its nodes and checks, a sixth of a side.
        """
        left, top, cols, rows = window.blocks(CELL, CELL).srcwin
        wide = np.ones((rows + 2, cols + 2), bool)
        wide[1:-1, 1:-1] = empty.reshape(rows, cols)
        ring = np.ones(wide.shape, bool)
        ring[1:-1, 1:-1] = False
        at = np.argwhere(ring)[:, ::-1] + (left - 1, top - 1)
        nodes = _pairs(np.arange(0, 7, 2), np.arange(0, 7, 2))
        points = (at[:, None, :] * 6 + np.concatenate([nodes, _CHECKS])[None]) * (CELL / 6)
        wide[ring] = np.isnan(exact(self.mapper, points[..., 0], points[..., 1])[0]).all(axis=1)
        alone = np.lib.stride_tricks.sliding_window_view(wide, (3, 3)).all(axis=(2, 3))
        return alone.reshape(-1)

    def _quarters(self, cells: Cells, checks: Pair, window: Window) -> tuple[Cells, Pair]:
        """Cut each of ``cells`` in four; return the quarters in ``window``, and their checks.

        Nodes and checks of a cell are nodes of its quarters, and are not computed again.
        """
        many, size = len(cells.places), cells.size // 2
        cols, rows = _NEW_NODES[:, 0], _NEW_NODES[:, 1]
        fine = (cells.places[:, None, :] * 6 + _NEW_NODES[None]) * cells.size / 6
        fresh = (cells.places[:, None, :] * 12 + _NEW_CHECKS[None]) * cells.size / 12
        at = np.concatenate([fine, fresh], axis=1)
        nodes, checked = [], []
        for by_proj, coarse, known in zip(
            exact(self.mapper, at[..., 0], at[..., 1]), (cells.x, cells.y), checks, strict=True
        ):
            grid = np.empty((many, 7, 7))
            grid[:, ::2, ::2] = coarse
            grid[:, _CHECKS[:, 1], _CHECKS[:, 0]] = known
            grid[:, rows, cols] = by_proj[:, : len(cols)]
            parts = [grid[:, r : r + 4, c : c + 4] for c, r in _STEPS * 3]
            nodes.append(np.stack(parts, axis=1).reshape(-1, 4, 4))
            checked.append(by_proj[:, len(cols) :].reshape(-1, len(_CHECKS)))
        places = (cells.places[:, None, :] * 2 + _STEPS[None]).reshape(-1, 2)
        met = _met(places, size, window)
        quarters = Cells(size, places, *nodes).take(met)
        return quarters, (checked[0][met], checked[1][met])

    def _singles(
        self, cells: Cells, window: Window, offsets: tuple[float, ...]
    ) -> tuple[Indices, list[Pair]]:
        """Return places and coordinates of the pixels of ``cells`` that lie in ``window``."""
        size = cells.size
        steps = _pairs(np.arange(size), np.arange(size))
        places = (cells.places[:, None, :] * size + steps[None]).reshape(-1, 2)
        places = places[_met(places, 1, window)]
        places = places[np.argsort(places[:, 1], kind="stable")]
        cols, rows = places.T.astype(np.float64)
        return places, [exact(self.mapper, cols + offset, rows + offset) for offset in offsets]


#: Columns and rows of the quarters of a cell.
_STEPS = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
#: Nodes of the quarters, in sixths of the cell's side, that are neither its nodes nor its checks.
_NEW_NODES = np.array([
    (col, row)
    for row in range(7)
    for col in range(7)
    if (col % 2 or row % 2) and (col, row) not in {tuple(check) for check in _CHECKS.tolist()}
])  # fmt: skip
#: Checks of the quarters, in twelfths of the cell's side.
_NEW_CHECKS = (_STEPS[:, None, :] * 6 + _CHECKS[None]).reshape(-1, 2)


def lagrange(at: Points) -> Points:
    """Return the weights (..., 4) of nodes at 0, 1/3, 2/3 and 1 for the cubic through them, at
    ``at``."""
    nodes = np.arange(4) / 3
    weights = np.ones((*at.shape, 4))
    for i in range(4):
        for j in range(4):
            if i != j:
                weights[..., i] *= (at - nodes[j]) / (nodes[i] - nodes[j])
    return weights


@cache
def _basis(size: int, offset: float) -> Points:
    return np.ascontiguousarray(lagrange((np.arange(size) + offset) / size).T)


def _pairs(cols: Indices, rows: Indices) -> Indices:
    """Return column and row (n, 2) of all places in ``cols`` and ``rows``, row-major."""
    return np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 2)


def _met(places: Indices, size: int, window: Window) -> Valid:
    """Return which cells of ``size`` pixels meet ``window``."""
    left, top, right, bottom = window.bounds
    met = ((places + 1) * size > (left, top)) & (places * size < (right, bottom))
    return met.all(axis=1)
