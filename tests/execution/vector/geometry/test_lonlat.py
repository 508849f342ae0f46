"""GeoJSON has longitudes of one turn: what goes on beyond is cut, what is none is set aside."""

from __future__ import annotations

import json

import geopandas as gpd
import pytest
import shapely
import vectordata
import vectorjobs

#: What lies beyond the antimeridian, and what OGR is to make of it.
WRAPPED = {
    "POINT (370 5)": "POINT (10 5)",
    "LINESTRING (200 10,250 10)": "LINESTRING (-160 10,-110 10)",
    "LINESTRING (370 0,380 0)": "LINESTRING (10 0,20 0)",
    "LINESTRING (-400 0,-390 0)": "LINESTRING (-40 0,-30 0)",
    "LINESTRING (350 10,370 10)": "LINESTRING (-10 10,10 10)",
    "POLYGON ((355 10,365 10,365 20,355 20,355 10))": "POLYGON ((-5 10,5 10,5 20,-5 20,-5 10))",
    "POLYGON ((170 0,190 0,190 10,170 10,170 0))":
        "MULTIPOLYGON (((170 0,180 0,180 10,170 10,170 0)),((-180 0,-170 0,-170 10,-180 10,-180 0)))",
    "POLYGON ((0 0,360 0,360 10,0 10,0 0))":
        "MULTIPOLYGON (((0 0,180 0,180 10,0 10,0 0)),((-180 0,0 0,0 10,-180 10,-180 0)))",
    "GEOMETRYCOLLECTION (POINT (200 5),LINESTRING (200 5,210 5))":
        "GEOMETRYCOLLECTION (POINT (-160 5),LINESTRING (-160 5,-150 5))",
    # Rounded off beside the limit.
    "LINESTRING (10 80,10 90.00000000001)": "LINESTRING (10 80,10 90)",
    "POLYGON ((-180.0000000001 0,1 0,1 10,-180.0000000001 10,-180.0000000001 0))":
        "POLYGON ((-180 0,1 0,1 10,-180 10,-180 0))",
}  # fmt: skip
#: What has no place in degrees, and what is said of it.
ASIDE = {
    "POLYGON ((10 85,20 85,20 95,10 85))": "it reaches latitude 95",
    "POINT (5 -90.5)": "it reaches latitude -90.5",
    "POLYGON ((1000 10,1001 10,1001 11,1000 10))": "it reaches longitude 1001",
    "LINESTRING (-700 10,20 12)": "it reaches longitude -700",
    "POINT (352785 5662023)": "it reaches latitude 5662023",
    "POLYGON ((190 0,200 0,190 10,200 10,190 0))": "is across the antimeridian and not valid",
}


@pytest.mark.parametrize("crs", [4326, None])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nothing_beyond_the_antimeridian_or_a_pole_is_lost(crs, tmp_path):
    """Or costs the other features; where there is no CRS, the plan says what is taken for one."""
    shapes = [*WRAPPED, *ASIDE, "POINT EMPTY", "POINT (1 2)"]
    frame = gpd.GeoDataFrame({"n": shapes}, geometry=list(map(shapely.from_wkt, shapes)), crs=crs)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GeoJSON", features=5)
    told = [one.reason for one in done.letters]
    assert [said.startswith(why) for said, why in zip(told, ASIDE.values(), strict=True)]
    assert done.receipt.facts["longitudes_wrapped"] == len(WRAPPED) - 2
    features = json.loads(done.path.read_text())["features"]
    made = {one["properties"]["n"]: one["geometry"] for one in features}
    assert made.pop("POINT EMPTY") is None
    assert made.pop("POINT (1 2)")["coordinates"] == [1, 2]
    for given, shape in made.items():
        wanted = shapely.from_wkt(WRAPPED[given])
        assert shapely.from_geojson(json.dumps(shape)).normalize() == wanted.normalize()
    assert len(made) == len(WRAPPED)
    assert any("taken for longitude" in line for line in done.plan.warnings) == (crs is None)
