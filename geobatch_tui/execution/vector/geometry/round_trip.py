"""Regions in which a transformation leads back to where it came from.

Nonsense that a projection gives far from home fills regions, or strips along a cut where it folds
over itself. Their rims are far smoother than a coastline. So the plane of the source is cut into
cells, and a cell is firm if all points of a lattice in it and round it come back, and
their images lie as evenly as they do. What lies in firm cells needs no look of its own; only
elsewhere are coordinates sent there and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.vector.kernels import feature_loops

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.batch.wkb_coordinates import Coordinates

    Floats = NDArray[np.float64]
    Numbers = NDArray[np.int64]
    #: Images of points (x, y), and which of them come back.
    Sends = Callable[[Floats, Floats], tuple[Floats, Floats, NDArray[np.bool_]]]

#: Steps of the lattice in a side of a cell, and those beyond it that are looked at as well.
_POINTS, _RIM = 2, 2
#: How far an image may lie from the middle of its neighbours' images, as a share of the way between
#: them. Twice this share of a cell is the narrowest strip that is found.
_BEND = 0.01
FIRM, DOUBTFUL = 1, 2


class Ground:
    """Cells of a plane, looked at when something lies in them.

    Args:
        sends: the transformation.
        cell: side of a cell, in units of the plane.
        reach: how far the cells go from the origin, in x and in y: whole cells. Beyond, nothing is
            firm.
        limit: points whose y is beyond it are moved to it.
    """

    def __init__(self, sends: Sends, cell: float, reach: tuple[float, float], limit: float) -> None:
        self._sends, self._limit, self.cell = sends, limit, cell
        columns, rows = (2 * round(side / cell) for side in reach)
        self.left, self.bottom = -columns * cell / 2, -rows * cell / 2
        #: Of each cell: 0 nothing is known of it, ``FIRM`` or ``DOUBTFUL``.
        self.state = np.zeros((rows, columns), np.uint8)
        shape = (_POINTS * rows + 2 * _RIM + 1, _POINTS * columns + 2 * _RIM + 1)
        # Pages of these are there once they are written to.
        self._x, self._y = np.empty(shape), np.empty(shape)
        self._seen, self._back = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)

    def learn(self, x: Floats, y: Floats, first: Numbers, which: NDArray[np.bool_]) -> None:
        """Look at the cells that coordinates of the geometries ``which`` lie in."""
        fresh = np.zeros(self.state.shape, np.bool_)
        feature_loops.visit(
            x, y, first, which, self.left, self.bottom, self.cell, self.state, fresh
        )
        rows, columns = np.nonzero(fresh)
        if not len(rows):
            return
        steps = np.arange(-_RIM, _POINTS + _RIM + 1)
        down = (_POINTS * rows + _RIM)[:, None, None] + steps[:, None]
        across = (_POINTS * columns + _RIM)[:, None, None] + steps
        self._look(down, across)
        firm = self._back[down, across].all(axis=(1, 2))
        firm &= _even(self._x[down, across], self._y[down, across])
        self.state[rows, columns] = np.where(firm, FIRM, DOUBTFUL)

    def doubtful(self, shapes: Coordinates, which: NDArray[np.bool_], step: float) -> Numbers:
        """Return the coordinates of the geometries ``which`` that lie on no firm cell; none left
        out is further than ``step`` from one that is not."""
        self.learn(shapes.x, shapes.y, shapes.first, which)
        cells = self.left, self.bottom, self.cell, self.state
        out = np.empty(len(shapes.x), np.int64)
        count = feature_loops.sparse(shapes.x, shapes.y, shapes.first, which, step, *cells, out)
        return out[:count]

    def _look(self, down: Numbers, across: Numbers) -> None:
        wanted = np.zeros(self._seen.shape, np.bool_)
        wanted[down, across] = True
        rows, columns = np.nonzero(wanted & ~self._seen)
        step = self.cell / _POINTS
        x = np.asarray(self.left + (columns - _RIM) * step, np.float64)
        y = np.asarray(self.bottom + (rows - _RIM) * step, np.float64)
        np.clip(y, -self._limit, self._limit, out=y)
        self._x[rows, columns], self._y[rows, columns], self._back[rows, columns] = self._sends(
            x, y
        )
        self._seen[rows, columns] = True


def _even(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Mark lattices (n, rows, columns) of images that have each in the middle of its neighbours."""
    even = np.ones(len(x), np.bool_)
    with np.errstate(invalid="ignore"):
        for axis in (1, 2):
            dx, dy = np.diff(x, axis=axis), np.diff(y, axis=axis)
            bend = np.hypot(np.diff(dx, axis=axis), np.diff(dy, axis=axis)) / 2
            length = np.hypot(dx, dy)
            a, b = np.delete(length, 0, axis), np.delete(length, -1, axis)
            even &= (bend <= _BEND * (a + b)).all(axis=(1, 2))
    return even
