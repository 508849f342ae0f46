"""Loops that make tiles give what numpy gives, for all layouts of memory."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.execution.native.loop import _address
from geobatch_tui.execution.raster.encode import lossless, predicted
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.pyramid.tiles import TileForm

DTYPES = ["uint8", "int16", "uint32", "float32", "float64", "complex64", "complex128"]


def form_of(bands, dtype):
    return TileForm(16, 32, 1, bands, np.dtype(dtype), np.dtype(dtype).type(0), None)


@settings(deadline=None)  # the first of each type is compiled
@given(
    dtype=st.sampled_from(DTYPES),
    bands=st.integers(1, 6),
    height=st.integers(1, 32),
    width=st.integers(1, 16),
    corner=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    order=st.permutations([0, 1, 2]),
    seed=st.integers(0, 9),
)
def test_pixels_lie_side_by_side(dtype, bands, height, width, corner, order, seed):
    """Of a window of a chunk, of arrays with their axes in any order."""
    sides = [bands, height + corner[0], width + corner[1]]
    raw = np.random.default_rng(seed).integers(0, 255, (*(sides[k] for k in order), 16), np.uint8)
    whole = raw[..., : np.dtype(dtype).itemsize].copy().view(dtype)[..., 0]
    whole = whole.transpose(np.argsort(order))
    pixels = whole[:, corner[0] :, corner[1] :]
    tile = form_of(bands, dtype).pack(pixels)
    assert tile.shape == (32, 16, bands)
    assert tile[:height, :width].tobytes() == np.moveaxis(pixels, 0, -1).tobytes()
    assert not tile[height:].any()
    assert not tile[:, width:].any()


@settings(deadline=None)  # the first of each type is compiled
@given(
    dtype=st.sampled_from(["uint8", "uint16", "uint32", "uint64"]),
    height=st.integers(1, 5),
    pixels=st.integers(1, 40),
    distance=st.integers(1, 6),
    data=st.data(),
)
def test_differences_and_their_proof(dtype, height, pixels, distance, data):
    """A single bit that is off anywhere is seen."""
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    top = np.iinfo(dtype).max
    rows = random.integers(0, top, (height, pixels * distance), dtype, endpoint=True)
    stored = lossless._differences(rows, distance)
    expected = rows.copy()
    expected[:, distance:] -= rows[:, :-distance]
    assert stored.tobytes() == expected.tobytes()
    assert lossless._holds(stored.tobytes(), rows, distance)
    wrong = bytearray(stored.tobytes())
    wrong[data.draw(st.integers(0, len(wrong) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not lossless._holds(bytes(wrong), rows, distance)


@settings(deadline=None)  # the first of each type is compiled
@given(
    form=st.sampled_from([
        ("uint8", 1), ("uint8", 2), ("int8", 2), ("uint16", 1), ("uint16", 2), ("float32", 1),
        ("float32", 3),
    ]),
    height=st.integers(1, 4),
    width=st.one_of(st.integers(1, 40), st.sampled_from([64, 512])),
    samples=st.integers(1, 5),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_predictors_are_undone(form, height, width, samples, seed):
    """Of any bytes, with as many samples side by side as there are: as imagecodecs does it."""
    (dtype, predictor), shape = form, (height, width, samples)
    kind = np.dtype(dtype)
    size = height * width * samples * kind.itemsize
    raw = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
    pixels = raw.copy().view(kind).reshape(shape)
    if predictor == predicted.HORIZONTAL:
        unsigned = pixels.view(f"u{kind.itemsize}")
        pixels = imagecodecs.delta_decode(unsigned, axis=-2).view(kind)
    elif predictor == predicted.FLOATING:
        pixels = imagecodecs.floatpred_decode(pixels, axis=-2)
    block = predicted.by_band(raw, shape, kind, predictor)
    assert (block.shape, block.dtype) == ((samples, height, width), kind)
    assert block.tobytes() == np.moveaxis(pixels, -1, 0).tobytes()


def test_pixels_in_the_other_byte_order_are_refused():
    rows = np.zeros((2, 4), np.dtype("u2").newbyteorder())
    with pytest.raises(TypeError, match="other way round"):
        pixel_loops.differences(rows, 1, np.zeros_like(rows))


def test_addresses_are_those_of_numpy():
    """Of arrays that can be written, that cannot, and that are empty."""
    array = np.zeros(8)
    fixed = np.frombuffer(bytes(range(8)), np.uint8)
    for each in (array, array[3:], fixed, np.empty(0)):
        assert _address(each) == each.ctypes.data
