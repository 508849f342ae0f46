"""Which items our kernels take, and which are left to GDAL."""

from __future__ import annotations

import corpus
import pytest
from planning import globe, probe
from pyproj import CRS

from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.warp import method


@pytest.fixture(autouse=True)
def _all_sizes(monkeypatch):
    monkeypatch.setattr(method, "SMALL", 0)
    yield
    opened_source.release()


def path_of(path, dst_crs, **params):
    params = {"dst_crs": dst_crs, "resampling": "bilinear", "error_threshold": 0.001, **params}
    item = probe(path, params)
    planned = RasterPlan.from_json(item.detail)
    assert item.notes["coordinates"] == planned.warp.path
    assert planned.warp.error_threshold == params["error_threshold"]
    return planned.warp.path, item.notes["coordinates_why"]


@pytest.mark.parametrize("crs", ["EPSG:6933", "EPSG:3857", "EPSG:4087", "EPSG:3395", "EPSG:4326"])
def test_cylinders_are_separable(tmp_path, crs):
    """Source x depends on the column alone, and y on the row alone."""
    assert path_of(globe(tmp_path / "g.tif"), crs) == ("separable", "")


@pytest.mark.parametrize("crs", ["EPSG:3035", "EPSG:32633", "EPSG:3413", "ESRI:54009"])
def test_other_grids_are_interpolated(tmp_path, crs):
    """Cones, planes and transverse cylinders have no coordinate vectors."""
    assert path_of(globe(tmp_path / "g.tif"), crs)[0] == "lattice"


def test_a_rotated_source_is_interpolated(tmp_path):
    """A rotation mixes columns and rows even where the CRS does not."""
    path = corpus.CASES["rotated"].make(tmp_path)
    assert path_of(path, "EPSG:3857")[0] == "lattice"


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"error_threshold": 0.0}, "error_threshold is 0"),
        ({"resampling": "mode"}, "mode is GDAL's"),
        ({"transform_options": {"CHECK_WITH_INVERT_PROJ": "YES"}}, "CHECK_WITH_INVERT_PROJ"),
        ({"warp_options": {"SRC_COORD_PRECISION": "0.1"}}, "SRC_COORD_PRECISION"),
        ({"warp_options": {"UNIFIED_SRC_NODATA": "NO"}}, "warp options"),
    ],
)
def test_what_only_gdal_can_do_is_left_to_it(tmp_path, params, why):
    """The plan says why an item is not on the fast path."""
    found, said = path_of(globe(tmp_path / "g.tif"), "EPSG:3035", **params)
    assert found == "exact"
    assert why in said


def test_an_operation_that_gdal_picks_by_area_is_left_to_it(tmp_path):
    """GDAL looks for the best datum shift where the source lies; PROJ alone picks by point."""
    found, said = path_of(globe(tmp_path / "g.tif"), "EPSG:4267")
    assert found == "exact"
    assert "other coordinates" in said


def test_an_interrupted_projection_is_left_to_gdal(tmp_path):
    """Goode's homolosine: positions in the gaps are not on the Earth for GDAL."""
    assert path_of(globe(tmp_path / "g.tif"), "+proj=igh +datum=WGS84")[0] == "exact"


@pytest.mark.parametrize("name", ["band_nodata", "uint64"])
def test_unusual_sources_are_left_to_gdal(tmp_path, name):
    """Nodata that differs by band, and types that float64 does not hold."""
    assert path_of(corpus.CASES[name].make(tmp_path), "EPSG:3857")[0] == "exact"


def test_averages_over_a_pole_are_left_to_gdal(tmp_path):
    """A pixel whose corners lie on both sides of the antimeridian has no extent of its own."""
    path = globe(tmp_path / "g.tif")
    assert path_of(path, "EPSG:3413", resampling="average")[0] == "exact"
    assert path_of(path, "EPSG:3413", resampling="cubic")[0] == "lattice"
    assert path_of(path, "EPSG:6933", resampling="average")[0] == "separable"


def test_few_pixels_are_ours_only_on_grids_of_cylinders(tmp_path, monkeypatch):
    """By the item alone, so the choice is the same in every run."""
    path = globe(tmp_path / "g.tif")
    monkeypatch.setattr(method, "SMALL", 100 * 100 + 1)
    assert path_of(path, "EPSG:6933", size=[100, 100]) == ("separable", "")
    assert path_of(path, "EPSG:3035", size=[100, 100]) == ("exact", "few pixels")
    monkeypatch.setattr(method, "SMALL", 100 * 100)
    assert path_of(path, "EPSG:3035", size=[100, 100])[0] == "lattice"


def test_few_pixels_that_gdal_may_place_otherwise_are_left_to_it(tmp_path, monkeypatch):
    """More than one way between the CRSs; a grid that reaches far beyond its source."""
    monkeypatch.setattr(method, "SMALL", 2**20)
    globe_path = globe(tmp_path / "g.tif")
    assert path_of(globe_path, "EPSG:4267", size=[90, 45]) == ("exact", "few pixels")
    path = corpus.write(tmp_path / "p.tif", corpus.picture())
    assert path_of(path, "EPSG:3857") == ("separable", "")
    wide = {"bounds": [-2e7, -1e7, 2e7, 1e7], "size": [400, 200]}
    assert path_of(path, "EPSG:3857", **wide) == ("exact", "few pixels")


@pytest.mark.parametrize("dst", ["EPSG:3857", "EPSG:6933", "EPSG:4087", "OGC:CRS84"])
def test_two_crs_with_one_way_between_them_agree_with_gdal(dst):
    """Asked once, on a grid that stands for all."""
    assert method.agree(CRS("EPSG:4326"), CRS(dst))


@pytest.mark.parametrize(("src", "dst"), [("EPSG:4267", "EPSG:3857"), ("EPSG:27700", "EPSG:4326")])
def test_two_crs_with_several_ways_between_them_do_not(src, dst):
    """GDAL picks by the area of each source, PROJ by the point."""
    assert not method.agree(CRS(src), CRS(dst))


def test_a_source_narrower_than_the_kernel_is_left_to_gdal(tmp_path):
    """There would be no room for the taps."""
    path = corpus.write(tmp_path / "thin.tif", corpus.picture()[:, :, :6])
    found, said = path_of(path, "EPSG:3857", resampling="lanczos")
    assert found == "exact"
    assert "smaller than the kernel" in said
