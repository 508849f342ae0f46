"""Which pixels are valid, by nodata, alpha, mask or nothing."""

from __future__ import annotations

import math

import corpus
import numpy as np
import pytest
import rasterio
from planning import item_of, probe, read_whole

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster import source_raster, validity
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source

TO = {"dst_crs": "EPSG:3035"}


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def plan_of(path, params, **how):
    return RasterPlan.from_json(probe(path, params, **how).detail)


@pytest.mark.parametrize(
    ("value", "dtype", "held"),
    [
        (255, "uint8", 255),
        (-128.0, "int8", -128),
        (1e20, "float32", float(np.float32(1e20))),
        (-3.40282346638529e38, "float32", float(np.finfo("float32").min)),
        (2**63, "uint64", 2**63),
    ],
)
def test_nodata_is_what_the_type_holds(value, dtype, held):
    """Integers as integers, floats as the nearest one."""
    assert validity.fitted(value, dtype, "it") == held


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(-9999, "uint8"), (0.5, "int16"), (math.nan, "int32"), (256, "uint8"), (1e300, "int64")],
)
def test_nodata_that_no_pixel_can_have_is_refused(value, dtype):
    """Case 11: a number outside of the pixels' type."""
    with pytest.raises(SchemaError, match="cannot"):
        validity.fitted(value, dtype, "it")


def test_a_source_with_impossible_nodata_is_refused_unless_ignored(tmp_path):
    """-9999 in bytes: the file's own nodata is told, and can be set aside."""
    pixels = corpus.picture(1)
    path = tmp_path / "odd.img"
    corpus.write(tmp_path / "plain.tif", pixels)
    vrt = corpus._vrt(
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>-9999</NoDataValue><SimpleSource>'
        f"<SourceFilename>{tmp_path}/plain.tif</SourceFilename></SimpleSource></VRTRasterBand>"
    )
    corpus.rio_copy(vrt, path, driver="HFA")
    with rasterio.open(path) as src:
        if src.nodata != -9999:
            pytest.skip("this GDAL drops such a value when it writes the file")
    with pytest.raises(SchemaError, match="-9999"):
        probe(path, TO)
    assert plan_of(path, {**TO, "src_nodata": "none"}).validity == "mask"


@pytest.mark.parametrize(
    ("name", "params", "validity_", "nodata", "count"),
    [
        ("good", {}, "mask", None, 3),
        ("good", {"dst_nodata": 0}, "nodata", 0, 3),
        ("good", {"src_nodata": 120}, "nodata", 120, 3),
        ("good", {"add_alpha": True}, "alpha", None, 4),
        ("int8", {}, "nodata", -128, 1),
        ("int8", {"dst_nodata": 7}, "nodata", 7, 1),
        ("int8", {"src_nodata": "none"}, "mask", None, 1),
        ("int8", {"add_alpha": True}, "alpha", None, 2),
        ("alpha", {}, "alpha", None, 4),
        ("dataset_mask", {}, "mask", None, 3),
        ("dataset_mask", {"dst_nodata": 0}, "nodata", 0, 3),
        ("band_nodata", {}, "mask", None, 2),
        ("band_nodata", {"src_nodata": "none"}, "mask", None, 2),
    ],
)
def test_how_the_output_keeps_validity(tmp_path, name, params, validity_, nodata, count):
    """The choice by source and parameters."""
    plan = plan_of(corpus.CASES[name].make(tmp_path), {**TO, **params})
    assert (plan.validity, plan.nodata, plan.count) == (validity_, nodata, count)


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "lanczos"])
@pytest.mark.parametrize(
    ("name", "params"),
    [("int8", {}), ("nan_nodata", {}), ("alpha", {}), ("dataset_mask", {}), ("band_nodata", {}),
     ("int8", {"add_alpha": True}), ("dataset_mask", {"dst_nodata": 0}),
     ("band_nodata", {"add_alpha": True}), ("int8", {"dst_nodata": 7})],
)  # fmt: skip
def test_the_hole_stays_a_hole(tmp_path, name, params, kernel):
    """The disc in the middle is invalid after the warp, its surroundings are not, and no value of
    nodata bleeds into a valid pixel."""
    item = item_of(corpus.CASES[name].make(tmp_path), {**TO, **params, "resampling": kernel})
    plan = RasterPlan.from_json(item.plan.detail)
    pixels, valid = read_whole(item)
    if plan.validity == "alpha":
        valid = pixels[-1] > 0
    elif plan.validity == "nodata":
        valid = validity.differs(pixels[0], plan.nodata)
    height, width = valid.shape
    assert not valid[height // 2 - 5 : height // 2 + 5, width // 2 - 5 : width // 2 + 5].any()
    assert valid[height // 8 : height // 6, width // 2].all()
    assert 0.4 < valid.mean() < 0.9
    if name == "int8":
        assert pixels[0][valid].min() > -120, "nodata -128 bled"


@pytest.mark.parametrize("dtype", sorted(source_raster.DTYPES))
def test_every_type_has_its_rim(tmp_path, dtype):
    """Outside pixels are told from inside ones in every type, and inside ones keep their value."""
    path = corpus.write(tmp_path / "a.tif", corpus.picture(1, dtype=dtype))
    pixels, valid = read_whole(item_of(path, TO))
    assert pixels.dtype == dtype
    assert 0.5 < valid.mean() < 0.99
    known = set(np.unique(corpus.picture(1, dtype=dtype)).tolist())
    assert set(np.unique(pixels[0][valid]).tolist()) <= known
    with_alpha, _ = read_whole(item_of(path, {**TO, "add_alpha": True}))
    assert np.array_equal(with_alpha[1] > 0, valid)


def test_no_black_rim_without_nodata(tmp_path):
    """Case 13: pixels that no source pixel reaches are invalid, not black data."""
    pixels, valid = read_whole(item_of(corpus.good(tmp_path), TO))
    assert not valid.all()
    assert (pixels[:, ~valid] == 0).all()
    assert (pixels[:, valid] > 0).all()


def test_nodata_beside_alpha_is_told(tmp_path):
    """Alpha decides; the file's own nodata, and what the job gives, are left out with a warning."""
    path = corpus.alpha(tmp_path)
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = 3
    given = {"src_nodata": 5, "dst_nodata": 7}
    told = probe(path, given, op="raster.convert").warnings
    assert told == tuple(
        f"{what} is left out: the source has alpha, which says what is valid"
        for what in ("nodata 3.0", "src_nodata 5", "dst_nodata 7")
    )
    assert plan_of(path, given, op="raster.convert").nodata is None
    assert len(probe(path, {"src_nodata": "none"}, op="raster.convert").warnings) == 1


def test_alpha_must_be_last(tmp_path):
    """An alpha band in the middle is refused."""
    path = tmp_path / "alpha.tif"
    profile = corpus.profile_of(corpus.picture(4))
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(corpus.picture(4))
        dst.colorinterp = [
            rasterio.enums.ColorInterp[n] for n in ("gray", "alpha", "undefined", "undefined")
        ]
    with pytest.raises(SchemaError, match="band 2"):
        probe(path, TO)


def test_convert_renames_nodata_and_keeps_pixels(tmp_path):
    """Invalid pixels take the new value, valid ones that hold it step aside, all others stay."""
    path = corpus.int8(tmp_path)
    pixels, _ = read_whole(item_of(path, {"dst_nodata": 99}, op="raster.convert"))
    with rasterio.open(path) as src:
        original = src.read()
    moved = np.where(original == 99, 98, original)
    assert np.array_equal(pixels, np.where(original == -128, 99, moved))


def masked_nodata(path, *, nodata=0):
    """One band of 1..250 with nodata in the first rows, and a mask that hides the left half too."""
    pixels = np.random.default_rng(2).integers(1, 250, (1, 64, 64), "uint8")
    pixels[:, :8] = nodata
    shown = np.full((64, 64), 255, "uint8")
    shown[:8], shown[:, :32] = 0, 0
    profile = corpus.profile_of(pixels, nodata=nodata)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dst:
        dst.write(pixels)
        dst.write_mask(shown)
    return path, pixels, shown > 0


def test_convert_keeps_a_mask_beside_nodata(tmp_path):
    """What the mask hides stays hidden, though its pixels are not nodata."""
    path, pixels, shown = masked_nodata(tmp_path / "both.tif")
    plan = plan_of(path, {}, op="raster.convert")
    assert (plan.validity, plan.nodata) == ("mask", 0)
    copied, valid = read_whole(item_of(path, {}, op="raster.convert"))
    assert np.array_equal(copied, pixels)
    assert np.array_equal(valid, shown)


@pytest.mark.parametrize("params", [{}, {"src_nodata": "none"}, {"src_nodata": 0}])
def test_convert_writes_a_new_nodata_under_a_mask(tmp_path, params):
    """Invalid by mask or by value, it gets the new value; a valid pixel that has it steps aside."""
    path, pixels, shown = masked_nodata(tmp_path / "both.tif")
    item = item_of(path, {"dst_nodata": 100, **params}, op="raster.convert")
    (text,) = item.plan.warnings
    assert "dst_nodata 100" in text
    assert "become 99" in text
    copied, _ = read_whole(item)
    assert np.array_equal(copied[0] != 100, shown)
    moved = np.where(pixels == 100, 99, pixels)
    assert np.array_equal(copied[0][shown], moved[0][shown])


def test_convert_declares_nodata_where_there_was_none(tmp_path):
    """The pixels stay, as with gdal_translate -a_nodata; a warning says that some become invalid."""
    path = corpus.good(tmp_path)
    item = item_of(path, {"dst_nodata": 99}, op="raster.convert")
    assert "pixels that hold dst_nodata 99 become nodata" in item.plan.warnings[0]
    copied, _ = read_whole(item)
    with rasterio.open(path) as src:
        assert np.array_equal(copied, src.read())


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "average"])
@pytest.mark.parametrize("dst_crs", ["EPSG:3857", "EPSG:3035"])
def test_a_warp_heeds_a_mask_and_nodata(tmp_path, kernel, dst_crs):
    """As many pixels are hidden as by the mask alone, which hides the nodata too."""
    path, _, _ = masked_nodata(tmp_path / "both.tif")
    params = {"dst_crs": dst_crs, "resampling": kernel}
    both, _ = read_whole(item_of(path, params))
    only, valid = read_whole(item_of(path, {**params, "src_nodata": "none"}))
    assert 0.3 < valid.mean() < 0.5
    assert np.array_equal(both[0] > 0, valid)
    assert np.array_equal(both[0][valid], only[0][valid])


def test_a_warp_by_gdal_of_a_mask_beside_nodata_is_refused(tmp_path):
    """GDAL would show what the mask hides."""
    path, _, _ = masked_nodata(tmp_path / "both.tif")
    with pytest.raises(SchemaError, match="mask beside nodata"):
        probe(path, {**TO, "resampling": "mode"})
    assert probe(path, {**TO, "resampling": "mode", "src_nodata": "none"})


def test_a_warp_tells_of_valid_pixels_that_hold_its_nodata(tmp_path):
    """They step aside, as with gdalwarp."""
    item = probe(corpus.good(tmp_path), {**TO, "dst_nodata": 7})
    assert any("dst_nodata 7 in all bands become 6" in text for text in item.warnings)
    assert not probe(corpus.int8(tmp_path), {**TO, "dst_nodata": -128}).warnings


def test_shares_are_counted(tmp_path):
    """The receipt's share of invalid pixels."""
    plan = plan_of(corpus.int8(tmp_path), TO)
    pixels = np.array([[[1, -128], [-128, -128]]], "int8")
    assert validity.invalid_share(plan, pixels, None) == 0.75
    assert validity.invalid_share(plan, pixels, np.array([[True, False], [True, True]])) == 0.25
