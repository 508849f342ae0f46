"""Pictures of geometries, also of those that no reader takes."""

from __future__ import annotations

import math
import struct
from time import monotonic

import numpy as np
import pytest
import shapely

from geobatch_tui.execution.vector.pictures.dot_picture import dot_picture
from geobatch_tui.execution.vector.pictures.geometry_lines import GeometryLines


def drawn(*shapes, size=(16, 12), most=10_000, seconds=60.0):
    lines = GeometryLines(most)
    for shape in shapes:
        lines.add(shape if isinstance(shape, bytes) else shapely.to_wkb(shape))
    return dot_picture(lines, size, monotonic() + seconds)


def rows(picture):
    """The picture as text."""
    text = picture.dots.translate(bytes([46, 35]) + bytes(254)).decode()
    return [text[at : at + picture.width] for at in range(0, len(text), picture.width)]


def polygon(*rings):
    """WKB of a polygon, whatever its rings are."""
    made = [struct.pack("<I", len(ring)) + np.array(ring, "<f8").tobytes() for ring in rings]
    return struct.pack("<BII", 1, 3, len(rings)) + b"".join(made)


def test_north_is_up_and_proportions_are_kept():
    picture = drawn(shapely.linestrings([(0, 0), (0, 4), (8, 4)]), size=(9, 100))
    assert rows(picture) == ["#########", *["#........"] * 4]
    assert picture.bounds == (0, 0, 8, 4)
    assert (picture.vertices, picture.not_finite, picture.whole) == (3, 0, True)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.from_wkt("MULTIPOLYGON Z (((0 0 1, 6 0 2, 6 4 3, 0 0 1)), ((7 1 0, 8 1 0, 8 2 0, 7 1 0)))"),
        shapely.from_wkt("GEOMETRYCOLLECTION (POINT (1 2), MULTIPOINT (3 4, 5 6), LINESTRING (0 0, 8 6))"),
        shapely.from_wkt("POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0), (2 2, 3 2, 3 3, 2 2))"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [{"byte_order": 0}, {"flavor": "extended", "include_srid": True}])
def test_all_types_in_all_forms_of_wkb(shape, form):
    """The same picture from each, with all of the places that GEOS counts."""
    wkb = shapely.to_wkb(shapely.set_srid(shape, 4326), **form)
    assert drawn(wkb) == drawn(shape)
    assert drawn(wkb).vertices == shapely.get_num_coordinates(shape)
    assert drawn(wkb).bounds == tuple(shapely.bounds(shape))


def test_what_a_feature_was_set_aside_for_shows():
    """A ring that is not closed, one with few points, a place that is no number, WKB cut short."""
    is_open = drawn(polygon([(0, 0), (4, 0), (4, 4)]), size=(5, 5))
    assert rows(is_open) == ["....#", "....#", "....#", "....#", "#####"]
    assert drawn(polygon([(0, 0), (4, 4)]), size=(2, 2)).vertices == 2
    hole = drawn(polygon([(0, 0), (2, 0), (math.nan, 9), (math.inf, 1), (4, 0)]), size=(5, 5))
    assert (rows(hole), hole.not_finite, hole.vertices) == (["###.#"], 2, 5)
    short = drawn(polygon([(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)])[:-20], size=(5, 5))
    assert (short.vertices, short.whole) == (3, False)


def test_what_has_no_place_has_no_picture():
    nowhere = [b"", b"\1", b"\1\3", polygon(), polygon([]), polygon([(math.nan, 1.0)] * 4)]
    for shape in (*nowhere, shapely.from_wkt("POINT EMPTY"), shapely.from_wkt("POLYGON EMPTY")):
        assert drawn(shape) is None


@pytest.mark.parametrize("reach", [1.7e308, 5e-324, 1e-300, 1.0])
def test_no_range_of_numbers_is_too_wide_or_too_narrow(reach):
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        picture = drawn(shapely.linestrings([(-reach, -reach), (reach, reach)]), size=(8, 8))
    assert 1 in picture.dots
    assert picture.whole


def test_hostile_counts_end_with_the_bytes():
    """Four milliards of rings or members, of which nothing follows; and what never ends to nest."""
    for head in (struct.pack("<BII", 1, 3, 2**32 - 1), struct.pack("<BII", 1, 7, 2**32 - 1)):
        assert drawn(head) is None
    assert drawn(struct.pack("<BII", 1, 7, 1) * 5000) is None
    rings = struct.pack("<BII", 1, 3, 2**32 - 1) + bytes(4_000_000)
    assert drawn(rings) is None


def test_many_vertices_are_bounded():
    """In dots, in places taken and in time; what was left out is told."""
    turns = np.random.default_rng(5).uniform(0, 2 * np.pi, 200_000)
    chords = np.stack([np.cos(turns), np.sin(turns)], axis=1).tobytes()
    wkb = struct.pack("<BII", 1, 2, 200_000) + chords
    picture = drawn(wkb, size=(5000, 5000), most=400_000, seconds=0.0)
    assert (picture.width, picture.height, picture.whole) == (192, 192, False)
    few = drawn(wkb, size=(16, 12), most=1000)
    assert (few.vertices, few.whole) == (1000, False)
    at = np.exp(1j * np.linspace(0, 2 * np.pi, 200_000)).view(float)
    circle = drawn(struct.pack("<BII", 1, 2, 200_000) + at.tobytes(), most=400_000)
    assert circle.whole
    assert "".join(rows(circle)).count("#") < 60
