"""Geometries that OGR cannot read, and leaves out with a line on stderr at most.

Such a feature has no geometry then, as one that has none in the file. The file itself tells these
apart. Here are the reasons for which features are set aside, and what formats share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.ogr.layer_info import all_ids
from geobatch_tui.execution.vector.plan import FID, WKB

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import VectorPlan

TOO_LARGE = "it has a whole number beyond the range of 64 bits, for which OGR reads another"
#: The start of reasons that are about attributes.
FIELD = "its field"
LEFT_OUT = "OGR cannot read all of its geometry, and leaves out the rest"
NO_GEOMETRY = "OGR cannot read its geometry, which is not null in the file"
#: The least and the largest whole number of 64 bits.
LEAST, LARGEST = -(2**63), 2**63 - 1
#: Most records of a source that are set aside one by one; a file with more is refused.
MOST_SET_ASIDE = 10_000
#: Numbers or names that a message lists.
LISTED = 20


def listed(numbers: Sequence[object]) -> str:
    """List the first of ``numbers`` for a message."""
    return ", ".join(map(str, numbers[:LISTED])) + (", ..." if len(numbers) > LISTED else "")


def is_of_geometry(reason: str | None) -> bool:
    """Whether a feature is whole by another geometry."""
    return reason != TOO_LARGE and not (reason or "").startswith(FIELD)


def null_rows(features: pa.RecordBatch | pa.Table) -> list[int]:
    """List the rows without geometry."""
    shapes = features.column(WKB)
    if not shapes.null_count:
        return []
    rows: list[int] = np.flatnonzero(shapes.is_null().to_numpy(zero_copy_only=False)).tolist()
    return rows


def null_ids(features: pa.RecordBatch | pa.Table) -> dict[int, int]:
    """Map the ids of the features without geometry to their rows."""
    ids = features.column(FID)
    return {ids[row].as_py(): row for row in null_rows(features)}


def reasons(features: pa.RecordBatch, lost: Collection[int]) -> pa.Array:
    """Give ``NO_GEOMETRY`` for the rows that ``lost`` theirs, null for the others."""
    count = features.num_rows
    if not lost:
        return pa.nulls(count, pa.string())
    return pa.array([NO_GEOMETRY if row in lost else None for row in range(count)], pa.string())


def reasons_by_id(
    features: pa.RecordBatch, in_file: Callable[[list[int]], Iterable[int]]
) -> pa.Array:
    """Give ``NO_GEOMETRY`` for the features without geometry that have one in the file, of whose
    ids ``in_file`` chooses those."""
    ids = null_ids(features)
    return reasons(features, {ids[fid] for fid in in_file(list(ids))} if ids else ())


class MarksInFile:
    """What the file itself says of its features, each with a mark, for batches in their order."""

    def __init__(
        self,
        plain: Plain,
        plan: VectorPlan,
        read: Callable[[int], NDArray[np.uint8]],
        worst: np.ufunc,
    ) -> None:
        """Take what ``read`` makes of the file, when it is needed: the marks of so many features,
        in the order of OGR. ``worst`` joins those of features that share an id."""
        self._plain, self._plan, self._read, self._worst = plain, plan, read, worst
        self._seen = 0
        self._marks: NDArray[np.uint8] | None = None
        #: Ids of the marks, in order, where only they tell which of all features are read.
        self._ids = np.empty(0, np.int64)

    def of_next(self, batch: pa.RecordBatch, *, needed: bool) -> NDArray[np.uint8] | None:
        """Return the marks of the next features; None: they are not ``needed``."""
        start, self._seen = self._seen, self._seen + batch.num_rows
        if not needed:
            return None
        if self._marks is None:
            count = self._plan.count - len(self._plan.aside)
            self._marks = self._by_id() if self._plan.where else self._read(count)
        marks: NDArray[np.uint8] = self._marks[start : self._seen]
        if self._plan.where:
            marks = self._marks[np.searchsorted(self._ids, batch.column(FID).to_numpy())]
        return marks

    def _by_id(self) -> NDArray[np.uint8]:
        place = self._plain.place
        every = all_ids(place, place, self._plan.layer)
        self._ids, places = np.unique(every, return_inverse=True)
        marks = np.zeros(len(self._ids), np.uint8)
        self._worst.at(marks, places, self._read(len(every)))
        return marks
