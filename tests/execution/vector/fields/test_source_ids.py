"""Ids of a source stay those of its features, where the output has ids or a column for them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs

IDS = [-(2**62), -5, 0, 7, 1000, 2**31, 2**40, 2**56 - 1, 2**56, 2**62]


def package(tmp_path, ids, key="fid", *, moments=False):
    """A GeoPackage with points that have these ids."""
    count = len(ids)
    frame = gpd.GeoDataFrame(
        {"a": np.arange(count), "b": pd.to_datetime([7] * count, unit="s", utc=True)},
        geometry=shapely.points(np.arange(count), np.arange(count)),
        crs=4326,
    )
    path = tmp_path / "s.gpkg"
    pyogrio.write_dataframe(frame if moments else frame.drop(columns="b"), path, FID=key)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("BEGIN")
        db.execute(f'CREATE TEMP TABLE moved AS SELECT * FROM s ORDER BY "{key}"')  # noqa: S608
        db.execute("DELETE FROM s")
        for n, one in enumerate(ids):
            db.execute(f'UPDATE moved SET "{key}" = ? WHERE a = ?', (one, n))  # noqa: S608
        db.execute("INSERT INTO s SELECT * FROM moved")
        db.execute("COMMIT")
    return path


def rows_of(path, key="fid"):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f'SELECT "{key}", a FROM s ORDER BY a').fetchall()  # noqa: S608


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("key", ["fid", "OBJECTID"])
def test_a_key_stays(key, moments, tmp_path):
    """Of any size, with its name, in any chunks; also where OGR writes the features."""
    source = package(tmp_path, IDS, key, moments=moments)
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG", features=3)
    assert rows_of(made.path, key) == [(one, n) for n, one in enumerate(IDS)]
    with closing(sqlite3.connect(made.path)) as db:
        assert db.execute("SELECT rtreecheck('rtree_s_geom')").fetchone() == ("ok",)
    found = pyogrio.read_dataframe(made.path, bbox=(3.5, 3.5, 5.5, 5.5), fid_as_index=True)
    assert found.index.tolist() == [1000, 2**31]
    assert pyogrio.read_info(made.path)["fid_column"] == key


def test_the_next_feature_gets_an_id_of_its_own(tmp_path):
    made = vectorjobs.run(
        "vector.convert", package(tmp_path, [5, 900]), tmp_path / "out", form="GPKG"
    )
    more = gpd.GeoDataFrame({"a": [2]}, geometry=[shapely.Point(1, 1)], crs=4326)
    pyogrio.write_dataframe(more, made.path, layer="s", append=True)
    assert rows_of(made.path) == [(5, 0), (900, 1), (901, 2)]


def test_ids_of_what_is_left(tmp_path):
    params = {"where": "a <> 4"}
    source = package(tmp_path, IDS)
    made = vectorjobs.run("vector.filter", source, tmp_path / "out", form="GPKG", params=params)
    assert rows_of(made.path) == [(one, n) for n, one in enumerate(IDS) if n != 4]


def test_many_ids_with_holes(tmp_path):
    ids = (np.arange(600) * 3 + 10**10).tolist()
    source = package(tmp_path, ids)
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG", features=140)
    assert rows_of(made.path) == [(one, n) for n, one in enumerate(ids)]
    found = pyogrio.read_dataframe(made.path, bbox=(99.5, 99.5, 102.5, 102.5), fid_as_index=True)
    assert sorted(found.index.tolist()) == ids[100:103]


def test_ids_of_a_geodatabase(tmp_path):
    """As ogr2ogr keeps them: they are the key, with the same name."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "s.gdb", layer="s")
    params = {"where": "whole <> 1099511627778"}
    made = vectorjobs.run("vector.filter", source, tmp_path / "out", form="GPKG", params=params)
    with closing(sqlite3.connect(made.path)) as db:
        ids = [row[0] for row in db.execute("SELECT OBJECTID FROM s")]
    assert ids == [1, 2, *range(4, 21)]


def test_ids_that_do_not_ascend_are_numbered_anew_and_counted(tmp_path):
    """Of a view that has its own order."""
    source = package(tmp_path, [3, 8, 9])
    with closing(sqlite3.connect(source, isolation_level=None)) as db:
        db.execute("CREATE VIEW v AS SELECT fid AS OGC_FID, geom, a FROM s ORDER BY a DESC")
        for table in ("gpkg_contents", "gpkg_geometry_columns"):
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            asked = ", ".join(
                "'v'" if name in {"table_name", "identifier"} else name for name in columns
            )
            db.execute(f"INSERT INTO {table} SELECT {asked} FROM {table}")  # noqa: S608
    made = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", form="GPKG", options={"layer": "v"}
    )
    assert made.receipt.facts["ids_renumbered"] == 3
    assert len(rows_of(made.path, "OGC_FID")) == 3


def test_a_column_of_geoparquet(tmp_path):
    source = package(tmp_path, IDS)
    made = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert pq.read_table(made.path, columns=["fid", "a"]).to_pydict() == {
        "fid": IDS,
        "a": list(range(len(IDS))),
    }
    for wanted, names in ((("a",), ["a"]), (("a", "fid"), ["fid", "a"])):
        made = vectorjobs.run(
            "vector.convert", source, tmp_path / names[0], params={"columns": wanted}
        )
        assert pq.read_schema(made.path).names[:-2] == names


def test_members_of_geojson(tmp_path):
    for form in ("GeoJSON", "GeoJSONSeq"):
        made = vectorjobs.run("vector.convert", package(tmp_path, IDS), tmp_path / form, form=form)
        text = made.path.read_text()
        features = (
            json.loads(text)["features"]
            if form == "GeoJSON"
            else [json.loads(line) for line in text.splitlines()]
        )
        assert [one["id"] for one in features] == IDS
        assert [one["properties"] for one in features] == [{"a": n} for n in range(len(IDS))]


def test_flatgeobuf_has_none(tmp_path):
    """As with ogr2ogr: its features are numbered by their places."""
    made = vectorjobs.run(
        "vector.convert", package(tmp_path, IDS), tmp_path / "out", form="FlatGeobuf"
    )
    assert pyogrio.read_info(made.path)["fields"].tolist() == ["a"]


def geojson(path, ids, name="a"):
    features = [
        {
            "type": "Feature",
            **({} if one is None else {"id": one}),
            "properties": {name: n},
            "geometry": {"type": "Point", "coordinates": [n % 90, n % 90]},
        }
        for n, one in enumerate(ids)
    ]
    if path.suffix == ".geojson":
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    else:
        path.write_text("\n".join(map(json.dumps, features)))
    return path


@pytest.mark.parametrize("form", ["GPKG", "GeoParquet", "FlatGeobuf", "Shapefile"])
@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
def test_ids_of_geojson_are_a_column_elsewhere(suffix, form, tmp_path):
    source = geojson(tmp_path / f"s{suffix}", [42, 17, 0])
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    if form == "GeoParquet":
        table = pq.read_table(made.path)
    else:
        _, table = pyogrio.read_arrow(made.path)
    assert table.sort_by("a").select(["id", "a"]).to_pydict() == {"id": [42, 17, 0], "a": [0, 1, 2]}


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
def test_ids_of_geojson_stay_members(suffix, tmp_path):
    source = geojson(tmp_path / f"s{suffix}", [42, 17], "id")
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GeoJSON")
    features = json.loads(made.path.read_text())["features"]
    assert [(one["id"], one["properties"]) for one in features] == [
        (42, {"id": 0}),
        (17, {"id": 1}),
    ]


@pytest.mark.parametrize("ids", [[None] * 3, [0, 1, 2], [3, 3, 3]])
def test_features_without_ids_get_no_column(ids, tmp_path):
    """Nor where OGR's own numbers are those of the file, or it makes others of what is there."""
    made = vectorjobs.run("vector.convert", geojson(tmp_path / "s.geojson", ids), tmp_path / "out")
    assert pq.read_schema(made.path).names[:-2] == ["a"]


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
@pytest.mark.parametrize("form", ["GeoJSON", "GeoParquet"])
def test_ids_that_show_late_are_counted(suffix, form, tmp_path):
    """The first features have their places for ids, so that none are kept."""
    source = geojson(tmp_path / f"s{suffix}", [*range(150), 1000, 1001])
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form, features=40)
    assert made.receipt.facts["ids_renumbered"] == 2
    where = {"where": "a > 10"}
    for n, (ids, params) in enumerate((([None] * 150, {}), (range(150), where), ([7, 9], {}))):
        source = geojson(tmp_path / f"{n}{suffix}", ids)
        made = vectorjobs.run("vector.convert", source, tmp_path / f"{n}", form=form, params=params)
        assert "ids_renumbered" not in made.receipt.facts
