"""Which ids of a source are kept in an output, and as what: as ogr2ogr does it; and those of
GeoJSON in every format.

Other formats number their features by their places; FlatGeobuf and Shapefile hold no ids.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.vector.batch.arrow_arrays import free_name
from geobatch_tui.execution.vector.fields.field_types import JSON
from geobatch_tui.execution.vector.formats.by_driver import format_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from geobatch_tui.execution.vector.ogr.layer_info import LayerInfo
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Features by whose ids it is known whether those of a file have any.
FIRST = 100
_TWICE = "Altering it to be unique"


def key(info: LayerInfo, form: str, columns: tuple[str, ...] | None) -> tuple[str, bool]:
    """Name in the output of the primary key of a layer, of which pyogrio says ``info``, and whether
    it is the key there, too; empty: it is not kept. ``columns``: that are asked for, if not all."""
    name = info["fid_column"]
    if not name or not format_of(info["driver"]).has_key:
        return "", False
    if form == "GPKG":
        return name, True
    asked = columns is None or name in columns
    return (name if form in JSON or (form == "GeoParquet" and asked) else ""), False


def member(
    batches: Iterable[pa.RecordBatch], form: str, columns: tuple[str, ...] | None, fields: list[str]
) -> str:
    """Name in the output of the ids of features of GeoJSON with these ``fields``, which are the
    first column of ``batches``; empty: they are numbered by OGR, or not asked for."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        first = next(iter(batches), None)
    # Of ids that are given twice OGR makes others.
    altered = any(_TWICE in str(one.message) for one in said)
    if first is None or altered or (columns is not None and form not in JSON):
        return ""
    ids = np.array(first.column(0).to_pylist())
    return "" if (ids == np.arange(len(ids))).all() else free_name("id", tuple(fields))


def are_numbered(plan: VectorPlan, columns: Sequence[str] | None) -> bool:
    """Whether features of GeoJSON get other ids than OGR gives them, though ids were to be kept,
    wherever theirs are not their places: the first features showed none."""
    asked = columns is None or plan.format in JSON
    return format_of(plan.driver).has_member_ids and asked and not (plan.id_name or plan.where)
