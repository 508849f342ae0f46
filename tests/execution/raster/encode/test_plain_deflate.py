"""DEFLATE by codes and runs alone: any decoder reads it, and its bytes depend on the tile alone."""

from __future__ import annotations

import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.execution.raster.encode import plain_deflate
from geobatch_tui.execution.raster.encode.encoding import Image, plan_encoding
from geobatch_tui.execution.raster.encode.lossless import Codec
from geobatch_tui.execution.raster.kernels import pixel_loops

RNG = np.random.default_rng(20)


def plane(kind: str, size: int, seed: int) -> np.ndarray:
    """Bytes as predictors leave them."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, size).astype(np.uint8)
    if kind == "peak":
        return rng.normal(0, 9, size).astype(np.int64).astype(np.uint8)
    if kind == "rare":
        return np.where(rng.random(size) < 0.02, rng.integers(0, 256, size), 7).astype(np.uint8)
    if kind == "steep":  # codes by the counts would be longer than 15 bits
        return np.repeat(np.arange(24), np.minimum(2 ** np.arange(24), size))[-size:].astype("u1")
    return np.full(size, seed % 256, np.uint8)


KINDS = st.sampled_from(["noise", "peak", "rare", "steep", "constant"])


@settings(max_examples=40)
@given(st.lists(KINDS, min_size=1, max_size=8), st.integers(1, 700), st.integers(1, 40))
def test_any_decoder_gets_the_bytes_back(kinds, width, height):
    """zlib, libdeflate and ISA-L read the same."""
    rows = np.stack(
        [
            np.concatenate([plane(kind, width, 97 * row + at) for at, kind in enumerate(kinds)])
            for row in range(height)
        ]
    )
    data = plain_deflate.plain(rows, len(kinds))
    assert zlib.decompress(data) == rows.tobytes()
    assert imagecodecs.deflate_decode(data, out=rows.size) == rows.tobytes()
    assert imagecodecs.isal_decode(data, out=rows.size) == rows.tobytes()
    assert len(data) <= 4 * plain_deflate.most_words(rows.shape, len(kinds)) + 6


@pytest.mark.parametrize("planes", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 2, 3, 65535, 65536, 2**17 - 1, 2**17, 2**17 + 5, 2**18 + 1])
def test_bands_and_stored_blocks_meet(planes, size):
    """Where a band or a stored block ends, nothing is lost."""
    for kind in ("noise", "peak", "constant"):
        rows = plane(kind, size * planes, 3).reshape(1, -1)
        assert zlib.decompress(plain_deflate.plain(rows, planes)) == rows.tobytes()


def test_bytes_do_not_depend_on_memory_that_nobody_wrote():
    """Whatever the scratch held before, the stream is the same."""
    rows = np.stack([
        np.concatenate([plane("rare", 300, r), plane("peak", 300, r), plane("noise", 300, r),
                        plane("steep", 300, r)])
        for r in range(64)
    ])  # fmt: skip
    streams = set()
    for fill in (0, 1, 0x5A, 0xFF):
        scratch = [
            np.full(shape, fill, np.uint8).view(dtype)
            for shape, dtype in (((18, 5120), "i8"), ((5, 2560), "u4"), ((5, 800), "u4"),
                                 ((48,), "u8"), ((4 * rows.size,), "u4"))
        ]  # fmt: skip
        size = pixel_loops.deflate(rows.reshape(-1), rows.shape[1], 4, *scratch)
        streams.add(scratch[-1].view(np.uint8)[:size].tobytes())
    assert len(streams) == 1
    assert zlib.decompress(streams.pop(), -15) == rows.tobytes()


def test_noise_is_coded_without_a_search_and_a_picture_by_libdeflate():
    """The shorter of the two is taken."""
    codec, floats = Codec("DEFLATE", 5, 2, by_tile=True), Codec("DEFLATE", 2, 3, by_tile=True)
    shades = RNG.normal(120, 12, (512, 512, 1)).astype(np.uint8)
    heights = (np.linspace(0, 900, 512)[:, None] + RNG.normal(0, 4, (512, 512)))[:, :, None]
    heights = heights.astype(np.float32)
    for one, tile in ((codec, shades), (floats, heights)):
        searched = Codec(one.compress, one.level, one.predictor).encode(tile)
        assert len(one.encode(tile)) < len(searched)
    shape = np.kron(RNG.integers(0, 9, (32, 32)), np.ones((16, 16), int))[:, :, None]
    for one, dtype in ((codec, "u1"), (floats, "f4")):
        tile = shape.astype(dtype)
        assert one.encode(tile) == Codec(one.compress, one.level, one.predictor).encode(tile)


@pytest.mark.parametrize(
    ("creation", "dtype", "by_tile"),
    [({}, "uint8", True), ({}, "float32", True), ({}, "int16", False), ({"level": 6}, "uint8", False),
     ({"predictor": "no"}, "float32", False), ({"predictor": "no"}, "uint8", True),
     ({"compress": "zstd"}, "float32", False)],
)  # fmt: skip
def test_a_level_that_is_asked_for_is_kept(creation, dtype, by_tile):
    """Only where no level is given, and bytes stand alone, may tiles be coded without a search."""
    image = Image(600, 600, 1, dtype, palette=False, validity="none")
    assert plan_encoding({"format": "COG", "creation": creation}, image).by_tile is by_tile
