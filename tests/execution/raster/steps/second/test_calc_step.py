"""The step *calc*: types, nodata by rule, and GDAL's builtin functions."""

from __future__ import annotations

import json
import math
import shlex
import warnings

import numpy as np
import pytest
import rasterio
from chains import chain_item, raster, whole_of, window_of
from kept_gdal import by_gdal
from planning import OPERATIONS
from rasterio.transform import from_origin

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.algebra.calc_program import TILE
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def of_values(path, *bands, dtype="uint8", nodata=None, valid=None):
    """Write a raster of one row."""
    pixels = np.array(bands, dtype)[:, np.newaxis]
    count, height, width = pixels.shape
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": count, "dtype": dtype,
        "nodata": nodata, "crs": "EPSG:4326", "transform": from_origin(10, 42, 0.5, 0.5),
        "photometric": "minisblack",
    }  # fmt: skip
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(path, "w", **profile) as out:
        out.write(pixels)
        if valid is not None:
            out.write_mask(np.array([valid]))
    return path


def result(path, calc, **params):
    """The raster, and the pixels and the mask of its one row."""
    item = chain_item(path, [{"name": "calc", "calc": calc, **params}])
    plan, pixels, mask = whole_of(item)
    return plan, pixels[:, 0].tolist(), None if mask is None else mask[0].tolist()


def warned(path, calc, **params):
    return chain_item(path, [{"name": "calc", "calc": calc, **params}]).plan.warnings


NAN = [math.nan]


def same(found, expected):
    return np.array_equal(np.array(found, float), np.array(expected, float), equal_nan=True)


def test_an_index(tmp_path):
    """Floats of whole numbers; where both bands are 0, nodata, which is NaN."""
    path = of_values(tmp_path / "a.tif", [0, 1, 3], [0, 3, 1])
    plan, (pixels,), _ = result(path, "(b1 - b2) / (b1 + b2)", ot="Float32")
    assert (plan.dtype, plan.validity, plan.count) == ("float32", "nodata", 1)
    assert math.isnan(plan.nodata)
    assert same(pixels, [math.nan, -0.5, 0.5])
    assert plan.colorinterp == ("gray",)
    assert not warned(path, "b1")


def test_results_that_are_no_numbers_are_nodata(tmp_path):
    """0/0, 1/0, roots and logarithms of what is below 0, and what the output cannot hold; floats
    keep it as NaN, whole numbers as a mask, a nodata value where there is one."""
    path = of_values(tmp_path / "a.tif", [0, 1, 2, 5], [0, 0, 1, 2])
    for text in ("b1 / b2", "1 / b2", "sqrt(b2 - 1)", "log(b2)", "b2 ? b1 : NODATA"):
        plan, (pixels,), _ = result(path, text)
        assert plan.dtype == "float64"
        assert math.isnan(pixels[0]), text
        plan, (pixels,), mask = result(path, text, ot="Int16")
        assert (plan.validity, plan.nodata) == ("mask", None)
        assert not mask[0]
        assert mask[3]
        assert pixels[0] == 0
        plan, (pixels,), _ = result(path, text, ot="Int16", nodata=-7)
        assert (plan.validity, plan.nodata, pixels[0]) == ("nodata", -7, -7)
    assert same(
        result(path, "b1 * 1e38", ot="Float32")[1],
        [[0, np.float32(1e38), np.float32(2e38), math.nan]],
    )
    assert same(result(path, "b1 * 1e308")[1], [[0, 1e308, math.nan, math.nan]])
    # A comparison with NaN does not hold, and whole numbers are held within their type.
    assert result(path, "b1 / b2 > 1 ? 1 : 0", ot="Byte")[1] == [[0, 1, 1, 1]]
    assert result(path, "b1 * 100 - 50.5", ot="Byte")[1] == [[0, 50, 150, 255]]
    assert result(path, "0.5 - b1", ot="Int8")[1] == [[1, -1, -2, -5]]  # halves away from 0


def test_whole_numbers_that_are_always_there_need_no_mask(tmp_path):
    """Sums and products of whole numbers are numbers."""
    path = of_values(tmp_path / "a.tif", [0, 255], [1, 2])
    assert result(path, "b1 * b2 + 1", ot="UInt16")[0].validity == "none"
    assert result(path, "b1 / b2", ot="UInt16")[0].validity == "mask"
    path = of_values(tmp_path / "b.tif", [0, 255], nodata=0)
    assert result(path, "b1 + 1", ot="UInt16")[0].validity == "nodata"


def test_nodata_of_the_input(tmp_path):
    """It is that of the output, if that can hold it; a result that happens to be nodata is moved,
    one that the expression writes is nodata."""
    path = of_values(tmp_path / "a.tif", [9, 1, 2], [1, 1, 9], nodata=9)
    plan, pixels, _ = result(path, ["b1 + b2", "b2 + 1"])
    assert plan.nodata == 9
    assert pixels == [[9, 2, 9], [2, 2, 9]]
    assert result(path, "b1 + 8")[1] == [[9, np.nextafter(9, 10), 10]]
    assert result(path, "b1 > 1 ? 9 : 3")[1] == [[9, 3, 9]]
    assert "results of 9 are nodata" in warned(path, "b1 > 1 ? 9 : 3")[0]
    assert result(path, "b1 + 3", nodata=5)[1] == [[5, 4, 5]]
    assert not warned(path, "b1 + 3", nodata=5)
    plan, pixels, _ = result(path, "b1", nodata="none")
    assert (plan.nodata, plan.validity) == (None, "none")
    assert same(pixels, [[math.nan, 1, 2]])
    path = of_values(tmp_path / "b.tif", [-9999, 1], dtype="int16", nodata=-9999)
    plan, (pixels,), mask = result(path, "b1 + 1", ot="Byte")
    assert (plan.validity, mask, pixels[1]) == ("mask", [False, True], 2)
    assert "uint8 cannot hold nodata -9999" in warned(path, "b1 + 1", ot="Byte")[0]
    with pytest.raises(SchemaError, match="nodata 300 cannot occur in uint8"):
        result(path, "b1", ot="Byte", nodata=300)


def test_infinity_without_nodata(tmp_path):
    """Where the job wants none, results are as they come; NaN is NaN."""
    path = of_values(tmp_path / "a.tif", [0, 1, 2], [0, 0, 1])
    assert same(result(path, "b1 / b2", nodata="none")[1], [[math.nan, math.inf, 2]])


def test_masks_and_alpha_hide(tmp_path):
    """What they hide is nodata, of every band."""
    path = of_values(tmp_path / "a.tif", [1, 2], [3, 4], valid=[True, False])
    assert same(result(path, ["b1", "b1 + b2"])[1], [[1, math.nan], [4, math.nan]])
    _, pixels, mask = result(path, "b1 + b2", ot="Byte")
    assert (pixels, mask) == ([[4, 0]], [True, False])
    path = raster(tmp_path / "b.tif", dtype="uint8", validity="alpha")
    with pytest.raises(SchemaError, match="no band 3; the input has 2 and alpha, which is no band"):
        result(path, "b3")
    item = chain_item(path, [{"name": "calc", "calc": "X"}])
    plan, pixels, _ = whole_of(item)
    with rasterio.open(path) as source:
        alpha = source.read(3)
    assert (plan.count, plan.validity) == (2, "nodata")
    assert np.array_equal(np.isnan(pixels[0]), alpha == 0)
    assert "alpha is no band of calc" in item.plan.warnings[0]


def test_nodata_that_takes_part(tmp_path):
    """Without propagation it counts as the nodata value of the output, as in GDAL."""
    path = of_values(tmp_path / "a.tif", [9, 1, 2], [1, 1, 9], nodata=9)
    params = {"propagate_nodata": False}
    assert result(path, "isnodata(b1) ? b2 : b1", **params)[1] == [[1, 1, 2]]
    assert result(path, "(isnodata(b1) ? 0 : b1) + (isnodata(b2) ? 0 : b2)", **params)[1] == [
        [1, 2, 2]
    ]
    assert result(path, "b1 + b2", nodata=255, **params)[1] == [[256, 2, 257]]
    assert same(result(path, "isnan(b1) ? 0 : b1", nodata="nan", **params)[1], [[0, 1, 2]])
    assert same(result(path, "b1 + b2", nodata="nan", **params)[1], [[math.nan, 2, math.nan]])
    assert "isnodata never holds" in warned(path, "isnodata(b1) ? b2 : b1")[0]
    assert result(path, "isnodata(b1) ? b2 : b1")[1] == [[9, 1, 9]]


def test_bands_and_types(tmp_path):
    """Each expression gives a band, ``X`` as many as come in; float64 is GDAL's choice."""
    path = raster(tmp_path / "a.tif", dtype="int16")
    item = chain_item(path, [{"name": "calc", "calc": ["X * 2", "7"], "ot": "int32"}])
    plan, pixels, _ = whole_of(item)
    assert (plan.count, plan.dtype, plan.nodata) == (3, "int32", -99)
    with rasterio.open(path) as source:
        given = source.read().astype("int32")
    assert np.array_equal(pixels[:2], np.where(given == -99, -99, given * 2))
    assert (pixels[2] == 7).all()
    assert plan.colorinterp == ("gray", "undefined", "undefined")
    with pytest.raises(SchemaError, match=r"step 2 \(calc\): calc: there is no band 3; .* has 2"):
        chain_item(path, [{"name": "edit"}, {"name": "calc", "calc": "b3"}])
    assert whole_of(chain_item(path, [{"name": "calc", "calc": "b1"}]))[0].dtype == "float64"


def test_what_may_surprise_is_said(tmp_path):
    """Scales that are not applied, whole numbers that are too long."""
    path = of_values(tmp_path / "a.tif", [1, 2], [3, 4], dtype="int64")
    with rasterio.open(path, "r+") as file:
        file.scales = (1.0, 0.1)
    scaled, long = sorted(warned(path, "b1 + b2"))
    assert "b2: scale and offset are not applied" in scaled
    assert "int64 is computed as float64" in long
    assert len(warned(path, "b1")) == 1


def test_middles_of_pixels(tmp_path):
    """GDAL's variables, in units of the CRS, whatever part is asked for."""
    path = raster(tmp_path / "a.tif", size=(40, 30), validity="none")
    item = chain_item(path, [{"name": "calc", "calc": ["_CENTER_X_", "_CENTER_Y_"]}])
    plan, (x, y), _ = whole_of(item)
    transform = rasterio.Affine(*plan.transform)
    assert (x[0, 0], y[0, 0]) == transform @ (0.5, 0.5)
    assert x[29, 39] == pytest.approx(10 + 39.5 * 0.05)
    (part, _), _ = window_of(item, Window(39, 29, 1, 1))
    assert part[0, 0] == x[29, 39]


def test_functions_of_numpy_are_named_in_the_plan(tmp_path):
    """Other machines may round them otherwise; nothing else depends on the machine."""
    path = raster(tmp_path / "a.tif")

    def values_of(calc):
        item = chain_item(path, [{"name": "calc", "calc": calc}])
        return RasterPlan.from_json(json.loads(json.dumps(item.plan.detail))).chain[1].values

    assert set(values_of("log(b1)")["numerics"]) == {"numpy", "cpu", "libc"}
    assert "numerics" not in values_of("(b1 - b2) ^ 2 / sqrt(b1)")
    assert values_of("b1  +\n1") == values_of("b1 + 1")


@pytest.mark.parametrize(
    "calc", ["exp(b1 / 100) + log(b2) * sin(b1) ^ 1.7", "atan2(b1, b2) > 0.7 ? b1 / b2 : tan(b1)"]
)
def test_large_windows_are_cut_in_any_way(tmp_path, calc):
    """Several tiles, and windows that begin anywhere in them."""
    path = raster(tmp_path / "a.tif", size=(230, 190))
    item = chain_item(path, [{"name": "calc", "calc": calc}])
    plan, pixels, _ = whole_of(item)
    assert plan.whole.size > 2 * TILE
    rng = np.random.default_rng(7)
    for _ in range(25):
        left, top = int(rng.integers(230)), int(rng.integers(190))
        width, height = int(rng.integers(1, 231 - left)), int(rng.integers(1, 191 - top))
        part, _ = window_of(item, Window(left, top, width, height))
        own = np.ascontiguousarray(pixels[:, top : top + height, left : left + width])
        assert part.tobytes() == own.tobytes()


def test_against_numpy(tmp_path):
    """Formulas of remote sensing, to the last bit of float64."""
    path = raster(tmp_path / "a.tif", dtype="uint16", validity="none", bands=4, size=(200, 150))
    with rasterio.open(path) as source:
        b1, b2, b3, b4 = source.read().astype(float)
    with np.errstate(all="ignore"):
        formulas = {
            "(b4 - b3) / (b4 + b3)": (b4 - b3) / (b4 + b3),
            "2.5 * (b4 - b3) / (b4 + 6 * b3 - 7.5 * b1 + 1)": (
                2.5 * (b4 - b3) / (b4 + 6 * b3 - 7.5 * b1 + 1)
            ),
            "0.3 * b1 + 0.59 * b2 + 0.11 * b3": 0.3 * b1 + 0.59 * b2 + 0.11 * b3,
            "(b1 > 100) * 2 + (b2 > 100)": (b1 > 100) * 2 + (b2 > 100),
            "sqrt(b1 ^ 2 + b2 ^ 2)": np.sqrt(b1 * b1 + b2 * b2),
            "b1 > 100 && b2 < 90 ? b3 : b4": np.where((b1 > 100) & (b2 < 90), b3, b4),
            "10 * log10(b1)": 10 * np.log10(b1),
        }
    item = chain_item(path, [{"name": "calc", "calc": list(formulas)}])
    for found, expected in zip(whole_of(item)[1], formulas.values(), strict=True):
        finite = np.where(np.isfinite(expected), expected, np.nan)
        assert np.array_equal(found, finite, equal_nan=True)


@pytest.mark.parametrize(("flatten", "propagate"), [(True, False), (False, True)])
def test_builtin_functions_are_those_of_gdal(tmp_path, flatten, propagate):
    """The same pixels and nodata; means may differ in the last bit, since GDAL divides as it
    adds."""
    path = raster(tmp_path / "a.tif", bands=4, size=(60, 50))
    with rasterio.open(path, "r+") as file:
        pixels = file.read()
        pixels[np.random.default_rng(3).random(pixels.shape) < 0.3] = -99
        file.write(pixels)
    names = ["sum", "mean", "min", "max", "median"]
    flags = "--flatten " * flatten + "--propagate-nodata " * propagate
    calc = " ".join(f"--calc {name}" for name in names)
    by_gdal(f"calc -i {path} --dialect builtin {calc} --ot Float64 {flags}! write {tmp_path}/o.tif")
    step = {
        "name": "calc", "calc": names, "dialect": "builtin", "flatten": flatten,
        "propagate_nodata": propagate,
    }  # fmt: skip
    plan, found, _ = whole_of(chain_item(path, [step]))
    with rasterio.open(tmp_path / "o.tif") as file:
        expected = file.read()
        assert (plan.dtype, plan.count, plan.nodata) == (file.dtypes[0], file.count, file.nodata)
    assert (found == -99).sum() > 100
    assert np.array_equal(found == -99, expected == -99)
    for name, own, theirs in zip(np.repeat(names, len(found) // 5), found, expected, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=5e-16 if name == "mean" else 0)


def test_the_least_and_the_greatest_keep_the_type(tmp_path):
    """As GDAL has it; all else is float64."""
    path = raster(tmp_path / "a.tif", dtype="int16")
    for name, dtype in {"min": "int16", "max": "int16", "mean": "float64"}.items():
        step = {"name": "calc", "calc": name, "dialect": "builtin"}
        assert whole_of(chain_item(path, [step]))[0].dtype == dtype


def test_gdal_reads_the_command(tmp_path):
    """A chain that begins with calc is one that GDAL knows; bands have its names."""
    path = raster(tmp_path / "a.tif")
    steps = [{"name": "calc", "calc": ["b1 - b2", "X[2] ^ 2"]}, {"name": "select", "band": 1}]
    words = shlex.split(OPERATIONS["raster.pipeline"].gdal_command(chain_item(path, steps)))
    assert words[3:12] == [
        "calc", "-i", str(path), "--calc", "X[1] - X[2]", "--calc", "X[2] ^ 2",
        "--propagate-nodata", "!",
    ]  # fmt: skip
    steps = [{"name": "calc", "calc": "max", "dialect": "builtin", "flatten": True}]
    item = chain_item(path, steps)
    command = OPERATIONS["raster.pipeline"].gdal_command(item)
    by_gdal(
        command.removeprefix("gdal raster pipeline ").replace(item.out_path, f"{tmp_path}/o.tif")
    )
    with rasterio.open(tmp_path / "o.tif") as file, warnings.catch_warnings():
        assert np.array_equal(file.read(), whole_of(item)[1])
