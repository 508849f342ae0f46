"""How chunks reach their features."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import SchemaError

_VIEW = """
CREATE VIEW v AS SELECT {ids} AS OGC_FID, geom, whole FROM s;
INSERT INTO gpkg_contents (table_name, data_type, srs_id) VALUES ('v', 'features', 4326);
INSERT INTO gpkg_geometry_columns VALUES ('v', 'geom', 'POLYGON', 4326, 0, 0);
"""


@pytest.mark.parametrize(
    ("ids", "access"),
    [("fid", "fid"), ("fid / 2", "drain"), ("4 * fid", "fid"), ("7 - fid", "drain")],
)
def test_a_view_of_a_geopackage(ids, access, tmp_path):
    """Its ids may come in any order, and be repeated."""
    source = vectordata.write(vectordata.layer(7), tmp_path / "s.gpkg")
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.executescript(_VIEW.format(ids=ids))
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", features=2, options={"layer": "v"}
    )
    assert done.plan.notes["access"] == access
    assert sorted(vectordata.read(done.path).whole) == [2**40 + n for n in range(7)]


_FIRST = """
CREATE VIEW v AS SELECT {column}, whole, geom FROM s;
INSERT INTO gpkg_contents (table_name, data_type, srs_id) VALUES ('v', 'features', 4326);
INSERT INTO gpkg_geometry_columns VALUES ('v', 'geom', 'POLYGON', 4326, 0, 0);
"""


def _view(path, column, values):
    frame = vectordata.layer(4)[["whole", "geometry"]].assign(k=values)
    source = vectordata.write(frame, path, layer="s")
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.executescript(_FIRST.format(column=column))
    return source


@pytest.mark.parametrize(
    ("where", "columns", "features"), [("", None, 0), ("k > 7", None, 2), ("", ["k"], 3)]
)
def test_the_first_column_of_a_view_is_not_lost(where, columns, features, tmp_path):
    """OGR takes it for the id, of whatever it is the number."""
    source = _view(tmp_path / "s.gpkg", "k", [9, 7, 9, 8])
    params = {"where": where, "columns": columns}
    done = vectorjobs.run(
        "vector.convert",
        source,
        tmp_path / "out",
        params=params,
        features=features,
        options={"layer": "v"},
    )
    made = vectordata.read(done.path)
    assert made.k.tolist() == ([9, 9, 8] if where else [9, 7, 9, 8])
    assert ("whole" in made) == (columns is None)


def test_a_first_column_that_is_an_id_is_no_field(tmp_path):
    source = _view(tmp_path / "s.gpkg", "fid", [9, 7, 9, 8])
    how = {"options": {"layer": "v"}, "form": "FlatGeobuf"}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", **how)
    assert "fid" not in vectordata.read(done.path)


def test_a_first_column_that_cannot_be_an_id_is_refused(tmp_path):
    """OGR makes an id of what is none."""
    source = _view(tmp_path / "s.gpkg", "CAST(k AS INTEGER) AS kk", [9, None, 9, 8])
    with pytest.raises(SchemaError, match="takes 'kk', the first column of the view 'v'"):
        vectorjobs.probe("vector.convert", source, options={"layer": "v"})


@pytest.mark.parametrize("suffix", ["fgb", "geojson", "gpkg"])
def test_moments_with_zones_in_a_condition(suffix, tmp_path):
    """Where they are read as text, too."""
    moments = [f"2020-0{n}-01T00:00:00+0{n}:00" for n in range(1, 6)]
    source = tmp_path / "s.geojson"
    features = [
        {
            "type": "Feature",
            "properties": {"m": moment},
            "geometry": {"type": "Point", "coordinates": [1, 2]},
        }
        for moment in moments
    ]
    source.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    if suffix != "geojson":
        done = vectorjobs.run(
            "vector.convert",
            source,
            tmp_path / "made",
            form={"fgb": "FlatGeobuf", "gpkg": "GPKG"}[suffix],
        )
        source = done.path
    params = {"where": "m > '2020-03-15'"}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params, features=1)
    assert [one.month for one in vectordata.read(done.path).m] == [3, 4]
