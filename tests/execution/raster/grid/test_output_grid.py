"""The default grid is GDAL's where that is sound, and the source's area of use where not."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import corpus
import numpy as np
import pytest
import rasterio
from planning import globe, item_of, probe, read_whole
from pyproj import CRS
from rasterio.transform import from_origin
from rasterio.warp import calculate_default_transform

from geobatch_tui.errors import CrsError, SchemaError
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster.grid import output_grid, pixel_grid, projection
from geobatch_tui.execution.raster.grid.pixel_grid import Box
from geobatch_tui.execution.raster.plan import RasterPlan

GLOBE = pixel_grid.PixelGrid(CRS.from_epsg(4326), (1.0, 0.0, -180.0, 0.0, -1.0, 90.0), 360, 180)
needs_gdal = pytest.mark.skipif(
    shutil.which("gdalwarp") is None, reason="gdalwarp is not installed"
)


def nothing():
    return None


def small(crs="EPSG:4326", box=(8.0, 46.0, 10.0, 48.0), pixels=200):
    """A north-up source of ``pixels`` a side over ``box``."""
    x, y = (box[2] - box[0]) / pixels, (box[3] - box[1]) / pixels
    return pixel_grid.PixelGrid(
        CRS.from_user_input(crs), (x, 0.0, box[0], 0.0, -y, box[3]), pixels, pixels
    )


@pytest.mark.parametrize(
    ("crs", "story", "side"),
    [
        (3857, "area-of-use", 111_000),
        (3395, "area-of-use", 111_000),
        (3413, "area-of-use", 56_000),
        (3031, "area-of-use", 56_000),
        (2154, "area-of-use", 92_000),
        (3035, "gdal", 88_000),
        (32633, "gdal", 127_000),
        (6933, "gdal", 93_000),
    ],
)
def test_a_global_source_gets_a_sound_grid(tmp_path, crs, story, side):
    """Case 86: no pixels of 40 km for 1 km, no width of 0, no 1e19 m; the plan says what it did."""
    item = probe(globe(tmp_path / "globe.tif"), {"dst_crs": f"EPSG:{crs}"})
    plan = RasterPlan.from_json(item.detail)
    assert item.notes["grid"] == story
    assert plan.transform[0] == pytest.approx(side, rel=0.02)
    assert 10 < plan.width < 1000
    assert 10 < plan.height < 1000
    assert any("unsound" in text for text in item.warnings) == (story == "area-of-use")


def test_one_pixel_of_the_whole_globe_gives_few(tmp_path):
    """A pixel is measured at its centre, not between the poles: 642,802 a side were planned."""
    transform = rasterio.Affine(360.000000000072, 0, -180, 0, -180.00000000003604, 90)
    path = corpus.write(tmp_path / "one.tif", np.ones((3, 1, 1), "u1"), transform=transform)
    item = item_of(path, {"dst_crs": "EPSG:3857"})
    assert max(item.plan.detail["width"], item.plan.detail["height"]) <= 2
    pixels, valid = read_whole(item)
    assert valid.all()
    assert (pixels == 1).all()


def test_no_overlap_is_refused_with_both_boxes(tmp_path):
    """A scene of the Alps has nothing to show in Antarctica's CRS."""
    with pytest.raises(CrsError, match="do not overlap") as caught:
        probe(corpus.good(tmp_path), {"dst_crs": "EPSG:3031"})
    assert "(8, 45.6, 14.4, 52)" in caught.value.message
    assert "(-180, -90, 180, -60)" in caught.value.message


@pytest.mark.parametrize(
    ("west", "north", "dst_crs", "extent", "taken"),
    [
        (18.5, 50.0, "EPSG:32633", "auto", True),
        (11.0, 46.0, "EPSG:2154", "auto", True),
        (10.0, 87.0, "EPSG:3857", "auto", True),
        (181.5 - 360, 60.0, "EPSG:32660", "auto", True),
        (40.0, 50.0, "EPSG:32633", "auto", False),
        (40.0, 50.0, "EPSG:32633", "source", True),
        (18.5, 50.0, "EPSG:32633", "area-of-use", False),
    ],
)
def test_beside_the_area_of_use(tmp_path, west, north, dst_crs, extent, taken):
    """A source near the area of use gets GDAL's grid and a warning; one far away is refused, unless
    its extent is asked for and the grid is sound there."""
    path = corpus.write(tmp_path / "a.tif", transform=from_origin(west, north, 0.002, 0.002))
    params = {"dst_crs": dst_crs, "extent": extent}
    if not taken:
        with pytest.raises(CrsError, match="do not overlap"):
            probe(path, params)
        return
    made = probe(path, params)
    assert any("do not overlap. GDAL's grid" in text for text in made.warnings)
    with rasterio.open(path) as src:
        suggested = calculate_default_transform(src.crs, dst_crs, *src.shape[::-1], *src.bounds)
    assert made.detail["transform"] == pytest.approx(tuple(suggested[0])[:6])


def test_extent_source_refuses_what_auto_would_cut():
    """Extent = source takes GDAL's grid or none."""
    crs = CRS.from_epsg(3413)
    broken = pixel_grid.PixelGrid(crs, (1e20, 0.0, 0.0, 0.0, -1e20, 0.0), 10, 10)
    request = output_grid.GridRequest(extent="source")
    with pytest.raises(CrsError, match="no sound grid"):
        output_grid.choose(GLOBE, crs, request, lambda: broken)


def test_extent_area_of_use_cuts_even_a_sound_grid():
    """Asked for, it is done without a warning."""
    choice = output_grid.choose(
        GLOBE, CRS.from_epsg(3035), output_grid.GridRequest(extent="area-of-use"), nothing
    )
    assert choice.story == "area-of-use"
    assert choice.warnings == ()
    assert choice.grid.width < 100


@pytest.mark.parametrize(
    "bad",
    [
        ((float("nan"), 0.0, 0.0, 0.0, -1.0, 0.0), 10, 10),
        ((111e3, 0.0, 0.0, 0.0, -111e3, 0.0), 0, 10),
        ((4.1 * 111e3, 0.0, 0.0, 0.0, -4.1 * 111e3, 0.0), 10, 10),
        ((111e3 / 4.1, 0.0, 0.0, 0.0, -111e3 / 4.1, 0.0), 10, 10),
    ],
    ids=["nan", "empty", "coarse", "fine"],
)
def test_what_counts_as_unsound(bad):
    """Not finite, a side of 0, or pixels 4 times off."""
    crs, request = CRS.from_epsg(3857), output_grid.GridRequest()
    unsound = pixel_grid.PixelGrid(crs, *bad)
    choice = output_grid.choose(GLOBE, crs, request, lambda: unsound)
    assert choice.story == "area-of-use"
    fine = pixel_grid.PixelGrid(crs, (111e3, 0.0, -2e7, 0.0, -111e3, 2e7), 361, 361)
    assert output_grid.choose(GLOBE, crs, request, lambda: fine).story == "gdal"


def test_resolution_size_and_alignment():
    """Counted from the top left corner as gdalwarp does."""
    box = Box(105.0, 205.0, 1000.0, 1200.0)
    utm = CRS.from_epsg(32632)
    plain = output_grid.GridRequest(bounds=box, resolution=(100.0, 50.0))
    grid = output_grid.choose(small(), utm, plain, nothing).grid
    assert (grid.transform, grid.width, grid.height) == ((100, 0, 105, 0, -50, 1200), 9, 20)
    tap = output_grid.GridRequest(bounds=box, resolution=(100.0, 100.0), target_aligned_pixels=True)
    assert output_grid.choose(small(), utm, tap, nothing).grid.box == Box(100, 200, 1000, 1200)
    sized = output_grid.choose(
        small(), utm, output_grid.GridRequest(bounds=box, size=(179, 0)), nothing
    ).grid
    assert (sized.width, sized.height) == (179, 199)
    assert sized.transform == (5, 0, 105, 0, -5, 1200)


def test_bounds_in_another_crs_are_densified():
    """The box in dst_crs holds all of the box in bounds_crs, its bulging side too."""
    request = output_grid.GridRequest(
        bounds=Box(-20, 50, 40, 70), bounds_crs=crs_lookup.LONLAT, resolution=(1e4, 1e4)
    )
    box = output_grid.choose(GLOBE, CRS.from_epsg(3035), request, nothing).grid.box
    x, y = projection.project(
        np.array([10.0]), np.array([50.0]), crs_lookup.LONLAT, CRS.from_epsg(3035)
    )
    assert box.miny <= y[0] < box.miny + 2e4
    assert box.minx < x[0] < box.maxx


def test_a_source_over_the_antimeridian_does_not_go_round_the_world():
    """A scene of 2 degrees at 180 is refused, not made 360 degrees wide, and it says what helps."""
    source = small("EPSG:32601", (100_000, 0, 400_000, 300_000))
    crs = CRS.from_epsg(3857)
    wide = pixel_grid.PixelGrid(crs, (1000.0, 0.0, -20e6, 0.0, -1000.0, 3e5), 40_000, 300)
    with pytest.raises(CrsError, match="antimeridian") as caught:
        output_grid.choose(source, crs, output_grid.GridRequest(), lambda: wide)
    assert "bounds" in caught.value.hint


def test_too_many_pixels_are_refused():
    """A resolution in the wrong unit ends in a message, not in an allocation."""
    request = output_grid.GridRequest(bounds=Box(0, 0, 1e6, 1e6), resolution=(1e-5, 1e-5))
    with pytest.raises(SchemaError, match="pixels"):
        output_grid.choose(small(), CRS.from_epsg(32632), request, nothing)


def test_poles_are_inside_where_a_point_stands_for_them():
    """A polar CRS has the pole inside; a cylinder shows it as a line."""
    polar = pixel_grid.PixelGrid(CRS.from_epsg(3413), (1e5, 0, -5e6, 0, -1e5, 5e6), 100, 100)
    plate = pixel_grid.PixelGrid(CRS.from_epsg(6933), (1e5, 0, -17367530, 0, -1e5, 7.4e6), 347, 148)
    assert projection.poles_inside(polar) == [False, True]
    assert projection.poles_inside(plate) == [False, False]
    assert projection.lonlat_box(polar).maxy == 90


@pytest.mark.parametrize("corner", [(-3_950_000, 4_350_000), (-500_000, 6_000_000)])
@pytest.mark.parametrize("more", [{"resolution": 0.5}, {"size": [720, 0]}, {"size": [700, 90]}])
def test_a_pole_stays_inside_at_any_resolution(tmp_path, corner, more):
    """Around a pole the edges of a source say nothing of its extent in degrees."""
    pixels = np.full((1, 332, 316), 100, "u1")
    transform = from_origin(*corner, 25_000, 25_000)
    path = corpus.write(tmp_path / "pole.tif", pixels, crs="EPSG:3976", transform=transform)
    extent = []
    for params in ({}, more):
        plan = RasterPlan.from_json(probe(path, {"dst_crs": "EPSG:4326", **params}).detail)
        grid = pixel_grid.PixelGrid(crs_lookup.LONLAT, plan.transform, plan.width, plan.height)
        extent.append(grid.box)
    gdal, wished = extent
    assert gdal.miny < -89.5
    half = 0.51 * wished.height / plan.height
    for side in ("minx", "miny", "maxx", "maxy"):
        assert getattr(wished, side) == pytest.approx(getattr(gdal, side), abs=half)


@needs_gdal
@pytest.mark.parametrize(
    ("params", "flags"),
    [
        ({}, ""),
        ({"resolution": 5000}, "-tr 5000 5000"),
        ({"resolution": [5000, 3000], "target_aligned_pixels": True}, "-tr 5000 3000 -tap"),
        ({"resolution": 33333}, "-tr 33333 33333"),
        ({"resolution": 7777}, "-tr 7777 7777"),
        ({"size": [300, 0]}, "-ts 300 0"),
        ({"size": [300, 200]}, "-ts 300 200"),
        ({"bounds": [4.2e6, 2.1e6, 4.9e6, 2.9e6], "resolution": 4000},
         "-te 4200000 2100000 4900000 2900000 -tr 4000 4000"),
        ({"bounds": [4.2e6, 2.1e6, 4.9e6, 2.9e6], "size": [0, 321]},
         "-te 4200000 2100000 4900000 2900000 -ts 0 321"),
    ],
)  # fmt: skip
def test_grids_are_those_of_gdalwarp(tmp_path, params, flags):
    """Size and transform of gdalwarp for the same wishes; aligned, it trims empty rims by itself."""
    path = corpus.write(tmp_path / "a.tif", np.ones((1, 256, 256), "u1"))
    plan = RasterPlan.from_json(probe(path, {"dst_crs": "EPSG:3035", **params}).detail)
    words = ["gdalwarp", "-q", "-t_srs", "EPSG:3035", *shlex.split(flags), str(path)]
    subprocess.run([*words, str(tmp_path / "g.tif")], check=True)
    with rasterio.open(tmp_path / "g.tif") as theirs:
        slack = 1 if "-tap" in words else 0
        assert 0 <= plan.width - theirs.width <= slack
        assert 0 <= plan.height - theirs.height <= slack
        assert plan.transform == pytest.approx(tuple(theirs.transform)[:6], rel=1e-6)


@pytest.mark.parametrize("kernel", ["cubicspline", "lanczos", "mode", "average"])
@pytest.mark.parametrize("name", ["good", "nodata", "alpha", "oblong", "antimeridian"])
def test_a_source_on_its_own_grid_is_copied(tmp_path, name, kernel):
    """As with gdalwarp, no kernel is at work where pixels lie on pixels."""
    crs, transform, more = "EPSG:32633", from_origin(5e5, 5e6, 30, 30), {}
    pixels = corpus.picture(4 if name == "alpha" else 1, side=70)
    if name == "nodata":
        pixels[:, ::2], more = 0, {"nodata": 0}
    elif name == "alpha":
        pixels[3, ::3], more = 0, {"photometric": "rgb", "alpha": "unspecified"}
    elif name == "oblong":
        transform = from_origin(5e5, 5e6, 30, 330)
    elif name == "antimeridian":
        crs, transform = "EPSG:4326", from_origin(176, -10, 0.1, 0.1)
    path = corpus.write(tmp_path / "a.tif", pixels, crs=crs, transform=transform, **more)
    item = item_of(path, {"dst_crs": crs, "resampling": kernel})
    assert item.plan.detail["transform"] == list(transform)[:6]
    assert np.array_equal(read_whole(item)[0], pixels)
    a, _, c, _, e, f = transform[:6]
    cut = [c + 10 * a, f + 60 * e, c + 50 * a, f + 20 * e]
    part = item_of(path, {"dst_crs": crs, "resampling": kernel, "bounds": cut, "size": [40, 40]})
    assert np.array_equal(read_whole(part)[0], pixels[:, 20:60, 10:50])


def test_a_source_in_the_same_crs_keeps_its_extent_at_any_resolution():
    """As with gdalwarp -tr and -ts."""
    source = pixel_grid.PixelGrid(CRS.from_epsg(32633), (30.0, 0.0, 5e5, 0.0, -33.0, 5e6), 100, 100)
    for request, size in (
        (output_grid.GridRequest(resolution=(30.0, 30.0)), (100, 110)),
        (output_grid.GridRequest(size=(150, 0)), (150, 165)),
    ):
        grid = output_grid.choose(source, CRS.from_epsg(32633), request, nothing).grid
        assert (grid.width, grid.height) == size
        assert grid.box.maxy == 5e6


@needs_gdal
@pytest.mark.parametrize("resolution", [25_000, 27_171])
def test_a_resolution_counts_the_pixels_of_gdalwarp(tmp_path, resolution):
    """GDAL's own extent is rounded to whole pixels of its own: up on one axis here, and down on
    the other."""
    path = corpus.write(
        tmp_path / "a.tif", np.ones((1, 77, 123), "u1"), transform=from_origin(5, 60, 0.1, 0.1)
    )
    plan = probe(path, {"dst_crs": "EPSG:6933", "resolution": resolution}).detail
    step = str(resolution)
    words = ["gdalwarp", "-q", "-of", "VRT", "-t_srs", "EPSG:6933", "-tr", step, step, str(path)]
    subprocess.run([*words, str(tmp_path / "g.vrt")], check=True)
    with rasterio.open(tmp_path / "g.vrt") as theirs:
        assert (plan["width"], plan["height"]) == (theirs.width, theirs.height)


def test_a_missing_datum_grid_is_told(tmp_path):
    """Case 30: PROJ falls back to a worse transformation in silence; the plan does not."""
    path = corpus.write(
        tmp_path / "gb.tif", crs="EPSG:27700", transform=from_origin(4e5, 4e5, 100, 100)
    )
    item = probe(path, {"dst_crs": "EPSG:4326"})
    (text,) = [text for text in item.warnings if "best transformation" in text]
    assert re.search(r"needs \S*OSTN15\S*, which PROJ does not find", text)
