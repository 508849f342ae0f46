"""Commands of GDAL that come nearest to what an item does. Imports no library."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.execution.vector.plan import VectorPlan

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ItemContext, Window

#: Past features that cannot be read.
_GOES_ON = ["--config", "GML_SKIP_CORRUPTED_FEATURES", "YES"]
_DRIVERS = {"GeoParquet": "Parquet", "Shapefile": "ESRI Shapefile"}


def ogr2ogr(item: ItemContext) -> str:
    """The whole item."""
    return shlex.join(_command(item, item.out_path, []))


def ogr2ogr_window(item: ItemContext, window: Window) -> str:
    """The features of one chunk, or one of them, into a GeoPackage beside the shell; of a record
    that is none, or more, its text; of one that OGR leaves out, what it says against it."""
    plan = VectorPlan.from_json(item.plan.detail)
    layer = (plan.layer or Path(item.source).stem).replace('"', '""')
    if (record := window.col_off - plan.count + len(plan.aside)) >= 0:
        if plan.driver == "GML":
            chosen = ["-q", "-fid", str(plan.aside[record] - 1), plan.place or item.source]
            return shlex.join(["ogrinfo", *_GOES_ON, *chosen, plan.layer])
        if plan.driver == "GeoJSON":
            return shlex.join(["jq", f".features[{plan.aside[record] - 1}]", item.source])
        wanted = f"NF && ++n == {plan.aside[record]}"
        return shlex.join(["awk", wanted, item.source])
    first, where = window.col_off, plan.where
    if plan.access == "fid":
        index = window.col_off // item.plan.grid.chunk_width
        first -= item.plan.grid.window(index).col_off
        where = plan.where_of_chunk(index)
    if where and not first and window.width > 1:
        choice = ["-where", where]
    else:
        limit = f"LIMIT {window.width} OFFSET {first}"
        choice = ["-sql", f'SELECT * FROM "{layer}"{where and " WHERE "}{where} {limit}']  # noqa: S608
    return shlex.join(_command(item, "chunk.gpkg", choice))


def _command(item: ItemContext, target: str, choice: list[str]) -> list[str]:
    plan = VectorPlan.from_json(item.plan.detail)
    driver = "GPKG" if target.endswith("chunk.gpkg") else _DRIVERS.get(plan.format, plan.format)
    words = ["ogr2ogr", "-f", driver]
    if plan.encoding:
        words += ["-oo", f"ENCODING={plan.encoding}"]
    if plan.driver == "GML" and plan.lost:
        words += _GOES_ON
    if plan.src_crs != plan.dst_crs:
        words += ["-t_srs", str(item.params.get("dst_crs", ""))]
    if assigned := item.plan.notes.get("assigned_crs"):
        words += ["-s_srs" if "-t_srs" in words else "-a_srs", str(assigned)]
    if item.params.get("wrapdateline"):
        words += ["-wrapdateline"]
    if plan.where and not choice:
        words += ["-where", plan.where]
    layer = [plan.layer] if plan.layer and "-sql" not in choice else []
    return [*words, *choice, target, plan.place or item.source, *layer]
