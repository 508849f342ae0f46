"""Coasts and borders."""

from __future__ import annotations

import subprocess
import sys

import pytest

from geobatch_tui.tui.map import outline


def test_numbers_survive_packing():
    """Points come back to a twentieth of a degree, over any distance and either side of zero."""
    points = [(-179.95, 83.6), (179.95, -55.0), (0.0, 0.0), (0.02, 0.02), (-0.05, 0.05)]
    packed = outline.packed(outline.BORDER, points)
    (line,) = outline._lines(packed)
    assert line.kind == outline.BORDER
    kept = [points[0], points[1], points[2], points[4]]
    assert [pytest.approx(point) for point in kept] == list(line.points)
    assert line.bounds == pytest.approx((-179.95, -55.0, 179.95, 83.6))


def test_a_line_of_one_place_is_nothing():
    """What is smaller than the step has no extent."""
    assert outline.packed(outline.COAST, [(1.0, 1.0), (1.01, 1.01)]) == b""


def test_the_world_is_there():
    """Known corners of the continents are on coasts, a known border is not one."""
    world = outline.world()
    coasts = [point for line in world if line.kind == outline.COAST for point in line.points]

    def near(lon: float, lat: float) -> bool:
        return any(abs(x - lon) < 0.7 and abs(y - lat) < 0.7 for x, y in coasts)

    assert near(-9.5, 38.7)  # Cabo da Roca
    assert near(20.0, -34.8)  # Cape Agulhas
    assert near(-67.3, -55.6)  # Cape Horn
    assert not near(7.6, 47.6)  # Basel
    assert sum(line.kind == outline.BORDER for line in world) > 200


def test_polygons_are_open_at_the_rim():
    """Nothing is drawn along the antimeridian or along the south pole."""
    for line in outline.world():
        for a, b in zip(line.points, line.points[1:], strict=False):
            assert not (abs(a[0]) > 179.9 and abs(b[0]) > 179.9)
            assert not (a[1] < -89.9 and b[1] < -89.9)
            assert abs(a[0] - b[0]) < 180


def test_reading_it_needs_no_gdal():
    """The outline is plain data."""
    code = (
        "import sys; from geobatch_tui.tui.map import outline; outline.world();"
        "bad = {'rasterio', 'pyogrio', 'numpy', 'shapely', 'textual'} & set(sys.modules);"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
