"""Bands that lie side by side are resampled to the same bits as one by one."""

from __future__ import annotations

import numpy as np
import pytest

from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.warp.source_window import Sampled
from geobatch_tui.execution.raster.warp.taps import Kernel

SIDE = (90, 70)
CORNER = (3, 5)
KERNELS = [
    ("bilinear", 1.0, 1.0),
    ("bilinear", 0.7, 1.0),
    ("bilinear", 1.0, 0.7),
    ("cubic", 1.0, 1.0),
    ("cubic", 0.7, 1.0),
    ("cubic", 1.0, 0.7),
    ("lanczos", 1.0, 1.0),
    ("cubicspline", 0.3, 0.4),
]


def warped(run, taken, sampled, kernel, place):
    """Pixels and what was touched, in a part of arrays that hold something before."""
    sides = [side + start + 2 for side, start in zip(place[0].shape, CORNER, strict=True)]
    out = np.full((len(sampled.pixels), *sides), 7, sampled.pixels.dtype)
    touched = np.zeros(sides, np.uint8)
    limits = np.iinfo(out.dtype)
    how = (kernel.code, kernel.scale, kernel.lead, kernel.taps, kernel.falls_back)
    scratch = pixel_loops.scratch(kernel.taps, place[0].shape[1], out.dtype)
    ends = True, float(limits.min), float(limits.max)
    whole = out, touched, CORNER
    run(sampled.pixels, taken, *place, (0, 0), SIDE, *how, *whole, *ends, *scratch)
    return out, touched


# Each type is compiled, for seconds: one byte without a sign, and two with one.
@pytest.mark.parametrize(
    # Compiled for seconds each.
    "dtype",
    ["uint8", *(pytest.param(name, marks=pytest.mark.slow) for name in ("uint16", "int16"))],
)
@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize(("name", "xscale", "yscale"), KERNELS)
def test_same_bits(name, xscale, yscale, bands, dtype):
    random = np.random.default_rng(11)
    limits = np.iinfo(dtype)
    pixels = random.integers(limits.min, limits.max, (bands, *SIDE[::-1]), dtype, endpoint=True)
    sampled = Sampled((0, 0), pixels, None, None, None)
    x, y = np.meshgrid(np.linspace(-4.0, SIDE[0] + 4.0, 83), np.linspace(-4.0, SIDE[1] + 4.0, 61))
    # Positions at random, at the rim, beyond it and nowhere.
    x += random.normal(0.0, 2.0, x.shape)
    x[random.random(x.shape) < 0.05] = np.nan
    place = np.ascontiguousarray(x), np.ascontiguousarray(y)
    kernel = Kernel.of(name, xscale, yscale)
    one, touched = warped(pixel_loops.gather, sampled.planes, sampled, kernel, place)
    other, also = warped(pixel_loops.gather_quads, sampled.quads(), sampled, kernel, place)
    assert one.tobytes() == other.tobytes()
    assert touched.tobytes() == also.tobytes()
    assert 0.5 < touched.mean() < 0.95
    around = np.ones(touched.shape, bool)
    around[3:-2, 5:-2] = False
    assert not touched[around].any()
    assert (one[:, around] == 7).all()


def test_quads_are_of_few_whole_numbers():
    def quads(bands, dtype):
        return Sampled((0, 0), np.ones((bands, 4, 5), dtype), None, None, None).quads()

    assert quads(3, "uint8").shape == (20, 4)
    assert quads(2, "uint8") is None
    assert quads(5, "uint8") is None
    assert quads(3, "float32") is None
