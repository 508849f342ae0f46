"""Windows of a warp equal the same windows of the whole, and GDAL's own."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import corpus
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning import globe, item_of, read_whole
from rasterio.enums import ColorInterp
from rasterio.vrt import WarpedVRT

from geobatch_tui.execution.ops.raster_operations import REPROJECT
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.warp import gdal_warp

KERNELS = (
    "nearest", "bilinear", "cubic", "cubicspline", "lanczos", "average", "rms",
    "mode", "max", "min", "med", "q1", "q3", "sum",
)  # fmt: skip
needs_gdal = pytest.mark.skipif(
    shutil.which("gdalwarp") is None, reason="gdalwarp is not installed"
)
QUIET = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def gdalwarp(item, *, pinned=True):
    """Pixels of the command that ``plan --gdal`` prints (without its pins, if asked so)."""
    words = shlex.split(REPROJECT.gdal_command(item))
    if not pinned:
        scales = [i for i, word in enumerate(words) if word.startswith(("XSCALE", "YSCALE"))]
        words = [word for i, word in enumerate(words) if i not in scales and i + 1 not in scales]
        words[1:1] = ["-wm", "2047"]
    start = words.index("-of")
    words[start:-2] = ["-q", "-overwrite", "-of", "GTiff"]
    words[-1] += ".gdal.tif"
    subprocess.run(words, check=True, capture_output=True)
    with rasterio.open(words[-1]) as out:
        return out.read()


@QUIET
@given(
    kernel=st.sampled_from(KERNELS),
    kind=st.sampled_from([
        ("good", {}), ("alpha", {}), ("dataset_mask", {}), ("nan_nodata", {}), ("int8", {}),
        ("float64", {"dst_nodata": -1}), ("band_nodata", {}), ("rotated", {}),
        ("good", {"add_alpha": True}), ("uint64", {}),
    ]),
    scale=st.sampled_from([0.3, 1.0, 2.4]),
    block=st.sampled_from([16, 64, 96]),
    chunk=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    subdivide=st.integers(0, 2),
    data=st.data(),
)  # fmt: skip
def test_any_cut_gives_the_same_pixels(  # noqa: PLR0917
    tmp_path, kernel, kind, scale, block, chunk, subdivide, data
):
    """Chunk sizes, their order and sub-windows never change a pixel."""
    name, more = kind
    folder = tmp_path / name
    path = folder / "in" / f"{name}.tif"
    if not folder.exists():
        (folder / "in").mkdir(parents=True)
        path = corpus.CASES[name].make(folder / "in")
    else:
        path = next(p for p in (folder / "in").iterdir() if p.stem == name)
    side = round(125 * scale)
    params = {"dst_crs": "EPSG:3035", "resampling": kernel, "size": [side, side], **more}
    output = {"format": "GTiff", "creation": {"blocksize": block}}
    whole = item_of(path, params, output=output, cols=10_000, rows=10_000)
    cut = item_of(path, params, output=output, cols=chunk[0], rows=chunk[1])
    assert len(whole.plan.grid) == 1
    order = data.draw(st.permutations(range(len(cut.plan.grid))))
    expected, expected_valid = read_whole(whole)
    got, valid = read_whole(cut, order, subdivide)
    assert np.array_equal(got, expected, equal_nan=got.dtype.kind == "f")
    assert np.array_equal(valid, expected_valid)
    assert whole.plan.detail == cut.plan.detail


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:3413", "EPSG:32633", "EPSG:3035", "ESRI:54009"])
@pytest.mark.parametrize("kernel", ["cubic", "average"])
def test_hard_projections_are_cut_without_a_seam(tmp_path, crs, kernel):
    """Poles, limbs and the antimeridian inside: chunks still equal the whole."""
    path = globe(tmp_path / "globe.tif")
    params = {"dst_crs": crs, "resampling": kernel, "size": [210, 150]}
    output = {"creation": {"blocksize": 64}}
    whole, whole_valid = read_whole(item_of(path, params, output=output, cols=9999, rows=9999))
    cut, valid = read_whole(item_of(path, params, output=output, cols=64, rows=64), subdivide=1)
    assert np.array_equal(cut, whole)
    assert np.array_equal(valid, whole_valid)
    assert valid.mean() > 0.3


def test_a_kernel_wider_than_its_window_still_sees_its_neighbours(tmp_path):
    """Where the scale varies over the item, a window's own scale is not the item's: GDAL alone
    would cut the kernel short at the rim of its blocks."""
    rng = np.random.default_rng(1)
    path = corpus.write(tmp_path / "noise.tif", rng.integers(1, 255, (1, 150, 150), "uint8"))
    options = {"XSCALE": 0.4, "YSCALE": 0.4}
    params = {
        "dst_crs": "EPSG:3035",
        "resampling": "lanczos",
        "size": [300, 300],
        "warp_options": options,
    }
    item = item_of(path, params)
    plan = RasterPlan.from_json(item.plan.detail)
    ours, _ = read_whole(item)
    with rasterio.open(path) as src, WarpedVRT(
        src, crs=plan.crs, transform=rasterio.Affine(*plan.transform), width=300, height=300,
        resampling=gdal_warp.resampling_of("lanczos"), tolerance=1e-9, add_alpha=True,
        XSCALE=0.4, YSCALE=0.4, SOURCE_EXTRA=150,
    ) as vrt:  # fmt: skip
        assert np.array_equal(vrt.read(1), ours[0])
    with opened_source.source_of(item) as held:
        plain = RasterPlan.from_json(
            {**item.plan.detail, "warp": {**item.plan.detail["warp"], "options": {}}}
        )
        short, _ = gdal_warp.warp_window(held, plain, plain.warp, Window(0, 0, 300, 300))
    assert (short != ours).any(), "the test's scale no longer shows the fault that it guards"


@needs_gdal
@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        *(("good", kernel) for kernel in KERNELS[::3]),
        *(("nan_nodata", kernel) for kernel in KERNELS[::2]),
        *(("dataset_mask", kernel) for kernel in KERNELS[1::2]),
    ],
)
def test_pixels_are_those_of_gdalwarp(tmp_path, kernel, name):
    """The printed command gives the same pixels: nearest all, others but for the last bit."""
    item = item_of(
        corpus.CASES[name].make(tmp_path), {"dst_crs": "EPSG:3035", "resampling": kernel}
    )
    ours, _ = read_whole(item, subdivide=1)
    theirs = gdalwarp(item)[: len(ours)]
    if kernel == "mode" and _version() < (3, 11):
        pytest.skip("GDAL 3.11 changed which of equally common values mode takes")
    if kernel == "nearest":
        assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")
        return
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    apart = np.abs(np.nan_to_num(ours.astype("f8")) - np.nan_to_num(theirs.astype("f8")))
    if ours.dtype.kind == "f":
        assert apart.max() < 1e-3
    else:
        assert apart.max() <= 1
        assert (apart > 0).mean() < 1e-3


def _version():
    text = subprocess.run(["gdalwarp", "--version"], check=True, capture_output=True, text=True)
    return tuple(int(part) for part in text.stdout.split()[1].split(".")[:2])


@needs_gdal
@pytest.mark.parametrize(
    "crs", ["EPSG:3857", "EPSG:3413", "EPSG:2154", "EPSG:3035", "EPSG:32633", "EPSG:6933"]
)
def test_the_pinned_scale_is_gdals_own(tmp_path, crs):
    """Gdalwarp in one chunk, without pins, gives what it gives with ours."""
    path = globe(tmp_path / "globe.tif")
    item = item_of(path, {"dst_crs": crs, "resampling": "bilinear"})
    pinned, free = gdalwarp(item), gdalwarp(item, pinned=False)
    assert np.array_equal(pinned, free)


def test_longitudes_beyond_180_are_all_used(tmp_path):
    """A source of 0 to 360 degrees fills the whole output, as with gdalwarp."""
    usual = item_of(
        globe(tmp_path / "a.tif"),
        {"dst_crs": "EPSG:6933", "resampling": "bilinear", "size": [360, 150]},
    )
    plan = RasterPlan.from_json(usual.plan.detail)
    bounds = (
        plan.transform[2],
        plan.transform[5] + 150 * plan.transform[4],
        plan.transform[2] + 360 * plan.transform[0],
        plan.transform[5],
    )
    shifted = item_of(
        globe(tmp_path / "b.tif", west=0.0),
        {"dst_crs": "EPSG:6933", "resampling": "bilinear", "size": [360, 150], "bounds": bounds},
    )
    ours, valid = read_whole(shifted)
    expected, _ = read_whole(usual)
    assert valid.all()
    inner = np.abs(ours[:, :, 5:-5].astype(int) - expected[:, :, 5:-5])
    seam = slice(172, 178)
    inner[:, :, seam] = 0
    assert inner.max() <= 1


def test_upside_down_sources_give_the_same_pixels(tmp_path):
    """South-up is only another transform."""
    params = {"dst_crs": "EPSG:3035", "resampling": "bilinear", "size": [200, 200]}
    good = item_of(corpus.good(tmp_path), params)
    plan = RasterPlan.from_json(good.plan.detail)
    a, _, c, _, e, f = plan.transform
    params["bounds"] = (c, f + 200 * e, c + 200 * a, f)
    usual, _ = read_whole(item_of(tmp_path / "good.tif", params))
    upside, _ = read_whole(item_of(corpus.south_up(tmp_path), params))
    assert np.abs(usual.astype(int) - upside).max() <= 1


def test_tolerance_zero_is_still_broken_in_rasterio(tmp_path):
    """WarpedVRT(tolerance=0) has no transformer; once this fails, the plan can say 0."""
    with rasterio.open(corpus.good(tmp_path)) as src, pytest.raises(Exception, match="NULL"):
        WarpedVRT(
            src, crs="EPSG:3857", transform=rasterio.Affine(5000, 0, 890000, 0, -5000, 6800000),
            width=200, height=200, tolerance=0,
        ).read()  # fmt: skip


@needs_gdal
def test_alpha_of_floats_keeps_its_value(tmp_path):
    """That of the source's pixel; gdalwarp leaves its whole part, up to 255. Colours are the same."""
    pixels = corpus.picture(4, side=60, dtype="float32") / np.float32(0.7)
    place = {"crs": "EPSG:32633", "transform": Affine(30, 0, 5e5, 0, -30, 5e6)}
    path = corpus.write(tmp_path / "a.tif", pixels, **place)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp[name] for name in ("red", "green", "blue", "alpha")]
    item = item_of(path, {"dst_crs": "EPSG:3857", "resampling": "bilinear"})
    assert any("alpha keeps its values" in text for text in item.plan.warnings)
    (*colours, alpha), _ = read_whole(item)
    *theirs, cut = gdalwarp(item)
    np.testing.assert_array_equal(colours, theirs)
    assert set(np.unique(alpha)) <= {0, *np.unique(pixels[3])}
    assert (alpha > 255).any()
    assert np.array_equal(cut, np.floor(cut))
    assert np.abs(np.minimum(alpha, 255) - cut).max() <= 1
