"""Our kernels give GDAL's pixels, and the same ones in any cut."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import corpus
import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning import globe, item_of, read_whole
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from warping import compared, in_parts, planned, whole

from geobatch_tui.execution.ops.raster_operations import REPROJECT
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.warp import resample, separable, source_window

KERNELS = ("nearest", "bilinear", "cubic", "cubicspline", "lanczos", "average")
#: A separable grid and one that is not.
CRSS = ("EPSG:6933", "EPSG:3035")
#: Up, equal, and down by 2.7 and 10, of a source of 128 pixels a side.
SIDES = (167, 128, 47, 13)
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


def assert_near(result, *, share=0.001):
    """The contract: nearest but for pixels at an edge of the source's; else whole numbers by 1 at
    most and in few pixels, others by a thousandth."""
    delta = result.differences()
    if result.plan.warp.resampling == "nearest":
        delta = delta * ~result.near_edges()
        assert not delta.any()
    elif result.gdal.dtype.kind == "f":
        extent = float(np.nanmax(result.gdal) - np.nanmin(result.gdal))
        assert delta.max() <= 1e-3 * extent
    else:
        assert delta.max() <= 1
        # A few of the few pixels of a small picture.
        assert np.count_nonzero(delta) <= max(share * delta.size, 3)
    assert result.rim() == 0


@pytest.mark.parametrize("crs", CRSS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_pixels_are_those_of_gdal_at_all_scales(tmp_path, crs, kernel):
    """Three bands of uint8 enlarged, kept, and reduced by 2.7 and 10."""
    path = corpus.write(tmp_path / "a.tif")
    for side in SIDES:
        assert_near(compared(path, {"dst_crs": crs, "resampling": kernel, "size": [side, side]}))


#: Types of pixels, and on which grids tests that are not slow try them. Compiled for seconds each:
#: what the others have of their own, uint8, int16 and int32, which is resampled as float64, have on
#: a separable grid; on one that is not, floats that are not rounded come beside uint8.
TYPES = {
    "int8": (), "uint16": (), "int16": CRSS[:1], "uint32": (), "int32": CRSS[:1],
    "float32": CRSS, "float64": (),
}  # fmt: skip


@pytest.mark.parametrize(
    ("crs", "dtype"),
    [
        pytest.param(crs, dtype, marks=() if crs in tried else pytest.mark.slow)
        for dtype, tried in TYPES.items()
        for crs in CRSS
    ],
)
def test_pixels_are_those_of_gdal_in_all_types(tmp_path, crs, dtype):
    """Rounding, clamping and sign of every type, by a kernel that overshoots."""
    path = corpus.write(tmp_path / "a.tif", corpus.picture(2, dtype=dtype))
    for kernel, side in (("nearest", 128), ("bilinear", 150), ("lanczos", 150), ("average", 50)):
        assert_near(compared(path, {"dst_crs": crs, "resampling": kernel, "size": [side, side]}))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("alpha", {}),
        ("dataset_mask", {}),
        ("nan_nodata", {}),
        ("good", {"add_alpha": True}),
        ("good", {"src_nodata": 120}),
        ("good", {"src_nodata": 120, "dst_nodata": 0}),
    ],
)
def test_invalid_pixels_are_those_of_gdal(tmp_path, kernel, name, more):
    """Alpha, masks and nodata: the same pixels hide, and their neighbours are as GDAL's; enlarged
    in one CRS, reduced in the other."""
    path = corpus.CASES[name].make(tmp_path)
    # Which of them is turns with the kernel.
    sides = (140, 45) if KERNELS.index(kernel) % 2 else (45, 140)
    for crs, side in zip(CRSS, sides, strict=True):
        params = {"dst_crs": crs, "resampling": kernel, "size": [side, side], **more}
        assert_near(compared(path, params))


def fading(path):
    """Three bands under alpha that fades out in a ramp, with a hole of none."""
    pixels = corpus.picture(4)
    pixels[3] = np.linspace(0, 255, pixels.shape[2]).astype("uint8")
    pixels[3, 40:60, 50:90] = 0
    corpus.write(path, pixels, photometric="RGB")
    with rasterio.open(path, "r+") as dst:
        dst.colorinterp = (*dst.colorinterp[:3], ColorInterp.alpha)
    return path


@pytest.mark.parametrize("crs", CRSS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_fading_alpha_is_gdalwarps(tmp_path, crs, kernel):
    """GDAL's virtual dataset blends alpha like a colour; gdalwarp takes that of the pixel below, or
    full alpha with means. Both of our paths do as gdalwarp."""
    path = fading(tmp_path / "a.tif")
    for side in (150, 45):
        params = {"dst_crs": crs, "resampling": kernel, "size": [side, side]}
        result = compared(path, params)
        assert_near(result)
        seen = result.valid & ~result.near_edges()
        assert np.array_equal(result.ours[3][seen], result.gdal[3][seen])
        values = np.unique(result.ours[3])
        assert np.isin(values, [0, 255]).all() == (kernel == "average")


@pytest.mark.parametrize("kernel", ["bilinear", "cubic", "mode", "average"])
def test_fading_alpha_by_the_installed_gdalwarp(tmp_path, kernel):
    """The exact path, pixel for pixel."""
    if not shutil.which("gdalwarp"):
        pytest.skip("no gdalwarp here")
    item = item_of(fading(tmp_path / "a.tif"), {"dst_crs": "EPSG:3035", "resampling": kernel})
    words = shlex.split(REPROJECT.gdal_command(item))
    words[words.index("-of") : -1] = ["-q", "-of", "GTiff", item.source]
    subprocess.run(words, check=True, capture_output=True)
    ours, _ = read_whole(item)
    with rasterio.open(item.out_path) as theirs:
        assert np.array_equal(ours[3], theirs.read(4))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_a_value_that_happens_to_be_nodata_is_kept_apart(tmp_path, dtype):
    """Where all bands come out as the nodata of the output, they step aside as with GDAL."""
    rows, cols = np.mgrid[0:120, 0:120]
    pixels = ((rows + cols) % 100).astype(dtype)[np.newaxis]
    pixels[:, 30:60, 20:50] = 7
    path = corpus.write(tmp_path / "a.tif", pixels, nodata=7)
    for kernel in ("nearest", "bilinear"):
        for nodata in (0, 50):
            params = {"dst_crs": "EPSG:6933", "resampling": kernel, "dst_nodata": nodata}
            result = compared(path, {**params, "size": [120, 120]})
            assert_near(result)
            hidden = result.gdal == nodata
            assert np.array_equal(result.ours == nodata, hidden)
            assert hidden.any()


@pytest.mark.parametrize(
    "crs",
    ["EPSG:3857", "EPSG:3413", "EPSG:3031", "EPSG:32633", "ESRI:54009", "+proj=ortho +lat_0=40"],
)
@pytest.mark.parametrize("kernel", ["nearest", "lanczos", "average"])
def test_hard_projections_come_out_as_gdals(tmp_path, crs, kernel):
    """Poles, limbs and the antimeridian inside: each pixel on the source is, to GDAL too."""
    step, width = (0.5, 300) if kernel == "average" else (1.0, 150)
    path = globe(tmp_path / "globe.tif", step=step)
    params = {"dst_crs": crs, "resampling": kernel, "size": [width, 0]}
    if "ortho" in crs:
        params["extent"] = "source"
    result = compared(path, params)
    # Means over like weights are often halves, which the last bit of a position rounds up or down.
    assert_near(result, share=0.006 if kernel == "average" else 0.001)
    assert result.valid.mean() > 0.3


@pytest.mark.parametrize("crs", ["EPSG:3832", "EPSG:4326", "EPSG:2193"])
def test_a_source_over_the_antimeridian_is_not_torn(tmp_path, crs):
    """Longitudes from 175 to 188 and an output that goes on eastward, or counts from -180."""
    place = from_origin(175, -30, 0.05, 0.05)
    path = corpus.write(tmp_path / "a.tif", transform=place)
    result = compared(path, {"dst_crs": crs, "resampling": "cubic", "size": [150, 150]})
    assert_near(result)
    assert result.valid.mean() > 0.5


@pytest.mark.parametrize("kind", ["valid", "alpha", "nodata"])
@pytest.mark.parametrize("kernel", ["nearest", "cubic"])
def test_both_sides_of_the_antimeridian_are_read_apart(tmp_path, monkeypatch, kernel, kind):
    """Around a pole, where parts reach from one end of the source to the other: the same bits as
    from boxes over the whole of its width, which are not read."""
    path = globe(tmp_path / "globe.tif", step=0.5, bands=4 if kind == "alpha" else 3)
    with rasterio.open(path, "r+") as dataset:
        if kind == "alpha":
            red, green, blue = ColorInterp.red, ColorInterp.green, ColorInterp.blue
            dataset.colorinterp = red, green, blue, ColorInterp.alpha
            dataset.write(dataset.read(4) // 100 * 100, 4)
        elif kind == "nodata":
            dataset.nodata = 121
    item, plan = planned(path, {"dst_crs": "EPSG:3413", "resampling": kernel, "size": [500, 0]})
    read_samples = source_window.Sampler.read_samples

    def counted(self, window):
        read[-1] += window.size
        return read_samples(self, window)

    monkeypatch.setattr(source_window.Sampler, "read_samples", counted)
    monkeypatch.setattr(resample, "PART", 64)
    found, read = [], []
    for saving in (resample.SAVING, -1):  # nothing is saved so much: the sides are read at once
        monkeypatch.setattr(resample, "SAVING", saving)
        read.append(0)
        windows = [Window(x, y, 60, 60) for x in (220, 280) for y in (0, 60, 120, 180, 240)]
        with opened_source.source_of(item) as held:
            found.append(
                [resample.resample_window(held, plan, plan.warp, window) for window in windows]
            )
        opened_source.release()
    assert read[0] < read[1]
    for (one, valid), (other, also) in zip(*found, strict=True):
        assert one.tobytes() == other.tobytes()
        assert (valid is None and also is None) or (valid == also).all()


@QUIET
@given(
    job=st.tuples(
        st.sampled_from(KERNELS),
        st.sampled_from(["good", "alpha", "dataset_mask", "nan_nodata"]),
        st.sampled_from(CRSS),
        st.sampled_from([30, 150]),
    ),
    cut=st.tuples(st.integers(5, 150), st.integers(5, 150)),
    inner=st.tuples(st.sampled_from([16, 64, 512]), st.sampled_from([20_000, 10**6, 10**8])),
    data=st.data(),
)
def test_any_cut_gives_the_same_bits(tmp_path, monkeypatch, job, cut, inner, data):
    """Windows, their order, parts inside of them and the memory for the source change nothing."""
    kernel, name, crs, side = job
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    path = next((p for p in folder.iterdir() if p.stem == name), None)
    path = path or corpus.CASES[name].make(folder)
    params = {"dst_crs": crs, "resampling": kernel, "size": [side, side]}
    item, plan = planned(path, params)
    expected, expected_valid = in_parts(path, plan, item, [whole(plan)])
    windows = [
        Window(col, row, min(cut[0], side - col), min(cut[1], side - row))
        for row in range(0, side, cut[1])
        for col in range(0, side, cut[0])
    ]
    with monkeypatch.context() as patch:
        patch.setattr(resample, "PART", inner[0])
        for module in (resample, separable):
            patch.setattr(module, "TILE", min(inner[0], 128))
        patch.setattr(source_window, "SOURCE_BYTES", inner[1])
        got, valid = in_parts(path, plan, item, data.draw(st.permutations(windows)))
    assert got.tobytes() == expected.tobytes()
    assert np.array_equal(valid, expected_valid)


def test_cells_do_not_move_with_the_window(tmp_path):
    """On a grid that is not separable, with a pole inside, chunks equal the whole to the bit."""
    path = globe(tmp_path / "globe.tif", step=0.5)
    item, plan = planned(path, {"dst_crs": "EPSG:3413", "resampling": "cubic", "size": [333, 333]})
    assert plan.warp.path == "lattice"
    expected, _ = in_parts(path, plan, item, [whole(plan)])
    windows = [
        Window(col, row, min(47, 333 - col), min(91, 333 - row))
        for row in range(0, 333, 91)
        for col in range(0, 333, 47)
    ]
    got, _ = in_parts(path, plan, item, windows)
    assert got.tobytes() == expected.tobytes()
