"""What GeoParquet says of its geometries is kept where it is true; else the plan tells of it."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import vectorjobs
from pyproj import CRS

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
