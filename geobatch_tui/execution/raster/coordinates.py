"""Source coordinates of destination pixels, as functions of the item's grid alone.

A coordinate never depends on the window that it was asked in: where x depends on the column alone
and y on the row alone, both are computed by PROJ itself; else pixels are interpolated within cells
at fixed multiples of ``CELL`` pixels of the item, and cells where that is not near enough to PROJ
are cut in four, down to single pixels. So any chunking gives the same coordinates.

Positions count from the corner of the first pixel; NaN stands for "not on the source".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.raster import mapping

if TYPE_CHECKING:
    from pyproj import Transformer

    from geobatch_tui.execution.messages import Window
    from geobatch_tui.execution.raster.mapping import Mapper, Points

#: Sides in pixels of the cells, largest first.
SIZES = (32, 16, 8, 4)
CELL = SIZES[0]
#: Cells of this side and smaller that fail at every point looked at are taken to be empty.
_EMPTY = 16
#: Where, as shares of a cell, the interpolation is compared with PROJ: in the middle, and between
#: the outer nodes, where a cubic through thirds is at its worst.
_CHECKS = np.array([(0.5, 0.5), (1 / 6, 1 / 6), (5 / 6, 1 / 6), (1 / 6, 5 / 6), (5 / 6, 5 / 6)])
#: The error is looked at in a few points only, so there it must be this much smaller.
_RESERVE = 16
#: Deviation in source pixels up to which a grid counts as separable.
SEPARABLE = 1e-9
#: Points a side at which separability is proved.
_PROOF = 24

Pair = tuple["Points", "Points"]


@dataclass(frozen=True, slots=True)
class Exact:
    """Source positions by PROJ; ``transformer`` is None where both CRSs are the same."""

    mapper: Mapper
    transformer: Transformer | None

    @classmethod
    def of(cls, mapper: Mapper) -> Exact:
        src, dst = mapper.grid.crs, mapper.source.crs
        return cls(mapper, None if src == dst else mapping.transformer(src, dst))

    def __call__(self, cols: Points, rows: Points) -> Pair:
        """Source positions of destination positions, in the order of GDAL's own arithmetic."""
        a, b, c, d, e, f = self.mapper.grid.transform
        x, y = c + cols * a + rows * b, f + cols * d + rows * e
        if self.transformer is not None:
            x, y = self.transformer.transform(x, y)
            bad = ~(np.isfinite(x) & np.isfinite(y))
            if bad.any():
                x, y = np.where(bad, np.nan, x), np.where(bad, np.nan, y)
        if self.mapper.centre is not None:
            x = mapping.unroll(x, self.mapper.centre)
        a, b, c, d, e, f = self.mapper.source.transform
        if b == 0 and d == 0:
            return -c / a + x * (1 / a), -f / e + y * (1 / e)
        return mapping.invert(self.mapper.source.transform, x, y)


def exact(mapper: Mapper, cols: Points, rows: Points) -> Pair:
    """Source positions of destination positions by PROJ."""
    return Exact.of(mapper)(cols, rows)


def is_separable(mapper: Mapper) -> bool:
    """Whether source x depends on the column alone, and y on the row alone, by PROJ's word.

    Looked at are points spread over the whole grid, and every column and row once.
    """
    width, height = mapper.grid.width, mapper.grid.height
    cols = np.unique(np.linspace(0, width - 1, _PROOF).astype(int)) + 0.5
    rows = np.unique(np.linspace(0, height - 1, _PROOF).astype(int)) + 0.5
    x, y = exact(mapper, *np.meshgrid(cols, rows))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return False
    if np.ptp(x, axis=0).max() >= SEPARABLE or np.ptp(y, axis=1).max() >= SEPARABLE:
        return False
    vectors = Vectors.of(mapper, 0.5)
    return bool(np.isfinite(vectors.x).all() and np.isfinite(vectors.y).all())


@dataclass(frozen=True, slots=True)
class Vectors:
    """Source x of every column and source y of every row of a separable grid."""

    x: Points
    y: Points

    @classmethod
    def of(cls, mapper: Mapper, offset: float) -> Vectors:
        """At the centres of pixels (``offset`` 0.5), or at their corners (0, one more of each)."""
        more = 1 if offset == 0 else 0
        cols = np.arange(mapper.grid.width + more, dtype=np.float64) + offset
        rows = np.arange(mapper.grid.height + more, dtype=np.float64) + offset
        middle_col = np.full(len(rows), mapper.grid.width // 2 + 0.5)
        middle_row = np.full(len(cols), mapper.grid.height // 2 + 0.5)
        x, _ = exact(mapper, cols, middle_row)
        _, y = exact(mapper, middle_col, rows)
        return cls(x, y)


@dataclass(slots=True)
class Lattice:
    """Coordinates interpolated in cells; ``threshold`` is the error allowed, in source pixels.

    ``counts`` tells how many cells of each side were interpolated, and, as side 0, how many
    pixels went through PROJ one by one.
    """

    exact: Exact
    threshold: float
    counts: dict[int, int] = field(default_factory=lambda: dict.fromkeys((*SIZES, 0), 0))

    def centres(self, window: Window) -> Pair:
        """X and y (h, w) of the centres of the pixels of ``window``."""
        return self._fill(window, [0.5])[0]

    def corners(self, window: Window) -> tuple[Pair, Pair]:
        """X and y (h, w) of the upper left and of the lower right corners of the pixels."""
        first, second = self._fill(window, [0.0, 1.0])
        return first, second

    def _fill(self, window: Window, offsets: list[float]) -> list[Pair]:
        shape = (window.height, window.width)
        out = [(np.full(shape, np.nan), np.full(shape, np.nan)) for _ in offsets]
        cells = _cells_of(window, CELL)
        for size in SIZES:
            if not len(cells):
                break
            nodes_x, nodes_y, good, empty = self._judge(cells, size)
            self.counts[size] += int(good.sum())
            for (x, y), offset in zip(out, offsets, strict=True):
                _interpolate(
                    (nodes_x[good], nodes_y[good]), cells[good], size, offset, (x, y), window
                )
            cells = _quarters(cells[~good & ~empty], size, window)
        if len(cells):
            self._fill_exactly(cells, offsets, out, window)
        return out

    def _judge(self, cells: Any, size: int) -> tuple[Any, Any, Any, Any]:
        """Nodes (n, 4, 4) of ``cells`` (n, 2: column and row, in cells), whether interpolation
        between them is near enough, and whether nothing in the cell can be transformed."""
        nodes_x, nodes_y = self._nodes(cells, size)
        at = (cells[:, None, :] + _CHECKS[None]) * float(size)
        check_x, check_y = self.exact(at[..., 0], at[..., 1])
        basis = lagrange(_CHECKS)  # (checks, 2, 4): of columns, of rows
        error = np.zeros(len(cells))
        for nodes, check in ((nodes_x, check_x), (nodes_y, check_y)):
            guess = np.einsum("ki,nij,kj->nk", basis[:, 1], nodes, basis[:, 0])
            error = np.maximum(error, np.abs(guess - check).max(axis=1))
        half = self.exact.mapper.source.width / 2
        with np.errstate(invalid="ignore"):
            jump = np.ptp(nodes_x, axis=(1, 2)) > half
            good = (error <= self.threshold / _RESERVE) & ~jump  # NaN compares false
        empty = np.isnan(nodes_x).all(axis=(1, 2)) & np.isnan(check_x).all(axis=1)
        return nodes_x, nodes_y, good, empty & (size <= _EMPTY)

    def _nodes(self, cells: Any, size: int) -> Pair:
        """Coordinates (n, row, column) at thirds of the sides of ``cells``.

        Positions are whole numbers times size / 3, so that neighbours agree on shared nodes.
        """
        left, top = cells.min(axis=0) * 3
        cols, rows = (cells.max(axis=0) + 1) * 3 + 1 - (left, top)
        if cols * rows <= 16 * len(cells):  # dense: every shared node once
            at = np.meshgrid(
                (left + np.arange(cols)) * size / 3, (top + np.arange(rows)) * size / 3
            )
            x, y = self.exact(*at)
            first = (cells * 3 - (left, top))[:, :, None] + np.arange(4)
            pick = first[:, 1, :, None], first[:, 0, None, :]
            return x[pick], y[pick]
        at_cols = (cells[:, 0, None, None] * 3 + np.arange(4)[None, None, :]) * size / 3
        at_rows = (cells[:, 1, None, None] * 3 + np.arange(4)[None, :, None]) * size / 3
        return self.exact(*np.broadcast_arrays(at_cols, at_rows))

    def _fill_exactly(
        self, cells: Any, offsets: list[float], out: list[Pair], window: Window
    ) -> None:
        """``cells`` are single pixels here."""
        self.counts[0] += len(cells)
        at = cells[:, 1] - window.row_off, cells[:, 0] - window.col_off
        for (x, y), offset in zip(out, offsets, strict=True):
            x[at], y[at] = self.exact(cells[:, 0] + offset, cells[:, 1] + offset)


def lagrange(at: Points) -> Points:
    """Weights (..., 4) of nodes at 0, 1/3, 2/3 and 1 for the cubic through them, at ``at``."""
    nodes = np.arange(4) / 3
    weights = np.ones((*at.shape, 4))
    for i in range(4):
        for j in range(4):
            if i != j:
                weights[..., i] *= (at - nodes[j]) / (nodes[i] - nodes[j])
    return weights


def _cells_of(window: Window, size: int) -> Any:
    """Column and row (n, 2) of the cells that ``window`` meets, row-major."""
    cols = np.arange(window.col_off // size, -(-(window.col_off + window.width) // size))
    rows = np.arange(window.row_off // size, -(-(window.row_off + window.height) // size))
    return np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 2)


def _quarters(cells: Any, size: int, window: Window) -> Any:
    """What ``cells`` of ``size`` are cut into, as far as ``window`` needs it: cells of half the
    side, or single pixels."""
    times = 2 if size > SIZES[-1] else size
    steps = np.stack(np.meshgrid(np.arange(times), np.arange(times)), axis=-1).reshape(-1, 2)
    parts = (cells[:, None, :] * times + steps[None]).reshape(-1, 2)
    side = size // times
    low = np.array([window.col_off, window.row_off])
    high = low + np.array([window.width, window.height])
    met = ((parts + 1) * side > low) & (parts * side < high)
    return parts[met.all(axis=1)]


def _interpolate(
    nodes: Pair, cells: Any, size: int, offset: float, out: Pair, window: Window
) -> None:
    from geobatch_tui.execution.raster import kernels

    if len(cells):
        basis = lagrange((np.arange(size) + offset) / size)
        kernels.interpolate(
            *nodes, np.ascontiguousarray(cells), size, basis, *out, window.col_off, window.row_off
        )
