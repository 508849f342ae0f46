"""Steps on heights: as GDAL 3.13 has them, at every rim, and what they say and refuse in the plan."""

from __future__ import annotations

import json
import math
import re
import shlex

import numpy as np
import pytest
import rasterio
from chains import chain_item, raster, whole_of, window_of
from kept_gdal import by_gdal
from pydantic import ValidationError
from rasterio.transform import Affine, from_origin

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.chain_params import STEP_PARAMS
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.source import opened_source

#: Every way that the steps work, in GDAL's words.
WAYS = [
    "hillshade --zfactor 3 --azimuth 200 --altitude 30",
    "hillshade --gradient-alg ZevenbergenThorne --no-edges",
    "hillshade --variant combined",
    "hillshade --variant multidirectional --altitude 60",
    "hillshade --variant Igor --azimuth 20",
    "slope",
    "slope --unit percent --no-edges",
    "slope --gradient-alg ZevenbergenThorne --xscale 500 --yscale 400",
    "slope --gradient-alg ZevenbergenThorne --unit percent",
    "aspect",
    "aspect --convention trigonometric-angle --gradient-alg ZevenbergenThorne",
    "aspect --no-edges",
    "tpi",
    "tri",
    "tri --algorithm Wilson --no-edges",
    "roughness",
    "roughness --no-edges",
]
#: Heights of a hill, a flat, a pit and a pixel without data.
HILL = np.array(
    [
        [10, 10, 10, 10, 10, 10],
        [10, 10, 12, 14, 10, 10],
        [10, 11, 20, 15, -99, 10],
        [10, 10, 13, 11, 9, 10],
        [10, 10, 10, 4, 10, 10],
    ],
    "float32",
)


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def step_of(words):
    """The parameters of a step in GDAL's words."""
    name, *rest = shlex.split(words)
    step = {"name": name}
    while rest:
        option = rest.pop(0).removeprefix("--").replace("-", "_")
        step[option] = rest.pop(0) if rest and not rest[0].startswith("--") else True
    return step


def given(step):
    """The step as a worker gets it: checked, with what is as by default."""
    model = STEP_PARAMS[step["name"]].model_validate(step)
    return json.loads(model.model_dump_json())


def heights(path, pixels, *, crs="EPSG:3035", transform=None, **profile):
    """Write heights as a raster of one band, with pixels of 10 by 10 unless told."""
    height, width = pixels.shape
    transform = transform or from_origin(4_000_000, 3_000_000, 10, 10)
    profile = {"nodata": -99, "dtype": pixels.dtype, "count": 1} | profile
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, crs=crs, transform=transform,
        **profile,
    ) as out:  # fmt: skip
        out.write(pixels, 1)
    return path


def made(path, words):
    """What a step gives for a file."""
    plan, pixels, _ = whole_of(chain_item(path, [given(step_of(words))]))
    return plan, pixels[0]


def said(path, words):
    """The warnings of a plan."""
    return " ".join(chain_item(path, [given(step_of(words))]).plan.warnings)


# --- GDAL --------------------------------------------------------------------------------------


def _sources(folder):
    """Heights of the three kinds of arithmetic: in degrees, in feet, in bytes without nodata."""
    rng = np.random.default_rng(5)
    x, y = np.meshgrid(np.linspace(0, 9, 61), np.linspace(0, 7, 53))
    hills = 900 + 300 * np.sin(x) * np.cos(y) + rng.normal(0, 20, x.shape)
    floats = raster(folder / "float.tif", size=(61, 53), bands=1)
    whole = hills.astype("int16")
    whole[20:24, 30:40] = whole[0, :3] = whole[40, 60] = -99
    feet = heights(
        folder / "feet.tif", whole, crs="EPSG:2225", transform=from_origin(6e6, 2e6, 90, 70)
    )
    flat = np.clip(hills / 200, 0, 255).astype("uint8")
    return [floats, feet, heights(folder / "byte.tif", flat, nodata=None)]


@pytest.fixture(scope="module")
def by_both(tmp_path_factory):
    """Each source and way, by GDAL and by us; GDAL runs once."""
    folder = tmp_path_factory.mktemp("terrain")
    found = []
    for source in _sources(folder):
        outs = [folder / f"{source.stem}-{number}.tif" for number in range(len(WAYS))]
        tees = [f"[ {way} ! write {out} ]" for way, out in zip(WAYS, outs, strict=True)]
        by_gdal(f"read {source} ! tee {' '.join(tees)} ! write --of MEM none")
        for way, out in zip(WAYS, outs, strict=True):
            with rasterio.open(out) as file:
                found.append((source.stem, way, file.read(1), file.nodata, *made(source, way)))
    return found


def test_pixels_are_gdals(by_both):
    """To the bit, at rims and beside nodata too; a grey level of some shades in a thousand may be
    the next one, as GDAL takes roots by an estimate of the processor."""
    shades = 0
    for source, way, theirs, nodata, plan, ours in by_both:
        assert (ours.dtype, plan.nodata) == (theirs.dtype, nodata), (source, way)
        if ours.dtype == "uint8":
            apart = np.abs(ours.astype(int) - theirs)
            assert apart.max() <= 1, (source, way)
            assert np.array_equal(ours == 0, theirs == 0)
            shades += np.count_nonzero(apart)
        else:
            assert np.array_equal(ours, theirs), (source, way)
    assert shades < 0.001 * 15 * 61 * 53


def test_shades_behind_a_warp_are_gdals_by_the_same_scale(tmp_path):
    """A pipeline of GDAL has another scale for the kernel than its command that reprojects alone,
    unless it is told one: then its shades are ours. Its approximated coordinates do not matter."""
    rng = np.random.default_rng(3)
    hills = rng.normal(500, 40, (700, 90)).astype("float32")
    there = {"crs": "EPSG:4326", "transform": from_origin(-9, 84, 0.2, 0.24), "nodata": None}
    path = heights(tmp_path / "a.tif", hills, **there)
    warp = {"name": "reproject", "output_crs": "EPSG:6933", "resampling": "bilinear"}
    scale = {"XSCALE": "1", "YSCALE": "1"}
    steps = [given({**warp, "warp_option": scale}), given(step_of("hillshade --zfactor 50"))]
    _, ours, _ = whole_of(chain_item(path, steps))
    out = tmp_path / "b.tif"
    by_gdal(
        f"read {path} ! reproject --output-crs EPSG:6933 -r bilinear --warp-option XSCALE=1 "
        f"--warp-option YSCALE=1 ! hillshade --zfactor 50 ! write {out}"
    )
    with rasterio.open(out) as file:
        apart = np.abs(ours[0].astype(int) - file.read(1))
    assert apart.max() <= 1
    assert np.count_nonzero(apart) < 0.002 * apart.size


@pytest.mark.parametrize("words", WAYS)
def test_any_cut_gives_the_same_pixels(tmp_path, words):
    """Each way, in rows of tiles and in windows of a pixel, at rims and within."""
    path = raster(tmp_path / "a.tif", size=(70, 150))
    item = chain_item(path, [given(step_of(words))])
    plan, whole, _ = whole_of(item)
    corners = [Window(0, 0, 1, 1), Window(69, 0, 1, 1), Window(69, 149, 1, 1), Window(0, 149, 1, 1)]
    parts = [Window(0, 3, 70, 130), Window(1, 1, 68, 148), Window(20, 66, 9, 1)]
    for window in [*corners, *parts, *chunks_of(plan)]:
        part, _ = window_of(item, window)
        assert part.tobytes() == np.ascontiguousarray(whole[:, *window.slices]).tobytes()


def chunks_of(plan):
    """Windows of 40 by 50 pixels, side by side."""
    tops, lefts = range(0, plan.height, 50), range(0, plan.width, 40)
    return [Window(x, y, 40, 50).clip(plan.whole) for y in tops for x in lefts]


def test_flat_pixels_may_be_zero(tmp_path):
    """Zero where it is flat; where there are no heights nodata stays, and that is said."""
    path = heights(tmp_path / "a.tif", HILL)
    plan, pixels = made(path, "aspect --zero-for-flat")
    assert pixels[0, 0] == 0
    assert pixels[2, 4] == plan.nodata == -9999
    assert made(path, "aspect")[1][0, 0] == -9999
    assert "GDAL makes them 0" in said(path, "aspect --zero-for-flat")


# --- numbers that stand for themselves ---------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "row"),
    [
        ("hillshade", [187, 212, 197, 142, 0, 184]),
        ("slope", [2.8624053, 17.3670673, 9.2566824, 12.0571938, -9999.0, 1.43209624]),
        ("slope --unit percent", [5.0, 31.2749901, 16.2980061, 21.3600101, -9999.0, 2.5]),
        ("aspect", [270.0, 272.290588, 265.601318, 110.556046, -9999.0, 270.0]),
        ("tpi", [0.0, -0.875, 8.0, 2.0, -9999.0, 0.0]),
        ("tri", [1.41421354, 9.53939247, 23.1516743, 10.7703295, -9999.0, 1.41421354]),
        ("roughness", [2.0, 10.0, 10.0, 11.0, -9999.0, 2.0]),
    ],
)
def test_a_row_of_a_hill(tmp_path, words, row):
    """The third row, as GDAL 3.13.3 has it."""
    pixels = made(heights(tmp_path / "a.tif", HILL), words)[1][2]
    assert np.array_equal(pixels, np.array(row, pixels.dtype))


def test_a_plane_has_its_slope_and_direction(tmp_path):
    """Up to the rim, as planes go on: 30 degrees down towards the south-west. In the corners columns
    end, as GDAL has it."""
    y, x = np.mgrid[:40, :50]
    steep = math.tan(math.radians(30)) / math.sqrt(2)
    path = heights(tmp_path / "a.tif", (10 * steep * (x - y)).astype("float64"))
    corners = np.zeros((40, 50), bool)
    corners[::39, ::49] = True
    assert np.allclose(made(path, "slope")[1][~corners], 30, atol=1e-4)
    assert np.all(made(path, "slope")[1][corners] < 27)
    assert np.allclose(made(path, "aspect")[1][~corners], 225, atol=1e-3)
    assert np.allclose(made(path, "tpi")[1][~corners], 0, atol=1e-4)
    # The light comes from the side: nothing but its height counts.
    shade = 1 + 254 * math.sin(math.radians(45)) * math.cos(math.radians(30))
    assert set(np.unique(made(path, "hillshade")[1][~corners])) == {round(shade)}


def test_upside_down_is_the_same_ground(tmp_path):
    """Rows from south to north: slopes, shades and directions stay where they belong."""
    rng = np.random.default_rng(2)
    ground = (100 + rng.normal(0, 3, (20, 30))).astype("float32")
    up = heights(tmp_path / "up.tif", ground)
    turned = Affine(10, 0, 4_000_000, 0, 10, 3_000_000 - 200)
    down = heights(tmp_path / "down.tif", ground[::-1], transform=turned)
    for words in ("slope", "hillshade", "hillshade --variant Igor", "aspect"):
        one, other = made(up, words)[1], made(down, words)[1][::-1]
        assert np.allclose(one.astype(float), other.astype(float), atol=1), words
    assert "north is taken from the grid" in said(down, "aspect")


@pytest.mark.parametrize("validity", ["nodata", "alpha", "mask"])
def test_every_mark_of_what_is_valid_counts(tmp_path, validity):
    """Nodata, alpha or a mask, or NaN: the output has nodata in the same places."""
    path = raster(tmp_path / "a.tif", validity=validity)
    nodata = raster(tmp_path / "b.tif", validity="nodata")
    for words in ("slope --xscale 1 --yscale 1", "hillshade --no-edges", "roughness"):
        plan, pixels = made(path, words)
        assert (plan.count, plan.validity) == (1, "nodata")
        assert np.array_equal(pixels, made(nodata, words)[1]), words
    holed = HILL.copy()
    holed[HILL == -99] = np.nan
    path = heights(tmp_path / "c.tif", holed, nodata=None)
    assert np.array_equal(made(path, "tri")[1], made(heights(tmp_path / "d.tif", HILL), "tri")[1])


def test_values_beside_nodata_are_not_taken_for_it(tmp_path):
    """A shade of 0 is 1, and an index of -9999 the next value: they are valid."""
    wall = np.array([[0, 0, 0], [0, 0, 4e4], [0, 0, 4e4]], "float32")
    path = heights(tmp_path / "a.tif", wall)
    assert made(path, "hillshade --variant Igor --azimuth 90")[1].min() == 1
    pit = np.full((3, 3), 9999, "float32")
    pit[1, 1] = 0
    _, pixels = made(heights(tmp_path / "b.tif", pit), "tpi")
    assert pixels[1, 1] == np.nextafter(np.float32(-9999), np.float32(-1e9))


def test_wide_types_are_not_rounded_first(tmp_path):
    """A millimetre on a high plain: GDAL loses it in float32, which is said."""
    x = np.mgrid[:9, :9][1]
    ground = 100_000 + 0.001 * x
    path = heights(tmp_path / "a.tif", ground)
    assert np.allclose(made(path, "slope --unit percent")[1][1:-1], 0.01, rtol=1e-5)
    assert "GDAL rounds float64 to float32" in said(path, "slope")
    number = heights(tmp_path / "b.tif", (2_000_000_000 + 10 * x).astype("int32"))
    assert np.allclose(made(number, "slope")[1][1:-1], 45)


def test_a_line_of_pixels_has_no_slope(tmp_path):
    """As GDAL: all of it is nodata; and it is said."""
    path = heights(tmp_path / "a.tif", HILL[:1])
    assert np.all(made(path, "slope")[1] == -9999)
    assert "have no slope" in said(path, "tri")


# --- what the plan says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crs", "transform", "expected"),
    [
        ("EPSG:3035", None, None),
        ("EPSG:4326", from_origin(10, 60.25, 0.1, 0.1), "55659.75 .* 111319.5 .* latitude 60,"),
        ("EPSG:4326", from_origin(10, 85.25, 0.1, 0.1), "near to a pole"),
        ("EPSG:2225", None, "0.3048006 of them"),
        ("EPSG:4807", from_origin(1, 50.25, 0.1, 0.1), "latitude 45,"),  # grads from Paris
    ],
)
def test_scales_come_from_the_crs(tmp_path, crs, transform, expected):
    """By the latitude of the middle of a grid in degrees, by the unit of another; said, and pinned
    in the plan."""
    path = heights(tmp_path / "a.tif", HILL, crs=crs, transform=transform)
    text = said(path, "slope")
    if expected is None:
        assert text == ""
    else:
        assert re.search(expected, text), text
    assert said(path, "slope --xscale 2 --yscale 2") == ""


def test_the_scale_is_of_the_whole_item(tmp_path):
    """A clip has its own middle; a chunk has not."""
    path = heights(
        tmp_path / "a.tif", HILL, crs="EPSG:4326", transform=from_origin(10, 60.25, 0.1, 0.1)
    )
    item = chain_item(path, [given({"name": "slope"})])
    numbers = item.plan.detail["chain"][1]["values"]["numbers"]
    assert math.isclose(numbers[0], 1 / (0.1 * 55659.745), rel_tol=1e-6)
    steps = [given({"name": "clip", "window": [0, 0, 6, 2]}), given({"name": "slope"})]
    clipped = chain_item(path, steps)
    assert clipped.plan.detail["chain"][2]["values"]["numbers"][0] > numbers[0]


def test_units_of_heights_count(tmp_path):
    """Feet over metres; a unit that is not known is taken for metres, and said."""
    path = heights(tmp_path / "a.tif", HILL)
    metres = made(path, "slope --unit percent")[1]
    for unit, factor in (("ft", 0.3048), ("Metre", 1), ("us-ft", 0.3048006096)):
        with rasterio.open(path, "r+") as file:
            file.units = (unit,)
        valid = metres != -9999
        assert np.allclose(made(path, "slope --unit percent")[1][valid], metres[valid] * factor)
        assert said(path, "slope") == ""
    with rasterio.open(path, "r+") as file:
        file.units = ("fathom",)
        file.scales = (0.1,)
    assert "'fathom', which is not known" in said(path, "hillshade")
    assert "scale of 0.1, which is not applied" in said(path, "tpi")


def test_directions_on_oblong_pixels_are_warned_of(tmp_path):
    """GDAL takes pixels for squares."""
    path = heights(tmp_path / "a.tif", HILL, transform=from_origin(4e6, 3e6, 10, 20))
    assert "0.5 times as wide as high: directions are off by up to 19 degrees" in said(
        path, "aspect"
    )
    assert said(path, "slope") == ""


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("slope --xscale 2", "given together"),
        ("slope --xscale 0 --yscale 1", "greater than 0"),
        ("hillshade --zfactor -1", "greater than 0"),
        ("hillshade --zfactor inf", "finite"),
        ("hillshade --azimuth nan", "finite"),
        ("hillshade --altitude 91", "less than or equal to 90"),
        ("hillshade --variant multidirectional --azimuth 20", "has no azimuth"),
        ("hillshade --variant Igor --altitude 20", "has no altitude"),
        ("hillshade --variant soft", "'regular', 'combined'"),
        ("tpi --xscale 2 --yscale 2", "xscale"),
        ("aspect --band 0", "greater than or equal to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(words, part):
    """By the name of the parameter, before any file is opened."""
    with pytest.raises(ValidationError) as caught:
        given(step_of(words))
    assert part in str(caught.value)


def test_words_are_taken_in_any_case():
    """As GDAL takes them."""
    assert given(step_of("hillshade --variant IGOR -z 2".replace("-z", "--z")))["variant"] == "Igor"
    assert given(step_of("tri --algorithm wilson"))["algorithm"] == "Wilson"


def test_a_turned_grid_has_no_slope(tmp_path):
    """Its rows do not run along x; what needs no directions works."""
    turned = Affine(9, 5, 0, -5, -9, 0)
    path = heights(tmp_path / "a.tif", HILL, transform=turned)
    for words in ("slope", "hillshade", "aspect"):
        with pytest.raises(SchemaError, match="turned against its CRS"):
            made(path, words)
    assert made(path, "tpi")[1][2, 2] == 8
    with pytest.raises(SchemaError, match="there is no band 2"):
        made(path, "tri --band 2")
