"""Outlines on a raster: which pixels have a part of an area, exactly, in whatever window."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from geobatch_tui.errors import CrsError, EmptyInputError, MemoryBudgetError, PreflightError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.grid import cutline
from geobatch_tui.execution.raster.grid.cutline import Cutline
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid

LONLAT = CRS.from_epsg(4326)
#: Pixels are units, rows count downwards.
PLAIN = PixelGrid(LONLAT, (1.0, 0.0, 0.0, 0.0, -1.0, 24.0), 30, 24)
WHOLE = Window(0, 0, 30, 24)


def truth(shape, grid=PLAIN):
    """Which pixels have a part of an area, by GEOS."""
    a, b, c, d, e, f = grid.transform
    col, row = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    corners = [(col, row), (col + 1, row), (col + 1, row + 1), (col, row + 1)]
    rings = np.stack(
        [np.stack([a * x + b * y + c, d * x + e * y + f], axis=-1) for x, y in corners], axis=-2
    )
    return shapely.relate_pattern(shapely.polygons(rings), shape, "T********")


corner = st.tuples(st.integers(-8, 68), st.integers(-8, 56)).map(lambda p: (p[0] / 2, p[1] / 2))
anywhere = st.tuples(st.floats(-3, 33), st.floats(-3, 27))
#: Valid areas, with holes and in parts, whose corners lie on pixels' edges and centres, or anywhere.
areas = (
    st.lists(corner | anywhere, min_size=3, max_size=9)
    .map(lambda points: shapely.make_valid(shapely.Polygon(points)))
    .filter(lambda shape: shape.geom_type in {"Polygon", "MultiPolygon"} and shape.area > 0.01)
)


@settings(deadline=None, max_examples=40)
@given(areas, st.integers(0, 28), st.integers(0, 22), st.integers(1, 9), st.integers(1, 9))
def test_pixels_have_a_part_of_the_area_in_any_window(shape, left, top, width, height):
    """As GEOS says, but for parts thinner than a coordinate is kept; and a window has the pixels
    of the whole."""
    sides = Cutline.of(shape, LONLAT, PLAIN)
    whole = sides.touched(WHOLE)
    thin = shapely.buffer(shape.boundary, 2e-4)
    for row, col in np.argwhere(whole != truth(shape)):
        box = shapely.box(col, 24 - row - 1, col + 1, 24 - row)
        part = shapely.intersection(box, shape)
        assert shapely.covers(thin, part) or (part.is_empty and box.distance(shape) < 1e-9)
    window = Window(left, top, width, height).clip(WHOLE)
    assert np.array_equal(sides.touched(window), whole[window.slices])
    kept = Cutline.from_text(sides.within(window).to_text())
    assert np.array_equal(kept.touched(window), whole[window.slices])


def test_an_edge_on_pixels_edges_adds_no_pixel():
    """Nor does one that rounding put beside it; a corner alone counts for nothing."""
    square = shapely.box(3 + 1e-6, 5 - 1e-7, 7 - 1e-9, 9 + 1e-6)
    assert Cutline.of(square, LONLAT, PLAIN).touched(WHOLE).sum() == 16
    diamond = shapely.Polygon([(5, 2), (8, 5), (5, 8), (2, 5)])
    found = Cutline.of(diamond, LONLAT, PLAIN).touched(WHOLE)
    assert np.array_equal(found, truth(diamond))
    assert found.sum() == 24


@pytest.mark.parametrize(
    "transform",
    [(0.5, 0.3, 2.0, 0.2, -0.6, 15.0), (1.0, 0.0, 0.0, 0.0, 1.0, -2.0)],
    ids=["rotated", "upside down"],
)
def test_grids_may_lie_as_they_like(transform):
    """Areas are brought into pixels, so a rotated grid is like any other."""
    grid = PixelGrid(LONLAT, transform, 30, 24)
    shape = shapely.Polygon([(5, 3), (14, 6), (9, 18), (6, 8)])
    assert np.array_equal(Cutline.of(shape, LONLAT, grid).touched(WHOLE), truth(shape, grid))


def test_straight_sides_bend_in_another_crs():
    """As they do if they are cut into many: a side of 1,000 km is no straight line in degrees."""
    utm = CRS.from_epsg(32633)
    grid = PixelGrid(LONLAT, (0.25, 0.0, 8.0, 0.0, -0.25, 54.0), 60, 48)
    shape = shapely.Polygon([(2e5, 4.8e6), (9e5, 4.9e6), (8.5e5, 5.9e6), (3e5, 5.8e6)])
    sides = Cutline.of(shape, utm, grid)
    assert sides.added > 20
    way = Transformer.from_crs(utm, LONLAT, always_xy=True)
    fine = shapely.transform(
        shapely.segmentize(shape, 500.0), lambda at: np.column_stack(way.transform(*at.T))
    )
    found = sides.touched(Window(0, 0, 60, 48))
    assert (found != truth(fine, grid)).sum() <= 1
    assert 1000 < found.sum() < 2000


def test_text_is_wkt_or_geojson_and_names_its_crs():
    """EWKT has a number, GeoJSON degrees or an old member crs; collections are one area."""
    square = "POLYGON((0 0,2 0,2 2,0 2,0 0))"
    assert cutline.parse(square)[1] == ""
    assert cutline.parse(f"srid=3035; {square}")[1] == "EPSG:3035"
    ring = "[[[0,0],[2,0],[2,2],[0,2],[0,0]]]"
    geojson = f'{{"type":"Polygon","coordinates":{ring}}}'
    shape, crs = cutline.parse(geojson)
    assert (shape.area, crs) == (4, "OGC:CRS84")
    old = '"crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::3035"}},'
    assert cutline.parse(geojson.replace("{", "{" + old, 1))[1].endswith("3035")
    feature = f'{{"type":"Feature","properties":{{}},"geometry":{geojson}}}'
    assert cutline.parse(feature)[0].area == 4
    both = f"GEOMETRYCOLLECTION({square},POLYGON((1 1,3 1,3 3,1 3,1 1)))"
    assert cutline.parse(both)[0].area == 7
    islands = (
        f"GEOMETRYCOLLECTION({square},MULTIPOLYGON(((1 1,3 1,3 3,1 3,1 1)),((5 5,6 5,6 6,5 5))))"
    )
    assert cutline.parse(islands)[0].area == 7.5
    assert cutline.is_rectangle(shape)
    assert not cutline.is_rectangle(shapely.from_wkt("POLYGON((0 0,2 0,2 1,0 2,0 0))"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("POLYGON((0 0,1 1", "neither WKT nor GeoJSON"),
        ("{nonsense", "neither WKT nor GeoJSON"),
        ('{"type": "Nothing"}', "neither WKT nor GeoJSON"),
        ("POLYGON EMPTY", "is empty"),
        ("LINESTRING(0 0,1 1)", "has a LineString"),
        ("GEOMETRYCOLLECTION(POINT(0 0),POLYGON((0 0,1 0,1 1,0 0)))", "has a Point"),
        ("POLYGON((0 0,2 2,2 0,0 2,0 0))", "not valid: Self-intersection"),
        ("MULTIPOLYGON(((0 0,2 0,2 2,0 0)),((0 0,2 0,2 2,0 0)))", "is not valid"),
    ],
)
def test_what_is_no_area_is_refused(text, said):
    """By what is wrong with it."""
    with pytest.raises(PreflightError, match=said):
        cutline.parse(text)


def test_what_has_no_place_on_the_raster_is_refused(monkeypatch):
    """Beside it, torn by the map, beyond the Earth, or too much for a plan."""
    laea = PixelGrid(CRS.from_epsg(3035), (1e4, 0.0, 2e6, 0.0, -1e4, 5e6), 300, 300)
    with pytest.raises(EmptyInputError, match="lies beside"):
        Cutline.of(shapely.box(100, -40, 110, -30), LONLAT, laea)
    mercator = PixelGrid(CRS.from_epsg(3857), (1e5, 0.0, -2e7, 0.0, -1e5, 2e7), 400, 400)
    with pytest.raises(CrsError, match="sides are torn"):
        Cutline.of(shapely.box(-10, 60, 10, 90), LONLAT, mercator)
    with pytest.raises(CrsError, match="no place"):
        Cutline.of(shapely.box(0, 0, 1e300, 1), LONLAT, PLAIN)
    circle = Cutline.of(shapely.Point(10, 10).buffer(8, 64), LONLAT, PLAIN)
    monkeypatch.setattr(cutline, "MOST_SIDES", 100)
    with pytest.raises(MemoryBudgetError, match="has 256 sides on this raster"):
        circle.to_text()
