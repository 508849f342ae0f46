"""M of geometries is kept where the format holds it; else the plan and the facts tell of it."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs

KEEP = ("GPKG", "FlatGeobuf", "Shapefile")
LINES = ["LINESTRING M (0 0 1, 1 1 5)", "LINESTRING M (10 50 2, 11 51 3)"]


def source(tmp_path, texts, kind="Unknown"):
    """A GeoPackage of these geometries, in the order of ``n``."""
    shapes = [shapely.to_wkb(shapely.from_wkt(text), flavor="iso") for text in texts]
    path = tmp_path / "s.gpkg"
    geometry = pa.field("g", pa.binary(), metadata={"ARROW:extension:name": "ogc.wkb"})
    schema = pa.schema([pa.field("n", pa.int64()), geometry])
    table = pa.Table.from_arrays([pa.array(range(len(texts))), pa.array(shapes)], schema=schema)
    how = {"geometry_name": "g", "geometry_type": kind, "crs": "EPSG:4326"}
    pyogrio.write_arrow(table, path, driver="GPKG", layer="s", **how)
    return path


def texts_of(path):
    """Geometries of an output, in the order of ``n``."""
    if path.suffix == ".parquet":
        shapes = pq.read_table(path)["geometry"].to_pylist()
    else:
        meta, table = pyogrio.read_arrow(path)
        shapes = table.sort_by("n")[meta["geometry_name"] or "wkb_geometry"].to_pylist()
    return [shapely.from_wkb(shape).wkt for shape in shapes]


@pytest.mark.parametrize("form", KEEP)
@pytest.mark.parametrize("kind", ["Measured LineString", "Unknown"])
def test_m_is_kept(form, kind, tmp_path):
    made = vectorjobs.run(
        "vector.convert", source(tmp_path, LINES, kind), tmp_path / "out", form=form
    )
    assert texts_of(made.path) == LINES
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        pyogrio.read_info(made.path)
    assert [str(one.message).split("'")[1] for one in said][:1] == ["Measured LineString"]
    assert "m_dropped" not in made.receipt.facts


@pytest.mark.parametrize("form", ["GPKG", "FlatGeobuf"])
def test_m_stays_where_points_move(form, tmp_path):
    made = vectorjobs.run(
        "vector.reproject",
        source(tmp_path, ["POINT ZM (10 50 7 8)", "POINT ZM (11 51 6 9)"]),
        tmp_path / "out",
        form=form,
        params={"dst_crs": "EPSG:3857"},
    )
    _, table = pyogrio.read_arrow(made.path)
    found = shapely.from_wkb(table.sort_by("n")[-1].to_pylist())
    assert shapely.get_coordinates(found, include_z=True, include_m=True)[:, 2:].tolist() == [
        [7, 8],
        [6, 9],
    ]


@pytest.mark.parametrize("form", ["GeoParquet", "GeoJSON", "GeoJSONSeq"])
@pytest.mark.parametrize("kind", ["Measured LineString", "Unknown"])
def test_where_there_is_no_m_the_plan_and_the_facts_say_so(form, kind, tmp_path):
    made = vectorjobs.run(
        "vector.convert", source(tmp_path, LINES, kind), tmp_path / "out", form=form
    )
    assert texts_of(made.path) == ["LINESTRING (0 0, 1 1)", "LINESTRING (10 50, 11 51)"]
    assert made.receipt.facts["m_dropped"] == 2
    assert made.plan.warnings == (f"geometries have M, which is left out: {form} does not hold it",)


@pytest.mark.parametrize("form", KEEP)
def test_some_with_m(form, tmp_path):
    """A GeoPackage holds both; the others have M of all features, or of none: that is counted."""
    texts = [LINES[0], "LINESTRING (2 2, 3 3)"]
    made = vectorjobs.run("vector.convert", source(tmp_path, texts), tmp_path / "out", form=form)
    if form == "GPKG":
        assert texts_of(made.path) == texts
        with closing(sqlite3.connect(made.path)) as db:
            told = db.execute("SELECT z, m FROM gpkg_geometry_columns").fetchall()
        assert told == [(0, 2)]
        assert "m_dropped" not in made.receipt.facts
    else:
        assert texts_of(made.path) == ["LINESTRING (0 0, 1 1)", texts[1]]
        assert made.receipt.facts["m_dropped"] == 1


def test_m_that_geos_loses_is_counted(tmp_path):
    """A repaired polygon has none."""
    bowtie = "POLYGON M ((0 0 1, 2 2 1, 2 0 3, 0 2 3, 0 0 1))"
    square = "POLYGON M ((0 0 1, 2 0 1, 2 2 3, 0 0 1))"
    path = source(tmp_path, [bowtie, square])
    made = vectorjobs.run("vector.make-valid", path, tmp_path / "out", form="GPKG")
    assert made.receipt.facts["m_dropped"] == 1
    assert [" M " in text for text in texts_of(made.path)] == [False, True]


def test_a_parquet_file_that_says_nothing_of_m(tmp_path):
    """Its M is kept, and counted where it cannot be."""
    frame = vectordata.layer(2)
    frame["geometry"] = [shapely.from_wkt(text) for text in LINES]
    frame.drop(columns="day").to_parquet(tmp_path / "s.parquet")
    made = vectorjobs.run("vector.convert", tmp_path / "s.parquet", tmp_path / "out")
    assert made.receipt.facts["m_dropped"] == 2
