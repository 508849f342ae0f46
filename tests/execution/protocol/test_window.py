"""Rectangles of pixels, against sets of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.execution.protocol.window import Window

OFFSETS, SIDES, STEPS = st.integers(-20, 40), st.integers(1, 30), st.integers(1, 12)
WINDOWS = st.builds(Window, OFFSETS, OFFSETS, SIDES, SIDES)


def pixels(window: Window) -> set[tuple[int, int]]:
    """Row and column of every pixel."""
    return {
        (row, col)
        for row in range(window.row_off, window.row_off + window.height)
        for col in range(window.col_off, window.col_off + window.width)
    }


def is_partition(parts: list[Window], whole: Window) -> bool:
    """Whether the parts hold every pixel of the whole, each once, and none is empty."""
    return (
        all(part.size for part in parts)
        and sum(part.size for part in parts) == whole.size
        and set().union(*map(pixels, parts)) == pixels(whole)
    )


def test_what_a_window_says_of_itself() -> None:
    """Bounds, sizes and slices of one window, written out."""
    window = Window(10, 20, 30, 40)
    assert window.bounds == (10, 20, 40, 60)
    assert (window.right, window.bottom) == (40, 60)
    assert window.srcwin == (10, 20, 30, 40)
    assert window.shape == (40, 30)
    assert window.size == 1200
    assert window.slices == (slice(20, 60), slice(10, 40))
    assert window.slices_in(Window(5, 15, 100, 100)) == (slice(5, 45), slice(5, 35))
    assert Window.between(*window.bounds) == window
    assert list(Window(1, 5, 2, 2).places()) == [(5, 1), (5, 2), (6, 1), (6, 2)]


@given(WINDOWS, WINDOWS)
def test_a_clipped_window_holds_the_pixels_of_both(one: Window, other: Window) -> None:
    """Also where there are none: then its size is 0, and no side is negative."""
    shared = one.clip(other)
    assert pixels(shared) == pixels(one) & pixels(other)
    assert shared.size == len(pixels(shared))
    assert min(shared.shape) >= 0


@given(WINDOWS, st.integers(0, 10))
def test_a_padded_window_reaches_as_far_on_every_side(window: Window, by: int) -> None:
    """Padding is undone by cutting as much off."""
    wide = window.pad(by)
    assert wide.shape == (window.height + 2 * by, window.width + 2 * by)
    assert window.slices_in(wide) == (slice(by, by + window.height), slice(by, by + window.width))


@given(WINDOWS, STEPS, STEPS, STEPS, STEPS)
def test_tiles_cut_along_a_grid(window: Window, cols: int, rows: int, left: int, top: int) -> None:
    """Each tile lies in one cell of the grid, and they come row by row."""
    tiles = list(window.tiles(cols, rows, (left, top)))
    assert is_partition(tiles, window)
    cells = [
        {((row - top) // rows, (col - left) // cols) for row, col in pixels(tile)} for tile in tiles
    ]
    assert all(len(cell) == 1 for cell in cells)
    order = [cell.pop() for cell in cells]
    assert order == sorted(set(order))


@given(WINDOWS, STEPS, STEPS)
def test_parts_start_at_the_corner(window: Window, cols: int, rows: int) -> None:
    """All but the last of a row and of a column have the full size."""
    parts = list(window.parts(cols, rows))
    assert is_partition(parts, window)
    for part in parts:
        assert (part.col_off - window.col_off) % cols == 0
        assert (part.row_off - window.row_off) % rows == 0
        assert part.width == cols or part.right == window.right
        assert part.height == rows or part.bottom == window.bottom


@given(WINDOWS, STEPS)
def test_halves_are_cut_between_cells(window: Window, step: int) -> None:
    """Along the longer side, at a multiple of the step, or not at all."""
    halves = window.halves(step)
    assert is_partition(halves, window)
    if len(halves) == 1:
        assert halves == [window]
        return
    first, second = halves
    if window.height >= window.width:
        assert first.bottom == second.row_off
        assert second.row_off % step == 0
        assert abs(first.height - second.height) <= step + 1
    else:
        assert first.right == second.col_off
        assert second.col_off % step == 0
        assert abs(first.width - second.width) <= step + 1


@given(WINDOWS)
def test_any_window_of_two_pixels_has_halves(window: Window) -> None:
    """So that cutting on ends at single pixels."""
    assert len(window.halves()) == min(window.size, 2)


@given(WINDOWS, STEPS, STEPS)
def test_blocks_are_those_that_pixels_lie_in(window: Window, cols: int, rows: int) -> None:
    """Counted from the raster's corner; and an aligned window is those blocks, as far as the
    raster reaches."""
    met = {(row // rows, col // cols) for row, col in pixels(window)}
    assert set(window.blocks(cols, rows).places()) == met
    raster = Window(0, 0, 25, 35)
    inside = {place for place in pixels(raster) if (place[0] // rows, place[1] // cols) in met}
    assert pixels(window.align(cols, rows, raster)) == inside


@pytest.mark.parametrize("part", [Window(3, 4, 5, 2), Window(0, 0, 12, 9)])
def test_slices_find_a_part_in_an_array(part: Window) -> None:
    """The same pixels, by the place in the raster and by the place in an array of a window."""
    raster = np.arange(20 * 30).reshape(20, 30)
    outer = Window(0, 0, 12, 9)
    held = raster[outer.slices]
    assert np.array_equal(held[part.slices_in(outer)], raster[part.slices])


@given(WINDOWS, STEPS, STEPS)
def test_chunks_under_a_window_are_those_that_meet_it(window: Window, cols: int, rows: int) -> None:
    """In their order, each once; none where the window lies beyond the grid."""
    grid = ChunkGrid(25, 35, cols, rows)
    met = [number for number in range(len(grid)) if window.clip(grid.window(number)).size]
    assert grid.under(window) == met
