"""Parts of geometries that OGR loses as it writes GeoJSON: they are there. And GeoJSON has longitudes
of one turn: what goes on beyond is cut, what is none is set aside."""

from __future__ import annotations

import json

import geopandas as gpd
import pytest
import shapely
import vectordata
import vectorjobs

LINE = "LINESTRING (0 0, 1 1)"
#: What becomes of a geometry in a text sequence, and in GeoJSON if that is another.
WANTED = {
    "MULTIPOINT ((1 1), EMPTY, (2 2))": ("MULTIPOINT ((1 1), (2 2))",),
    "MULTIPOINT Z (EMPTY, (1 1 5))": ("MULTIPOINT Z ((1 1 5))",),
    "GEOMETRYCOLLECTION (POINT EMPTY, POINT (1 2))": ("GEOMETRYCOLLECTION (POINT (1 2))",),
    f"GEOMETRYCOLLECTION ({LINE}, MULTIPOINT ((3 3), (4 4)))": (
        f"GEOMETRYCOLLECTION ({LINE}, MULTIPOINT ((3 3), (4 4)))",
        f"GEOMETRYCOLLECTION ({LINE}, POINT (3 3), POINT (4 4))",
    ),
    f"GEOMETRYCOLLECTION ({LINE}, GEOMETRYCOLLECTION (MULTIPOINT (EMPTY, (3 3))))": (
        f"GEOMETRYCOLLECTION ({LINE}, GEOMETRYCOLLECTION (MULTIPOINT ((3 3))))",
        f"GEOMETRYCOLLECTION ({LINE}, POINT (3 3))",
    ),
    "GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (POINT EMPTY), POINT (1 2))": (
        "GEOMETRYCOLLECTION (POINT (1 2))",
    ),
    "MULTIPOINT (5 5)": ("MULTIPOINT (5 5)",),
    "POINT (5 5)": ("POINT (5 5)",),
}


@pytest.mark.parametrize("features", [0, 2])
@pytest.mark.parametrize("form", ["GeoJSON", "GeoJSONSeq"])
def test_what_there_is_stays(form, features, tmp_path):
    """Empty points are left out; whatever is empty as a whole is null."""
    shapes = [shapely.from_wkt(text) for text in [*WANTED, "MULTIPOINT (EMPTY)", "POINT EMPTY"]]
    frame = gpd.GeoDataFrame({"n": range(len(shapes))}, geometry=shapes, crs=4326)
    frame.to_parquet(tmp_path / "s.parquet")
    done = vectorjobs.run(
        "vector.convert", tmp_path / "s.parquet", tmp_path / "out", form=form, features=features
    )
    made = vectordata.read(done.path).sort_values("n").geometry.tolist()
    assert not done.letters
    wanted = [each[-1 if form == "GeoJSON" else 0] for each in WANTED.values()]
    assert [shape.wkt for shape in made[:-2]] == [shapely.from_wkt(one).wkt for one in wanted]
    assert made[-2:] == [None, None]


#: What OGR writes as single places, or not at all, and what is meant.
ACROSS = {
    "LINESTRING (-175 1, -180 2, 180 2)": "LINESTRING (-175 1, -180 2)",
    "LINESTRING (-174 1, -175 1, 180 0)": "LINESTRING (-174 1, -175 1, -180 0)",
    "LINESTRING (174 0, -180 1)": "LINESTRING (174 0, 180 1)",
    "LINESTRING Z (180 0 1, -175 1 2)": "LINESTRING Z (-180 0 1, -175 1 2)",
    "LINESTRING (174 0, -180 0, -170.5 1)": "MULTILINESTRING ((174 0, 180 0), (-180 0, -170.5 1))",
    "LINESTRING (179 0, 180 1, -180 1, -179 2)": (
        "MULTILINESTRING ((179 0, 180 1), (-180 1, -179 2))"
    ),
    "MULTILINESTRING ((0 0, 1 1), (179 0, -180 1))": (
        "MULTILINESTRING ((0 0, 1 1), (179 0, 180 1))"
    ),
    "GEOMETRYCOLLECTION (POINT (180 1), LINESTRING (-180 0, 175 1))": (
        "GEOMETRYCOLLECTION (POINT (180 1), LINESTRING (180 0, 175 1))"
    ),
    "LINESTRING (-180 5, 180 5)": "LINESTRING (-180 5, 0 5, 180 5)",
    "LINESTRING (179 0, -179 2)": "MULTILINESTRING ((179 0, 180 1), (-180 1, -179 2))",
    "LINESTRING (-170 0, 170 1)": "LINESTRING (-170 0, 170 1)",
    "LINESTRING (180 0, 179 1)": "LINESTRING (180 0, 179 1)",
}


@pytest.mark.parametrize("features", [0, 5])
def test_lines_that_end_at_the_antimeridian_stay(features, tmp_path):
    """OGR cuts what lies across in GeoJSON; of a line with a vertex there, it lost the most."""
    shapes = [shapely.from_wkt(text) for text in ACROSS]
    frame = gpd.GeoDataFrame({"n": range(len(shapes))}, geometry=shapes, crs=4326)
    frame.to_parquet(tmp_path / "s.parquet")
    done = vectorjobs.run(
        "vector.convert",
        tmp_path / "s.parquet",
        tmp_path / "out",
        form="GeoJSON",
        features=features,
    )
    made = vectordata.read(done.path).sort_values("n").geometry.tolist()
    for shape, wanted in zip(made, map(shapely.from_wkt, ACROSS.values()), strict=True):
        assert shapely.get_parts(shape).tolist() == shapely.get_parts(wanted).tolist()


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
