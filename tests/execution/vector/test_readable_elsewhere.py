"""Outputs are read by programs that did not write them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest
import vectordata
import vectorjobs

OGRINFO = shutil.which("ogrinfo")


@pytest.mark.skipif(OGRINFO is None, reason="ogrinfo of GDAL's tools is not on this machine")
@pytest.mark.parametrize("form", ["FlatGeobuf", "GPKG", "GeoJSON", "GeoJSONSeq", "Shapefile"])
def test_gdals_tools_read_every_feature(form, tmp_path):
    """Another GDAL than the writer counts the features and finds the CRS, without a word on stderr."""
    source = vectordata.write(vectordata.layer(120), tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form, features=50)
    # What workers tell their own GDAL is not for this one.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GDAL_")}
    said = subprocess.run(
        [OGRINFO, "-al", "-ro", str(done.path)], capture_output=True, text=True, check=True, env=env
    )
    assert said.stdout.count("OGRFeature(") == 120
    assert "Feature Count: 120" in said.stdout
    assert "WGS 84" in said.stdout
    assert "ERROR" not in said.stderr
    assert "Warning" not in said.stderr


def test_a_geopackage_is_a_sound_database_with_its_index(tmp_path):
    """SQLite finds no damage; the tables that GeoPackage asks for and the R-tree agree."""
    source = vectordata.write(vectordata.layer(120), tmp_path / "s.fgb")
    params = {"dst_crs": "EPSG:3035"}
    done = vectorjobs.run(
        "vector.reproject", source, tmp_path / "out", params=params, form="GPKG", features=50
    )
    with closing(sqlite3.connect(done.path)) as connection:
        ask = lambda sql: connection.execute(sql).fetchone()  # noqa: E731
        assert ask("PRAGMA integrity_check") == ("ok",)
        assert ask("PRAGMA application_id") == (0x47504B47,)
        table, column, srs = ask(
            "SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns"
        )
        assert srs == 3035
        assert ask(f'SELECT count(*) FROM "{table}"') == (120,)  # noqa: S608 - its own name
        assert ask(f'SELECT count(*) FROM "rtree_{table}_{column}"') == (120,)  # noqa: S608
        assert ask("SELECT feature_count FROM gpkg_ogr_contents") == (120,)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
