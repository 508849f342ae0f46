"""Text cut and padded to cells."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from geobatch_tui.tui.kit import fixed_width as fmt


@given(st.text(max_size=40), st.integers(0, 30))
def test_fitted_text_has_its_width_in_cells(text, width):
    """Wide characters and combining marks included: columns never shift."""
    for cut in (fmt.fit, fmt.fit_middle, fmt.right):
        assert cell_len(cut(text, width)) == width or not text.isprintable()


def test_middle_cut_keeps_both_ends():
    """The beginning of a file's name and the end of a chunk's key both tell."""
    assert fmt.fit_middle("T32UPU_20250614_B08.tif@40,71", 15) == "T32UPU_…f@40,71"


def test_sparkline_shows_a_little_as_something():
    """Zero is blank, a trace is the lowest block, the top a full one."""
    assert fmt.sparkline([0, 0.01, 5, 10], 5) == "  ▁▄█"
    assert fmt.sparkline([], 3) == "   "
    assert fmt.sparkline([200.0], 1, top=100) == "█"


def test_columns_average():
    """More values than columns become means; fewer stand at the right end."""
    assert fmt.columns([1, 3, 5, 7], 2) == [2, 6]
    assert fmt.columns([4], 3) == [0, 0, 4]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=7), st.integers(0, 200))
def test_shares_add_up(parts, cells):
    """All cells are given, and no part above zero is hidden while there is room."""
    given_ = fmt.shares(parts, cells)
    assert sum(given_) == (cells if any(parts) else 0)
    if cells >= len(parts):
        assert all(bool(cell) == bool(part) for cell, part in zip(given_, parts, strict=True))
