"""Results of a chain that are no number are counted: the same, however the item is cut."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from chains import chain_item
from planning import no_stage
from rasterio.transform import from_origin

from geobatch_tui.execution.protocol.messages import ChunkTask
from geobatch_tui.execution.raster import chunk
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source

NDVI = {"name": "calc", "calc": "(b2 - b1) / (b1 + b2)", "output_data_type": "float32"}
SUM = {"name": "neighbors", "kernel": ["equal"], "method": ["sum"]}


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def source(path, dtype="uint8", nodata=None):
    """64 x 48 pixels in two bands, of which 35 are 0 in both, across four chunks of 16."""
    rng = np.random.default_rng(7)
    pixels = rng.integers(1, 200, (2, 48, 64)).astype(dtype)
    pixels[:, 12:19, 14:19] = 0
    profile = {
        "driver": "GTiff", "width": 64, "height": 48, "count": 2, "dtype": dtype,
        "nodata": nodata, "crs": "EPSG:32633", "transform": from_origin(5e5, 5e6, 10, 10),
        "photometric": "minisblack",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(pixels)
    return path


def counts(path, steps, *, side=16, subdivide=0):
    """The count of each chunk."""
    item = chain_item(path, steps, cols=side, rows=side, output={"creation": {"blocksize": 16}})
    plan = RasterPlan.from_json(item.plan.detail)
    windows = map(item.plan.grid.window, range(len(item.plan.grid)))
    return [chunk.read_pixels(item, plan, one, subdivide, no_stage)[3] for one in windows]


@pytest.mark.parametrize("steps", [[NDVI], [NDVI, SUM], [SUM | {"nodata": -1}, NDVI]])
@pytest.mark.parametrize("how", [{}, {"side": 48}, {"side": 64}, {"side": 32, "subdivide": 2}])
def test_each_pixel_counts_once(tmp_path, steps, how):
    """Whatever the chunks, and though a step behind reads beyond them."""
    found = counts(source(tmp_path / "a.tif"), steps, **how)
    assert sum(found) == (35 if steps[0] is NDVI else 15)


def test_what_comes_of_nodata_is_not_undefined(tmp_path):
    """Nor what comes of NaN, or is the NaN that an expression writes; an overflow is."""
    assert sum(counts(source(tmp_path / "a.tif", nodata=0), [NDVI])) == 0
    floats = source(tmp_path / "b.tif", "float32")
    with rasterio.open(floats, "r+") as out:
        pixels = out.read()
        pixels[:, 12:14, 14:19] = np.nan
        out.write(pixels)
    assert sum(counts(floats, [NDVI])) == 25
    written = NDVI | {"calc": "b1 > 0 ? b1 / b2 : NAN"}
    assert sum(counts(floats, [written])) == 0
    large = NDVI | {"calc": "b1 == 0 ? 1e300 * b1 + 1e300 : NAN"}
    assert sum(counts(floats, [large])) == 25


def test_a_pixel_counts_once_for_all_bands(tmp_path):
    steps = [NDVI | {"calc": ["b1 / b2", "b2 / b1", "log(b1)"]}]
    assert sum(counts(source(tmp_path / "a.tif"), steps)) == 35


def test_those_of_a_raster_beside_count_too(tmp_path):
    ratio = {"name": "calc", "calc": "b1 / b2", "nodata": "-9"}
    beside = {"input": "{source}", "steps": [ratio, {"name": "set-type", "ot": "float32"}]}
    steps = [{"name": "calc", "calc": "B + 1", "inputs": {"B": beside}}]
    assert sum(counts(source(tmp_path / "a.tif"), steps)) == 35


def test_in_front_of_another_grid_what_is_computed_counts(tmp_path):
    """Chunks share the pixels that they need, so those may count more than once."""
    steps = [NDVI, {"name": "reproject", "output_crs": "EPSG:32632", "resampling": "bilinear"}]
    found = counts(source(tmp_path / "a.tif"), steps, side=64)
    assert sum(found) >= 35


def test_the_receipt_of_a_chunk_tells_it(tmp_path):
    item = chain_item(source(tmp_path / "a.tif"), [NDVI], cols=64, rows=64)
    receipt = chunk.run(ChunkTask(1, item, 0, 1, 1), no_stage)
    assert receipt.undefined == 35
