"""A batch of features on its way through an operation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.vector.kernels import wkb_loops

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.batch.wkb_coordinates import Coordinates

#: Rows that are set aside, with the class of the error and the reason.
type Bad = dict[int, tuple[str, str]]
type Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """The geometries of a batch, and which of its rows go no further.

    Attributes:
        shapes: geometries of all rows.
        bad: rows that are set aside; an operation adds to it.
        dropped: rows that are not asked for.
        facts: counts that are summed up over the item.
    """

    shapes: Coordinates
    bad: Bad
    dropped: NDArray[np.bool_]
    facts: dict[str, int] = field(default_factory=dict)

    def set_aside(self, rows: Iterable[int], reason: str, error: str = "GeometryError") -> None:
        """Set ``rows`` aside for a ``reason``; it takes the place of an earlier one."""
        self.bad.update(dict.fromkeys(rows, (error, reason)))

    def going_on(self, marks: NDArray[np.bool_]) -> Rows:
        """Return the marked rows that are neither dropped nor set aside."""
        marks = marks & ~self.dropped
        marks[list(self.bad)] = False
        return np.flatnonzero(marks)

    def usable(self) -> Rows:
        """Return the rows that have a geometry to work on."""
        return self.going_on(self.shapes.status == wkb_loops.OK)

    def sound(self, rows: Rows) -> Rows:
        """Return those of ``rows`` that are not set aside."""
        return without(rows, self.bad)

    def with_only(self, rows: Rows) -> Batch:
        """Drop all rows but these, and those that are set aside."""
        others = np.ones(len(self.dropped), np.bool_)
        others[rows] = False
        others[list(self.bad)] = False
        return replace(self, dropped=others | self.dropped)


def without(rows: Rows, bad: Bad) -> Rows:
    """Return those of ``rows`` that are not in ``bad``."""
    return np.array([row for row in rows.tolist() if row not in bad], np.int64)
