"""Repaired features in place of those of the source: what ``retry --replace`` brings in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyproj import CRS

from geobatch_tui.errors import CrsError, SchemaError
from geobatch_tui.execution.vector.formats.lost_geometries import is_of_geometry
from geobatch_tui.execution.vector.ogr import errors, layer_info, stream
from geobatch_tui.execution.vector.plan import FID, UNREAD, WKB

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.vector.plan import VectorPlan

#: The field with the id of the feature, as in the quarantine file.
_FIELD = "geobatch_fid"


def load(item: ItemContext, plan: VectorPlan) -> dict[int, bytes]:
    """Read the repaired geometries (WKB) by the ids of their features; none if there is no file.

    Raises:
        SchemaError: the file has several layers, no field ``geobatch_fid``, no whole numbers in it,
            or several features for one.
        CrsError: it is in another CRS than the source, or in none.
    """
    places = list((Path(item.work_dir).parents[1] / "replaced" / item.key).glob("*"))
    if not places:
        return {}
    # There are two where the engine died before it removed the earlier one.
    path = str(max(places, key=lambda one: one.stat().st_mtime_ns))
    with errors.ogr_errors(path):
        layers = layer_info.layer_names(path)
        if len(layers) != 1:
            raise SchemaError(f"{path} has {len(layers)} layers; one of repaired features is taken")
        info = layer_info.layer_info(path, layers[0])
        if _FIELD not in info["fields"]:
            raise SchemaError(
                f"{path} has no field {_FIELD!r}",
                hint="start from the quarantine file, and keep its fields",
            )
        if plan.src_crs and not info["crs"]:
            raise CrsError(f"{path} has no CRS; the quarantine file has that of the source")
        if plan.src_crs and not CRS.from_user_input(info["crs"]).equals(
            CRS.from_wkt(plan.src_crs), ignore_axis_order=True
        ):
            raise CrsError(f"{path} is in another CRS than {item.source}")
        with stream.opened(path, columns=[_FIELD]) as (meta, reader):
            table = reader.read_all()
    shapes = table.column(meta["geometry_name"] or stream.UNNAMED).to_pylist()
    try:
        ids = table.column(_FIELD).cast(pa.int64()).to_pylist()
    except pa.ArrowInvalid as error:
        raise SchemaError(f"{path}: {_FIELD} is to be a whole number: {error}") from error
    repaired: dict[int, bytes] = {}
    for fid, shape in zip(ids, shapes, strict=True):
        if fid is None or shape is None:
            continue
        if fid in repaired:
            raise SchemaError(f"{path} has several features with {_FIELD} {fid}")
        repaired[fid] = bytes(shape)
    return repaired


def put_in(batch: pa.RecordBatch, repaired: dict[int, bytes]) -> tuple[pa.RecordBatch, int]:
    """Put geometries in a batch at their ids; return also how many of them it has."""
    import pyarrow.compute as pc

    ids = batch.column(FID)
    there = pc.is_in(ids, value_set=pa.array(repaired, pa.int64()))  # a null is not
    rows = np.flatnonzero(there.to_numpy(zero_copy_only=False)).tolist()
    if not rows:
        return batch, 0
    values = batch.column(WKB).to_pylist()
    for row in rows:
        values[row] = repaired[ids[row].as_py()]
    place = batch.schema.get_field_index(WKB)
    batch = batch.set_column(place, WKB, pa.array(values, pa.binary()))
    if (place := batch.schema.get_field_index(UNREAD)) >= 0:
        reasons = batch.column(place).to_pylist()
        mended = {row for row in rows if is_of_geometry(reasons[row])}
        kept = [None if row in mended else why for row, why in enumerate(reasons)]
        batch = batch.set_column(place, UNREAD, pa.array(kept, pa.string()))
    return batch, len(rows)
