"""Reductions: exact by their rules, and the same however the item is cut into chunks."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.raster.pyramid import halve
from geobatch_tui.execution.raster.pyramid.halve import RESAMPLINGS, reduce


def children(array, row, col):
    return [
        array[r, c]
        for r in (2 * row, 2 * row + 1)
        for c in (2 * col, 2 * col + 1)
        if r < array.shape[0] and c < array.shape[1]
    ]


def reference(band, valid, resampling):
    """One band, one pixel at a time, in Python's exact numbers; nodata is not among its cares."""
    height, width = -(-band.shape[0] // 2), -(-band.shape[1] // 2)
    out = np.empty((height, width), band.dtype)
    for row in range(height):
        for col in range(width):
            values = children(band, row, col)
            good = [v for v, ok in zip(values, children(valid, row, col), strict=True) if ok]
            if not good or resampling == "nearest":
                out[row, col] = values[0]
            elif resampling == "mode":
                out[row, col] = Counter(good).most_common(1)[0][0]
            elif band.dtype.kind in "iu":
                total = 2 * sum(map(int, good)) + len(good)
                out[row, col] = total // (2 * len(good))
            else:
                out[row, col] = math.fsum(map(float, good)) / len(good)
    return out


def sample(dtype, shape, seed):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.integers(-50, 50, shape) / 4).astype(kind)
    info = np.iinfo(kind)
    ends = np.array([info.min, info.min + 1, info.max - 1, info.max, 1, 7], kind)
    return rng.choice(ends, shape)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize(
    "dtype",
    [
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float32",
        "float64",
    ],
)
@pytest.mark.parametrize("shape", [(6, 8), (7, 5), (1, 1), (1, 4)])
def test_reference(resampling, dtype, shape):
    """Means, modes and corners are those of exact arithmetic, with and without invalid pixels."""
    band = sample(dtype, shape, 3)
    everywhere = np.ones(shape, np.bool_)
    some = np.random.default_rng(4).random(shape) < 0.5
    got, none = reduce(band[np.newaxis], None, resampling=resampling)
    assert none is None
    np.testing.assert_array_equal(got[0], reference(band, everywhere, resampling))
    for valid in (everywhere, some):
        got, half = reduce(band[np.newaxis], valid, resampling=resampling)
        np.testing.assert_array_equal(got[0], reference(band, valid, resampling))
        for row, col in np.ndindex(half.shape):
            flags = children(valid, row, col)
            assert half[row, col] == (flags[0] if resampling == "nearest" else any(flags))


@given(data=st.data())
def test_chunks_reduce_as_the_whole_does(data):
    """A chunk that starts at an even pixel reduces to its part of the whole, bit by bit."""
    dtype = data.draw(st.sampled_from(["uint8", "int16", "uint64", "float32"]))
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    resampling = data.draw(st.sampled_from(RESAMPLINGS))
    seed = data.draw(st.integers(0, 1000))
    pixels = sample(dtype, (2, height, width), seed)
    nodata = pixels[0, 0, 0].item() if data.draw(st.booleans()) else None
    if dtype == "float32":
        pixels[:, np.random.default_rng(seed).random((height, width)) < 0.2] = np.nan
    valid = np.random.default_rng(seed + 1).random((height, width)) < 0.7
    valid = valid if data.draw(st.booleans()) else None
    whole, mask = reduce(pixels, valid, resampling=resampling, nodata=nodata)
    row = 2 * data.draw(st.integers(0, (height - 1) // 2))
    col = 2 * data.draw(st.integers(0, (width - 1) // 2))
    bottom = data.draw(st.sampled_from([height, *range(row + 2, height, 2)]))
    right = data.draw(st.sampled_from([width, *range(col + 2, width, 2)]))
    cut = (slice(row, bottom), slice(col, right))
    part, part_mask = reduce(
        pixels[:, *cut],
        None if valid is None else valid[cut],
        resampling=resampling,
        nodata=nodata,
    )
    target = (slice(row // 2, -(-bottom // 2)), slice(col // 2, -(-right // 2)))
    assert part.tobytes() == whole[:, *target].tobytes()
    assert (part_mask is None and mask is None) or np.array_equal(part_mask, mask[target])


def test_nodata_is_left_out_band_by_band():
    """Nodata in one band neither enters its mean nor empties the other band."""
    pixels = np.array([[[0, 10], [20, 31]], [[5, 5], [0, 0]]], np.uint8)
    got, _ = reduce(pixels, None, resampling="average", nodata=0)
    assert got.ravel().tolist() == [20, 5]
    got, _ = reduce(pixels * 0, None, resampling="average", nodata=0)
    assert got.ravel().tolist() == [0, 0]


@pytest.mark.parametrize(
    ("values", "nodata", "dtype", "mean"),
    [
        ([-1, 1, -1, 1], 0, "int8", 1),
        ([254, 255, 0, 0], 255, "uint8", 85),
        ([9, 11, 9, 11], 10, "float32", np.nextafter(np.float32(10), np.float32(np.inf))),
    ],
)
def test_a_valid_mean_never_becomes_nodata(values, nodata, dtype, mean):
    """A mean that equals nodata by chance moves to the next value."""
    pixels = np.array(values, dtype).reshape(1, 2, 2)
    got, _ = reduce(pixels, None, resampling="average", nodata=nodata)
    assert got[0, 0, 0] == np.dtype(dtype).type(mean)


def test_nan_is_not_a_number():
    """NaN is left out of means; where all are NaN the parent is NaN."""
    pixels = np.array([[np.nan, 2, np.nan, np.nan], [4, np.nan, np.nan, np.nan]], np.float32)
    got, _ = reduce(pixels[np.newaxis], None, resampling="average", nodata=float("nan"))
    assert got[0, 0, 0] == 3
    assert np.isnan(got[0, 0, 1])


def test_colour_counts_where_it_shows():
    """Colours are averaged where alpha is above 0, alpha over all; what shows goes on showing."""
    pixels = np.array([[[10, 20], [200, 200]], [[255, 1], [0, 0]]], np.uint8)
    got, _ = reduce(pixels, None, resampling="average", alpha=True)
    assert got.ravel().tolist() == [15, 64]
    pixels[1] = [[0, 1], [0, 0]]
    got, _ = reduce(pixels, None, resampling="average", alpha=True)
    assert got.ravel().tolist() == [20, 1]


def test_unknown_reductions_are_refused():
    """With the names of those that there are."""
    with pytest.raises(OperationError, match=r"lanczos.*cubic"):
        reduce(np.zeros((1, 2, 2), np.uint8), None, resampling="lanczos")


@pytest.mark.parametrize("name", sorted(halve.COMPILED))
def test_compiled_averages(name, monkeypatch):
    """Compiled loops and array expressions give the same bytes."""
    random = np.random.default_rng(5)
    dtype = np.dtype(name)
    if dtype.kind == "f":
        values = [0.0, -0.0, np.nan, np.inf, -np.inf, 3, -7, 1.5, 1e30, 2, 4]
    else:
        limits = np.iinfo(dtype)
        values = [limits.min, limits.max, limits.max - 1, 0, 1, 2, 3, 4, 9]
    for shape, nodata, masked in itertools.product(
        [(1, 1), (1, 5), (4, 4), (7, 9), (64, 33)], [None, 0, 3, 9], [False, True]
    ):
        band = random.choice(np.array(values, dtype), shape)
        seen = random.random(shape) < 0.6 if masked else None
        found = reduce(band[np.newaxis], seen, resampling="average", nodata=nodata)[0]
        with monkeypatch.context() as patch:
            patch.setattr(halve, "COMPILED", frozenset())
            expected = reduce(band[np.newaxis], seen, resampling="average", nodata=nodata)[0]
        assert found.tobytes() == expected.tobytes(), (shape, nodata, masked)


@pytest.mark.parametrize("place", [(0, 0), (3, 255), (2, 256), (4, 700)])
@pytest.mark.parametrize("masked", [False, True])
def test_one_child_that_does_not_count_changes_one_mean(place, masked):
    """Most of a row is averaged many at a time, and the rest is not."""
    band = np.full((5, 701), 7, np.uint8)
    band[::2], seen = 9, np.ones(band.shape, bool)
    band[place], seen[place] = 200, False
    whole = reduce(np.where(seen, band, 7)[np.newaxis], None, resampling="average")[0]
    half = reduce(
        band[np.newaxis],
        seen if masked else None,
        resampling="average",
        nodata=None if masked else 200,
    )[0]
    row, col = place[0] // 2, place[1] // 2
    others = [(r, c) for r in {2 * row, min(2 * row + 1, 4)} for c in (2 * col, 2 * col + 1)]
    counted = [int(band[at]) for at in others if at != place and at[1] < 701]
    expected = (2 * sum(counted) + len(counted)) // (2 * len(counted)) if counted else 200
    assert half[0, row, col] == expected
    whole[0, row, col] = expected
    assert np.array_equal(half, whole)
