"""Overviews by bilinear and cubic: by their formula, as GDAL's, and the same in any cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from assembling import build, make_plan, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling

from geobatch_tui.execution.raster.kernels import convolution
from geobatch_tui.execution.raster.pyramid.halve import reduce

KERNELS = tuple(convolution.MARGINS)


def one_by_one(band, valid, resampling):
    """Weighted means and where they are, one pixel at a time."""
    taps, margin = convolution.weights(resampling), convolution.MARGINS[resampling]
    height, width = band.shape
    out = np.full((-(-height // 2), -(-width // 2)), np.nan)
    for row, col in np.ndindex(out.shape):
        total = heft = 0.0
        for j, down in enumerate(taps):
            for i, across in enumerate(taps):
                y, x = 2 * row - margin + j, 2 * col - margin + i
                if 0 <= y < height and 0 <= x < width and valid[y, x]:
                    total += down * across * band[y, x]
                    heft += down * across
        if heft > 0.25:
            out[row, col] = total / heft
    return out


@pytest.mark.parametrize("resampling", KERNELS)
@settings(deadline=None)  # the first call compiles
@given(
    st.integers(1, 13), st.integers(1, 13), st.integers(0, 2**32 - 1), st.sampled_from([0, 0.3, 1])
)
def test_means_are_those_of_the_formula(resampling, height, width, seed, holes):
    """With holes and odd sides too."""
    rng = np.random.default_rng(seed)
    band, valid = rng.uniform(-9, 9, (height, width)), rng.random((height, width)) >= holes
    means, found = convolution.halve(band, valid, resampling, convolution.NONE)
    expected = one_by_one(band, valid, resampling)
    assert np.array_equal(found, ~np.isnan(expected))
    assert np.allclose(means[found], expected[found])


@pytest.mark.parametrize("resampling", KERNELS)
@settings(deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_part_with_its_margins_is_the_whole_there(resampling, left, top, width, height, data):
    """Wherever it is cut out, at an even place."""
    kind = data.draw(st.sampled_from(["uint8", "int16", "float32"]))
    whole = np.random.default_rng(left).integers(0, 99, (2, 37, 41)).astype(kind)
    valid = np.random.default_rng(top).random((37, 41)) > 0.2
    expected, expected_valid = reduce(whole, valid, resampling=resampling)
    x, y, right, bottom = (
        2 * left,
        2 * top,
        min(2 * (left + width), 41),
        min(2 * (top + height), 37),
    )
    full = convolution.MARGINS[resampling]
    margins = min(full, x), min(full, y), min(full, 41 - right), min(full, 37 - bottom)
    rows = slice(y - margins[1], bottom + margins[3])
    cols = slice(x - margins[0], right + margins[2])
    part, part_valid = reduce(
        whole[:, rows, cols], valid[rows, cols], resampling=resampling, margins=margins
    )
    own = slice(top, top + part.shape[1]), slice(left, left + part.shape[2])
    assert np.array_equal(part, expected[:, *own])
    assert np.array_equal(part_valid, expected_valid[own])


@pytest.mark.parametrize("resampling", KERNELS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_pixels_are_those_of_gdals_overviews(tmp_path, resampling, dtype):
    """Whole numbers to within 1, floats to within rounding."""
    rows, cols = np.mgrid[0:300, 0:400]
    waves = 120 + 90 * np.sin(cols / 9) * np.cos(rows / 7)
    pixels = (waves + np.random.default_rng(2).integers(0, 20, waves.shape)).astype(dtype)
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=400, height=300, count=1, dtype=dtype,
        crs="EPSG:3035", transform=rasterio.Affine(1, 0, 0, 0, -1, 300),
    ) as dst:  # fmt: skip
        dst.write(pixels, 1)
        dst.build_overviews([2], Resampling[resampling])
    with rasterio.open(path, overview_level=0) as src:
        theirs = src.read()
    ours, _ = reduce(pixels[np.newaxis], None, resampling=resampling)
    off = np.abs(ours.astype("f8") - theirs.astype("f8"))
    assert off.max() <= (1e-4 if dtype == "float32" else 1)
    assert np.count_nonzero(off > 1e-4) <= off.size / 1000


@pytest.mark.parametrize("resampling", KERNELS)
@pytest.mark.parametrize(("validity", "nodata"), [("none", None), ("mask", None), ("nodata", 7)])
def test_files_are_the_same_in_any_chunks(tmp_path, resampling, validity, nodata):
    """Every level, from neighbours in other chunks too."""
    plan = make_plan(
        290, 210, count=3, overview_resampling=resampling, validity=validity, nodata=nodata
    )
    pixels = noise(plan)
    valid = None
    if validity == "mask":
        valid = np.random.default_rng(5).random((210, 290)) > 0.1
    made = [
        build(tmp_path / str(chunk), plan, pixels, valid, chunk=chunk).part_path
        for chunk in (None, (64, 64), (128, 256))
    ]
    first, *others = (Path(path).read_bytes() for path in made)
    assert all(other == first for other in others)
    with rasterio.open(made[0], overview_level=0) as src:
        masked = validity == "mask"
        expected, _ = reduce(pixels, valid, resampling=resampling, nodata=nodata)
        shown = src.dataset_mask() > 0 if masked else np.ones(src.shape, bool)
        assert np.array_equal(src.read()[:, shown], expected[:, shown])
