"""A batch of features on its way through an operation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.vector.batch.arrow_arrays import numbers
from geobatch_tui.execution.vector.batch.wkb_coordinates import coordinates
from geobatch_tui.execution.vector.kernels import wkb_loops

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
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


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a row that was read is not whole any more: class of the error, reason, ``stage`` as
    letters name it, and the number of the step in its chain; 0: none did it."""

    error: str
    reason: str
    stage: str
    step: int = 0


#: Rows that were read and of which a feature is set aside.
type Lost = dict[int, Loss]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features(Batch):
    """The features of a batch on their way through a chain of steps.

    Attributes:
        attributes: of its rows.
        owners: the row that was read, of each row; they ascend.
        measured: whether the geometry that was read has M, of each row.
        lost: rows that were read and of which a feature is set aside.
        gone: features that are not asked for, and are rows no more.
        extra: how many more features there are, in all that became of them, than were read.
    """

    attributes: pa.RecordBatch
    owners: Rows
    measured: NDArray[np.bool_]
    lost: Lost = field(default_factory=dict)
    gone: int = 0
    extra: int = 0

    def settled(self, label: str, stage: str, step: int = 0) -> Features:
        """Return the features that go on; those that ``step``, which is ``label`` in reasons, set
        aside or dropped are rows no more."""
        keep = ~self.dropped
        bad = {row: why for row, why in self.bad.items() if keep[row]}
        if keep.all() and not bad:
            return replace(self, bad={})
        told = self.with_lost(bad, label, stage, step)
        gone = self.gone + int((~keep).sum())
        keep[list(bad)] = False
        return replace(told.picked(np.flatnonzero(keep)), gone=gone)

    def with_lost(self, bad: Bad, label: str = "", stage: str = "work", step: int = 0) -> Features:
        """Enter these rows among what is lost, at ``step``."""
        lost, before = dict(self.lost), f"{label}: " if label else ""
        for row, (error, reason) in sorted(bad.items()):
            lost.setdefault(int(self.owners[row]), Loss(error, before + reason, stage, step))
        extra = self.extra + len(lost) - len(self.lost) - len(bad)
        return replace(self, lost=lost, extra=extra)

    def picked(self, rows: Rows, column: pa.Array | None = None) -> Features:
        """Return the features of ``rows``, which ascend; of one that is named again and again, so
        many. ``column``: their geometries, where these are others."""
        places = numbers(rows)
        if column is None:
            column = self.shapes.column.take(places)
        return replace(
            self,
            shapes=coordinates(column),
            bad={},
            dropped=np.zeros(len(rows), np.bool_),
            attributes=self.attributes.take(places),
            owners=self.owners[rows],
            measured=self.measured[rows],
        )
