"""Mosaics of files on several grids, in several CRSs, or of several types."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import rasterio
from chains import whole_of, window_of
from kept_gdal import all_by_gdal
from planning import item_of
from rasterio.transform import from_origin
from rasterio.warp import transform

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.group_params import MosaicStep
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.sources.source_list import write_source_list

#: Left, top, size of a pixel, width and height: the second lies between pixels of the first.
GRIDS = [
    (500_000, 5_000_000, 10, 40, 30), (500_403, 5_000_007, 10, 40, 30),
    (500_100, 4_999_700, 25, 20, 18), (500_390, 4_999_690, 5, 50, 34),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def scene(path, left, top, pixel, width, height, *, crs="EPSG:32633", dtype="int16", nodata=-9):
    """A file of random values, a tenth of which are nodata."""
    rng = np.random.default_rng(len(path.name) + int(left))
    values = rng.integers(1, 120, (1, height, width)).astype(dtype)
    if nodata is not None:
        values[rng.random(values.shape) < 0.1] = nodata
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": dtype,
        "nodata": nodata, "crs": crs, "transform": from_origin(left, top, pixel, pixel),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(values)
    return str(path)


@pytest.fixture
def scenes(tmp_path):
    return [scene(tmp_path / f"{n}.tif", *grid) for n, grid in enumerate(GRIDS)]


def mosaic(folder, paths, **params):
    listed = Path(write_source_list(paths, folder / "lists"))
    return item_of(listed, {"steps": [{"name": "mosaic", **params}]}, op="raster.pipeline")


def test_grids_are_gdals(tmp_path, scenes):
    """Sizes, places, and by nearest the pixels, but for those whose centre lies on an edge between
    two of a file; files that lie on the grid keep every pixel."""
    asked = [
        {"resolution": "highest"}, {"resolution": "lowest"}, {"resolution": "average"},
        {"resolution": [7.0, 9.0]}, {"resolution": [10.0, 10.0], "target_aligned_pixels": True},
        {"resolution": [10.0, 10.0], "bbox": [500_050.0, 4_999_500.0, 500_650.0, 4_999_950.0]},
    ]  # fmt: skip
    pipelines = []
    for number, params in enumerate(asked):
        words = []
        for name, value in params.items():
            text = ",".join(map(str, value)) if isinstance(value, list) else value
            option = "--" + name.replace("_", "-")
            words += [option] if value is True else [f"{option}={text}"]
        made = tmp_path / f"gdal{number}.tif"
        pipelines.append(f"mosaic {' '.join(scenes)} {' '.join(words)} ! write {made}")
    all_by_gdal(pipelines)
    for number, params in enumerate(asked):
        plan, pixels, _ = whole_of(mosaic(tmp_path, scenes, **params))
        with rasterio.open(tmp_path / f"gdal{number}.tif") as src:
            assert (plan.width, plan.height) == (src.width, src.height), params
            assert np.allclose(plan.transform, tuple(src.transform)[:6], rtol=0, atol=1e-6)
            different = (src.read() != pixels).mean()
        assert different < 0.04, (
            params
        )  # GDAL rounds the rims of files, and what it takes from them


def test_a_common_size_is_a_part_of_all(tmp_path, scenes):
    """5 m of 10, 25 and 5; none of sizes that have nothing in common."""
    plan, _, _ = whole_of(mosaic(tmp_path, scenes, resolution="common"))
    assert plan.transform[0] == 5
    odd = scene(tmp_path / "odd.tif", 500_000, 5_000_000, 3.14159265358979, 10, 10)
    with pytest.raises(SchemaError, match="no common size"):
        mosaic(tmp_path, [*scenes, odd], resolution="common")


@pytest.mark.parametrize(
    "params",
    [
        {"resolution": 8.0, "resampling": "bilinear", "rule": "mean"},
        {"resolution": 12.0, "resampling": "bilinear", "output_crs": "EPSG:3857"},
        pytest.param({"resolution": "highest", "resampling": "average"}, marks=pytest.mark.slow),
        pytest.param({"resolution": 9.0, "resampling": "cubic"}, marks=pytest.mark.slow),
    ],
)
def test_any_cut_gives_the_same_pixels(tmp_path, scenes, params):
    """As each file's part of the grid is pinned in the plan."""
    item = mosaic(tmp_path, scenes, **params)
    plan, pixels, _ = whole_of(item)
    rng = np.random.default_rng(3)
    for _ in range(8):
        left, top = int(rng.integers(plan.width)), int(rng.integers(plan.height))
        width = int(rng.integers(1, plan.width - left + 1))
        height = int(rng.integers(1, plan.height - top + 1))
        part = window_of(item, Window(left, top, width, height))[0]
        assert np.array_equal(part, pixels[:, top : top + height, left : left + width])


def test_files_on_the_grid_keep_their_pixels(tmp_path, scenes):
    """Whatever becomes of the others; where none is off the grid, none is warped."""
    with rasterio.open(scenes[0]) as src:
        own = src.read(1)
    box = [500_000.0, 4_999_500.0, 501_000.0, 5_000_000.0]
    item = mosaic(tmp_path, scenes, resolution=10.0, bbox=box, resampling="bilinear", rule="first")
    assert item.plan.notes["resampled_files"] == 3
    _, pixels, _ = whole_of(item)
    assert np.array_equal(pixels[0, :30, :40][own != -9], own[own != -9])
    only = mosaic(tmp_path, scenes[:1], resampling="bilinear")
    assert np.array_equal(whole_of(only)[1][0], own)
    assert "warps" not in only.plan.detail["chain"][0]["values"]


def test_files_in_other_crss_are_warped_if_asked(tmp_path, scenes):
    """Else all of them are named. A pixel comes from the file that lies there."""
    x, y = transform("EPSG:32633", "EPSG:3857", [500_900.0], [5_000_000.0])
    other = scene(tmp_path / "web.tif", x[0], y[0], 10, 40, 30, crs="EPSG:3857")
    with pytest.raises(SchemaError, match=r"1 files are not in .*\n.*web.tif: CRS .*3857") as told:
        mosaic(tmp_path, [*scenes, other], resolution="highest")
    assert "output_crs" in told.value.hint
    with pytest.raises(SchemaError, match=r"web.tif: CRS .*3857"):
        mosaic(tmp_path, [scenes[0], other])
    item = mosaic(tmp_path, [*scenes, other], resolution=10.0, output_crs="EPSG:3857")
    plan, pixels, _ = whole_of(item)
    with rasterio.open(other) as src:
        own = src.read(1)
    columns, rows = (x[0] - plan.transform[2]) / 10, (plan.transform[5] - y[0]) / 10
    inside = pixels[0, int(rows) + 2 : int(rows) + 28, int(columns) + 2 : int(columns) + 38]
    moves = itertools.product(range(5), range(5))
    assert any(np.array_equal(inside, own[r : r + 26, c : c + 36]) for r, c in moves)
    assert item.plan.notes["resampled_files"] >= 4


def test_files_of_several_types_are_promoted_if_asked(tmp_path, scenes):
    """To a type that holds the values of all; else the files are named."""
    wide = scene(tmp_path / "wide.tif", 500_400, 5_000_000, 10, 40, 30, dtype="float32")
    with pytest.raises(SchemaError, match=r"wide.tif: type float32") as told:
        mosaic(tmp_path, [scenes[0], wide])
    assert "output_data_type" in told.value.hint
    plan, pixels, _ = whole_of(mosaic(tmp_path, [scenes[0], wide], output_data_type="float32"))
    assert (plan.dtype, plan.nodata) == ("float32", -9)
    with rasterio.open(scenes[0]) as one, rasterio.open(wide) as other:
        assert np.array_equal(pixels[0], np.hstack([one.read(1), other.read(1)]))
    with pytest.raises(SchemaError, match=r"wide.tif: type float32, whose values int16 cannot"):
        mosaic(tmp_path, [scenes[0], wide], output_data_type="int16")


@pytest.mark.parametrize("nodata", [-9, None])
def test_a_stack_has_the_bands_of_mosaics_of_one_file(tmp_path, nodata):
    """On the grid that is asked for; else files on other grids are refused."""
    paths = [scene(tmp_path / f"{n}.tif", *grid, nodata=nodata) for n, grid in enumerate(GRIDS)]
    listed = Path(write_source_list(paths, tmp_path / "lists"))
    box = [500_000.0, 4_999_400.0, 501_000.0, 5_000_000.0]
    asked = {"resolution": 8.0, "bbox": box, "resampling": "bilinear"}
    item = item_of(listed, {"steps": [{"name": "stack", **asked}]}, op="raster.pipeline")
    plan, pixels, mask = whole_of(item)
    assert (plan.count, plan.width, plan.height) == (4, 125, 75)
    singles = [whole_of(mosaic(tmp_path, [path], **asked)) for path in paths]
    assert np.array_equal(pixels, np.concatenate([one for _, one, _ in singles]))
    if nodata is None:
        assert np.array_equal(mask, np.logical_and.reduce([valid for _, _, valid in singles]))
        assert not mask.all()
    with pytest.raises(SchemaError, match="do not lie on the grid") as told:
        item_of(listed, {"steps": [{"name": "stack"}]}, op="raster.pipeline")
    assert "resampling" in told.value.hint


def test_gaps_beside_warped_files_are_masked(tmp_path):
    """Where there is no nodata."""
    paths = [scene(tmp_path / f"{n}.tif", *grid, nodata=None) for n, grid in enumerate(GRIDS[:2])]
    _, _, mask = whole_of(mosaic(tmp_path, paths, resampling="nearest"))
    assert mask is not None
    assert 0.8 < mask.mean() < 1


def test_wrong_grids_are_refused():
    """By their parameters."""
    for params in ({"resolution": 0.0}, {"resolution": "finest"}, {"bbox": [1, 0, 0, 1]}):
        with pytest.raises(ValueError, match=r"resolution|bbox"):
            MosaicStep(name="mosaic", **params)
