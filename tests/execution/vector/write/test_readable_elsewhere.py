"""Outputs are read by programs that did not write them."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import shapely
import vectordata
import vectorjobs

OGRINFO = shutil.which("ogrinfo")
PYTHON = Path("/usr/bin/python3")


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


@pytest.mark.parametrize(
    ("crs", "creation"),
    [
        *((crs, {}) for crs in ("EPSG:4326", "EPSG:3035", "EPSG:2056", "")),
        ("EPSG:4326", {"sort_by_bbox": "YES", "compress": "NONE"}),
    ],
)
def test_geoparquet_passes_a_public_validator(crs, creation, tmp_path):
    """Every rule of the specification that it tests, and those on boxes: of a layer with all types of
    geometry, heights, and features without a geometry or with an empty one."""
    frame = vectordata.layer(120).set_crs(crs or None, allow_override=True)
    odd = [
        None,
        shapely.Polygon(),
        shapely.Point(1, 2, 3),
        shapely.LineString([(0, 0), (9, 9)]),
        shapely.MultiPoint([(1, 1), (2, 2)]),
        shapely.MultiLineString([[(0, 0), (1, 1)]]),
        shapely.MultiPolygon([shapely.box(0, 0, 1, 1)]),
        shapely.GeometryCollection([shapely.Point(3, 3), shapely.box(5, 5, 6, 6)]),
    ]
    frame.loc[100:107, "geometry"] = odd
    source = vectordata.write(frame, tmp_path / "s.parquet")
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", creation=creation, features=50
    )
    validator = Path(sys.executable).with_name("geoparquet-validator")
    command = [validator, "check", "--json", done.path]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    # Those on distribution are advice, on the order of features among others.
    outcomes = [one for one in json.loads(said)["outcomes"] if "distribution" not in one["id"]]
    assert [one for one in outcomes if one["status"] not in {"pass", "skip"}] == []
    assert len([one for one in outcomes if one["status"] == "pass"]) > 15


def _validates() -> bool:
    """Whether the system's Python has GDAL's validator of GeoPackages."""
    command = [PYTHON, "-c", "import osgeo.gdal, osgeo_utils.samples.validate_gpkg"]
    return (
        PYTHON.exists() and not subprocess.run(command, capture_output=True, check=False).returncode
    )


def test_gdals_validator_accepts_geopackages(tmp_path):
    """The output, of geobatch and (with lists) of OGR, and the quarantine file: no requirement of the
    standard is broken, and nothing is warned of."""
    if not _validates():
        pytest.skip("GDAL's validate_gpkg is not on this machine")
    frame = vectordata.layer(30)
    frame.loc[[7, 9], "geometry"] = [shapely.Point(np.nan, 5), None]
    frame["list"] = [[n, 1] for n in range(30)]
    source = vectordata.write(frame, tmp_path / "s.parquet")
    for name in ("plain", "with lists"):
        params = {"dst_crs": "EPSG:3035"} | (
            {"columns": ["name", "day"]} if name == "plain" else {}
        )
        done = vectorjobs.run(
            "vector.reproject", source, tmp_path / name, params=params, form="GPKG", features=12
        )
        made = done.path, Path(done.receipt.facts["quarantine"])
        for path in made:
            words = ["-k", "--extra", "--warning-as-error", str(path)]
            command = [PYTHON, "-m", "osgeo_utils.samples.validate_gpkg", *words]
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (said.returncode, said.stdout) == (0, ""), said.stderr


def test_a_geopackage_keeps_the_rules_of_its_standard(tmp_path):
    """Those that a reader relies on: marks, tables, extent, extension and triggers of the R-tree, and
    the head of each geometry. SQLite finds no damage."""
    source = vectordata.write(vectordata.layer(120), tmp_path / "s.fgb")
    params = {"dst_crs": "EPSG:3035"}
    done = vectorjobs.run(
        "vector.reproject", source, tmp_path / "out", params=params, form="GPKG", features=50
    )
    with closing(sqlite3.connect(done.path)) as connection:
        ask = lambda sql: connection.execute(sql).fetchall()  # noqa: E731
        assert ask("PRAGMA integrity_check") == [("ok",)]
        assert ask("PRAGMA foreign_key_check") == []
        assert ask("PRAGMA application_id") == [(0x47504B47,)]
        assert ask("PRAGMA user_version")[0][0] >= 10200
        assert {-1, 0, 3035} <= {row[0] for row in ask("SELECT srs_id FROM gpkg_spatial_ref_sys")}
        (contents,) = ask(
            "SELECT table_name, data_type, srs_id, min_x, min_y, max_x, max_y, last_change "
            "FROM gpkg_contents"
        )
        assert contents[:3] == ("s", "features", 3035)
        made = vectordata.read(done.path)
        assert contents[3:7] == tuple(made.total_bounds)
        assert contents[7] == "1970-01-01T00:00:00.000Z"
        geometry = ask("SELECT * FROM gpkg_geometry_columns")
        assert geometry == [("s", "geom", "POLYGON", 3035, 0, 0)]
        ((_, name, kind, _, _, key), *_) = ask("PRAGMA table_info(s)")
        assert (name, kind, key) == ("fid", "INTEGER", 1)
        extensions = ask(
            "SELECT table_name, column_name, extension_name, scope FROM gpkg_extensions"
        )
        assert ("s", "geom", "gpkg_rtree_index", "write-only") in extensions
        triggers = {row[0] for row in ask("SELECT name FROM sqlite_schema WHERE type = 'trigger'")}
        of_index = {f"rtree_s_geom_{event}" for event in ("insert", "delete")}
        assert of_index <= triggers
        assert len([name for name in triggers if name.startswith("rtree_s_geom_update")]) >= 4
        assert ask("SELECT count(*) FROM rtree_s_geom") == [(120,)]
        assert ask("SELECT feature_count FROM gpkg_ogr_contents") == [(120,)]
        heads = ask("SELECT geom FROM s ORDER BY fid")
    for (blob,), shape in zip(heads, made.geometry, strict=True):
        magic, version, flags, srs, *box = struct.unpack_from("<2sBBi4d", blob)
        assert (magic, version, flags, srs) == (b"GP", 0, 0b011, 3035)
        minx, miny, maxx, maxy = shape.bounds
        assert box == [minx, maxx, miny, maxy]
