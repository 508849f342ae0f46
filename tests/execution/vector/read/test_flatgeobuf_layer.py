"""Plans and chunks of a FlatGeobuf in a store are those of the file."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
import vectordata
import vectorjobs
from object_server import served

from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import Chunking, ProbeTask
from geobatch_tui.execution.sources.object_sources import identify_object, version_in
from geobatch_tui.execution.vector.plan import VectorPlan
from geobatch_tui.execution.vector.read import feature_reader, object_ranges

COUNT = 12_000
PARAMS = {"bounds": (1.0, 1.0, 2.0, 2.0)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    points = shapely.points(np.random.default_rng(7).random((COUNT, 2)) * 10)
    frame = gpd.GeoDataFrame({"n": range(COUNT)}, geometry=points, crs=4326)
    return vectordata.write(frame, tmp_path_factory.mktemp("flat") / "layer.fgb")


@pytest.fixture(scope="module")
def url(source):
    with served(**{"layer.fgb": source.read_bytes()}) as objects:
        yield objects.url("layer.fgb")


def task(url, params):
    operation = get_operation("vector.convert")
    values = operation.params.model_validate(params).model_dump(mode="json")
    output = {"format": "GPKG", "creation": {}, "allow_lossy": True}
    chunking = Chunking(0, 0, 1000, 0, 0)
    known = identify_object(url, 4096)
    return ProbeTask(
        0, "a.gpkg", url, {}, "vector.convert", values, output, chunking, source_id=known
    )


def test_the_plan_is_that_of_the_file_but_for_the_access(source, url):
    asked = task(url, PARAMS)
    plan = get_operation("vector.convert").probe(asked, vectorjobs.stage)
    local = vectorjobs.probe("vector.convert", source, params=PARAMS, form="GPKG", features=1000)
    assert plan.grid == local.grid
    assert plan.warnings == local.warnings
    outside = set(plan.detail["outside"])
    assert 0 < len(outside) < len(plan.grid)
    differing = {"access": "index", "outside": plan.detail["outside"], "place": url}
    differing["layer_name"] = plan.detail["layer_name"]  # after the key of the item
    assert plan.detail == {**local.detail, **differing}
    assert plan.detail["layer"] == "layer"


def test_the_first_features_of_a_chain_are_those_of_the_file(source, url):
    """The first batch of OGR, whatever bounds there are."""
    local = vectorjobs.probe("vector.convert", source, params=PARAMS)
    plan = VectorPlan.from_json(local.detail)
    wanted = version_in(identify_object(url, 4096))
    theirs, _ = feature_reader.first_batch(str(source), plan, PARAMS)
    ours, is_all = feature_reader.first_batch(url, plan, PARAMS, wanted)
    assert not is_all
    assert ours.select(theirs.schema.names).equals(theirs)


def test_little_of_it_and_most_of_it(url):
    """By its index where it is the lesser part, also if nothing is there."""
    for bounds, by_index in (
        ((1, 1, 2, 2), True),
        ((50, 50, 51, 51), True),
        ((0, 0, 9, 9), False),
        (None, False),
    ):
        asked = task(url, {"bounds": bounds})
        assert bool(object_ranges.runs_in_bounds(asked)) == by_index
        assert (object_ranges.version_in_ranges(asked) is not None) == by_index
    outside = object_ranges.chunks_outside(task(url, {"bounds": (50, 50, 51, 51)}), COUNT, 700)
    assert len(outside) == -(-COUNT // 700)
