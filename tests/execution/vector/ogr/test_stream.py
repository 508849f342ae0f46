"""Fields with a domain, in which codes have names: the codes are what is kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import geopandas as gpd
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs

#: Not all of them have a name.
CODES = [1, 2, 7, 0, -5, 2]
_TABLES = """
CREATE TABLE gpkg_data_columns (table_name TEXT, column_name TEXT, name TEXT, title TEXT,
    description TEXT, mime_type TEXT, constraint_name TEXT);
CREATE TABLE gpkg_data_column_constraints (constraint_name TEXT, constraint_type TEXT, value TEXT,
    min NUMERIC, min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT);
INSERT INTO gpkg_extensions VALUES ('gpkg_data_columns', NULL, 'gpkg_schema', 'x', 'read-write'),
    ('gpkg_data_column_constraints', NULL, 'gpkg_schema', 'x', 'read-write');
INSERT INTO gpkg_data_columns VALUES ('s', 'class', NULL, NULL, NULL, NULL, 'classes');
INSERT INTO gpkg_data_column_constraints VALUES
    ('classes', 'enum', '1', NULL, NULL, NULL, NULL, 'one'),
    ('classes', 'enum', '2', NULL, NULL, NULL, NULL, 'two');
"""


@pytest.fixture
def source(tmp_path):
    shapes = [shapely.Point(n, n) for n in range(len(CODES))]
    frame = gpd.GeoDataFrame({"class": CODES}, geometry=shapes, crs=4326)
    frame["class"] = frame["class"].astype("int32")
    path = vectordata.write(frame, tmp_path / "s.gpkg")
    with closing(sqlite3.connect(path)) as db:
        db.executescript(_TABLES)
    return path


@pytest.mark.parametrize("form", vectorjobs.SUFFIXES)
def test_codes_are_kept_and_the_plan_says_what_is_not(form, source, tmp_path):
    """With a name or without."""
    with pyogrio.open_arrow(source, use_pyarrow=True) as (_, reader):
        assert str(reader.schema.field("class").type).startswith("dictionary"), "OGR knows it"
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form, features=4)
    assert not done.letters
    made = vectordata.read(done.path)
    assert sorted(made["class"].tolist()) == sorted(CODES)
    assert any("'class' ('classes')" in line for line in done.plan.warnings)
