"""Chains of steps on features: what is refused, set aside, kept and said."""

from __future__ import annotations

import shlex

import gdal_pipeline
import geopandas as gpd
import pyarrow as pa
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs
from feature_chains import Opened, layer, table_of

from geobatch_tui.errors import GeobatchError, GeometryError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.vector.batch.feature_batch import Loss

OP = "vector.pipeline"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    return Opened.of(layer(tmp_path_factory.mktemp("chain") / "s.parquet"))


def step(name, **params):
    return {"name": name, **params}


POINT = step("make-point", x="lon", y="lon")
TABLE = step("select", fields=["name", "lon"])


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([TABLE, step("buffer", distance=1)], "step 2 (buffer): features have no geometry here"),
        ([step("select", fields=["nmae"])], "there is no field 'nmae'; there are 'whole', 'lon'"),
        ([step("select", fields=["a"], ignore_missing_fields=True)], "no field is left"),
        ([step("filter", where="nope > 1")], "step 1 (filter): where: no such column: nope"),
        ([step("filter", where="lon >")], "where: near"),
        ([TABLE, step("filter", bbox=[0, 0, 1, 1])], "no geometry here"),
        ([POINT, step("reproject", output_crs="EPSG:3035")], "features have no CRS here"),
        ([step("reproject", output_crs="EPSG:99999999")], "step 1 (reproject): "),
        ([step("make-point", x="lon", y="day")], "field 'day' is date32[day], neither numbers nor"),
        ([step("set-field-type", field_name="day", field_type="Boolean")], "do not become Boolean"),
        ([step("clip", geometry="POINT (0 0)")], "is to be a polygon"),
        ([step("clip", geometry="POLYGON ((0 0, 1")], "neither WKT nor GeoJSON"),
        ([step("clip", geometry="POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))")], "not valid"),
        ([POINT, step("clip", bbox=[0, 0, 1, 1], bbox_crs="EPSG:4326")], "have no CRS here"),
    ],
)
def test_what_a_step_cannot_take_is_refused_in_the_plan(opened, steps, said):
    """The step is named, and what is wrong."""
    with pytest.raises(GeobatchError) as caught:
        opened.chain(steps)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "form", "said"),
    [
        ([TABLE], "FlatGeobuf", "FlatGeobuf is for features with one"),
        ([step("reproject", output_crs="EPSG:3035")], "GeoJSON", "longitude and latitude"),
    ],
)
def test_an_output_that_the_format_does_not_hold_is_refused(opened, steps, form, said):
    """As the item is planned."""
    with pytest.raises(GeobatchError, match=said):
        vectorjobs.probe(OP, opened.path, params={"steps": steps}, form=form)


def test_what_is_set_aside_costs_its_feature_alone(opened, tmp_path):
    """Each letter names its step; the quarantine file has the features as they came."""
    steps = [
        step("set-field-type", field_name="text", field_type="Real"),
        step("make-valid"),
        step("explode-collections"),
        step("buffer", distance=0.1),
        step("set-geom-type", single=True),
    ]
    done = vectorjobs.run(OP, opened.path, tmp_path, params={"steps": steps}, features=10)
    facts = done.receipt.facts
    stages = {letter.position: letter.stage for letter in done.letters}
    assert {row for row, stage in stages.items() if stage == "set-field-type"} == {
        0, 7, 14, 21, 28, 35,
    }  # fmt: skip
    reason = next(letter.reason for letter in done.letters)
    assert reason == "step 1 (set-field-type): 'none' of field 'text' is no Real"
    assert facts["features_quarantined"] == len(stages)
    frame = gpd.read_file(facts["quarantine"])
    assert sorted(frame["geobatch_fid"]) == sorted(stages)
    assert set(frame["text"]) >= {"none"}
    made = gpd.read_parquet(done.path)
    assert set(made.geom_type.dropna()) == {"Polygon"}
    assert made["text"].dtype == "float64"
    assert facts["features_out"] == len(made) > 39


def test_all_of_them_set_aside_is_an_error(opened, tmp_path):
    """Nothing is published of an item of which nothing is left."""
    steps = [step("filter", where="text = 'none'"), POINT, step("buffer", distance=-1)]
    none = [step("set-field-type", field_name="name", field_type="Integer")]
    assert vectorjobs.run(OP, opened.path, tmp_path / "a", params={"steps": steps})
    filtered = [step("filter", where="name IS NOT NULL"), *none]
    with pytest.raises(GeometryError, match="none of 39 features"):
        vectorjobs.run(OP, opened.path, tmp_path / "b", params={"steps": filtered})


def test_ids_are_kept_until_a_feature_becomes_several(tmp_path):
    """A GeoPackage keeps them; parts of one feature are numbered."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "s.gpkg")
    chosen = [step("filter", where="whole % 2 = 1"), step("swap-xy")]
    done = vectorjobs.run(OP, source, tmp_path / "a", params={"steps": chosen}, form="GPKG")
    odd = list(range(2, 21, 2))
    assert pyogrio.read_dataframe(done.path, fid_as_index=True).index.tolist() == odd
    parts = [*chosen, step("explode-collections")]
    done = vectorjobs.run(OP, source, tmp_path / "b", params={"steps": parts}, form="GPKG")
    numbers = pyogrio.read_dataframe(done.path, fid_as_index=True).index.tolist()
    assert numbers == list(range(1, 11))


def test_fields_have_the_types_that_are_asked_for(opened):
    """Values that a type holds change it; others would be other values."""
    steps = [
        step("set-field-type", field_name="whole", field_type="Int16"),
        step("set-field-type", input_field_type="Date", field_type="String"),
        step("set-field-type", field_name="LON", field_type="Integer"),
    ]
    made = opened.run(opened.chain(steps))
    table = table_of(made)
    assert table.schema.field("whole").type == pa.int16()
    assert table["day"][0].as_py() == "2020-01-01"
    assert table["lon"].to_pylist() == [8, 9, 10, 11]  # of every tenth alone it is whole
    said = "step 3 (set-field-type): '8.1' of field 'lon' is no Integer"
    assert made.lost[1] == Loss("SchemaError", said, "set-field-type", 3)


def test_a_point_needs_its_numbers(tmp_path):
    """A null is no 0, as it is in GDAL; nor is text that is no number one."""
    frame = gpd.GeoDataFrame(
        {"x": [1.0, None, float("inf"), 4.0, 5.0], "y": ["2", "3", "4", "five", "1_0"]},
        geometry=[None] * 5,
        crs=4326,
    )
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    seen = Opened.of(source)
    made = seen.run(seen.chain([step("make-point", x="x", y="y")]))
    assert made.owners.tolist() == [0]
    assert {row: loss.reason for row, loss in made.lost.items()} == {
        1: "step 1 (make-point): field 'x' is null, no finite number",
        2: "step 1 (make-point): field 'x' is inf, no finite number",
        3: "step 1 (make-point): field 'y' is 'five', no finite number",
        4: "step 1 (make-point): field 'y' is '1_0', no finite number",
    }


def test_long_segments_are_cut_as_gdal_cuts_them(tmp_path):
    """The same from either end; heights lie between those of the ends."""
    lines = [[(0, 0, 0), (10, 0, 10)], [(10, 0, 10), (0, 0, 0)], [(0, 0, 0), (2, 0, 0)]]
    shapes = [shapely.to_wkb(shapely.LineString(line), flavor="iso") for line in lines]
    seen = Opened.of(vectordata.raw(tmp_path / "s.parquet", shapes))
    made = seen.run(seen.chain([step("segmentize", max_length=3)]))
    texts = [shapely.to_wkt(shapely.from_wkb(one)) for one in made.shapes.column.to_pylist()]
    assert texts[0] == "LINESTRING Z (0 0 0, 2.5 0 2.5, 5 0 5, 7.5 0 7.5, 10 0 10)"
    assert texts[1] == "LINESTRING Z (10 0 10, 7.5 0 7.5, 5 0 5, 2.5 0 2.5, 0 0 0)"
    assert texts[2] == "LINESTRING Z (0 0 0, 2 0 0)"
    far = seen.run(seen.chain([step("segmentize", max_length=1e-9)]))
    assert "more than 67,108,864 vertices" in far.lost[0].reason


def test_a_rim_of_a_file_is_read_in_the_plan(opened, tmp_path):
    """What cuts is checked before any work: its CRS, that it is polygons."""
    rim = tmp_path / "rim.gpkg"
    frame = gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.box(9, 44, 12, 47)], crs=4326)
    pyogrio.write_dataframe(frame, rim)
    like = step("clip", like=str(rim))
    made = opened.run(opened.chain([like]))
    assert 0 < len(made.owners) < 39
    box = opened.run(
        opened.chain([step("clip", geometry="POLYGON ((9 44, 12 44, 12 47, 9 47, 9 44))")])
    )
    assert table_of(made).equals(table_of(box))
    with pytest.raises(GeobatchError, match=r"step 2 \(clip\): .* is not in the CRS"):
        opened.chain([step("reproject", output_crs="EPSG:3035"), like])


def test_gdal_runs_the_command(tmp_path):
    """The whole item, and a chunk of it, by GDAL's own pipeline."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "s.gpkg")
    steps = [
        step("filter", bbox=[-10, 40, 20, 60], where="whole > 0"),
        step("buffer", distance=-0.001, join_style="mitre"),
        step("select", fields=["name", "_ogr_geometry_"]),
        step("set-geom-type", dim="XYZ"),
    ]
    done = vectorjobs.run(OP, source, tmp_path / "out", params={"steps": steps}, form="GPKG")
    operation = get_operation(OP)
    words = shlex.split(operation.gdal_command(done.item))
    assert words[:3] == ["gdal", "vector", "pipeline"]
    target = tmp_path / "theirs.gpkg"
    pipeline = shlex.join([*words[3:-1], str(target)])
    part = shlex.split(operation.reproduce(done.item, Window(3, 0, 5, 1)))
    five = tmp_path / "five.gpkg"
    gdal_pipeline.all_by_gdal([pipeline, shlex.join([*part[3:-1], str(five)])], kind="vector")
    theirs, ours = pyogrio.read_dataframe(target), pyogrio.read_dataframe(done.path)
    assert sorted(theirs["name"].dropna()) == sorted(ours["name"].dropna())
    assert len(pyogrio.read_dataframe(five)) == 5
    wrapped = [step("reproject", output_crs="EPSG:4326", wrapdateline=True)]
    done = vectorjobs.run(OP, source, tmp_path / "b", params={"steps": wrapped})
    assert operation.gdal_command(done.item) == ""


def test_a_feature_that_ends_its_worker_is_known_in_each_step(opened, tmp_path):
    """By the step and its WKB: rows change from step to step."""
    from geobatch_tui.execution.protocol.messages import ChunkTask
    from geobatch_tui.execution.vector.geometry.trail import Trail

    planned = vectorjobs.probe(OP, opened.path, params={"steps": [step("buffer", distance=1)]})
    item = vectorjobs.context(
        OP, opened.path, tmp_path, planned, {"steps": [step("buffer", distance=1)]}, "GeoParquet"
    )
    column = pa.array([b"a", b"b", b"a"], pa.binary())
    with Trail(ChunkTask(0, item, 0, 1, 1)) as trail:
        trail.begin_step(1, column)
        with pytest.raises(KeyboardInterrupt), trail.at(1):
            raise KeyboardInterrupt
        numbers = [trail._number(row) for row in range(3)]
        assert numbers[0] == numbers[2] != numbers[1]
        trail.begin_step(2, column)
        assert trail._number(0) != numbers[0]
