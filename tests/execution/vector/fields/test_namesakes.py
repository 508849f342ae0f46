"""Fields that are called as another, or as the geometry is by OGR: each is read for itself."""

from __future__ import annotations

import json

import geopandas as gpd
import pytest
import shapely
import vectordata
import vectorjobs

POINT = {"type": "Point", "coordinates": [1, 2]}


def numbered(done):
    return [line for line in done.plan.warnings if "get a number" in line]


@pytest.mark.parametrize("form", ["GeoParquet", "GPKG", "FlatGeobuf", "GeoJSON"])
@pytest.mark.parametrize("suffix", ["geojson", "fgb", "csv"])
def test_a_field_called_as_a_geometry_without_a_name(suffix, form, tmp_path):
    source = tmp_path / f"s.{suffix}"
    properties = {"wkb_geometry": "x", "n": 1}
    if suffix == "csv":
        source.write_text("wkb_geometry,n,WKT\nx,1,POINT (1 2)\n")
    elif suffix == "geojson":
        feature = {"type": "Feature", "properties": properties, "geometry": POINT}
        source.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    else:
        shape = [shapely.Point(1, 2)]
        frame = gpd.GeoDataFrame({"wkb_geometry": ["x"], "n": [1]}, geometry=shape, crs=4326)
        vectordata.write(frame, source)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    made = vectordata.read(done.path)
    assert (made["wkb_geometry"][0], str(made["n"][0])) == ("x", "1")
    assert made.geometry[0].equals(shapely.Point(1, 2))
    assert not numbered(done)


@pytest.mark.parametrize("params", [{}, {"columns": ["a_3", "b"]}, {"where": "b = '6'"}])
def test_fields_of_one_name(params, tmp_path):
    """The first keeps it; the others get numbers that no field has."""
    source = tmp_path / "s.csv"
    source.write_text("a,a,a_2,b,WKT\n1,2,3,4,POINT (1 2)\n5,6,7,6,POINT (1 2)\n")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params)
    made = vectordata.read(done.path).drop(columns=["geometry", "WKT"], errors="ignore")
    names = params.get("columns", ["a", "a_3", "a_2", "b"])
    assert list(made) == names
    rows = [dict(zip(["a", "a_3", "a_2", "b"], row, strict=True)) for row in ("1234", "5676")]
    rows = rows[1:] if "where" in params else rows
    assert made.to_numpy().tolist() == [[row[name] for name in names] for row in rows]
    assert "'a_3'" in numbered(done)[0]


def test_fields_of_one_name_in_a_table(tmp_path):
    """Of a Shapefile, whose texts are looked at by themselves."""
    shapes = [shapely.Point(n, n) for n in range(2)]
    frame = gpd.GeoDataFrame({"n": [1, 2], "m": [3, 4]}, geometry=shapes, crs=4326)
    source = vectordata.write(frame, tmp_path / "s.shp")
    table = source.with_suffix(".dbf")
    raw = bytearray(table.read_bytes())
    raw[64:66] = b"n\0"
    raw[-2:-1] = b"x"  # no number in the last row
    table.write_bytes(raw)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert [letter.position for letter in done.letters] == [1]
    assert "'n_2'" in done.letters[0].reason
    made = vectordata.read(done.path)
    assert (made["n"].tolist(), made["n_2"].tolist()) == ([1], [3])
