"""What a step of a chain gives for a chunk of features, for the eye."""

from __future__ import annotations

import feature_chains
import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
import vectorjobs

from geobatch_tui.errors import InvalidInputError, SourceChangedError
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.messages import ResultTask
from geobatch_tui.execution.vector.step_features import step_features

STEPS = [
    {"name": "filter", "where": '"whole" % 3 <> 0'},
    {"name": "make-point", "x": "lon", "y": "lat", "output_crs": "EPSG:4326"},
    {"name": "select", "fields": ["whole", "text", "_ogr_geometry_"]},
]


@pytest.fixture
def look(tmp_path):
    """``look(step, index, position)``: of features in chunks of 10."""
    source = feature_chains.layer(tmp_path / "a.parquet")
    params = {"steps": STEPS}
    plan = vectorjobs.probe("vector.pipeline", source, params=params, features=10)
    item = vectorjobs.context("vector.pipeline", source, tmp_path, plan, params, "GeoParquet")

    def look(step, index=0, position=None):
        task = ResultTask(1, item, index, step, (1, 1), position)
        return step_features(task, vectorjobs.stage)

    look.source = source
    return look


def test_counts_are_those_behind_the_step(look):
    """Of the chunk alone: what is read, what a filter leaves, what is set aside and why."""
    source, filtered, points, last = (look(step, 1) for step in range(4))
    assert [one.read for one in (source, filtered, points, last)] == [10] * 4
    assert (source.made, source.dropped, source.lost) == (10, 0, 0)
    assert (filtered.made, filtered.dropped) == (7, 3)
    assert (points.made, points.lost, points.kinds) == (7, 0, {"Point": 7})
    assert points.crs == "'WGS 84' (EPSG:4326)"
    first = look(2, 0)
    assert [(place, error) for place, error, _ in first.aside] == [(4, "SchemaError")]
    assert "step 2 (make-point): field 'lat' is null" in first.aside[0][2]
    assert first.lost + first.made + first.dropped == 10


def test_the_first_features_are_shown(look):
    """By their place in the item, with geometry and fields as they are there."""
    points, last = look(2, 1), look(3, 1)
    assert [line.position for line in points.lines] == [10, 11, 13, 14, 16, 17, 19]
    assert points.lines[0].geometry == "POINT (9 43.833333333)"
    assert dict(zip(points.fields, points.lines[0].values, strict=True))["name"] == "null"
    assert last.fields == {"whole": "int32", "text": "string"}
    assert last.lines[1].values == ("11", "11.5")
    assert last.bounds == points.bounds
    for message in (points, ResultTask(1, None, 0, 2, (1, 1), 4)):
        assert wire.unpack(wire.pack(1, message)[wire.HEADER.size :]) == message


def test_one_feature_is_followed(look):
    """The one at a position alone, up to the step; of what is set aside the reason is left."""
    assert [line.position for line in look(1, 1, 13).lines] == [13]
    gone = look(1, 1, 12)
    assert (gone.read, gone.made, gone.dropped, gone.lines) == (1, 0, 1, ())
    assert look(2, 0, 4).aside[0][0] == 4


def test_what_cannot_be_is_said(look):
    with pytest.raises(InvalidInputError, match="has 3 steps; there is no step 4"):
        look(4)
    look.source.write_bytes(b"other")
    with pytest.raises(SourceChangedError):
        look(1)


def test_an_operation_alone_shows_what_it_gets(tmp_path):
    """The picture is of what the source has, also of the feature that is set aside."""
    lines = shapely.linestrings([[(n, 0), (n + 1, 2)] for n in range(3)])
    with np.errstate(invalid="ignore"):
        broken = shapely.from_wkt("LINESTRING (5 0, 6 2, nan 1)")
    frame = gpd.GeoDataFrame({"n": range(4)}, geometry=[*lines, broken], crs=3857)
    source = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(frame, source)
    params = {"dst_crs": "EPSG:4326"}
    plan = vectorjobs.probe("vector.reproject", source, params=params, form="GPKG")
    item = vectorjobs.context("vector.reproject", source, tmp_path, plan, params, "GPKG")

    def look(position):
        return step_features(ResultTask(1, item, 0, 0, (40, 24), position), vectorjobs.stage)

    whole, sound, dead = look(None), look(1), look(3)
    assert (whole.read, whole.lost, whole.picture.vertices) == (4, 1, 9)
    assert (sound.lost, sound.picture.bounds) == (0, (1, 0, 2, 2))
    assert (dead.lost, dead.picture.not_finite, dead.picture.bounds) == (1, 1, (5, 0, 6, 2))
    assert (sound.picture.width, sound.picture.height) == (25, 48)
    assert sound.crs == "'WGS 84 / Pseudo-Mercator' (EPSG:3857)"
    with pytest.raises(InvalidInputError, match="has 0 steps; there is no step 1"):
        step_features(ResultTask(1, item, 0, 1, (1, 1)), vectorjobs.stage)
