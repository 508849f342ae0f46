"""The step *resize*: as GDAL 3.13 resamples, in parts as in one, and what it says and refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from chains import chain_item, raster, whole_of, window_of
from kept_gdal import all_by_gdal
from pydantic import ValidationError
from rasterio.transform import from_origin

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.chain_params import STEP_PARAMS
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.gdal_commands import item_command
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.steps.grids import resize_step

RESAMPLINGS = ("nearest", "bilinear", "cubic", "cubicspline", "lanczos", "average", "mode")
#: Smaller by halves and by fractions, larger, and both.
SIZES = ("50%,50%", "20,17", "130,97", "71,5")
#: Pixels that GDAL has where the middle of Lanczos' kernel lies on a hidden pixel, and nothing but
#: rounding is left; and the rounding of float32, in which GDAL sums four pixels.
_FEW, _FLOAT = 0.01, 2e-5


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def resized(path, size, resampling, **how):
    """The plan and the pixels of a raster in another size, and its mask."""
    step = {"name": "resize", "size": size.split(","), "resampling": resampling}
    return whole_of(chain_item(path, [given(step)], **how))


def given(step):
    """The step as a worker gets it."""
    return json.loads(STEP_PARAMS["resize"].model_validate(step).model_dump_json())


def written(path, pixels, **profile):
    """Write one band of pixels."""
    height, width = pixels.shape
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": pixels.dtype,
        "crs": "EPSG:3035", "transform": from_origin(4_000_000, 3_000_000, 10, 10), **profile,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(pixels, 1)
    return path


# --- GDAL --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gdals(tmp_path_factory):
    """What GDAL gives: the source, its own output, size and resampling."""
    folder = tmp_path_factory.mktemp("gdal")
    kinds = [("uint8", "none"), ("uint8", "nodata"), ("float32", "nodata"), ("int16", "nodata")]
    jobs = []
    for dtype, validity in kinds:
        source = raster(
            folder / f"{dtype}-{validity}.tif",
            size=(62, 54),
            dtype=dtype,
            validity=validity,
            bands=1,
        )
        for number, (resampling, size) in enumerate(
            (resampling, size) for resampling in RESAMPLINGS for size in SIZES
        ):
            jobs.append((source, folder / f"{source.stem}-{number}.tif", size, resampling))
    all_by_gdal(
        f"read {source} ! resize --size {size} -r {resampling} ! write {out}"
        for source, out, size, resampling in jobs
    )
    return jobs


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_pixels_are_those_of_gdal(gdals, resampling):
    """In size, place, validity and value."""
    few = _FEW if resampling == "lanczos" else 0
    for source, out, size, own in gdals:
        if own != resampling:
            continue
        plan, [pixels], _ = resized(source, size, resampling)
        with rasterio.open(out) as dataset:
            theirs = dataset.read(1)
            assert theirs.shape == pixels.shape
            assert np.allclose(tuple(dataset.transform)[:6], plan.transform, rtol=1e-13)
        if resampling == "mode" and plan.nodata == -99 and plan.dtype == "int16":
            theirs = np.where(pixels == -99, -99, theirs)  # 0 where GDAL has no valid pixel
        if plan.nodata is not None:
            astray = (pixels == plan.nodata) != (theirs == plan.nodata)
            assert astray.mean() <= few, (source, size)
        apart = np.abs(pixels.astype(float) - theirs.astype(float))
        assert (apart > (_FLOAT if plan.dtype == "float32" else 0)).mean() <= few, (source, size)


def test_a_few_numbers(tmp_path):
    """A row of steps, half as long and twice as long."""
    path = written(tmp_path / "a.tif", np.array([[0, 10, 20, 90]] * 4, "uint8"))
    expected = {
        ("50%,50%", "nearest"): [10, 90],
        ("50%,50%", "average"): [5, 55],
        ("50%,50%", "bilinear"): [7, 49],
        ("3,3", "average"): [2, 15, 73],
        ("8,4", "bilinear"): [0, 3, 8, 13, 18, 38, 73, 90],
        ("8,4", "cubic"): [0, 2, 7, 11, 13, 36, 77, 96],
        ("2,2", "mode"): [0, 20],
    }
    for (size, resampling), row in expected.items():
        _, [pixels], _ = resized(path, size, resampling)
        assert pixels[0].tolist() == row, (size, resampling)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        (["50%", "50%"], (50, 33)), (["33.3%", "150%"], (33, 100)), (["40", "0"], (40, 27)),
        ([0, 40], (60, 40)), (["50%", 0], (50, 33)), ([40, 20], (40, 20)),
    ],
)  # fmt: skip
def test_sizes_are_counted_as_gdal_does(tmp_path, asked, size):
    """Percents are cut off, proportions are rounded."""
    path = written(tmp_path / "a.tif", np.zeros((67, 101), "uint8"))
    item = chain_item(path, [given({"name": "resize", "size": asked})])
    plan, _, _ = whole_of(item)
    assert (plan.width, plan.height) == size
    assert f"resize --size {','.join(map(str, asked))} " in item_command(item)


def test_a_resolution_is_kept(tmp_path):
    """The number of pixels is rounded, their size is not."""
    path = written(tmp_path / "a.tif", np.zeros((67, 101), "uint8"))
    plan, _, _ = whole_of(chain_item(path, [given({"name": "resize", "resolution": [13, 7]})]))
    assert (plan.width, plan.height) == (78, 96)
    assert plan.transform == (13, 0, 4_000_000, 0, -7, 3_000_000)


# --- its own rules -----------------------------------------------------------------------------


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("size", ["31,27", "44,90"])
def test_parts_are_the_whole(tmp_path, monkeypatch, resampling, size):
    """However little is in memory at once, an exact half by integers too."""
    path = raster(tmp_path / "a.tif", size=(62, 54), dtype="uint16", bands=1)
    _, whole, _ = resized(path, size, resampling)
    monkeypatch.setattr(resize_step, "PART_BYTES", 2000)
    monkeypatch.setattr(resize_step, "PART", 16)
    _, parts, _ = resized(path, size, resampling)
    assert np.array_equal(whole, parts)
    item = chain_item(
        path, [given({"name": "resize", "size": size.split(","), "resampling": resampling})]
    )
    window = Window(3, 5, 20, 11)
    assert np.array_equal(window_of(item, window)[0], whole[:, *window.slices])


def test_validity_follows_the_pixels(tmp_path):
    """Alpha and mask hide what comes from hidden pixels alone; NaN without nodata spreads."""
    for validity in ("alpha", "mask"):
        path = raster(tmp_path / f"{validity}.tif", size=(62, 54), dtype="uint8", validity=validity)
        for resampling in RESAMPLINGS:
            plan, pixels, mask = resized(path, "50%,50%", resampling)
            seen = pixels[-1] > 0 if mask is None else mask
            assert seen.any()
            if resampling != "nearest":
                assert pixels[: plan.bands, seen].min() >= 30
    values = np.full((8, 8), 5, "float32")
    values[0, 0] = np.nan
    _, [pixels], _ = resized(written(tmp_path / "nan.tif", values), "4,4", "average")
    assert np.isnan(pixels[0, 0])
    assert (pixels.ravel()[1:] == 5).all()


def test_the_same_size_changes_nothing(tmp_path):
    """Not even by a spline, which smooths at any other."""
    path = raster(tmp_path / "a.tif", bands=1)
    _, pixels, _ = resized(path, "100%,100%", "cubicspline")
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), pixels)


def test_what_gdal_does_otherwise_is_said(tmp_path):
    """Each where it may happen."""
    path = raster(tmp_path / "a.tif", dtype="uint8", validity="mask")
    step = given({"name": "resize", "size": ["50%", "50%"], "resampling": "mode"})
    said = " ".join(chain_item(path, [step]).plan.warnings)
    assert "GDAL takes the nearest of the mask" in said
    assert "invalid pixels have no vote" in said


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, "size or resolution"),
        ({"size": ["50%", "50%"], "resolution": [1, 1]}, "size or resolution"),
        ({"size": [0, "0%"]}, "width and height are 0"),
        ({"size": ["40.5", 30]}, "is no number of pixels"),
        ({"size": ["-4", 30]}, "is no number of pixels"),
        ({"size": [40]}, "size"),
        ({"resolution": [0, 1]}, "greater than 0"),
        ({"size": [4, 4], "resampling": "rms"}, "resampling"),
    ],
)
def test_bad_parameters_are_refused(step, message):
    """Before any raster is read."""
    with pytest.raises(ValidationError, match=message):
        given({"name": "resize", **step})


def test_bad_rasters_are_refused(tmp_path, monkeypatch):
    """Palettes are not blended, nothing is no size, and a pixel comes from so many at most."""
    palette = written(tmp_path / "p.tif", np.zeros((9, 9), "uint8"), photometric="palette")
    with rasterio.open(palette, "r+") as dataset:
        dataset.write_colormap(1, {0: (1, 2, 3, 255)})
    with pytest.raises(SchemaError, match="palette"):
        resized(palette, "5,5", "average")
    assert resized(palette, "5,5", "mode")[1].shape == (1, 5, 5)
    with pytest.raises(SchemaError, match="would be 0x4"):
        resized(palette, "1%,50%", "nearest")
    monkeypatch.setattr(resize_step, "MOST_BYTES", 100)
    with pytest.raises(SchemaError, match=r"9x9 pixels, more than are kept in memory"):
        resized(written(tmp_path / "a.tif", np.zeros((9, 9), "uint8")), "1,1", "average")
