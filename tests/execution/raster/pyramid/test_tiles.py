"""Geometry of pyramids, and pixels to tiles and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from assembling import make_plan, with_encoding
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.execution.raster.pyramid.tiles import (
    TileForm,
    owned_levels,
    pack_mask,
    pyramid,
    tiles_of,
    unpack_mask,
)


def test_levels_halve_rounding_up():
    """Every pixel of a level has a parent."""
    levels = pyramid(make_plan(1001, 300, block=128))
    assert [(level.width, level.height) for level in levels] == [
        (1001, 300),
        (501, 150),
        (251, 75),
        (126, 38),
    ]


def test_other_overview_sizes_are_refused():
    """A plan that rounds down would leave the last column without a parent."""
    plan = with_encoding(make_plan(1001, 300, block=128), overviews=((500, 150),))
    with pytest.raises(OperationError, match="501x150"):
        pyramid(plan)


@pytest.mark.parametrize(
    ("chunk", "owned"),
    [((128, 128), 1), ((256, 128), 1), ((256, 256), 2), ((512, 1024), 3), ((1001, 256), 2)],
)
def test_owned_levels(chunk, owned):
    """A chunk owns a level whose tiles need no neighbour; a full row of pixels has none."""
    plan = make_plan(1001, 1001, block=128)
    assert owned_levels(plan, ChunkGrid(1001, 1001, *chunk)) == owned


@pytest.mark.parametrize("grid", [ChunkGrid(1001, 1001, 100, 128), ChunkGrid(1000, 1001, 128, 128)])
def test_grids_that_cut_tiles_are_refused(grid):
    """Chunks are made of whole tiles of the item's own grid."""
    with pytest.raises(OperationError):
        owned_levels(make_plan(1001, 1001, block=128), grid)


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    chunk=st.tuples(st.sampled_from([16, 32, 64, 128]), st.sampled_from([16, 32, 64, 128])),
)
def test_each_tile_belongs_to_one_chunk(width, height, chunk):
    """The chunks' tiles of an owned level are all its tiles, each once."""
    plan = make_plan(width, height, block=16)
    grid = ChunkGrid(width, height, *chunk)
    for number, level in enumerate(pyramid(plan)[: owned_levels(plan, grid)]):
        tiles = np.concatenate([tiles_of(level, number, grid.window(i)) for i in range(len(grid))])
        assert sorted(tiles.tolist()) == list(range(len(level)))


def test_padding_is_nodata():
    """Beyond the image a tile holds nodata, and unpacking drops it."""
    plan = make_plan(20, 20, block=16, dtype="int16", count=2, nodata=-7)
    form = TileForm.of(plan)
    level = pyramid(plan)[0]
    pixels = np.arange(2 * 4 * 4, dtype=np.int16).reshape(2, 4, 4)
    tile = form.pack(pixels)
    assert tile.shape == (16, 16, 2)
    assert (tile[4:] == -7).all()
    assert (tile[:, 4:] == -7).all()
    np.testing.assert_array_equal(form.unpack(tile, level.window(3)), pixels)


def test_negative_zero_is_not_missing():
    """A reader would see 0.0 for a missing tile: -0.0 has to be stored."""
    form = TileForm.of(make_plan(16, 16, block=16, dtype="float32"))
    zeros = np.zeros((1, 16, 16), np.float32)
    assert form.is_missing(form.pack(zeros))
    assert not form.is_missing(form.pack(-zeros))


@given(st.integers(1, 16), st.integers(1, 16), st.integers(0, 99))
def test_masks_pack_to_bits_and_back(width, height, seed):
    """One bit a pixel, invalid beyond the image."""
    valid = np.random.default_rng(seed).random((height, width)) < 0.5
    tile = pack_mask(valid, 16, 16)
    assert tile.shape == (16, 2)
    assert np.unpackbits(tile).sum() == valid.sum()
    window = replace(pyramid(make_plan(16, 16, block=16))[0].window(0), width=width, height=height)
    np.testing.assert_array_equal(unpack_mask(tile, window), valid)
