"""Odd sources that GIS people meet, and what becomes of each."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs

from geobatch_tui.errors import CrsError, GeobatchError, SchemaError, TransientError
from geobatch_tui.execution.vector.plan import FID, WKB, VectorPlan
from geobatch_tui.execution.vector.read import batch_reader, chunk_reader


def shapefile(tmp_path, frame=None, **options):
    """A Shapefile of boxes with a name."""
    if frame is None:
        frame = vectordata.layer(60)[["name", "geometry"]]
    (tmp_path / "in").mkdir()
    return vectordata.write(frame, tmp_path / "in" / "s.shp", **options)


def test_a_shapefile_without_its_index(tmp_path):
    """Case 39: refused, by name of what is missing; not read as something else."""
    source = shapefile(tmp_path)
    source.with_suffix(".shx").unlink()
    with pytest.raises(GeobatchError, match=r"shx|SHX"):
        vectorjobs.run("vector.convert", source, tmp_path / "out")


def test_a_shapefile_without_its_table(tmp_path):
    """Case 41: OGR reads it without attributes, and says nothing; the plan does."""
    source = shapefile(tmp_path)
    assert not [one for one in vectorjobs.probe("vector.convert", source).warnings if "dbf" in one]
    source.with_suffix(".dbf").unlink()
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert "there is no .dbf file: features have no attributes" in done.plan.warnings
    assert len(vectordata.read(done.path)) == 60


def test_a_shapefile_without_a_crs(tmp_path):
    """Case 40: refused where a CRS is needed; one can be assigned."""
    source = shapefile(tmp_path)
    source.with_suffix(".prj").unlink()
    params = {"dst_crs": "EPSG:3857"}
    with pytest.raises(CrsError, match="no CRS"):
        vectorjobs.probe("vector.reproject", source, params=params)
    plan = vectorjobs.probe(
        "vector.reproject", source, params=params, options={"src_crs": "EPSG:4326"}
    )
    assert plan.grid.width == 60


def test_text_in_another_encoding(tmp_path):
    """Case 41: the encoding that is given counts, not that of the file."""
    frame = vectordata.layer(5)[["name", "geometry"]].assign(name="Köln")
    source = shapefile(tmp_path, frame, encoding="cp1252")
    source.with_suffix(".cpg").unlink(missing_ok=True)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params={"encoding": "cp1252"})
    assert set(vectordata.read(done.path).name) == {"Köln"}
    assert not [line for line in done.plan.warnings if "encoding" in line]


@pytest.mark.parametrize("form", ["GeoParquet", "GPKG", "Shapefile"])
def test_text_that_is_not_what_it_is_said_to_be(form, tmp_path):
    """Case 41: bytes that are no UTF-8 are not handed on: the feature is set aside."""
    frame = vectordata.layer(5)[["name", "geometry"]].assign(name=["a", "Köln", "b", "c", None])
    source = shapefile(tmp_path, frame, encoding="cp1252")
    source.with_suffix(".cpg").write_text("UTF-8")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    assert [letter.position for letter in done.letters] == [1]
    assert "op.encoding" in done.letters[0].reason
    assert len(vectordata.read(done.path)) == 4
    kept = gpd.read_file(done.receipt.facts["quarantine"])
    assert kept.name[0] == r"K\xf6ln"


@pytest.mark.parametrize("form", ["GeoParquet", "FlatGeobuf", "GPKG", "GeoJSON"])
@pytest.mark.parametrize("value", ['{"a": "K\xf6ln"}', '["a", "K\xf6ln"]'])
def test_text_in_lists_and_objects_that_is_not_utf8(value, form, tmp_path):
    """Case 41: nor are such bytes within a value, which would be no text in any output."""
    source = tmp_path / "s.geojsonl"
    line = '{"type": "Feature", "properties": {"n": %s}, "geometry": null}\n'
    lines = [line % one for one in (value, value.replace("\xf6", "oe"), "null")]
    source.write_bytes("".join(lines).encode("latin-1"))
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    assert [letter.position for letter in done.letters] == [0]
    assert "not in UTF-8; recode the file" in done.letters[0].reason
    assert len(vectordata.read(done.path)) == 2
    (kept,) = gpd.read_file(done.receipt.facts["quarantine"]).n
    assert r"K\xf6ln" in kept


def test_an_encoding_is_for_shapefiles(tmp_path):
    """Case 41: other formats are read as UTF-8; that is said, not passed over."""
    source = tmp_path / "s.csv"
    source.write_text('WKT,name\n"POINT (1 2)",a\n')
    given = {"params": {"encoding": "cp1252"}, "options": {"src_crs": "EPSG:4326"}}
    with pytest.raises(SchemaError, match="for Shapefiles"):
        vectorjobs.probe("vector.convert", source, **given)


@pytest.mark.parametrize("form", ["GeoParquet", "FlatGeobuf", "GPKG", "GeoJSON", "GeoJSONSeq"])
def test_null_and_empty_geometries(form, tmp_path):
    """Case 44: kept by every format, as null or empty, with their attributes."""
    frame = vectordata.layer(40)
    frame.loc[[3, 9], "geometry"] = [None, shapely.Polygon()]
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form, features=15)
    made = vectordata.read(done.path).set_index("whole").geometry
    bare = [shape is None or shape.is_empty for shape in made.loc[frame.whole]]
    assert np.flatnonzero(bare).tolist() == [3, 9]
    assert len(made) == 40


def test_a_flatgeobuf_with_a_null_geometry(tmp_path):
    """Case 44, as a source: the features behind it have their own geometries, not those of others;
    as a mask, too."""
    frame = vectordata.layer(300)
    frame.loc[[7, 250], "geometry"] = None
    source = vectordata.write(frame, tmp_path / "s.fgb", SPATIAL_INDEX="NO")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    made = vectordata.read(done.path).geometry
    assert [*made.to_wkb()] == [*frame.geometry.to_wkb()]
    params = {"mask": str(source)}
    done = vectorjobs.run("vector.filter", source, tmp_path / "near", params=params)
    assert done.receipt.facts["features_out"] == 298


def _points(tmp_path, *values):
    """A GeoParquet file of raw WKB, with ``n`` from 0."""
    column = {"encoding": "WKB", "geometry_types": []}
    geo = {"version": "1.1.0", "primary_column": "g", "columns": {"g": column}}
    table = pa.table({"n": range(len(values)), "g": pa.array(values, pa.binary())})
    path = tmp_path / "s.parquet"
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


@pytest.mark.parametrize("params", [{}, {"bounds": [0, 0, 9, 9]}])
def test_geometries_that_are_none(params, tmp_path):
    """Case 46: a geometry that is cut off, has too short a ring, NaN or infinity is set aside with its
    bytes, also where bounds are asked for, since its place is unknown."""
    fine, far = (shapely.to_wkb(shapely.Point(xy, 1)) for xy in (1, 20))
    ring = struct.pack("<BIII6d", 1, 3, 1, 3, 0, 0, 1, 1, 0, 0)
    nan, inf = (struct.pack("<BI2d", 1, 1, x, 5) for x in (np.nan, -np.inf))
    source = _points(tmp_path, fine, fine[:12], ring, nan, b"junk", b"", inf, far)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params)
    assert vectordata.read(done.path).n.tolist() == ([0] if params else [0, 7])
    assert {letter.position: letter.reason for letter in done.letters} == {
        1: "its WKB is cut off or damaged",
        2: "a ring has fewer than 4 points",
        3: "a coordinate is not a finite number",
        4: "its WKB is cut off or damaged",
        5: "its WKB is cut off or damaged",
        6: "a coordinate is not a finite number",
    }
    assert bytes.fromhex(done.letters[0].wkb) == fine[:12]
    kept = gpd.read_file(done.receipt.facts["quarantine"])
    assert kept.geobatch_wkb[0] == fine[:12].hex()


@pytest.fixture
def mixed(tmp_path):
    """Two polygons, one of them multi, a line, a point, a collection and no geometry at all."""
    one, two = shapely.box(1, 1, 2, 2), shapely.box(3, 3, 4, 4)
    line, point = shapely.LineString([(0, 0), (1, 1)]), shapely.Point(5, 5)
    both = shapely.GeometryCollection([one, point])
    shapes = [one, shapely.MultiPolygon([one, two]), line, point, both, None]
    frame = gpd.GeoDataFrame({"n": range(6)}, geometry=shapes, crs=4326)
    return vectordata.write(frame, tmp_path / "s.parquet")


def _numbers(path):
    made = vectordata.read(path)
    return sorted(int(n) for n in made.n)


@pytest.mark.parametrize("form", ["GeoParquet", "FlatGeobuf", "GPKG", "GeoJSON", "GeoJSONSeq"])
def test_mixed_types_are_kept(form, mixed, tmp_path):
    """Case 45: in a layer that says that it holds any, where the format can say it."""
    done = vectorjobs.run("vector.convert", mixed, tmp_path / "out", form=form, features=2)
    assert _numbers(done.path) == [0, 1, 2, 3, 4, 5]
    made = vectordata.read(done.path).set_index("n").geometry
    assert made[1].geom_type == "MultiPolygon"
    assert made[4].geom_type == "GeometryCollection"
    if form in {"FlatGeobuf", "GPKG"}:
        assert pyogrio.read_info(done.path)["geometry_type"] == "Unknown"


@pytest.mark.parametrize("form", list(vectorjobs.SUFFIXES))
def test_mixed_types_are_set_aside_if_asked_for(form, mixed, tmp_path):
    """Case 45: one kind is published, single promoted to multi; the others have letters."""
    params = {"geometry_kind": "polygons"}
    done = vectorjobs.run("vector.convert", mixed, tmp_path / "out", params=params, form=form)
    assert _numbers(done.path) == [0, 1, 5]
    assert {one.position: one.reason for one in done.letters} == {
        2: "it is a LineString; geometry_kind asks for polygons",
        3: "it is a Point; geometry_kind asks for polygons",
        4: "it is a GeometryCollection; geometry_kind asks for polygons",
    }
    if form in {"FlatGeobuf", "GPKG"}:
        assert pyogrio.read_info(done.path)["geometry_type"] == "MultiPolygon"


def test_mixed_types_are_split_by_a_job_for_each(mixed, tmp_path):
    """Case 45: every feature of a kind is in the output of just one of them."""
    made = {}
    for kind in ("points", "lines", "polygons"):
        params = {"geometry_kind": kind, "other_kinds": "filter"}
        done = vectorjobs.run(
            "vector.convert", mixed, tmp_path / kind, params=params, form="Shapefile", features=2
        )
        made[kind] = _numbers(done.path)
        assert not done.letters
        facts = done.receipt.facts
        assert facts["features_in"] == 6 == facts["features_out"] + facts["features_filtered"]
    assert made == {"points": [3, 5], "lines": [2, 5], "polygons": [0, 1, 5]}


BOWTIE = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2), (0, 0)])


def test_an_invalid_geometry_is_not_cut(tmp_path):
    """Case 42: what GEOS makes of it may be anything. It is set aside where it lies across the rim,
    and left as it is inside; repaired first, it is cut."""
    inside = shapely.affinity.translate(BOWTIE, 10, 10)
    frame = gpd.GeoDataFrame(
        {"n": range(3)}, geometry=[BOWTIE, inside, shapely.box(0, 0, 9, 9)], crs=4326
    )
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    params = {"bounds": (1.0, 0.0, 20.0, 20.0)}
    done = vectorjobs.run("vector.clip", source, tmp_path / "out", params=params)
    assert vectordata.read(done.path).n.tolist() == [1, 2]
    assert [letter.position for letter in done.letters] == [0]
    assert "is not valid (Self-intersection" in done.letters[0].reason
    mended = vectorjobs.run("vector.make-valid", source, tmp_path / "mended", form="GPKG")
    done = vectorjobs.run("vector.clip", mended.path, tmp_path / "cut", params=params)
    made = vectordata.read(done.path)
    assert made.n.tolist() == [0, 1, 2]
    assert made.geometry[0].area == pytest.approx(1.0)


def test_a_huge_polygon_is_a_batch_of_its_own(tmp_path, monkeypatch):
    """Case 47: it holds up no other, and no batch is larger than it must be."""
    monkeypatch.setattr(chunk_reader, "BATCH_BYTES", 4000)
    huge = shapely.Point(0, 0).buffer(1, quad_segs=500)
    shapes = [shapely.Point(n, 1) for n in range(500)]
    shapes[200] = huge
    frame = gpd.GeoDataFrame({"n": range(500)}, geometry=shapes, crs=4326)
    source = vectordata.write(frame, tmp_path / "s.parquet")
    plan = vectorjobs.probe("vector.convert", source)
    item = vectorjobs.context("vector.convert", source, tmp_path, plan, None, "GeoParquet")
    detail = VectorPlan.from_json(plan.detail)
    batches = list(chunk_reader.read_chunk(item, detail, 0))
    numbers = [batch.column("n").to_pylist() for batch in batches]
    assert [n for some in numbers for n in some] == list(range(500))
    assert [200] in numbers
    sizes = [sum(len(shape) for shape in batch.column(WKB).to_pylist()) for batch in batches]
    assert sorted(sizes)[-2] <= 4000 < max(sizes)


def test_coordinates_that_come_in_the_order_of_their_authority(tmp_path):
    """Case 33: latitude first, in GML of EPSG:4326; it is x that is the longitude in what comes out."""
    source = tmp_path / "s.gml"
    source.write_text(
        '<?xml version="1.0"?><ogr:FeatureCollection xmlns:ogr="http://ogr.maptools.org/" '
        'xmlns:gml="http://www.opengis.net/gml/3.2" gml:id="a"><ogr:featureMember>'
        '<ogr:s gml:id="s.0"><ogr:geometryProperty><gml:Point gml:id="p" '
        'srsName="urn:ogc:def:crs:EPSG::4326"><gml:pos>51 7</gml:pos></gml:Point>'
        "</ogr:geometryProperty><ogr:n>0</ogr:n></ogr:s></ogr:featureMember></ogr:FeatureCollection>"
    )
    params = {"dst_crs": "EPSG:3035"}
    done = vectorjobs.run("vector.reproject", source, tmp_path / "out", params=params)
    point = vectordata.read(done.path).to_crs("OGC:CRS84").geometry[0]
    assert (point.x, point.y) == pytest.approx((7, 51))


def test_measures_and_curves(tmp_path):
    """Case 48: M is kept, curves are set aside and named."""
    flat = shapely.to_wkb(shapely.Point(1, 2))
    measured = b"\x01" + (2001).to_bytes(4, "little") + np.array([1.0, 2.0, 9.0]).tobytes()
    arc = b"\x01" + (8).to_bytes(4, "little") + (3).to_bytes(4, "little") + np.arange(6.0).tobytes()
    field = pa.field("g", pa.binary(), metadata={"ARROW:extension:name": "ogc.wkb"})
    table = pa.table([pa.array([flat, measured, arc], pa.binary())], pa.schema([field]))
    source = tmp_path / "s.gpkg"
    pyogrio.write_arrow(
        table, source, driver="GPKG", geometry_name="g", geometry_type="Unknown", crs="EPSG:4326"
    )
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG")
    facts = done.receipt.facts
    assert (facts["features_out"], facts["features_quarantined"]) == (2, 1)
    assert facts["geometry_types"] == ["Point", "Point M"]
    assert "curves" in done.letters[0].reason
    assert pyogrio.read_info(done.path)["geometry_type"] == "Point"


def test_whole_numbers_with_nulls_stay_whole(tmp_path):
    """Case 49: in every chunk, whichever of them has the null."""
    frame = vectordata.layer(90)
    frame["maybe"] = frame.whole.astype("Int64").where(frame.index != 77)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=30)
    made = gpd.read_parquet(done.path, columns=["maybe", "geometry"])
    assert int(made.maybe.dropna().iloc[0]) == 2**40
    assert made.maybe.isna().sum() == 1


@pytest.mark.filterwarnings("ignore:Could not parse column 'any' as JSON")
@pytest.mark.parametrize(
    ("suffix", "form"),
    [
        *((suffix, "GeoParquet") for suffix in ("geojsonl", "geojson", "csv")),
        ("geojsonl", "GPKG"),
        ("geojson", "FlatGeobuf"),
        ("csv", "GPKG"),
    ],
)
def test_a_field_that_changes_its_type(suffix, form, tmp_path):
    """Case 49: it has one type in all chunks, that of all its values, whatever those of a chunk are."""
    values = [7] * 40 + [1.5] * 40 + [None] * 20
    mixed = [7] * 50 + ["x"] * 50
    source = tmp_path / f"s.{suffix}"
    if suffix == "csv":
        rows = [
            f'"POINT ({n} 1)",{"" if a is None else a},{b}'
            for n, (a, b) in enumerate(zip(values, mixed, strict=True))
        ]
        source.write_text("\n".join(["WKT,number,any", *rows]) + "\n")
    else:
        features = [
            {
                "type": "Feature",
                "properties": {"number": a, "any": b},
                "geometry": {"type": "Point", "coordinates": [n, 1]},
            }
            for n, (a, b) in enumerate(zip(values, mixed, strict=True))
        ]
        text = json.dumps({"type": "FeatureCollection", "features": features})
        lines = "".join(json.dumps(one) + "\n" for one in features)
        source.write_text(lines if suffix == "geojsonl" else text)
    options = {"src_crs": "EPSG:4326"}
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", form=form, features=20, options=options
    )
    made = vectordata.read(done.path)
    made = made.iloc[made.geometry.x.argsort()]
    number = made.number if suffix != "csv" else made.number.replace("", None).astype(float)
    assert [None if np.isnan(one) else one for one in number] == values
    assert [str(one) for one in made["any"]] == [str(one) for one in mixed]


def test_sources_of_one_job_with_other_fields(tmp_path, here):
    """Case 49: each has its own schema in its own output; no value is lost, or takes the type that the
    field has in the other."""
    one = vectordata.layer(30).drop(columns="day")
    two = one.drop(columns="real").assign(whole="text", more=1.5)
    (tmp_path / "in").mkdir()
    for name, frame in (("one", one), ("two", two)):
        vectordata.write(frame, tmp_path / "in" / f"{name}.gpkg")
    job = tmp_path / "job.toml"
    job.write_text(
        f'[source]\ninputs = ["{tmp_path / "in"}"]\n[op]\nname = "vector.convert"\n'
        f'[output]\ndir = "{tmp_path / "out"}"\nformat = "GeoParquet"\n'
        "[engine]\nmax_workers = 1\nchunk_features = 8\n"
    )
    here("run", job, "--json", check=0)
    fields = {
        name: {
            field.name: str(field.type)
            for field in pq.read_schema(tmp_path / "out" / f"{name}.parquet")
            if field.name not in {"geometry", "bbox"}
        }
        for name in ("one", "two")
    }
    fid = {"fid": "int64"}
    assert fields["one"] == fid | {"name": "string", "whole": "int64", "real": "double"}
    assert fields["two"] == fid | {"name": "string", "whole": "string", "more": "double"}
    made = vectordata.read(tmp_path / "out" / "one.parquet")
    assert made.whole.tolist() == one.whole.tolist()


def test_a_value_that_does_not_fit_the_pinned_type():
    """Case 49: the chunk fails, by the name of the field; nothing is rounded, cut or wraps round."""
    schema = pa.schema([("n", pa.int32())])
    ids, shapes = pa.array([1], pa.int64()), pa.array([b"x"], pa.binary())

    def pinned(values):
        batch = pa.RecordBatch.from_arrays([values, ids, shapes], ["n", FID, "g"])
        return batch_reader.pinned(batch, schema, "g").column("n").to_pylist()

    assert pinned(pa.array([7], pa.int64())) == [7]
    assert pinned(pa.array([7.0])) == [7]
    for wrong in (pa.array([2**31]), pa.array([1.5]), pa.array(["x"]), pa.array([float("nan")])):
        with pytest.raises(SchemaError, match="field 'n' does not fit int32"):
            pinned(wrong)


@pytest.mark.parametrize("form", ["FlatGeobuf", "GPKG"])
def test_names_that_a_format_keeps_for_itself(form, tmp_path):
    """Case 50: a field called fid or geom is a field, with its values."""
    frame = vectordata.layer(30)[["geometry"]].assign(fid=range(100, 130), geom="g", ogc_fid=1.5)
    source = vectordata.write(frame, tmp_path / "s.parquet")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    made = pyogrio.read_dataframe(done.path).sort_values("fid")
    assert made.fid.tolist() == list(range(100, 130))
    assert set(made.geom) == {"g"}
    assert set(made.ogc_fid) == {1.5}


@pytest.mark.parametrize("form", list(vectorjobs.SUFFIXES))
@pytest.mark.parametrize("given", [[7, 7, 7, 1, -1, 3], [None, 7, 0, 1, None, 7], [*"aabcdd"]])
def test_a_field_called_fid_that_is_no_key(given, form, tmp_path):
    """Case 50: its values may be there twice, be null, below 0 or text: they are the field's, in order,
    and no feature is put in place of another."""
    kind = "Int64" if 7 in given else "string"
    frame = vectordata.layer(6)[["whole", "geometry"]].assign(fid=gpd.pd.array(given, dtype=kind))
    source = vectordata.write(frame, tmp_path / "s.parquet")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form, features=4)
    made = vectordata.read(done.path).sort_values("whole")
    assert [None if gpd.pd.isna(value) else value for value in made.fid] == given
    assert made.whole.tolist() == frame.whole.tolist()
    assert not done.letters


def test_names_that_differ_in_case_only(tmp_path):
    """Case 50: refused by the plan where OGR would take them for one; GeoParquet has both."""
    frame = vectordata.layer(10)[["geometry"]].assign(Name="a", name="b")
    source = vectordata.write(frame, tmp_path / "s.parquet")
    for form in ("GPKG", "FlatGeobuf", "GeoJSON", "GeoJSONSeq"):
        with pytest.raises(SchemaError, match="case does not tell them apart"):
            vectorjobs.probe("vector.convert", source, form=form)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    made = vectordata.read(done.path)
    assert (set(made.Name), set(made.name)) == ({"a"}, {"b"})


@pytest.mark.parametrize("form", ["GeoParquet", "FlatGeobuf", "GPKG", "GeoJSONSeq"])
def test_times_and_days(form, tmp_path):
    """Case 52: a moment stays that moment, with a zone and without, and a day that day."""
    moments = np.array(["2020-02-29T23:59:59.5", "1969-07-20T20:17:40", "NaT"], "datetime64[ms]")
    frame = vectordata.layer(3)[["whole", "day", "geometry"]].assign(plain=moments)
    frame["zoned"] = frame.plain.dt.tz_localize("UTC")
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    made = vectordata.read(done.path).sort_values("whole")
    for name in ("plain", "zoned"):
        values = np.array(gpd.pd.to_datetime(made[name], utc=True).dt.tz_localize(None))
        assert values.astype("datetime64[ms]").tolist() == moments.tolist()
    assert [str(day)[:10] for day in made.day] == [str(day) for day in frame.day]


ZONED = {
    0: ("2020-01-01T10:00:00+02:00", "2020-01-01T08:00:00.000"),
    1: ("2020-01-01T10:00:00Z", "2020-01-01T10:00:00.000"),
    2: ("2020-01-01T10:00:00.5-05:30", "2020-01-01T15:30:00.500"),
    3: (None, None),
}
PLAIN = {4: ("2020-01-01T11:00:00", "2020-01-01T11:00:00.000")}


@pytest.mark.parametrize("suffix", ["geojson", "geojsonl", "fgb", "gml"])
@pytest.mark.parametrize("given", [ZONED, PLAIN, ZONED | PLAIN])
@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed")
def test_moments_of_several_zones(given, suffix, tmp_path):
    """Case 52: OGR leaves out the zones, and 10:00+02:00 becomes 10:00; here it is 08:00 in UTC, and
    the plan tells of those without a zone beside others."""
    features = [
        {
            "type": "Feature",
            "properties": {"n": n, "moment": text},
            "geometry": {"type": "Point", "coordinates": [n, 1]},
        }
        for n, (text, _) in given.items()
    ]
    source = tmp_path / "s.geojson"
    source.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    if suffix == "geojsonl":
        source = tmp_path / "s.geojsonl"
        source.write_text("".join(json.dumps(feature) + "\n" for feature in features))
    elif suffix != "geojson":
        made = tmp_path / f"s.{suffix}"
        driver = {"fgb": "FlatGeobuf", "gml": "GML"}[suffix]
        subprocess.run(["ogr2ogr", "-f", driver, str(made), str(source)], check=True)
        source = made
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=2)
    table = pq.read_table(done.path).sort_by("n")
    column = table["moment"]
    assert column.type.tz == ("UTC" if given is not PLAIN else None)
    wanted = [text and int(np.datetime64(text, "ms").astype(int)) for _, text in given.values()]
    assert column.cast(pa.timestamp("ms")).cast(pa.int64()).to_pylist() == wanted
    told = any("without a zone are taken for UTC" in line for line in done.plan.warnings)
    assert told == (given == ZONED | PLAIN)


@pytest.mark.parametrize(
    ("options", "hour", "zone"),
    [
        (["TIME_IN_UTC=YES"], 8, "UTC"),
        (["TIME_IN_UTC=NO"], 8, None),
        (["TARGET_ARCGIS_VERSION=ARCGIS_PRO_3_2_OR_LATER"], 8, "UTC"),
    ],
)
@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed")
def test_times_of_a_file_geodatabase(options, hour, zone, tmp_path):
    """A geodatabase says that all its times are in UTC, or holds the zone of each beside it."""
    source, made = tmp_path / "s.csv", tmp_path / "s.gdb"
    rows = [
        "n,moment,x,y",
        "1,2024/06/01 10:00:00+02,1,2",
        "2,2024/06/01 08:00:00+00,1,2",
        "3,,1,2",
    ]
    source.write_text("\n".join(rows) + "\n")
    source.with_suffix(".csvt").write_text("Integer,DateTime,Real,Real\n")
    how = ["-oo", "X_POSSIBLE_NAMES=x", "-oo", "Y_POSSIBLE_NAMES=y", "-a_srs", "EPSG:4326"]
    how += [word for option in options for word in ("-lco", option)]
    subprocess.run(["ogr2ogr", "-f", "OpenFileGDB", str(made), str(source), *how], check=True)
    moment = dt.datetime(2024, 6, 1, hour, tzinfo=dt.UTC if zone else None)
    for features in (2, 9):
        out = tmp_path / str(features)
        done = vectorjobs.run("vector.convert", made, out, features=features)
        column = pq.read_table(done.path)["moment"]
        assert column.type.tz == zone
        assert column.to_pylist() == [moment, moment, None]


def test_a_geopackage_that_is_being_written(tmp_path):
    """Case 55: rows in a write-ahead log count."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "s.gpkg")
    with closing(sqlite3.connect(source, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("DROP TRIGGER rtree_s_geom_delete")
        db.execute("DELETE FROM s WHERE fid = 7")
        assert source.with_name("s.gpkg-wal").stat().st_size
        done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=6)
    assert done.receipt.facts["features_out"] == 19


@pytest.fixture
def medium(tmp_path):
    """A place, and what makes it read-only."""
    place = tmp_path / "medium"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    remount = ["mount", "-o", "remount,ro", str(place)]
    yield place, lambda: subprocess.run(remount, check=True)
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.filterwarnings("ignore:unable to open database file:RuntimeWarning")
def test_a_geopackage_on_a_medium_that_cannot_be_written_to(medium, tmp_path):
    """Case 55: with a write-ahead log, for which SQLite itself wants to write beside it."""
    place, make_read_only = medium
    source = vectordata.write(vectordata.layer(20), place / "s.gpkg")
    with closing(sqlite3.connect(source, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    make_read_only()
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=6)
    assert done.receipt.facts["features_out"] == 20


def test_a_geopackage_that_is_locked(tmp_path, monkeypatch):
    """Case 55: the run tries again later; it is no broken file."""
    monkeypatch.setenv("SQLITE_BUSY_TIMEOUT", "200")  # ms that GDAL waits
    source = vectordata.write(vectordata.layer(20), tmp_path / "s.gpkg")
    # In another process: within one, a lock of another SQLite is none.
    code = (
        f"import sqlite3; db = sqlite3.connect({str(source)!r}, isolation_level=None);"
        "db.execute('BEGIN EXCLUSIVE'); print(1, flush=True); input()"
    )
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as writer:
        assert writer.stdout.readline() == "1\n"
        with pytest.raises(TransientError, match="locked"):
            vectorjobs.run("vector.convert", source, tmp_path / "out")
        writer.communicate("\n")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert done.receipt.facts["features_out"] == 20


def test_markup_that_grows_without_end(tmp_path):
    """Case 56: entities that expand to gigabytes are refused by the parser; without them, the
    file is read."""
    lines = ['<!ENTITY a "aaaaaaaaaa">']
    lines += [
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    source = tmp_path / "s.kml"

    def write(name, kinds=""):
        source.write_text(
            f'<?xml version="1.0"?>{kinds}<kml><Document><Placemark><name>'
            f"{name}</name><Point><coordinates>1,2</coordinates></Point></Placemark></Document></kml>"
        )

    write("a")
    assert vectorjobs.probe("vector.convert", source).grid.width == 1
    write("&i;", f"<!DOCTYPE kml [{''.join(lines)}]>")
    with pytest.raises(GeobatchError):
        vectorjobs.run("vector.convert", source, tmp_path / "out")


NOTHING = {
    "bounds": ("vector.convert", {"bounds": [100, 10, 101, 11]}),
    "clip": ("vector.clip", {"bounds": [100, 10, 101, 11]}),
    "where": ("vector.convert", {"where": "whole < 0"}),
}


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        *(("where", form) for form in vectorjobs.SUFFIXES),
        ("bounds", "GPKG"),
        ("clip", "FlatGeobuf"),
    ],
)
def test_an_output_without_features(asked, form, tmp_path):
    """Case 85: an output without features is an output; with its fields, where a format has any."""
    source = vectordata.write(vectordata.layer(30), tmp_path / "s.gpkg")
    op, params = NOTHING[asked]
    done = vectorjobs.run(op, source, tmp_path / "out", form=form, params=params, features=10)
    facts = done.receipt.facts
    assert [facts["features_out"], facts["features_filtered"]] == [0, 30]
    if form in {"GeoParquet", "FlatGeobuf", "GPKG"}:
        made = vectordata.read(done.path)
        assert len(made) == 0
        assert {"name", "whole", "real", "day"} <= set(made.columns)


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "shp", "geojson", "geojsonl", "parquet", "gdb"])
def test_no_feature_satisfies_where(suffix, tmp_path):
    """Case 85: the plan says so, in every format of sources, and the output has none."""
    frame = vectordata.layer(30)[["whole", "geometry"]]
    source = vectordata.write(frame, tmp_path / f"s.{suffix}")
    params = {"where": "whole < 0"}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params)
    assert any("no feature" in line and "satisfies where" in line for line in done.plan.warnings)
    facts = done.receipt.facts
    assert [facts[f"features_{what}"] for what in ("in", "out", "filtered")] == [30, 0, 30]
    assert len(vectordata.read(done.path)) == 0


def test_a_vertical_crs_is_left_out_and_told(tmp_path):
    """Case 37: heights stay as they are; the plan says so."""
    frame = vectordata.layer(5).set_geometry(shapely.points(np.arange(15.0).reshape(5, 3)))
    source = vectordata.write(
        frame.set_crs("EPSG:4326+5773", allow_override=True), tmp_path / "s.gpkg"
    )
    done = vectorjobs.run(
        "vector.reproject", source, tmp_path / "out", params={"dst_crs": "EPSG:3857"}
    )
    assert any("vertical" in told for told in done.plan.warnings), done.plan.warnings
    made = vectordata.read(done.path)
    assert shapely.get_z(made.geometry).tolist() == [2, 5, 8, 11, 14]
