"""Repairing and clipping: only what must be touched is, and what ends a worker is left out."""

from __future__ import annotations

import dataclasses
import errno
import gc
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import shapely
import vectordata
import vectorjobs

from geobatch_tui.errors import DiskFullError, GeometryError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import ChunkTask
from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.batch.feature_batch import Batch
from geobatch_tui.execution.vector.geometry import geos
from geobatch_tui.execution.vector.geometry.geos import parts
from geobatch_tui.execution.vector.geometry.trail import Trail

BOWTIE = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1), (0, 0)])
SPIKE = shapely.Polygon([(0, 0), (5, 0), (5, 5), (5, 9), (5, 5), (0, 5), (0, 0)])
FLAT = shapely.Polygon([(0, 0), (1, 1), (2, 2), (0, 0)])


def test_only_invalid_geometries_are_touched(tmp_path):
    """Valid ones keep their bytes; repaired ones are valid polygons; a collapsed one is set aside."""
    valid = shapely.box(3, 3, 4, 4)
    frame = gpd.GeoDataFrame({"n": [0, 1, 2, 3]}, geometry=[BOWTIE, valid, SPIKE, FLAT], crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.make-valid", source, tmp_path / "out")
    made = gpd.read_parquet(done.path)
    assert made["n"].tolist() == [0, 1, 2]
    assert made.geometry.is_valid.all()
    assert set(made.geom_type) <= {"Polygon", "MultiPolygon"}
    assert shapely.to_wkb(made.geometry[1]) == shapely.to_wkb(valid)
    assert made.geometry[0].area == pytest.approx(0.5)
    assert done.receipt.facts["repaired"] == 2
    assert done.receipt.facts["lesser_parts_left_out"] == 1, "the spike, by linework"
    assert [(letter.fid, letter.error_class) for letter in done.letters] == [(4, "GeometryError")]
    assert "once repaired" in done.letters[0].reason


def test_what_collapses_is_kept_if_asked_for(tmp_path):
    """Case 43: as the line or point that is left of it, checked as the others; what has an area keeps
    that alone."""
    dot = shapely.Polygon([(7, 7), (7, 7), (7, 7), (7, 7)])
    frame = gpd.GeoDataFrame({"n": range(4)}, geometry=[BOWTIE, SPIKE, FLAT, dot], crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    for method in ("linework", "structure"):
        params = {"method": method, "keep_collapsed": True}
        done = vectorjobs.run("vector.make-valid", source, tmp_path / method, params=params)
        made = gpd.read_parquet(done.path)
        assert not done.letters
        assert made.geometry.is_valid.all()
        kinds = made.geom_type.str.replace("Multi", "").tolist()
        assert kinds == ["Polygon", "Polygon", "LineString", "Point"]
        assert made.geometry[2].bounds == (0, 0, 2, 2)


def test_methods_differ_where_geos_says_so(tmp_path):
    """The method reaches GEOS: overlapping shells are joined by one, and cut by the other."""
    shape = shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3)])
    frame = gpd.GeoDataFrame({"n": [0]}, geometry=[shape], crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    areas = []
    for method in ("linework", "structure"):
        out = tmp_path / method
        done = vectorjobs.run("vector.make-valid", source, out, params={"method": method})
        areas.append(gpd.read_parquet(done.path).geometry[0].area)
    expected = [
        shapely.make_valid(shape, method=method).area for method in ("linework", "structure")
    ]
    assert areas == pytest.approx(expected)
    assert areas[0] != pytest.approx(areas[1])


@pytest.mark.parametrize("features", [0, 60])
def test_clipping_cuts_at_the_rectangle(features, tmp_path):
    """Inside stays as it is, outside is left out, across is cut, and counts add up."""
    frame = vectordata.layer(300)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    bounds = (8.0, 47.0, 12.0, 52.0)
    done = vectorjobs.run(
        "vector.clip", source, tmp_path / "out", params={"bounds": bounds}, features=features
    )
    made = gpd.read_parquet(done.path)
    box = shapely.box(*bounds)
    expected = frame[frame.intersects(box)]
    expected = expected.set_geometry(expected.intersection(box))
    expected = expected[shapely.area(expected.geometry.values) > 0]
    assert made["whole"].tolist() == expected["whole"].tolist()
    areas = [shapely.area(frame.geometry.values) for frame in (made, expected)]
    np.testing.assert_allclose(*areas, rtol=1e-12)
    inside = frame.within(box)
    whole = dict(zip(frame["whole"][inside], frame.geometry[inside], strict=True))
    for number, shape in zip(made["whole"], made.geometry, strict=True):
        if number in whole:
            assert shapely.to_wkb(shape) == shapely.to_wkb(whole[number])
    facts = done.receipt.facts
    assert facts["features_in"] == facts["features_out"] + facts["features_filtered"] == 300


def test_a_polygon_that_geos_cannot_cut_is_set_aside(tmp_path):
    """A GEOS error costs the feature, not the chunk."""
    frame = gpd.GeoDataFrame(
        {"n": [0, 1]},
        geometry=[shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)]), shapely.box(0, 0, 9, 9)],
        crs=4326,
    )
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run(
        "vector.clip", source, tmp_path / "out", params={"bounds": (0.5, 0.5, 1.7, 1.7)}
    )
    made = gpd.read_parquet(done.path)
    assert 1 in made["n"].tolist()
    assert done.receipt.facts["features_in"] == len(made) + len(done.letters)


def test_filter_needs_a_condition():
    """A filter without a condition is a mistake; so is a clip without a place."""
    for name in ("vector.filter", "vector.clip"):
        with pytest.raises(ValueError, match="needs"):
            get_operation(name).params.model_validate({})


def test_parts_keep_their_dimension():
    """Of a collection, only what has the dimension asked for is kept, as one geometry."""
    shape = shapely.from_wkt(
        "GEOMETRYCOLLECTION (POINT (0 0), LINESTRING (0 0, 1 1),"
        " MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5))))"
    )
    assert parts(shape, 2).geom_type == "MultiPolygon"
    assert parts(shape, 1).wkt == "LINESTRING (0 0, 1 1)"
    assert parts(shapely.Point(0, 0), 2) is None
    assert parts(shape, -1) is shape


def _task(tmp_path, crashes):
    source = tmp_path / "s.gpkg"
    if not source.exists():
        vectordata.write(vectordata.layer(20), source)
    plan = vectorjobs.probe("vector.make-valid", source)
    item = vectorjobs.context("vector.make-valid", source, tmp_path, plan, None, "GeoParquet")
    return ChunkTask(0, item, 0, 1, 1, crashes=crashes)


_DYING = []


def _die(trail, row):
    """Leave the page as a killed worker does."""
    place = trail.at(row)
    place.__enter__()
    _DYING.append(place)  # collected, it would clear the page


def test_a_crash_condemns_the_feature_that_was_worked_on(tmp_path):
    """What the last try died of is left out by the next; those before stay left out."""
    trail = Trail(_task(tmp_path, 0))
    trail.begin(100)
    _die(trail, 7)
    trail = Trail(_task(tmp_path, 1))
    assert trail.condemned == {107}
    trail.begin(100)
    assert trail.is_condemned(7)
    assert not trail.is_condemned(8)
    _die(trail, 9)
    assert Trail(_task(tmp_path, 2)).condemned == {107, 109}


def _clock(monkeypatch, *times):
    """Make ``time.monotonic`` of the trail give these, the last one for ever."""
    left = list(times)
    monkeypatch.setattr(
        "geobatch_tui.execution.vector.geometry.trail.time.monotonic",
        lambda: left.pop(0) if len(left) > 1 else left[0],
    )


def test_a_feature_that_had_little_of_a_long_try_is_tried_again(tmp_path, monkeypatch):
    """A timeout condemns the feature that took the time, not the one that it happened to meet;
    the second time in a row it is condemned whatever the clock says."""
    for died, (share, expected) in enumerate([(0.5, set()), (0.5, {7}), (0.95, {7, 8})]):
        with monkeypatch.context() as patch:
            _clock(patch, 100.0, 120.0 - 20.0 * share, 120.0)
            trail = Trail(_task(tmp_path, died))
            _die(trail, 8 if died == 2 else 7)
            with patch.context() as never:
                never.setattr(trail._ended, "wait", lambda _, turns=[False, True]: turns.pop(0))
                trail._beat()
        assert Trail(_task(tmp_path, died + 1)).condemned == expected
        # What was read is written again by the next try: it must not judge twice.
        assert Trail(_task(tmp_path, died + 1)).condemned == expected


def test_all_that_a_feature_took_in_a_try_is_its_time(tmp_path, monkeypatch):
    """Also what it took at an earlier step: tested for 8 s and repaired for 11 s of 20, it is the one."""
    with monkeypatch.context() as patch:
        _clock(patch, 100.0, 100.5, 108.5, 108.5, 108.6, 109.0, 120.0)
        trail = Trail(_task(tmp_path, 0))
        with trail.at(7):
            pass
        with trail.at(3):
            pass
        _die(trail, 7)
        with patch.context() as never:
            never.setattr(trail._ended, "wait", lambda _, turns=[False, True]: turns.pop(0))
            trail._beat()
    assert Trail(_task(tmp_path, 1)).condemned == {7}


def test_large_geometries_are_tested_under_their_names(tmp_path, monkeypatch):
    """The others all at once, in the same order."""
    monkeypatch.setattr(geos, "LARGE", 5)
    frame = gpd.GeoDataFrame(
        geometry=[BOWTIE, shapely.Point(0, 0).buffer(1), shapely.box(0, 0, 1, 1), SPIKE], crs=4326
    )
    vectordata.write(frame, tmp_path / "s.gpkg")
    shapes = wkb_coordinates.coordinates(pa.array(frame.geometry.to_wkb(), pa.binary()))
    batch = Batch(shapes, {}, np.zeros(4, np.bool_))
    seen = []
    with Trail(_task(tmp_path, 0)) as trail:
        place = trail.at
        monkeypatch.setattr(trail, "at", lambda row: (seen.append(row), place(row))[1])
        answers = geos.tested(batch, np.array([0, 1, 3]), geos.valid, trail)
    assert answers.tolist() == [False, True, False]
    assert seen == [1, 3]


def test_slow_results_are_kept_for_the_next_try(tmp_path, monkeypatch):
    """A feature that took long is not worked on again; one that did not is not written down."""
    with Trail(_task(tmp_path, 0)) as trail:
        trail.begin(100)
        with monkeypatch.context() as patch:
            _clock(patch, 0.0, 1.0)
            with trail.at(3) as given:
                given.append(b"made")
            _clock(patch, 0.0, 0.001)
            with trail.at(4) as given:
                given.append(b"quick")
    (path,) = (tmp_path / ".geobatch" / "work" / "1").glob("*.made")
    path.write_bytes(path.read_bytes() + b"torn off")
    with Trail(_task(tmp_path, 1)) as trail:
        trail.begin(100)
        assert (trail.made(3), trail.made(4)) == (b"made", None)
    assert not path.read_bytes().endswith(b"torn off")


def test_a_kill_from_outside_condemns_nothing(tmp_path):
    """Where the engine's count of crashes did not rise, the feature is innocent."""
    _die(Trail(_task(tmp_path, 0)), 7)
    assert Trail(_task(tmp_path, 0)).condemned == frozenset()


def test_a_chunk_with_a_new_chance_tries_all_its_features(tmp_path):
    """Where the engine's count of crashes was reset, nothing stays condemned."""
    _die(Trail(_task(tmp_path, 0)), 7)
    assert Trail(_task(tmp_path, 1)).condemned == {7}
    assert Trail(_task(tmp_path, 0)).condemned == frozenset()


def test_a_feature_that_raised_is_not_taken_for_a_death(tmp_path):
    """An exception clears the trail."""
    trail = Trail(_task(tmp_path, 0))
    with pytest.raises(KeyError), trail.at(3):
        raise KeyError
    assert Trail(_task(tmp_path, 1)).condemned == frozenset()


def test_a_chunk_that_dies_at_no_feature_is_given_up(tmp_path):
    """Twice dead without a name: trying on cannot help."""
    Trail(_task(tmp_path, 0))
    Trail(_task(tmp_path, 1))
    with pytest.raises(GeometryError, match="no feature that could be named"):
        Trail(_task(tmp_path, 2))


def test_a_condemned_feature_is_set_aside_untried(tmp_path):
    """The chunk is published without it, and its letter says why."""
    frame = gpd.GeoDataFrame({"n": [0, 1]}, geometry=[BOWTIE, SPIKE], crs=4326)
    vectordata.write(frame, tmp_path / "s.gpkg")
    _die(Trail(_task(tmp_path, 0)), 1)
    task = dataclasses.replace(_task(tmp_path, 1), whole=True)
    receipt = get_operation("vector.make-valid").run(task, vectorjobs.stage)
    (letter,) = receipt.letters
    assert (letter.position, letter.error_class) == (1, "PoisonError")
    assert "chunk_timeout" in letter.reason
    assert receipt.item.facts["features_out"] == 1


def test_a_trail_needs_room_on_the_disk(tmp_path, monkeypatch):
    """Else the first write to its page would end the worker, and the chunk be blamed for it."""

    def full(fd, start, size):
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFullError):
        Trail(_task(tmp_path, 0))


def test_a_chunk_that_is_given_up_leaves_no_file_open(tmp_path):
    """The worker that hears of it goes on."""
    for crashes in (0, 1):
        with Trail(_task(tmp_path, crashes)):
            pass
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(GeometryError):
            Trail(_task(tmp_path, 2))
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("vector.make-valid", {}),
        ("vector.filter", {"mask": "m.gpkg"}),
        ("vector.clip", {"like": "m.gpkg"}),
        ("vector.clip", {"bounds": [0, 0, 0.5, 2]}),
    ],
)
def test_what_geos_cannot_read_costs_itself_alone(op, params, tmp_path):
    """A ring that is not closed, here."""
    corners = [(0, 0), (1, 0), (1, 1)]
    rings = [vectordata.ring(*corners, end) for end in ((0, 0), (0, 1), (0, 0))]
    source = vectordata.raw(tmp_path / "s.parquet", rings)
    vectordata.write(
        gpd.GeoDataFrame({"n": [0]}, geometry=[shapely.box(0, 0, 2, 2)], crs=4326),
        tmp_path / "m.gpkg",
    )
    given = {
        name: str(tmp_path / value) if isinstance(value, str) else value
        for name, value in params.items()
    }
    done = vectorjobs.run(op, source, tmp_path / "out", params=given)
    (letter,) = done.letters
    assert (letter.position, letter.error_class) == (1, "GeometryError")
    assert "closed linestring" in letter.reason
    assert vectordata.read(done.path).n.tolist() == [0, 2]
