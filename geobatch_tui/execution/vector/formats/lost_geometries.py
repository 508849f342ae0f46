"""Geometries that OGR cannot read, and leaves out with a line on stderr at most.

Such a feature has no geometry then, as one that has none in the file. The file itself tells these
apart. Here are the reasons for which features are set aside, and what formats share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.plan import FID, WKB

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

TOO_LARGE = "it has a whole number beyond the range of 64 bits, for which OGR reads another"
#: The start of reasons that are about attributes.
FIELD = "its field"
LEFT_OUT = "OGR cannot read all of its geometry, and leaves out the rest"
NO_GEOMETRY = "OGR cannot read its geometry, which is not null in the file"


def is_of_geometry(reason: str | None) -> bool:
    """Whether a feature is whole by another geometry."""
    return reason != TOO_LARGE and not (reason or "").startswith(FIELD)


def null_rows(features: pa.RecordBatch) -> list[int]:
    """List the rows without geometry."""
    shapes = features.column(WKB)
    if not shapes.null_count:
        return []
    rows: list[int] = np.flatnonzero(shapes.is_null().to_numpy(zero_copy_only=False)).tolist()
    return rows


def reasons(features: pa.RecordBatch, lost: Collection[int]) -> pa.Array:
    """Give ``NO_GEOMETRY`` for the rows that ``lost`` theirs, null for the others."""
    count = features.num_rows
    if not lost:
        return pa.nulls(count, pa.string())
    return pa.array([NO_GEOMETRY if row in lost else None for row in range(count)], pa.string())


def reasons_by_id(
    features: pa.RecordBatch, in_file: Callable[[list[int]], Iterable[int]]
) -> pa.Array:
    """Give ``NO_GEOMETRY`` for the features without geometry that have one in the file.

    Args:
        features: a batch of them.
        in_file: chooses, of some ids, those that have a geometry there.
    """
    ids = {features.column(FID)[row].as_py(): row for row in null_rows(features)}
    return reasons(features, {ids[fid] for fid in in_file(list(ids))} if ids else ())


def null_ids(ids: pa.ChunkedArray, shapes: pa.ChunkedArray) -> list[int]:
    """List the ids of the features of a layer without geometry."""
    return list(ids.filter(shapes.is_null()).to_pylist()) if shapes.null_count else []
