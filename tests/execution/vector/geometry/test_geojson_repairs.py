"""Parts of geometries that OGR loses as it writes GeoJSON: they are there."""

from __future__ import annotations

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
