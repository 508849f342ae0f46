"""What lies outside of bounds is not read, and nothing else comes out than if it were."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import vectordata
import vectorjobs

from geobatch_tui.execution.vector.formats import geoparquet
from geobatch_tui.execution.vector.formats.flatgeobuf import flatgeobuf, flatgeobuf_layout
from geobatch_tui.execution.vector.formats.geopackage import GeoPackage
from geobatch_tui.execution.vector.read import batch_reader

BOUNDS = (2.0, 0.0, 4.5, 1.0)


@pytest.fixture
def strip(tmp_path):
    """A thousand points from x = 0 to 10, a hundred in a row group; one has no geometry."""
    points = shapely.points(np.arange(1000) / 100.0, 0.5)
    frame = gpd.GeoDataFrame({"n": range(1000)}, geometry=points, crs=4326)
    frame.loc[950, "geometry"] = None
    path = tmp_path / "s.parquet"
    frame.to_parquet(path, row_group_size=100, write_covering_bbox=True)
    return path


def _read(monkeypatch):
    """Row groups that are read from now on."""
    read = []
    real = pq.ParquetFile.iter_batches

    def spy(self, size, groups, *more, **options):
        read.extend(groups)
        return real(self, size, groups, *more, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    return read


@pytest.mark.parametrize("op", ["vector.convert", "vector.clip"])
@pytest.mark.parametrize("features", [0, 100, 300])
def test_groups_outside_are_not_read(op, features, strip, tmp_path, monkeypatch):
    """Whatever the chunks; counts are those of a run that reads them."""
    params = {"bounds": BOUNDS}
    done = []
    for prune in (False, True):
        read = _read(monkeypatch)
        with monkeypatch.context() as patch:
            if not prune:
                patch.setattr(geoparquet, "outside", lambda *_: frozenset())
            out = tmp_path / str(prune)
            done.append(vectorjobs.run(op, strip, out, params=params, features=features))
        # The last has a feature without a box, which is to be looked at.
        assert sorted(read) == ([2, 3, 4, 9] if prune else list(range(10)))
        monkeypatch.undo()
    whole, pruned = done
    assert pruned.path.read_bytes() == whole.path.read_bytes()
    assert pruned.receipt.facts == whole.receipt.facts
    assert pruned.receipt.facts["features_filtered"] == 749
    assert vectordata.read(pruned.path).n.tolist() == list(range(200, 451))


@pytest.mark.parametrize("bounds", [(-1.0, 0.0, 0.1, 1.0), (0.7, 0.0, 9.0, 1.0)])
def test_boxes_of_short_floats_may_be_off(bounds, tmp_path):
    """Rounded to the nearest, as others write them, a box need not hold its feature."""
    points = shapely.points([0.1, 0.7], 0.5)
    frame = gpd.GeoDataFrame({"n": [0, 1]}, geometry=points, crs=4326)
    path = tmp_path / "s.parquet"
    frame.to_parquet(path, write_covering_bbox=True)
    table = pq.read_table(path)
    place = table.schema.get_field_index("bbox")
    short = pa.struct([(name, pa.float32()) for name in ("xmin", "ymin", "xmax", "ymax")])
    boxes = pa.array(table.column(place).to_pylist()).cast(short)
    rounded = table.set_column(place, "bbox", boxes)
    pq.write_table(rounded, path, row_group_size=1)
    done = vectorjobs.run("vector.convert", path, tmp_path / "out", params={"bounds": bounds})
    assert vectordata.read(done.path).n.tolist() == [0 if bounds[0] < 0 else 1]


def test_uneven_groups_are_passed_over_as_well(strip, tmp_path, monkeypatch):
    """A file that is drained."""
    table = pq.read_table(strip)
    with pq.ParquetWriter(tmp_path / "u.parquet", table.schema) as file:
        for start, count in ((0, 100), (100, 50), (150, 450), (600, 400)):
            file.write_table(table.slice(start, count))
    read = _read(monkeypatch)
    params = {"bounds": BOUNDS}
    done = vectorjobs.run("vector.convert", tmp_path / "u.parquet", tmp_path / "out", params=params)
    assert done.plan.notes["access"] == "drain"
    assert read == [2, 3]
    assert vectordata.read(done.path).n.tolist() == list(range(200, 451))


def test_without_boxes_all_is_read(strip, tmp_path):
    """No covering, no statistics, or no bounds: nothing is passed over."""
    bare = tmp_path / "bare.parquet"
    gpd.read_parquet(strip).to_parquet(bare, row_group_size=100)
    mute = tmp_path / "mute.parquet"
    pq.write_table(pq.read_table(strip), mute, row_group_size=100, write_statistics=False)
    for path, bounds in ((bare, BOUNDS), (mute, BOUNDS), (strip, None)):
        with pq.ParquetFile(path) as file:
            assert geoparquet.outside(file, "geometry", bounds) == frozenset()
    with pq.ParquetFile(strip) as file:
        assert len(geoparquet.outside(file, "geometry", (20, 0, 30, 1))) == 9


def _chunks_read(monkeypatch):
    """Conditions by which chunks are read from now on."""
    read = []
    real = batch_reader.open_stream

    def spy(*given, **how):
        read.append(how["where"])
        return real(*given, **how)

    monkeypatch.setattr(batch_reader, "open_stream", spy)
    return read


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The points of the strip, in a GeoPackage."""
    points = shapely.points(np.arange(1000) / 100.0, 0.5)
    frame = gpd.GeoDataFrame({"n": range(1000)}, geometry=points, crs=4326)
    frame.loc[950, "geometry"] = None
    return vectordata.write(frame, tmp_path_factory.mktemp("package") / "s.gpkg")


@pytest.mark.parametrize("op", ["vector.convert", "vector.clip"])
@pytest.mark.parametrize("form", ["GPKG", "GeoParquet"])
def test_chunks_of_a_geopackage_outside_are_not_read(op, form, package, tmp_path, monkeypatch):
    """By its own index; one with a geometry that is not in the index is looked at."""
    params = {"bounds": (3.0, 0.0, 4.5, 1.0)}
    made = []
    for prune in (False, True):
        with monkeypatch.context() as patch:
            read = _chunks_read(patch)
            if not prune:
                patch.setattr(GeoPackage, "chunks_outside", lambda *_: ())
            how = {"params": params, "features": 100, "form": form}
            made.append(vectorjobs.run(op, package, tmp_path / str(prune), **how))
        # Those whose last point lies on the side of the rectangle, and the one with none.
        assert len(read) == (3 if prune else 10)
    whole, pruned = made
    assert pruned.path.read_bytes() == whole.path.read_bytes()
    assert pruned.receipt.facts == whole.receipt.facts
    assert pruned.receipt.facts["features_out"] == 151


def test_a_geopackage_without_an_index_is_read_whole(tmp_path, monkeypatch):
    frame = vectordata.layer(300)
    path = vectordata.write(frame, tmp_path / "s.gpkg", SPATIAL_INDEX="NO")
    read = _chunks_read(monkeypatch)
    params = {"bounds": (5.0, 45.0, 5.1, 45.1)}
    vectorjobs.run("vector.convert", path, tmp_path / "out", params=params, features=100)
    assert len(read) == 3


@pytest.fixture(scope="module")
def points_by_index(tmp_path_factory):
    """A thousand points with an index, in its order."""
    points = shapely.points(np.random.default_rng(7).random((1000, 2)) * 10)
    names = [f"{n}" * (n % 5) for n in range(1000)]
    frame = gpd.GeoDataFrame({"n": range(1000), "name": names}, geometry=points, crs=4326)
    return vectordata.write(frame, tmp_path_factory.mktemp("flat") / "s.fgb")


#: What is asked of these points in the tests of their index.
ASKED = {"params": {"bounds": (0.0, 0.0, 3.0, 3.0)}, "features": 50}


@pytest.fixture(scope="module")
def inside(points_by_index, tmp_path_factory):
    """What is inside of the bounds, of the file that is not damaged."""
    return vectorjobs.run("vector.convert", points_by_index, tmp_path_factory.mktemp("in"), **ASKED)


@pytest.fixture
def flat(points_by_index, tmp_path):
    """A copy of them, which may be damaged."""
    return Path(shutil.copy(points_by_index, tmp_path))


def _spans(monkeypatch):
    """Where features begin that are read from now on by themselves."""
    spans = []
    real = flatgeobuf.features_between

    def spy(item, plan, data, first, starts, read, **how):
        spans.append((first, len(starts) - 1))
        return real(item, plan, data, first, starts, read, **how)

    monkeypatch.setattr(flatgeobuf, "features_between", spy)
    return spans


@pytest.mark.parametrize(
    ("op", "form", "features"),
    [
        ("vector.convert", "FlatGeobuf", 50),
        ("vector.convert", "GeoParquet", 64),
        ("vector.clip", "FlatGeobuf", 64),
        ("vector.clip", "GeoParquet", 50),
    ],
)
def test_chunks_of_a_flatgeobuf_outside_are_not_read(
    op, form, features, flat, tmp_path, monkeypatch
):
    """By its own index."""
    spans = _spans(monkeypatch)
    how = {"params": {"bounds": (0.0, 0.0, 3.0, 3.0)}, "features": features, "form": form}
    pruned = vectorjobs.run(op, flat, tmp_path / "pruned", **how)
    assert 0 < sum(count for _, count in spans) <= 250
    with monkeypatch.context() as patch:
        patch.setattr(flatgeobuf_layout, "leaves", lambda *_: None)
        whole = vectorjobs.run(op, flat, tmp_path / "whole", **how)
    assert pruned.path.read_bytes() == whole.path.read_bytes()
    assert pruned.receipt.facts == whole.receipt.facts
    assert pruned.receipt.facts["features_out"] > 50


def test_what_cannot_be_read_is_set_aside_where_others_are_not_read(flat, tmp_path, monkeypatch):
    """As where all is read; also behind others that are copied with it, and alone."""
    frame = vectordata.read(flat)
    inside = np.flatnonzero((shapely.get_coordinates(frame.geometry) <= 3).all(axis=1))
    data = bytearray(flat.read_bytes())
    chosen = [int(n) for n in inside[[0, 7, 8, -1]]]
    starts = flatgeobuf_layout.leaves(data, 1000).starts(0, 1000)
    for number in chosen:
        # Where the table of a feature begins, as it says.
        data[starts[number] + 4 : starts[number] + 8] = b"\xff\xff\xff\x7f"
    flat.write_bytes(data)
    how = {"params": {"bounds": (0.0, 0.0, 3.0, 3.0)}, "features": 50}
    spans = _spans(monkeypatch)
    for size in (1 << 20, 2000, 1):
        monkeypatch.setattr(flatgeobuf, "MOST_BYTES", size)
        pruned = vectorjobs.run("vector.convert", flat, tmp_path / str(size), **how)
        assert [letter.fid for letter in pruned.letters] == chosen
        assert spans
    with monkeypatch.context() as patch:
        patch.setattr(flatgeobuf_layout, "leaves", lambda *_: None)
        whole = vectorjobs.run("vector.convert", flat, tmp_path / "whole", **how)
    assert pruned.path.read_bytes() == whole.path.read_bytes()
    assert pruned.letters == whole.letters


def _leaf(data, number):
    """Where a leaf lies in the bytes of a file of a thousand features."""
    head = 12 + int.from_bytes(data[8:12], "little")
    return head + flatgeobuf_layout.index_size(1000, 16) - 40 * (1000 - number)


@pytest.mark.parametrize("number", [0, 1, 760, 999])
@pytest.mark.parametrize("by", [-1, 1, 8, 2**63])
def test_an_index_that_names_other_features_is_not_followed(number, by, flat, inside, tmp_path):
    """All is read then, as OGR does; it does not look at the leaves."""
    data = bytearray(flat.read_bytes())
    at = _leaf(data, number) + 32
    moved = (int.from_bytes(data[at : at + 8], "little") + by) % 2**64
    data[at : at + 8] = moved.to_bytes(8, "little")
    flat.write_bytes(data)
    done = vectorjobs.run("vector.convert", flat, tmp_path / "out", **ASKED)
    assert done.path.read_bytes() == inside.path.read_bytes()
    assert done.receipt.facts == inside.receipt.facts


def test_a_box_that_is_none_is_looked_at(flat):
    """Neither is one of numbers that are none, nor one whose sides are turned."""
    data = bytearray(flat.read_bytes())
    bounds = (20.0, 20.0, 30.0, 30.0)
    outside = [(n, n + 200, True) for n in range(0, 1000, 200)]
    assert flatgeobuf_layout.leaves(data, 1000).runs(200, bounds) == outside
    for box in ([np.nan] * 4, [np.inf, np.inf, -np.inf, -np.inf]):
        at = _leaf(data, 700)
        data[at : at + 32] = np.array(box).tobytes()
        runs = flatgeobuf_layout.leaves(data, 1000).runs(200, bounds)
        assert runs == [*outside[:3], (600, 800, False), outside[4]]


def test_without_an_index_or_for_most_of_it_all_of_a_flatgeobuf_is_read(flat, tmp_path):
    data = flat.read_bytes()
    assert flatgeobuf_layout.leaves(data, 1000).runs(100, (0.0, 0.0, 9.0, 9.0)) == []
    for cut in (len(data) - 1, _leaf(data, 999)):
        assert flatgeobuf_layout.leaves(data[:cut], 1000) is None
    assert flatgeobuf_layout.leaves(data, 999) is None
    bare = vectordata.write(vectordata.layer(300), tmp_path / "b.fgb", SPATIAL_INDEX="NO")
    assert flatgeobuf_layout.leaves(bare.read_bytes(), 300) is None
