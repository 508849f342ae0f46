"""Chunks are multiples of tiles, fit the budget, and are enough to share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.errors import MemoryBudgetError
from geobatch_tui.execution.protocol.messages import Chunking
from geobatch_tui.execution.raster.chunking import ENOUGH, Cost, cut

MB = 2**20


@given(
    size=st.tuples(st.integers(1, 200_000), st.integers(1, 200_000)),
    block=st.sampled_from([(16, 16), (512, 512), (256, 128), (1024, 1024)]),
    pixel=st.integers(1, 64),
    budget=st.integers(100, 2000),
    asked=st.tuples(st.integers(0, 9000), st.integers(0, 9000)),
    full=st.booleans(),
)
def test_every_cut_is_sound(size, block, pixel, budget, asked, full):
    """Sides are multiples of the tiles, memory stays within the budget, the item is covered."""
    cost = Cost(pixel, 90 * MB)
    limits = Chunking(*asked, 0, budget * MB)
    try:
        grid, _ = cut(size, block, limits, cost, full_width=full)
    except MemoryBudgetError:
        smallest = cost.of(min(block[0], size[0]), min(block[1], size[1]))
        assert any(asked) or smallest > budget * MB
        return
    assert grid.chunk_width % block[0] == 0
    assert grid.chunk_height % block[1] == 0
    assert (grid.width, grid.height) == size
    used = cost.of(min(grid.chunk_width, size[0]), min(grid.chunk_height, size[1]))
    assert used <= budget * MB


def test_a_small_item_is_one_chunk_and_a_large_one_is_shared():
    """2048x2048 and less is whole; a large item has chunks for all."""
    limits = Chunking(0, 0, 0, 512 * MB)
    assert len(cut((2000, 2000), (512, 512), limits, Cost(3, MB))[0]) == 1
    grid, _ = cut((10_800, 5_400), (512, 512), limits, Cost(3, MB))
    assert len(grid) >= ENOUGH
    assert grid.chunk_width == grid.chunk_height == 2048
    huge, _ = cut((100_000, 100_000), (512, 512), limits, Cost(3, MB))
    assert huge.chunk_width == 4096


def test_rounding_of_a_given_side_is_told():
    """chunk_cols = 1000 becomes 1024, and the operator hears of it."""
    grid, told = cut((9000, 9000), (512, 512), Chunking(1000, 512, 0, 512 * MB), Cost(3, MB))
    assert (grid.chunk_width, grid.chunk_height) == (1024, 512)
    assert len(told) == 1
    assert "chunk_cols 1000" in told[0]


def test_rows_are_read_in_rows():
    """A source stored in rows is cut into chunks of its full width."""
    limits = Chunking(0, 0, 0, 512 * MB)
    grid, _ = cut((20_000, 20_000), (512, 512), limits, Cost(1, MB), full_width=True)
    assert grid.columns == 1
    assert grid.rows >= ENOUGH


def test_too_little_memory_is_refused():
    """Not even one tile fits."""
    with pytest.raises(MemoryBudgetError, match="needs"):
        cut((5000, 5000), (512, 512), Chunking(0, 0, 0, 1000), Cost(4, 0))


def test_chunks_of_chains_are_smaller_by_choice_only():
    """Where nobody gave a size; a size that was given stands."""
    limits = Chunking(0, 0, 0, 1024 * MB)
    cost = Cost(5, 160 * MB)
    plain, _ = cut((100_000, 100_000), (512, 512), limits, cost)
    chain, _ = cut((100_000, 100_000), (512, 512), limits, cost, by_choice=256 * MB)
    assert (plain.chunk_width, chain.chunk_width) == (4096, 2048)
    given = Chunking(4096, 4096, 0, 1024 * MB)
    asked, _ = cut((100_000, 100_000), (512, 512), given, cost, by_choice=256 * MB)
    assert asked.chunk_width == 4096
