"""Row groups of GeoParquet that need not be read, by the statistics of the boxes in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def outside(file: pq.ParquetFile, geometry: str, bounds: Any) -> frozenset[int]:
    """Row groups no feature of which has a box that touches ``bounds`` (minx, miny, maxx, maxy).

    Those with a feature that has no box are not among them: it is to be looked at.
    """
    places = _places(file, geometry)
    if not bounds or not places:
        return frozenset()
    minx, miny, maxx, maxy = bounds
    found = set()
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        told = [group.column(place).statistics for place in places]
        if any(one is None or not one.has_min_max or one.null_count != 0 for one in told):
            continue
        left, bottom = (_beyond(one.min, one, -np.inf) for one in told[:2])
        right, top = (_beyond(one.max, one, np.inf) for one in told[2:])
        if left > maxx or right < minx or bottom > maxy or top < miny:
            found.add(index)
    return frozenset(found)


def _beyond(side: float, told: pq.Statistics, towards: float) -> float:
    """``side``, or the next number ``towards`` where it is of short floats: nobody says that these
    were rounded outwards."""
    if told.physical_type != "FLOAT":
        return side
    return float(np.nextafter(np.float32(side), np.float32(towards)))


def _places(file: pq.ParquetFile, geometry: str) -> list[int]:
    """Numbers of the columns with the sides of the boxes; empty if there are none."""
    schema, meta = file.schema_arrow, file.metadata
    raw = (schema.metadata or {}).get(b"geo") or (meta.metadata or {}).get(b"geo") or b"{}"
    column = json.loads(raw).get("columns", {}).get(geometry, {})
    box = column.get("covering", {}).get("bbox", {})
    if not all(side in box for side in _SIDES):
        return []
    numbers = {meta.schema.column(n).path: n for n in range(meta.num_columns)}
    found = [numbers.get(".".join(box[side]), -1) for side in _SIDES]
    return found if min(found) >= 0 else []
