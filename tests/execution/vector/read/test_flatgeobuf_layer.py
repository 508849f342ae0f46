"""Plans and chunks of a FlatGeobuf in a store are those of the file."""

from __future__ import annotations

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import shapely
import vectordata
import vectorjobs
from object_server import served

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import Chunking, ProbeTask, ResultTask
from geobatch_tui.execution.sources.object_sources import identify_object, version_in
from geobatch_tui.execution.vector import step_features
from geobatch_tui.execution.vector.formats.flatgeobuf import flatgeobuf_layout
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


def test_a_chunk_is_shown_as_that_of_the_file(source, url, tmp_path):
    """Without a copy; also one of which nothing touches bounds."""
    asked, form = task(url, PARAMS), "GPKG"
    plan = get_operation("vector.convert").probe(asked, vectorjobs.stage)
    local = vectorjobs.probe("vector.convert", source, params=PARAMS, form=form, features=1000)
    theirs = vectorjobs.context("vector.convert", source, tmp_path, local, PARAMS, form)
    ours = replace(theirs, source=url, source_id=asked.source_id, plan=plan)
    touched = sorted(set(range(len(plan.grid))) - set(plan.detail["outside"]))
    made = []
    for index in (touched[0], plan.detail["outside"][0]):
        shown = [ResultTask(0, item, index, 0, (9, 9)) for item in (ours, theirs)]
        assert object_ranges.version_in_ranges(shown[0]) is not None
        one, other = (step_features.step_features(each, vectorjobs.stage) for each in shown)
        # The picture has those that are read.
        assert replace(one, picture=None) == replace(other, picture=None)
        made.append(one.made)
    assert made[0] > 0
    assert made[1] == 0


@pytest.mark.parametrize(
    ("params", "by_index"),
    [
        (PARAMS, True),
        ({"bounds": (50, 50, 51, 51)}, True),
        ({"bounds": (0, 0, 9, 9)}, False),
        ({"columns": ["n"]}, False),
        (PARAMS | {"where": "n > 5"}, False),
    ],
)
def test_the_lesser_part_is_read_by_the_index(url, params, by_index):
    """Also if nothing is there; with a condition that OGR evaluates it is not."""
    asked = task(url, params)
    assert bool(object_ranges.runs_in_bounds(asked)) == by_index
    assert (object_ranges.version_in_ranges(asked) is not None) == by_index


def test_all_chunks_are_outside_where_nothing_is(url):
    outside = object_ranges.chunks_outside(task(url, {"bounds": (50, 50, 51, 51)}), COUNT, 700)
    assert outside == tuple(range(-(-COUNT // 700)))


@pytest.fixture(scope="module")
def moments(source, tmp_path_factory):
    """The features with moments: with an index, without one, and a few of them; the bytes."""
    frame, folder = gpd.read_file(source), tmp_path_factory.mktemp("moments")
    frame["at"] = np.datetime64("2026-05-01T10:00:00", "ms")
    chosen = {"YES": frame, "NO": frame, "small": frame.head(500)}
    return {
        name: vectordata.write(
            some, folder / f"{name}.fgb", SPATIAL_INDEX="NO" if name == "NO" else "YES"
        ).read_bytes()
        for name, some in chosen.items()
    }


@pytest.mark.parametrize("why", ["moments", "no index", "damaged", "another format", "small"])
def test_one_whose_index_does_not_help_comes_in_a_copy(why, moments):
    """With moments, the plan looks at all of them; it does not if they are left out."""
    data = moments[{"no index": "NO", "small": "small"}.get(why, "YES")]
    root = flatgeobuf_layout.header_size(data)
    if why == "damaged":
        data = data[: root + 32] + b"\7" + data[root + 33 :]
    elif why == "another format":
        data = b"PAR1" + data
    with served(**{"layer.fgb": data}) as server:
        place = server.url("layer.fgb")
        without = object_ranges.version_in_ranges(task(place, PARAMS | {"columns": ["n"]}))
        assert object_ranges.version_in_ranges(task(place, PARAMS)) is None
    assert (without is not None) == (why == "moments")


def test_a_damaged_header_is_refused_before_the_object_is_copied(source):
    """OGR would say that there is no layer."""
    data = bytearray(source.read_bytes())
    data[8:12] = b"\xff" * 4
    with served(**{"layer.fgb": bytes(data)}) as server:
        place = server.url("layer.fgb")
        with pytest.raises(CorruptSourceError, match=f"{place}: its header would take"):
            object_ranges.version_in_ranges(task(place, PARAMS))
