"""Whole items: every source format into every output format, whatever the chunks."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import warnings

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import shapely
import vectordata
import vectorjobs

from geobatch_tui.errors import (
    CrsError,
    GeobatchError,
    GeometryError,
    PreflightError,
    SchemaError,
    UnsupportedFormatError,
    VerifyError,
)
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.looking import InspectTask
from geobatch_tui.execution.protocol.messages import ChunkTask, FinaliseTask

SOURCES = sorted(vectordata.DRIVERS)
FORMATS = list(vectorjobs.SUFFIXES)
ACCESS = {"gpkg": "fid", "shp": "window", "parquet": "rows", "gdb": "window"}


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _expected(frame, crs):
    """Coordinates by PROJ alone, one feature after the other."""
    transformer = pyproj.Transformer.from_crs(frame.crs, crs, always_xy=True)
    return [
        shapely.transform(shape, transformer.transform, interleaved=False)
        for shape in frame.geometry
    ]


@pytest.fixture(autouse=True)
def _fixed_date(monkeypatch):
    """Workers have it in their environment."""
    monkeypatch.setenv("OGR_CURRENT_DATE", "1970-01-01T00:00:00.000Z")


@pytest.mark.parametrize("suffix", SOURCES)
def test_every_source_is_read_by_its_quickest_way(suffix, tmp_path):
    """Every feature and attribute of every source arrives, in order, read as its format allows."""
    frame = vectordata.layer(220)
    options = {"row_group_size": 40} if suffix == "parquet" else {}
    source = vectordata.write(frame, tmp_path / f"s.{suffix}", **options)
    if suffix == "fgb":
        frame = vectordata.read(source)
    done = vectorjobs.run(
        "vector.reproject", source, tmp_path / "out", params={"dst_crs": "EPSG:3035"}, features=50
    )
    assert done.plan.notes["access"] == ACCESS.get(suffix, "drain")
    assert len(done.chunks) > 4
    made = gpd.read_parquet(done.path)
    assert made.crs == pyproj.CRS(3035)
    assert made["name"].fillna("").tolist() == frame["name"].fillna("").tolist()
    assert made["whole"].tolist() == frame["whole"].tolist()
    np.testing.assert_allclose(made["real"], frame["real"], rtol=1e-12)
    expected = _expected(frame, 3035)
    # GeoJSON writes 7 digits, a hundredth of a metre; geodatabases 9.
    limit = {"geojson": 0.02, "geojsonl": 0.02, "gdb": 2e-4}.get(suffix, 1e-6)
    worst = max(
        shapely.hausdorff_distance(a, b) for a, b in zip(made.geometry, expected, strict=True)
    )
    assert worst < limit


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A hundred and twenty features in three formats."""
    folder, frame = tmp_path_factory.mktemp("sources"), vectordata.layer(120)
    return {
        suffix: vectordata.write(frame, folder / f"s.{suffix}")
        for suffix in ("gpkg", "fgb", "parquet")
    }


#: Chunks of any source are read before any output is written: each format is written from ids, and
#: from one of the two that have none.
WAYS = [
    *(("gpkg", form) for form in FORMATS),
    *(("fgb", form) for form in FORMATS[::2]),
    *(("parquet", form) for form in FORMATS[1::2]),
]


@pytest.mark.parametrize(("suffix", "form"), WAYS)
def test_bytes_do_not_depend_on_chunks_or_their_order(suffix, form, sources, tmp_path):
    """Any chunk size, in any order of chunks, gives the same file."""
    digests = set()
    for n, (features, order) in enumerate([(0, 1), (35, 1), (50, -1)]):
        done = vectorjobs.run(
            "vector.convert",
            sources[suffix],
            tmp_path / str(n),
            form=form,
            features=features,
            order=order,
        )
        digests.add(_digest(done.path))
    assert len(digests) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_outputs_hold_what_the_source_holds(form, tmp_path):
    """Attributes and geometries come back from every output format, with its fingerprint."""
    frame = vectordata.layer(300)
    frame.loc[7, "geometry"] = None
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form, features=90)
    made = vectordata.read(done.path)
    if form == "FlatGeobuf":
        made = made.sort_values("whole").reset_index(drop=True)
    assert made["whole"].tolist() == frame["whole"].tolist()
    assert made["name"].fillna("").tolist() == frame["name"].fillna("").tolist()
    there = frame.geometry.notna()
    assert (made.geometry.notna() == there).all()
    apart = shapely.hausdorff_distance(made.geometry[there].values, frame.geometry[there].values)
    assert apart.max() < (1e-7 if "JSON" in form else 1e-15)
    assert made.crs.equals(frame.crs)
    operation = get_operation("vector.convert")
    found = operation.inspect(InspectTask(0, "vector.convert", str(done.path)), vectorjobs.stage)
    assert found.digest == done.receipt.digest
    assert found.fingerprint == ("" if form == "GeoJSONSeq" else vectorjobs.FINGERPRINT)
    assert found.facts["features_out"] == done.receipt.facts["features_out"] == 300
    assert found.facts["bounds"] == pytest.approx(done.receipt.facts["bounds"], abs=1e-6)


@pytest.mark.parametrize(
    ("src", "code"),
    [(4326, 3857), (4326, 6933), (4326, 3035), (4326, 32633), (4326, 27700), (4267, 4326)],
)
@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed")
def test_coordinates_are_those_of_ogr2ogr(src, code, tmp_path):
    """Coordinates differ from ogr2ogr's by at most a thousandth of a millimetre."""
    frame = vectordata.layer(200).set_crs(src, allow_override=True)
    if src == 4267:
        frame.geometry = frame.geometry.translate(-110, -8)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    golden = tmp_path / "golden.gpkg"
    subprocess.run(
        ["ogr2ogr", "-f", "GPKG", "-t_srs", f"EPSG:{code}", str(golden), str(source)], check=True
    )
    done = vectorjobs.run(
        "vector.reproject", source, tmp_path / "out", params={"dst_crs": f"EPSG:{code}"}
    )
    ours, theirs = gpd.read_parquet(done.path), gpd.read_file(golden)
    a, b = (shapely.get_coordinates(frame.geometry.values) for frame in (ours, theirs))
    assert np.abs(a - b).max() < 1e-6


def test_geoparquet_says_what_it_holds(tmp_path):
    """Metadata of 1.1, boxes equal to the geometries', statistics, even row groups, zstd."""
    count = 45_000
    frame = gpd.GeoDataFrame(
        {"n": np.arange(count)},
        geometry=shapely.points(np.arange(count) / 1000.0, 1.0),
        crs=4326,
    )
    source = vectordata.write(frame, tmp_path / "s.fgb", SPATIAL_INDEX="NO")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=7000)
    with pq.ParquetFile(done.path) as file:
        meta = file.metadata
        geo = json.loads(meta.metadata[b"geo"])
        groups = [meta.row_group(n) for n in range(meta.num_row_groups)]
        table = file.read()
    column = geo["columns"]["geometry"]
    assert geo["version"] == "1.1.0"
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Point"]
    assert column["bbox"] == [0.0, 1.0, 44.999, 1.0]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 4326}
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    assert [group.num_rows for group in groups] == [20_000, 20_000, 5000]
    where = table.schema.names.index("bbox") + 0
    xmin = groups[1].column(where)
    assert xmin.path_in_schema == "bbox.xmin"
    assert (xmin.statistics.min, xmin.statistics.max) == (20.0, 39.999)
    assert xmin.compression == "ZSTD"
    box = table["bbox"].combine_chunks()
    assert box.field("ymax").to_numpy().tolist() == [1.0] * count


def test_features_without_a_place_are_set_aside_alone(tmp_path):
    """Untransformable and damaged features are quarantined with reasons; the others go on."""
    frame = vectordata.layer(200)
    frame.loc[3, "geometry"] = shapely.Polygon([(0, 0), (10, 0), (10, 91), (0, 0)])
    frame.loc[150, "geometry"] = shapely.Point(0, 95)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run(
        "vector.reproject", source, tmp_path / "out", params={"dst_crs": "EPSG:3857"}, features=60
    )
    assert [(letter.fid, letter.position) for letter in done.letters] == [(4, 3), (151, 150)]
    letter = done.letters[0]
    assert letter.error_class == "GeometryError"
    assert "no place" in letter.reason
    assert shapely.from_wkb(bytes.fromhex(letter.wkb)).equals(frame.geometry[3])
    facts = done.receipt.facts
    assert facts["features_in"] == 200
    assert facts["features_out"] == len(gpd.read_parquet(done.path)) == 198
    assert facts["features_quarantined"] == 2
    kept = gpd.read_file(facts["quarantine"])
    assert kept["geobatch_fid"].tolist() == [4, 151]
    assert kept["name"].tolist() == [frame["name"][3], frame["name"][150]]
    assert kept.geometry[0].equals(frame.geometry[3])
    assert kept.crs == frame.crs


def test_finite_nonsense_is_set_aside(tmp_path):
    """Outside the area of use, a coordinate that does not come back is wrong, though finite; one
    that does come back is published and counted."""
    shapes = [shapely.Point(8, 47), shapely.Point(-82.87678305, -2.30131624), shapely.Point(3, 45)]
    x, _ = pyproj.Transformer.from_crs(4326, 2056, always_xy=True).transform(*shapes[1].coords[0])
    assert np.isfinite(x)
    frame = gpd.GeoDataFrame({"n": [0, 1, 2]}, geometry=shapes, crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run(
        "vector.reproject", source, tmp_path / "out", params={"dst_crs": "EPSG:2056"}
    )
    assert gpd.read_parquet(done.path)["n"].tolist() == [0, 2]
    assert [letter.position for letter in done.letters] == [1]
    assert "does not come back" in done.letters[0].reason
    assert done.receipt.facts["outside_area"] == 1


def test_too_many_bad_features_hold_the_item(tmp_path):
    """max_bad_features is a number or a share; an item above it is not published."""
    frame = vectordata.layer(100)
    frame.loc[:4, "geometry"] = shapely.Point(0, 95)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    for limit, fine in (("5", True), ("5%", True), (4, False), ("4.9%", False)):
        params = {"dst_crs": "EPSG:3857", "max_bad_features": limit}
        out = tmp_path / f"out{limit}"
        if fine:
            vectorjobs.run("vector.reproject", source, out, params=params, features=30)
            continue
        with pytest.raises(GeometryError, match="5 of 100 features"):
            vectorjobs.run("vector.reproject", source, out, params=params, features=30)
        assert not list(out.glob("*.parquet"))


def test_an_item_of_only_bad_features_is_not_published(tmp_path):
    """Nothing published is not a success."""
    frame = gpd.GeoDataFrame({"n": [1]}, geometry=[shapely.Point(0, 95)], crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    with pytest.raises(GeometryError, match="none of 1"):
        vectorjobs.run(
            "vector.reproject", source, tmp_path / "out", params={"dst_crs": "EPSG:3857"}
        )


@pytest.mark.parametrize("suffix", ["gpkg", "shp", "fgb", "geojson", "parquet"])
def test_where_bounds_and_columns_choose(suffix, tmp_path):
    """Where is OGR's, bounds go by boxes, columns keep the order of the source."""
    frame = vectordata.layer(300)
    source = vectordata.write(frame, tmp_path / f"s.{suffix}")
    bounds = [8.0, 47.0, 12.0, 52.0]
    done = vectorjobs.run(
        "vector.convert",
        source,
        tmp_path / "out",
        params={"where": "real > 0", "bounds": bounds, "columns": ["whole", "name"]},
        features=40,
    )
    made = gpd.read_parquet(done.path).drop(columns="bbox", errors="ignore")
    chosen = frame[frame["real"] > 0]
    touching = chosen[chosen.intersects(shapely.box(*bounds))]
    assert sorted(made["whole"]) == sorted(touching["whole"])
    assert made.columns[:2].tolist() == ["name", "whole"]
    assert done.receipt.facts["features_in"] == len(chosen)
    assert done.receipt.facts["features_filtered"] == len(chosen) - len(touching)


@pytest.mark.parametrize("last", [300_000, 2**62, 2**63 - 1])
def test_sparse_ids_of_a_geopackage_are_split_evenly(tmp_path, last):
    """Ids with gaps give chunks of the size that was asked for, and every feature once."""
    import sqlite3

    source = vectordata.write(vectordata.layer(300), tmp_path / "s.gpkg")
    connection = sqlite3.connect(source)
    connection.enable_load_extension(False)
    for name in [
        r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'")
    ]:
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("UPDATE s SET fid = fid * 1000 WHERE fid > 100")
    connection.execute("DELETE FROM s WHERE fid BETWEEN 50 AND 60")
    connection.execute("UPDATE s SET fid = ? WHERE fid = 300000", (last,))
    connection.execute("UPDATE gpkg_ogr_contents SET feature_count = 289")
    connection.commit()
    connection.close()
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=50)
    assert [chunk.units for chunk in done.chunks] == [50] * 5 + [39]
    assert gpd.read_parquet(done.path)["whole"].is_unique


def test_deleted_records_of_a_shapefile_are_not_read_twice(tmp_path):
    """A Shapefile with deleted records is drained: windows of records would overlap."""
    source = vectordata.write(vectordata.layer(100), tmp_path / "s.shp")
    table = source.with_suffix(".dbf")
    data = bytearray(table.read_bytes())
    start, length = int.from_bytes(data[8:10], "little"), int.from_bytes(data[10:12], "little")
    for record in (5, 17, 60):
        data[start + record * length] = ord("*")
    table.write_bytes(data)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=20)
    made = gpd.read_parquet(done.path)
    assert done.plan.notes["access"] == "drain"
    assert len(made) == 97
    assert made["whole"].is_unique


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="ogrinfo is not installed")
@pytest.mark.parametrize("where", ["", "real > 0"])
def test_a_geodatabase_with_gaps_is_drained(where, tmp_path):
    """Where rows were deleted, or are chosen, numbers of records are no places to jump to."""
    frame = vectordata.layer(200)
    source = vectordata.write(frame, tmp_path / "s.gdb")
    gone = f"DELETE FROM s WHERE whole BETWEEN {2**40 + 40} AND {2**40 + 49}"  # noqa: S608
    command = ["ogrinfo", "-q", "-update", "-dialect", "SQLITE", "-sql", gone, str(source)]
    subprocess.run(command, check=True, capture_output=True)
    params = {"where": where}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params, features=30)
    assert done.plan.notes["access"] == "drain"
    left = frame.drop(range(40, 50))
    expected = left[left.real > 0] if where else left
    assert vectordata.read(done.path).whole.tolist() == expected.whole.tolist()


@pytest.mark.parametrize("suffix", ["geojson", "fgb"])
def test_a_source_without_random_access_is_opened_once_for_all_chunks(
    suffix, tmp_path, monkeypatch
):
    """However many chunks there are, a drained source is read once, and never skipped through."""
    source = vectordata.write(vectordata.layer(100), tmp_path / f"s.{suffix}")
    opened = []
    real = pyogrio.open_arrow

    def spy(path, **choice):
        if choice.get("columns") != [] and "skip_features" in choice:
            opened.append(choice["skip_features"])
        return real(path, **choice)

    monkeypatch.setattr(pyogrio, "open_arrow", spy)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=10)
    assert len(done.chunks) == 10
    assert opened == [0]


def test_parts_survive_the_worker_that_drained(tmp_path):
    """A part that is lost is drained again; one that is damaged is not believed."""
    source = vectordata.write(vectordata.layer(100), tmp_path / "s.geojson")
    operation = get_operation("vector.convert")
    plan = vectorjobs.probe("vector.convert", source, features=20)
    item = vectorjobs.context("vector.convert", source, tmp_path, plan, None, "GeoParquet")
    first = operation.run(ChunkTask(0, item, 0, 1, 1), vectorjobs.stage)
    part = tmp_path / ".geobatch" / "work" / "1" / "part-000000.arrow"
    part.unlink()
    again = operation.run(ChunkTask(0, item, 0, 1, 1), vectorjobs.stage)
    assert (first.segment.length, first.segment.crc32) == (
        again.segment.length,
        again.segment.crc32,
    )
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(VerifyError, match="reads back other bytes"):
        operation.run(ChunkTask(0, item, 0, 1, 1), vectorjobs.stage)
    operation.run(ChunkTask(0, item, 0, 2, 1), vectorjobs.stage)


@pytest.mark.parametrize("form", ["GeoParquet", "FlatGeobuf", "GPKG", "GeoJSONSeq"])
def test_a_damaged_spool_names_its_chunk(tmp_path, form):
    """The assembly refuses a damaged segment and says which chunk to compute again."""
    source = vectordata.write(vectordata.layer(100), tmp_path / "s.gpkg")
    operation = get_operation("vector.convert")
    plan = vectorjobs.probe("vector.convert", source, features=40, form=form)
    item = vectorjobs.context("vector.convert", source, tmp_path, plan, None, form)
    chunks = [operation.run(ChunkTask(n, item, n, 1, 1), vectorjobs.stage) for n in range(3)]
    where = chunks[1].segment
    spool = tmp_path / ".geobatch" / "work" / "1" / where.spool
    data = bytearray(spool.read_bytes())
    data[where.offset + 900] ^= 1
    spool.write_bytes(data)
    task = FinaliseTask(0, item, 1, tuple(chunk.segment for chunk in chunks))
    with pytest.raises(VerifyError) as caught:
        operation.finalise(task, vectorjobs.stage)
    assert caught.value.evidence == {"chunks": [1]}
    assert not list(tmp_path.glob(".*.part"))


def test_a_source_that_gives_fewer_features_than_counted_is_refused(tmp_path):
    """Counts must add up: a chunk that reads fewer features than planned fails."""
    import sqlite3

    source = vectordata.write(vectordata.layer(100), tmp_path / "s.gpkg")
    plan = vectorjobs.probe("vector.convert", source, features=40)
    connection = sqlite3.connect(source)
    for name in [
        r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'")
    ]:
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("DELETE FROM s WHERE fid = 50")
    connection.commit()
    connection.close()
    item = vectorjobs.context("vector.convert", source, tmp_path, plan, None, "GeoParquet")
    operation = get_operation("vector.convert")
    operation.run(ChunkTask(0, item, 0, 1, 1), vectorjobs.stage)
    with pytest.raises(GeobatchError, match="39 features, 40 were counted"):
        operation.run(ChunkTask(1, item, 1, 1, 1), vectorjobs.stage)


def test_mixed_polygons_become_multi_in_formats_of_one_type(tmp_path):
    """Polygons beside multipolygons are promoted in a GeoPackage and kept in GeoParquet."""
    one, two = shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 6)
    frame = gpd.GeoDataFrame(
        {"n": [0, 1]}, geometry=[one, shapely.MultiPolygon([one, two])], crs=4326
    )
    source = vectordata.write(
        frame, tmp_path / "s.gpkg", geometry_type="Unknown", promote_to_multi=False
    )
    made = vectorjobs.run("vector.convert", source, tmp_path / "a", form="GPKG")
    assert pyogrio.read_info(made.path)["geometry_type"] == "MultiPolygon"
    assert vectordata.read(made.path).geom_type.tolist() == ["MultiPolygon"] * 2
    kept = vectorjobs.run("vector.convert", source, tmp_path / "b")
    assert gpd.read_parquet(kept.path).geom_type.tolist() == ["Polygon", "MultiPolygon"]


def test_heights_stay(tmp_path):
    """Z goes through a transformation between horizontal CRSs unchanged."""
    frame = gpd.GeoDataFrame({"n": [0]}, geometry=[shapely.Point(10, 50, 123.25)], crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    for form in ("GeoParquet", "GPKG", "FlatGeobuf"):
        done = vectorjobs.run(
            "vector.reproject",
            source,
            tmp_path / form,
            params={"dst_crs": "EPSG:3035"},
            form=form,
        )
        assert vectordata.read(done.path).geometry[0].z == 123.25


def test_a_layer_must_be_named_where_there_are_several(tmp_path):
    """No layer is picked silently."""
    frame = vectordata.layer(10)
    source = vectordata.write(frame, tmp_path / "s.gpkg", layer="one")
    pyogrio.write_dataframe(frame.head(3), source, layer="two", append=True)
    with pytest.raises(SchemaError, match="2 layers: 'one', 'two'"):
        vectorjobs.probe("vector.convert", source)
    assert vectorjobs.probe("vector.convert", source, options={"layer": "two"}).grid.width == 3
    with pytest.raises(SchemaError, match="no layer 'three'"):
        vectorjobs.probe("vector.convert", source, options={"layer": "three"})


def test_what_cannot_work_is_refused_before_any_feature_is_read(tmp_path):
    """Missing CRS, unknown format, empty layer, unknown field, options and GeoJSON in metres."""
    bare = vectordata.layer(3).set_crs(None, allow_override=True)
    with pytest.warns(UserWarning, match="crs"):
        no_crs = vectordata.write(bare, tmp_path / "bare.fgb")
    with pytest.raises(CrsError, match="no CRS"):
        vectorjobs.probe("vector.reproject", no_crs, params={"dst_crs": "EPSG:3857"})
    assert (
        vectorjobs.probe(
            "vector.reproject",
            no_crs,
            params={"dst_crs": "EPSG:3857"},
            options={"src_crs": "EPSG:4326"},
        ).grid.width
        == 3
    )
    page = tmp_path / "page.geojson"
    page.write_text("<html>not here</html>")
    with pytest.raises(UnsupportedFormatError):
        vectorjobs.probe("vector.convert", page)
    source = vectordata.write(vectordata.layer(3), tmp_path / "s.gpkg")
    with pytest.raises(SchemaError, match="no field 'nothing'"):
        vectorjobs.probe("vector.convert", source, params={"columns": ["nothing"]})
    with pytest.raises(PreflightError, match="RFC 7946"):
        vectorjobs.probe(
            "vector.reproject", source, params={"dst_crs": "EPSG:3857"}, form="GeoJSON"
        )
    with pytest.raises(PreflightError, match="level"):
        vectorjobs.probe("vector.convert", source, creation={"level": 40})
    with pytest.raises(SchemaError, match="nofield"):
        vectorjobs.probe("vector.convert", source, params={"where": "nofield = 1"})


FORMS = ("GeoParquet", "FlatGeobuf", "GPKG", "GeoJSON", "GeoJSONSeq", "Shapefile")


SUFFIXES = ("fgb", "geojson", "shp", "parquet", "gdb")


@pytest.mark.parametrize(
    ("suffix", "form"),
    [*(("gpkg", form) for form in FORMS), *((suffix, "GPKG") for suffix in SUFFIXES)],
)
def test_a_source_without_features_gives_an_output_without_any(suffix, form, tmp_path):
    """With its fields; of a layer, its type."""
    frame = vectordata.layer(3).drop(columns="day").iloc[:0]
    options = {} if suffix in {"parquet", "geojson"} else {"geometry_type": "Polygon"}
    source = vectordata.write(frame, tmp_path / f"s.{suffix}", **options)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    facts = done.receipt.facts
    assert (facts["features_in"], facts["features_out"], facts["features_filtered"]) == (0, 0, 0)
    assert any(one.endswith("no features: the output will have none") for one in done.plan.warnings)
    if form == "GeoParquet":
        assert "whole" in pq.read_schema(done.path).names or suffix == "geojson"
        assert len(vectordata.read(done.path)) == 0
    elif form != "GeoJSONSeq":
        info = pyogrio.read_info(done.path)
        assert info["features"] in {0, -1}  # OGR's word for an empty FlatGeobuf
        if form in {"GPKG", "FlatGeobuf"} and options:
            kept = "MultiPolygon" if suffix == "gdb" else "Polygon"
            assert info["geometry_type"] == kept
            assert "whole" in info["fields"]


def test_a_source_without_features_has_a_place_in_a_run(tmp_path, here):
    """Nothing is dead."""
    for name, count in (("one", 0), ("two", 5)):
        frame = vectordata.layer(5).iloc[:count]
        vectordata.write(frame, tmp_path / f"{name}.gpkg", geometry_type="Polygon")
    job = tmp_path / "job.toml"
    job.write_text(
        f'[source]\ninputs = ["{tmp_path}/*.gpkg"]\n[op]\nname = "vector.convert"\n'
        f'[output]\ndir = "{tmp_path / "out"}"\nformat = "GPKG"\n[engine]\nmax_workers = 1\n'
    )
    counts = json.loads(here("run", job, "--json", check=0).stdout)["counts"]
    assert (counts["done"], counts["dead"]) == (2, 0)
    assert pyogrio.read_info(tmp_path / "out" / "one.gpkg")["features"] == 0
    assert pyogrio.read_info(tmp_path / "out" / "two.gpkg")["features"] == 5


@pytest.mark.parametrize("form", ["GPKG", "FlatGeobuf", "GeoJSON"])
def test_a_type_that_the_source_says_is_not_changed_without_need(form, tmp_path):
    """As ogr2ogr has it: a layer of multi polygons stays one, which its features are then; GeoJSON
    has no layers."""
    frame = vectordata.layer(5)
    source = tmp_path / "s.gpkg"
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        pyogrio.write_dataframe(frame, source, geometry_type="MultiPolygon", promote_to_multi=False)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    wanted = "Polygon" if form == "GeoJSON" else "MultiPolygon"
    assert pyogrio.read_info(done.path)["geometry_type"] == wanted
    assert set(pyogrio.read_dataframe(done.path).geom_type) == {wanted}
