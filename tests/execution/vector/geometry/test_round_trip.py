"""Features that land on nonsense are found, though most coordinates are not sent there and back."""

import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely

from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.geometry import round_trip, transform

WGS84 = pyproj.CRS.from_epsg(4326).to_wkt()


def islands(seed, count=1500):
    """Small polygons all over the globe, and in the strip where the Dutch grid folds over."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-179.5, 179.5, count), rng.uniform(-85, 85, count)
    x[::20] = rng.uniform(-174.9, -174.3, len(x[::20]))
    return pa.array(shapely.to_wkb(shapely.buffer(shapely.points(x, y), 0.05)), pa.binary())


@pytest.mark.parametrize("code", [28992, 32633, 2056])
def test_those_that_stray_are_those_of_a_look_at_all(code):
    """As they are where no ground is firm."""
    target = pyproj.CRS.from_epsg(code).to_wkt()
    quick, slow = (transform.Reprojector(WGS84, target) for _ in range(2))
    slow._ground.state[:] = round_trip.DOUBTFUL
    column = islands(code)
    moved, expected = (each.move(wkb_coordinates.coordinates(column)) for each in (quick, slow))
    assert expected.strayed.any()
    assert (moved.strayed == expected.strayed).all()
    assert (quick._ground.state == round_trip.FIRM).any()


def seen_as_firm(sends, x, y):
    """Whether the cell of a point is firm, of a plane of 20 x 20 cells of side 1."""
    plane = round_trip.Ground(sends, 1.0, (10.0, 10.0), np.inf)
    here = np.array([x]), np.array([y])
    plane.learn(*here, np.array([0, 1]), np.array([True]))
    row, column = int(np.floor(y)) + 10, int(np.floor(x)) + 10
    assert np.count_nonzero(plane.state) == 1
    return plane.state[row, column] == round_trip.FIRM


@pytest.mark.parametrize("place", [(0.2, 0.7), (-9.9, 9.9), (9.9, -9.9)])
def test_where_all_comes_back_evenly_the_ground_is_firm(place):
    def even(x, y):
        return 3 * x + y, y - x, np.full(len(x), True)

    assert seen_as_firm(even, *place)


def test_a_cut_between_two_points_of_the_lattice_is_seen():
    """A strip that folds over itself, too narrow for a point, moves what lies beyond it."""

    def folded(x, y):
        return x - 0.03 * (x > 0.6), y, np.full(len(x), True)

    assert not seen_as_firm(folded, 0.3, 0.5)
    assert seen_as_firm(folded, 3.3, 0.5)


def test_a_point_that_does_not_come_back_spoils_the_cells_round_it():
    def lost(x, y):
        return x, y, (np.hypot(x - 0.5, y - 0.5) > 0.1)

    assert not seen_as_firm(lost, 0.2, 0.2)
    assert not seen_as_firm(lost, 1.2, 0.2)
    assert seen_as_firm(lost, 4.2, 0.2)


def test_beyond_its_reach_no_ground_is_firm():
    plane = round_trip.Ground(lambda x, y: (x, y, x < np.inf), 1.0, (2.0, 2.0), np.inf)
    x = np.array([2.5, -np.inf, 0.5, np.inf])
    column = wkb_coordinates.Coordinates(
        pa.nulls(1, pa.binary()), x, np.zeros(4), np.zeros(4, np.uint32),
        np.array([0, 4]), np.zeros(1, np.uint8), np.zeros(1, np.int64),
    )  # fmt: skip
    assert plane.doubtful(column, np.array([True]), 1e-9).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("source", "target", "single"),
    [(4326, 3035, True), (4326, 3857, True), (4258, 32633, True), (4326, 27700, False),
     (3035, 4326, False), (4267, 4326, False), (4807, 2154, False)],
)  # fmt: skip
def test_a_projection_by_itself_gives_the_bits_of_the_pipeline(source, target, single):
    """Also where there is no image, and beyond the globe."""
    codes = (pyproj.CRS.from_epsg(code).to_wkt() for code in (source, target))
    reprojector = transform.Reprojector(*codes)
    assert (reprojector._step is not None) is single
    rng = np.random.default_rng(target)
    x, y = rng.uniform(-400, 400, 20_000), rng.uniform(-91, 91, 20_000)
    expected = reprojector._there.transform(x, y, errcheck=False)
    reprojector._transform(x, y)
    assert np.array_equal(x, expected[0])
    assert np.array_equal(y, expected[1])
