"""What GeoParquet says of its geometries is kept where it is true; else the plan tells of it."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import vectorjobs
from pyproj import CRS

from geobatch_tui.errors import SchemaError

SAID = {"edges": "spherical", "epoch": 2021.5, "orientation": "counterclockwise"}
UTM = CRS.from_epsg(32632).to_json_dict()


def source(tmp_path, *, said=SAID, further=False):
    """Two polygons; ``further``: with their middles, in another CRS, and boxes of both."""
    shapes = [shapely.box(n, 50, n + 1, 51) for n in (10, 12)]
    columns = {"g": shapely.to_wkb(shapes)}
    told = {"g": {"encoding": "WKB", "geometry_types": ["Polygon"], **said}}
    if further:
        columns["middle"] = shapely.to_wkb(shapely.points([[6e5, 5.6e6], [7e5, 5.6e6]]))
        box = {"bbox": [6e5, 5.6e6, 7e5, 5.6e6], "crs": UTM}
        told["middle"] = {"encoding": "WKB", "geometry_types": ["Point"], **box}
    arrays = {name: pa.array(list(values), pa.binary()) for name, values in columns.items()}
    geo = {"version": "1.1.0", "primary_column": "g", "columns": told}
    table = pa.table({"n": [0, 1], **arrays}).replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(table, tmp_path / "s.parquet")
    return tmp_path / "s.parquet"


def geo_of(path):
    return json.loads(pq.read_metadata(path).metadata[b"geo"])


@pytest.mark.parametrize(
    ("op", "params", "kept", "says"),
    [
        ("vector.convert", {}, set(SAID), ""),
        ("vector.filter", {"where": "n = 0"}, set(SAID), ""),
        ("vector.clip", {"bounds": (9, 49, 10.5, 52)}, {"edges", "epoch"}, "orientation, straight"),
        ("vector.make-valid", {}, {"edges", "epoch"}, "orientation, straight"),
        ("vector.reproject", {"dst_crs": "EPSG:3035"}, set(), "edges, epoch, orientation"),
    ],
)
def test_what_is_true_of_the_output_is_kept(op, params, kept, says, tmp_path):
    made = vectorjobs.run(op, source(tmp_path), tmp_path / "out", params=params)
    column = geo_of(made.path)["columns"]["geometry"]
    assert {key: column[key] for key in SAID if key in column} == {key: SAID[key] for key in kept}
    told = [one for one in made.plan.warnings if "source" in one]
    words = {"edges": "spherical;", "epoch": "2021.5", "orientation": "counterclockwise"}
    wanted = [words.get(word, word) for word in says.split(", ") if word]
    assert len(told) == len(wanted)
    assert all(any(word in one for one in told) for word in wanted)


def test_what_another_format_cannot_say_is_told(tmp_path):
    made = vectorjobs.run("vector.convert", source(tmp_path), tmp_path / "out", form="GPKG")
    assert [one.split()[-1] for one in made.plan.warnings] == ["not"] * 3


def test_what_is_usual_is_not_told(tmp_path):
    path = source(tmp_path, said={"edges": "planar", "epoch": None})
    made = vectorjobs.run("vector.convert", path, tmp_path / "out", form="GPKG")
    assert made.plan.warnings == ()


@pytest.mark.parametrize("op", ["vector.convert", "vector.reproject"])
def test_further_geometries_stay_as_they_are_and_are_described(op, tmp_path):
    """In their own CRS, whatever becomes of the first; without the extent of all features."""
    params = {"dst_crs": "EPSG:3035"} if op == "vector.reproject" else {}
    path = source(tmp_path, said={}, further=True)
    made = vectorjobs.run(op, path, tmp_path / "out", params=params)
    columns = geo_of(made.path)["columns"]
    assert sorted(columns) == ["geometry", "middle"]
    assert columns["middle"] == {"encoding": "WKB", "geometry_types": ["Point"], "crs": UTM}
    assert pq.read_table(made.path)["middle"].equals(pq.read_table(path)["middle"])
    (told,) = made.plan.warnings
    assert "'middle' is a further geometry column, in 'WGS 84 / UTM zone 32N'" in told
    left = vectorjobs.run(op, path, tmp_path / "less", params=params | {"columns": ("n",)})
    assert sorted(geo_of(left.path)["columns"]) == ["geometry"]
    assert left.plan.warnings == ()


def test_further_geometries_elsewhere_are_bytes_and_the_plan_says_so(tmp_path):
    path = source(tmp_path, said={}, further=True)
    made = vectorjobs.run("vector.convert", path, tmp_path / "out", form="GPKG")
    assert "GPKG holds one, so it becomes bytes of WKB" in made.plan.warnings[0]


def test_further_geometries_of_ogr_are_told_of(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text('_WKTa,_WKTb,n\n"POINT (1 2)","POINT (3 4)",1\n')
    (told, *_) = vectorjobs.probe("vector.convert", path).warnings
    assert told == "of several geometry fields only 'geom__WKTa' is read, not 'geom__WKTb'"


class _Shapes(pa.ExtensionType):
    """What Arrow writes as a geometry of Parquet's own."""

    def __init__(self, said="{}"):
        self._said = said
        super().__init__(pa.binary(), "geoarrow.wkb")

    def __arrow_ext_serialize__(self):
        return self._said.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, data):
        return cls(data.decode())


@pytest.fixture
def native(tmp_path):
    """Writes points with Parquet's own type."""

    def write(**said):
        shapes = pa.array(list(shapely.to_wkb(shapely.points([[5, 50], [6, 51]]))), pa.binary())
        column = pa.ExtensionArray.from_storage(_Shapes(json.dumps(said)), shapes)
        table = pa.table({"n": [0, 1], "shape": column})
        pq.write_table(table, tmp_path / "s.parquet", store_schema=False)
        return tmp_path / "s.parquet"

    pa.register_extension_type(_Shapes())
    yield write
    pa.unregister_extension_type("geoarrow.wkb")


@pytest.mark.parametrize(
    ("said", "epsg", "edges"),
    [
        ({}, None, None),
        ({"crs": CRS.from_epsg(3035).to_json_dict(), "crs_type": "projjson"}, 3035, None),
        ({"crs": "EPSG:3035", "crs_type": "authority_code"}, 3035, None),
        ({"edges": "spherical"}, None, "spherical"),
    ],
)
def test_geometries_of_parquets_own_type_need_no_key(said, epsg, edges, native, tmp_path):
    path = native(**said)
    pa.unregister_extension_type("geoarrow.wkb")
    made = vectorjobs.run("vector.convert", path, tmp_path / "out")
    pa.register_extension_type(_Shapes())
    column = geo_of(made.path)["columns"]["geometry"]
    wanted = CRS.from_epsg(epsg) if epsg else CRS.from_user_input("OGC:CRS84")
    assert CRS.from_json_dict(column["crs"]) == wanted
    assert column.get("edges") == edges
    shapes = pq.read_table(made.path)["geometry"].to_pylist()
    assert [shapely.from_wkb(one).wkt for one in shapes] == ["POINT (5 50)", "POINT (6 51)"]
    assert pq.read_schema(made.path).names == ["n", "geometry", "bbox"]


def test_parquet_without_geometries_is_refused(tmp_path):
    pq.write_table(pa.table({"n": [1]}), tmp_path / "s.parquet")
    with pytest.raises(SchemaError, match="no column of type GEOMETRY"):
        vectorjobs.probe("vector.convert", tmp_path / "s.parquet")


@pytest.mark.parametrize(
    ("geo", "told"),
    [
        ([], "it describes no columns"),
        ({"primary_column": "g", "columns": []}, "it describes no columns"),
        ({"columns": {"g": {}}}, "its primary column None is not described"),
        ({"primary_column": ["g"], "columns": {"g": {}}}, "is not described"),
        ({"primary_column": "g", "columns": {"g": []}}, "'g' is not described by an object"),
        ({"geometry_types": 5}, "geometry_types of column 'g' is 5"),
        ({"crs": 4326}, "crs of column 'g' is 4326"),
        ({"edges": []}, "edges of column 'g' is"),
        ({"epoch": "now"}, "epoch of column 'g' is 'now'"),
        ({"covering": []}, "covering of column 'g' is"),
        ({"covering": {"bbox": ["b"]}}, "covering names no columns"),
        ({"covering": {"bbox": {"xmin": 1}}}, "covering names no columns"),
    ],
)
def test_a_key_that_cannot_be_followed_is_refused(geo, told, tmp_path):
    if isinstance(geo, dict) and "columns" not in geo:
        geo = {"primary_column": "g", "columns": {"g": {"encoding": "WKB", **geo}}}
    shapes = pa.array([shapely.to_wkb(shapely.Point(1, 2))], pa.binary())
    table = pa.table({"g": shapes}).replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(table, tmp_path / "s.parquet")
    with pytest.raises(SchemaError, match=f"not as GeoParquet has it: .*{told}"):
        vectorjobs.probe("vector.convert", tmp_path / "s.parquet")
