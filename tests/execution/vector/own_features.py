"""Functions of a user, for the laws of chains of features."""

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geobatch_tui import step


@step(fields={"size": "Real", "day": None})
def measured(frame: gpd.GeoDataFrame, *, factor: float = 1.0) -> gpd.GeoDataFrame:
    """The number of its coordinates; one field is left out."""
    frame["size"] = frame.count_coordinates() * factor
    return frame.drop(columns="day") if "day" in frame else frame


@step(rows="fewer", crs="EPSG:3035")
def shrunk(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Those that have a geometry, smaller and elsewhere."""
    there = frame[~(frame.geometry.isna() | frame.geometry.is_empty)].to_crs(3035)
    return there.set_geometry(there.buffer(1000.0))


@step(rows="more")
def parts(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The parts of each."""
    return frame.explode()


@step
def named(table: pa.Table, *, text: str = "-") -> pa.Table:
    """A text of each."""
    names = table["name"] if "name" in table.column_names else pa.nulls(len(table), pa.string())
    return table.append_column("label", pc.fill_null(names, text))


@step(rows="more")
def twice(table: pa.Table, *, times: int = 2) -> pa.Table:
    """Every third not at all, the others so often."""
    counts = np.full(len(table), times)
    if "whole" in table.column_names:
        counts[table["whole"].to_numpy() % 3 == 0] = 0
    return table.take(pa.array(np.repeat(np.arange(len(table)), counts)))
