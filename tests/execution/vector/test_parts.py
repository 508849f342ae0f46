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
