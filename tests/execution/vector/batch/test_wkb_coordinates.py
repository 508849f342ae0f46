"""Coordinates in WKB buffers: what the compiled loops find is what GEOS finds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.kernels import wkb_loops
from geobatch_tui.execution.vector.write.ogr_file import layer_type, promoted

SHAPES = [
    "POINT (1 2)",
    "POINT EMPTY",
    "POINT Z (1 2 3)",
    "LINESTRING (0 0, 1 1, 2 0)",
    "LINESTRING Z (0 0 5, 1 1 6)",
    "POLYGON ((0 0, 4 0, 4 4, 0 0), (1 1, 2 1, 2 2, 1 1))",
    "POLYGON EMPTY",
    "MULTIPOINT ((1 2), (3 4))",
    "MULTILINESTRING ((0 0, 1 1), (5 5, 6 6, 7 7))",
    "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))",
    "GEOMETRYCOLLECTION (POINT (1 2), GEOMETRYCOLLECTION (LINESTRING (0 0, 1 1)))",
    "GEOMETRYCOLLECTION EMPTY",
]


def column(values):
    """A column as Arrow gives it after a filter: with an offset."""
    padded = pa.array([b"\0", *values], pa.binary())
    return padded.slice(1)


@pytest.mark.parametrize("text", SHAPES)
def test_coordinates_are_found_and_moved_in_place(text):
    """Every x and y is found in order, and put back without touching anything else."""
    shape = shapely.from_wkt(text)
    found = wkb_coordinates.coordinates(column([None, shapely.to_wkb(shape, flavor="iso"), None]))
    expected = shapely.get_coordinates(shape)
    assert found.status.tolist() == [wkb_loops.NULL, wkb_loops.OK, wkb_loops.NULL]
    np.testing.assert_array_equal(np.column_stack([found.x, found.y]), expected)
    moved = found.replaced(found.x + 10, found.y * 2)
    wanted = shapely.transform(shape, lambda c: c * [1, 2] + [10, 0])
    if shape.has_z:
        wanted = shapely.transform(shape, lambda c: c * [1, 2, 1] + [10, 0, 0], include_z=True)
    assert moved.to_pylist()[1] == shapely.to_wkb(wanted, flavor="iso")


@pytest.mark.parametrize("text", SHAPES)
def test_boxes_are_those_of_geos(text):
    """The box of a geometry is GEOS's; NaN where it is empty."""
    shape = shapely.from_wkt(text)
    box = wkb_coordinates.coordinates(column([shapely.to_wkb(shape, flavor="iso")])).boxes()[0]
    np.testing.assert_array_equal(box, shapely.bounds(shape))


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"\x01\x02", wkb_loops.BROKEN),
        (shapely.to_wkb(shapely.Point(1, 2))[:-1], wkb_loops.BROKEN),
        (shapely.to_wkb(shapely.Point(1, 2)) + b"\0", wkb_loops.BROKEN),
        (b"\x01\x02\0\0\0\xff\xff\xff\xff", wkb_loops.BROKEN),
        (b"\x01\x63\0\0\0", wkb_loops.BROKEN),
        (shapely.to_wkb(shapely.Point(1, 2), byte_order=0), wkb_loops.NOT_PLAIN),
        (b"\x01\x02\0\0\0\x02\0\0\0" + np.array([0, np.nan, 1, 1]).tobytes(), wkb_loops.NAN),
        (b"\x01\x02\0\0\0\x02\0\0\0" + np.array([0, 0, -np.inf, 1]).tobytes(), wkb_loops.NAN),
        (b"\x01\x03\0\0\0\x01\0\0\0\x03\0\0\0" + bytes(48), wkb_loops.SHORT_RING),
        (b"\x01\x07\0\0\0\x01\0\0\0" * 40, wkb_loops.DEEP),
        (b"\x01\x08\0\0\0\x03\0\0\0" + bytes(48), wkb_loops.CURVE),
    ],
)
def test_a_bad_geometry_is_named_and_leaves_the_others(value, status):
    """A geometry that cannot be used has a status and no coordinates; its neighbours keep theirs."""
    good = shapely.to_wkb(shapely.Point(7, 8))
    found = wkb_coordinates.coordinates(column([good, value, good]))
    assert found.status.tolist() == [wkb_loops.OK, status, wkb_loops.OK]
    assert found.x.tolist() == [7, 7]
    assert found.first.tolist() == [0, 1, 1, 2]


def test_odd_but_readable_wkb_is_written_anew():
    """Big-endian, SRID and M are read by GEOS; M is dropped and counted, Z stays."""
    values = [
        shapely.to_wkb(shapely.Point(1, 2), byte_order=0),
        shapely.to_wkb(shapely.set_srid(shapely.Point(1, 2), 4326), include_srid=True),
        shapely.to_wkb(shapely.from_wkt("POINT M (1 2 9)"), flavor="iso"),
        shapely.to_wkb(shapely.from_wkt("POINT ZM (1 2 3 9)"), flavor="iso"),
    ]
    found, measured = wkb_coordinates.read(column(values))
    assert measured == 2
    assert found.kinds.tolist() == [1, 1, 1, 1001]
    assert shapely.from_wkb(found.column.to_pylist()[3]).wkt == "POINT Z (1 2 3)"
    found, measured = wkb_coordinates.read(column(values), keeps_m=True)
    assert measured == 0
    assert found.kinds.tolist() == [1, 1, 2001, 3001]
    assert found.column.to_pylist()[2:] == values[2:]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120))
def test_no_bytes_are_read_beyond_a_geometry(noise):
    """Whatever the bytes, a geometry is OK only if GEOS reads it, and nothing crashes."""
    head = b"\x01" + bytes([1 + len(noise) % 7, 0, 0, 0])
    found = wkb_coordinates.coordinates(column([head + noise]))
    if found.status[0] == wkb_loops.OK:
        assert shapely.from_wkb(head + noise, on_invalid="ignore") is not None


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([3], ("Polygon", False)),
        ([6], ("MultiPolygon", False)),
        ([3, 6], ("MultiPolygon", True)),
        ([1001], ("Point Z", False)),
        ([2001], ("Point M", False)),
        ([3003, 3006], ("MultiPolygon ZM", True)),
        ([1, 2001], ("Point", False)),
        ([2001, 3001], ("Point ZM", False)),
        ([2001, 2003], ("Unknown", False)),
        ([1, 3], ("Unknown", False)),
        ([], ("Unknown", False)),
    ],
)
def test_a_layer_has_the_type_of_its_features(kinds, expected):
    """One type stays; a type and its multi type become the multi type; a mixture is unknown."""
    assert layer_type(kinds) == expected


@pytest.mark.parametrize(
    ("kinds", "declared", "expected"),
    [
        ([3], "MultiPolygon", ("MultiPolygon", True)),
        ([1003], "MultiPolygon Z", ("MultiPolygon Z", True)),
        ([6], "MultiPolygon", ("MultiPolygon", False)),
        ([3], "Polygon", ("Polygon", False)),
        ([3, 6], "Polygon", ("MultiPolygon", True)),
        ([2], "MultiPolygon", ("LineString", False)),
        ([2, 3], "MultiPolygon", ("Unknown", False)),
    ],
)
def test_a_layer_of_multi_geometries_stays_one(kinds, declared, expected):
    """As the source says, where its features are of that kind."""
    assert layer_type(kinds, declared) == expected


def test_single_geometries_are_promoted():
    """A single geometry becomes a multi geometry of one part; multi, null and Z stay."""
    texts = ["POLYGON Z ((0 0 1, 1 0 1, 1 1 1, 0 0 1))", "MULTIPOINT ((1 2))", "POINT (1 2)"]
    values = [shapely.to_wkb(shapely.from_wkt(text), flavor="iso") for text in texts]
    made = promoted(column([*values, None])).to_pylist()
    assert [shapely.from_wkb(value).wkt for value in made[:3]] == [
        "MULTIPOLYGON Z (((0 0 1, 1 0 1, 1 1 1, 0 0 1)))",
        "MULTIPOINT ((1 2))",
        "MULTIPOINT ((1 2))",
    ]
    assert made[3] is None
