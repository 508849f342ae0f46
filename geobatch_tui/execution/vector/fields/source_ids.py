"""Ids of a source that are kept in an output, as ogr2ogr keeps them; those of GeoJSON in every
format.

Other formats number their features by their places; FlatGeobuf and Shapefile hold no ids.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.vector.batch.arrow_arrays import free_name
from geobatch_tui.execution.vector.formats.source_format import format_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from geobatch_tui.execution.vector.ogr.layer_info import LayerInfo
    from geobatch_tui.execution.vector.output_format import OutputFormat
    from geobatch_tui.execution.vector.plan import VectorPlan

#: The first features, whose ids show whether the features of a file have any.
FIRST = 100
_TWICE = "Altering it to be unique"


def key(info: LayerInfo, output: OutputFormat, columns: tuple[str, ...] | None) -> tuple[str, bool]:
    """Name the primary key of a layer in the output, and say whether it is the key there, too;
    empty: it is not kept. ``columns``: that are asked for, if not all."""
    name = info["fid_column"]
    if not name or not format_of(info["driver"]).has_key:
        return "", False
    asked = columns is None or name in columns
    kept = output.ids in {"key", "member"} or (output.ids == "attribute" and asked)
    return (name, output.ids == "key") if kept else ("", False)


def member(
    batches: Iterable[pa.RecordBatch],
    output: OutputFormat,
    columns: tuple[str, ...] | None,
    fields: list[str],
) -> str:
    """Name the ids of features of GeoJSON in the output; they are the first column of ``batches``.
    Empty: OGR numbered them, or they are not asked for."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first = next(iter(batches), None)
    # OGR replaces ids that are given twice.
    altered = any(_TWICE in str(one.message) for one in caught)
    if first is None or altered or (columns is not None and not output.is_json):
        return ""
    ids = np.array(first.column(0).to_pylist())
    return "" if (ids == np.arange(len(ids))).all() else free_name("id", tuple(fields))


def are_numbered(plan: VectorPlan, columns: Sequence[str] | None) -> bool:
    """Whether features of GeoJSON get other ids than OGR gives them, though ids were to be kept,
    wherever theirs are not their places: the first features showed none."""
    asked = columns is None or plan.output.is_json
    return format_of(plan.driver).has_member_ids and asked and not (plan.id_name or plan.where)
