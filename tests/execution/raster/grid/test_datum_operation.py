"""One datum operation for an item: for its grid, for all its pixels, by GDAL and by PROJ."""

from __future__ import annotations

import corpus
import numpy as np
import pytest
from planning import item_of, probe, read_whole
from pyproj import CRS, Transformer
from pyproj.transformer import AreaOfInterest
from rasterio import crs as rio
from rasterio.transform import from_origin
from rasterio.warp import transform

from geobatch_tui.execution.ops.raster_operations import REPROJECT
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster.grid import (
    datum_operation,
    pixel_grid,
    projection,
)
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source

STEP = 0.001


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def placed(code, lon, lat, step=STEP):
    """A source of 100 pixels a side with this top left corner, in degrees."""
    return pixel_grid.PixelGrid(CRS.from_epsg(code), (step, 0.0, lon, 0.0, -step, lat), 100, 100)


@pytest.mark.parametrize(
    ("src", "dst", "lon", "lat", "name"),
    [
        (4301, 3857, -2.2, 2.9, "Ballpark"),  # Tokyo, in the Gulf of Guinea
        (4203, 4326, 108.23, -36.17, "AGD84"),  # partly in the sea west of Australia
    ],
)
def test_proj_and_gdal_take_the_one_that_is_bound(src, dst, lon, lat, name):
    """Without the area of the source each of them takes another one."""
    here, target = placed(src, lon, lat, 0.02), CRS.from_epsg(dst)
    chosen = datum_operation.choose(here, target)
    assert chosen.name.startswith(name)
    assert chosen.name in chosen.warnings[0]
    area = AreaOfInterest(lon, lat - 2, lon + 2, lat)
    by_area = Transformer.from_crs(src, dst, always_xy=True, area_of_interest=area)
    by_area.transform(lon + 1, lat - 1)
    used = by_area.get_last_used_operation()
    points = projection.apply(here.transform, *projection.lattice(100, 100, 9))
    meant = np.array(used.transform(*points))
    assert not np.array_equal(
        by_area.transform(*points), projection.project(*points, here.crs, target)
    )
    ours = projection.project(*points, chosen.crs, target)
    crs = [rio.CRS.from_wkt(crs_lookup.wkt_of(each)) for each in (chosen.crs, target)]
    theirs = transform(*crs, *(each.ravel().tolist() for each in points))
    assert np.array_equal(ours, meant)
    assert np.array_equal(np.reshape(theirs, meant.shape), meant)


@pytest.mark.parametrize(
    ("src", "dst", "lon", "lat", "name"),
    [
        (4326, 3857, 10.0, 50.0, ""),  # one way
        (4326, 3035, 10.0, 50.0, ""),  # two, that are alike
        (4301, 3857, 139.0, 36.0, "Tokyo to WGS 84 (108)"),  # PROJ takes it by itself
        (4267, 4269, -100.0, 40.0, "NAD27 to"),  # by way of another CRS, as the grid is missing
        (4326, 4326, 10.0, 50.0, ""),
    ],
)
def test_nothing_is_bound_without_need(src, dst, lon, lat, name):
    """The CRS of the source stays, and nothing is told."""
    here = placed(src, lon, lat)
    chosen = datum_operation.choose(here, CRS.from_epsg(dst))
    assert (chosen.crs, chosen.bound) == (here.crs, False)
    assert chosen.name.startswith(name)
    assert bool(chosen.name) == bool(name)
    assert not any("several" in text for text in chosen.warnings)


@pytest.mark.parametrize(
    ("code", "transform", "size", "elsewhere"),
    [
        # The rim lies beside the area of the one shift, or of the one that is used.
        (8351, (0.025, 0.0, 16.3875, 0.0, -0.0168, 49.7084), (257, 126), True),
        (21897, (256.0, 0.0, 440818.0, 0.0, -256.0, 99902.0), (120, 120), True),
        # Forward PROJ takes the Czech shift everywhere, back the Slovak one in its area.
        (5514, (2000.0, 0.0, -909000.0, 0.0, -2000.0, -929000.0), (241, 152), False),
        (5514, (2000.0, 0.0, -609000.0, 0.0, -2000.0, -1059000.0), (20, 20), None),
        # The middle lies beside the area of the one shift, which moves nothing; and something.
        (4258, (1.0, 0.0, -120.0, 0.0, -1.0, 60.0), (160, 40), None),
        (2056, (1e4, 0.0, 2.0e6, 0.0, -1e4, 1.3e6), (60, 30), True),
    ],
)
def test_an_operation_that_changes_within_a_source_is_said(code, transform, size, elsewhere):
    """On the way to the target it does not show; gdalwarp goes the way back."""
    here = pixel_grid.PixelGrid(CRS.from_epsg(code), transform, *size)
    chosen = datum_operation.choose(here, CRS.from_epsg(3857))
    said = [text for text in chosen.warnings if chosen.name in text]
    assert bool(said) == (elsewhere is not None)
    assert chosen.elsewhere == bool(elsewhere)


@pytest.mark.parametrize("kernel", ["nearest", "mode"])
def test_grid_and_pixels_have_the_same_operation(tmp_path, kernel):
    """Of a source outside of its CRS's area of use 11 % of the pixels were lost: the grid came from
    one operation, the pixels from another."""
    pixels = np.full((1, 120, 120), 9, "uint8")
    place = from_origin(-2.2356, 2.9235, 0.0007875, 0.0007875)
    path = corpus.write(tmp_path / "tokyo.tif", pixels, crs="EPSG:4301", transform=place)
    item = item_of(path, {"dst_crs": "EPSG:3857", "resampling": kernel})
    assert item.plan.notes["datum_operation"].startswith("Ballpark")
    whole, valid = read_whole(item)
    assert valid.all()
    assert (whole == 9).all()
    assert RasterPlan.from_json(item.plan.detail).warp.src_crs != CRS.from_epsg(4301).to_wkt()


def test_a_source_far_from_its_area_still_meets_its_grid(tmp_path):
    """It was refused: "does not meet the source anywhere"."""
    place = from_origin(-2.2, 2.9, 1e-5, 1e-5)
    path = corpus.write(
        tmp_path / "small.tif", np.ones((1, 40, 40), "u1"), crs="EPSG:4301", transform=place
    )
    assert probe(path, {"dst_crs": "EPSG:3857"}).notes["grid"] == "gdal"
    assert read_whole(item_of(path, {"dst_crs": "EPSG:3857"}))[1].all()


@pytest.mark.parametrize(
    ("src", "dst", "left", "top", "step", "apart"),
    [
        # Just outside of the area of its shift: gdalwarp takes none at all.
        pytest.param("EPSG:21897", "EPSG:3857", 440720, 100000, 6.0, 59.0, id="beside the area"),
        # GDAL looks for an area with longitudes from Paris as if they were from Greenwich.
        pytest.param("EPSG:27572", "EPSG:2154", 150000, 2430000, 10.0, 7.0, id="Paris"),
        pytest.param("EPSG:27572", "EPSG:4171", 150000, 2430000, 10.0, 8.0, id="Paris to degrees"),
        pytest.param("EPSG:27572", "EPSG:4326", 150000, 2430000, 10.0, 8.0, id="one from Paris"),
        # Several operations that cannot be bound: PROJ picks from point to point.
        pytest.param("EPSG:27572", "EPSG:2154", -3e5, 2430000, 1e4, 0.008, id="place to place"),
        pytest.param("EPSG:4275", "EPSG:4171", -6.0, 52.0, 0.16, 0.006, id="degrees"),
        pytest.param("EPSG:4326", "EPSG:2154", 2.0, 48.0, 0.01, 0.0, id="one operation"),
    ],
)
def test_the_grid_is_where_the_pixels_are(tmp_path, src, dst, left, top, step, apart):
    """80 of 100 pixels were lost without a word: GDAL's grid was that of the area, the pixels not.

    ``apart``: pixels between gdalwarp's grid and ours, at least.
    """
    place = from_origin(left, top, step, step)
    path = corpus.write(
        tmp_path / "a.tif", np.full((1, 100, 100), 7, "u1"), crs=src, transform=place
    )
    item = item_of(path, {"dst_crs": dst})
    plan = RasterPlan.from_json(item.plan.detail)
    along, zero, one = np.linspace(0, 100, 21), np.zeros(21), np.full(21, 100.0)
    rim = np.concatenate([along, along, zero, one]), np.concatenate([zero, one, along, along])
    own, target = CRS.from_wkt(plan.warp.src_crs), CRS.from_wkt(plan.crs)
    x, y = projection.project(*projection.apply(tuple(place)[:6], *rim), own, target)
    found = (plan.transform[2] - x.min()) / step, (plan.transform[5] - y.max()) / step
    assert np.abs(found).max() < 1e-6
    picked, valid = read_whole(item)
    cols, rows = np.meshgrid(np.arange(plan.width) + 0.5, np.arange(plan.height) + 0.5)
    at = projection.project(*projection.apply(plan.transform, cols, rows), target, own)
    col, row = projection.invert(tuple(place)[:6], *at)
    inside = (np.minimum(col, row) > 0.01) & (np.maximum(col, row) < 99.99)
    assert valid[inside].all()
    assert (picked[0][inside] == 7).all()
    noted = item.plan.notes.get("datum_apart", 0.0)
    said = [text for text in item.plan.warnings if "gdalwarp" in text]
    assert (noted >= apart) if apart else (noted == 0)
    assert bool(said) == bool(apart)
    assert all(item.plan.notes["datum_operation"] in text for text in said)
    assert ("AREA_OF_INTEREST=0,0,0,0" in REPROJECT.gdal_command(item)) == bool(apart)


@pytest.mark.parametrize(("src", "dst"), [(8351, 4326), (4326, 8351)])
def test_a_datum_that_wkt_1_renames_is_shifted(tmp_path, src, dst):
    """GDAL warped without a shift, 100 m beside, and nobody said so: rasterio hands it WKT 1, where
    brackets and apostrophes of a datum's name are lost."""
    place = from_origin(18.0, 49.0, 1e-4, 1e-4)
    pixels = np.arange(10000, dtype="i4").reshape(1, 100, 100)
    path = corpus.write(tmp_path / "a.tif", pixels, crs=f"EPSG:{src}", transform=place)
    item = item_of(path, {"dst_crs": f"EPSG:{dst}", "resampling": "nearest", "error_threshold": 0})
    assert item.plan.notes["coordinates"] == "exact"
    plan = RasterPlan.from_json(item.plan.detail)
    cols, rows = np.meshgrid(np.arange(plan.width) + 0.5, np.arange(plan.height) + 0.5)
    x, y = projection.apply(plan.transform, cols, rows)
    back = Transformer.from_crs(dst, src, always_xy=True, only_best=True, allow_ballpark=False)
    col, row = projection.invert(tuple(place)[:6], *back.transform(x, y))
    inside = (np.minimum(col, row) > 0.01) & (np.maximum(col, row) < 99.99)
    inside &= (abs(col % 1 - 0.5) < 0.49) & (abs(row % 1 - 0.5) < 0.49)
    assert inside.sum() > 8000
    picked, valid = read_whole(item)
    assert valid[inside].all()
    assert np.array_equal(
        picked[0][inside], (row.astype(int) * 100 + col.astype(int))[inside].astype("i4")
    )


def test_a_datum_that_gdal_cannot_know_is_said():
    """It has no code that would tell GDAL which one it is."""
    text = (
        CRS.from_epsg(8351).to_wkt().replace('ID["EPSG",8351],', "").replace(',ID["EPSG",8351]', "")
    )
    own = CRS.from_wkt(text)
    here = pixel_grid.PixelGrid(own, (STEP, 0.0, 18.0, 0.0, -STEP, 49.0), 100, 100)
    (said,) = datum_operation.choose(here, CRS.from_epsg(3857)).warnings
    assert "JTSK03" in said
    assert "EPSG code" in said


@pytest.mark.parametrize("dst", ["EPSG:3857", "EPSG:4326"])
def test_a_source_far_from_its_only_shift_is_warped_as_by_gdalwarp(tmp_path, dst):
    """PROJ knows one, for an island: gdalwarp takes none on a continent, and nobody said so."""
    place = from_origin(3.5, 24.5, 1.0, 1.0)
    path = corpus.write(
        tmp_path / "a.tif", np.full((1, 40, 53), 7, "u1"), crs="EPSG:4626", transform=place
    )
    item = item_of(path, {"dst_crs": dst})
    plan = RasterPlan.from_json(item.plan.detail)
    assert item.plan.notes["datum_operation"].startswith("Ballpark")
    assert item.plan.notes["datum_apart"] == 0
    assert any("Ballpark" in text for text in item.plan.warnings)
    plain = CRS.from_epsg(4326)
    left, top = projection.project(
        np.array([3.5]), np.array([24.5]), plain, CRS.from_user_input(dst)
    )
    assert (plan.transform[2], plan.transform[5]) == pytest.approx((left[0], top[0]), abs=1e-6)
    assert (read_whole(item)[0] == 7).any()
