"""Source coordinates of output pixels, as functions of the item's grid alone.

A coordinate never depends on the window that it is computed in: where x depends on the column alone
and y on the row alone, PROJ computes both; else :mod:`.lattice` interpolates them.

Positions count from the corner of the first pixel; NaN stands for "not on the source".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster.grid import projection

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

    from geobatch_tui.execution.raster.grid.projection import Mapper
    from geobatch_tui.execution.raster.types import Pair, Points

#: Deviation in source pixels up to which a grid counts as separable.
SEPARABLE = 1e-9
#: Points a side at which separability is proved.
_PROOF = 24


@crs_lookup.by_text
def _between(src: CRS, dst: CRS) -> Transformer | None:
    """Return the transformer between two CRSs; None if they are the same."""
    return None if src == dst else crs_lookup.transformer(src, dst)


def exact(mapper: Mapper, cols: Points, rows: Points) -> Pair:
    """Return source positions of output positions by PROJ, with GDAL's order of operations."""
    a, b, c, d, e, f = mapper.grid.transform
    x, y = c + cols * a + rows * b, f + cols * d + rows * e
    transformer = _between(mapper.grid.crs, mapper.source.crs)
    if transformer is not None:
        x, y = projection.finite(*transformer.transform(x, y))
    if mapper.centre is not None:
        x = projection.unroll(x, mapper.centre)
    a, b, c, d, e, f = mapper.source.transform
    if b == 0 and d == 0:
        return -c / a + x * (1 / a), -f / e + y * (1 / e)
    return projection.invert(mapper.source.transform, x, y)


def separable(mapper: Mapper) -> Vectors | None:
    """Return source x of every column and y of every row, at their centres, by PROJ; None if x does
    not depend on the column alone, or y on the row alone, at points spread over the whole grid."""
    width, height = mapper.grid.width, mapper.grid.height
    x, y = exact(mapper, *np.meshgrid(_spread(width), _spread(height)))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    if np.ptp(x, axis=0).max() >= SEPARABLE or np.ptp(y, axis=1).max() >= SEPARABLE:
        return None
    vectors = Vectors.of(mapper, 0.5)
    return vectors if np.isfinite(vectors.x).all() and np.isfinite(vectors.y).all() else None


@lru_cache(maxsize=64)
def _spread(side: int) -> Points:
    """Return centres of pixels spread over a side."""
    return np.unique(np.linspace(0, side - 1, _PROOF).astype(int)) + 0.5


@dataclass(frozen=True, slots=True)
class Vectors:
    """Source x of every column and source y of every row of a separable grid."""

    x: Points
    y: Points

    @classmethod
    def of(cls, mapper: Mapper, offset: float) -> Vectors:
        """Compute them at the centres of pixels (``offset`` 0.5), or at their corners (0, one more
        of each)."""
        more = 1 if offset == 0 else 0
        cols = np.arange(mapper.grid.width + more, dtype=np.float64) + offset
        rows = np.arange(mapper.grid.height + more, dtype=np.float64) + offset
        # Both in one call: along the middle row, and along the middle column.
        x, y = exact(
            mapper,
            np.concatenate([cols, np.full(len(rows), mapper.grid.width // 2 + 0.5)]),
            np.concatenate([np.full(len(cols), mapper.grid.height // 2 + 0.5), rows]),
        )
        return cls(x[: len(cols)], y[len(cols) :])
