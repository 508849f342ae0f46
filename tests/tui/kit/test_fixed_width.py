"""Numbers as the console writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from geobatch_tui.tui.kit import fixed_width as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (15_000, "15 000"), (1_234_567, "1 234 567")],
)
def test_counts_have_their_thousands_apart(value, text):
    """Groups of three, with blanks: commas mean decimals to half of the readers."""
    assert fmt.count(value) == text


def test_one_is_no_plural():
    """Only of one thing there is one; of none there are many."""
    assert [fmt.plural(n, "chunk") for n in (0, 1, 2_000)] == [
        "0 chunks",
        "1 chunk",
        "2 000 chunks",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (9_960, "10 KB"),
        (999_499, "999 KB"),
        (999_500, "1.0 MB"),
        (1.4e9, "1.4 GB"),
        (3.1e8, "310 MB"),
        (float("nan"), "-"),
    ],
)
def test_sizes_have_at_most_three_digits(value, text):
    """Decimal units; a figure that would round to 1000 takes the next unit."""
    assert fmt.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (3.54, "3.5"), (212.3, "212"), (1400, "1.4k"), (12e6, "12M")]
)
def test_amounts_are_short(value, text):
    """At most four digits and a prefix."""
    assert fmt.amount(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "--:--:--"),
        (float("inf"), "--:--:--"),
        (1120, "00:18:40"),
        (59.6, "00:01:00"),
        (86_399, "23:59:59"),
        (3 * 86_400 + 4 * 3600 + 300, "3d 04:05"),
    ],
)
def test_durations_keep_their_width(seconds, text):
    """Eight cells whatever the time, unknown included."""
    assert fmt.duration(seconds) == text
    assert len(fmt.duration(seconds)) == 8


@given(st.floats(0, 1e8))
def test_spans_fit_five_cells(seconds):
    """A short span never breaks its column."""
    assert len(fmt.span(seconds)) <= 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (0.0003, "0.3ms"),
        (0.0152, "15ms"),
        (0.94, "940ms"),
        (2.31, "2.3s"),
        (97, "97s"),
    ],
)
def test_fine_spans(seconds, text):
    """Below a second there are milliseconds."""
    assert fmt.fine_span(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "-"), (0, 9, "0.0%"), (1, 10**6, "0.1%"), (999_999, 10**6, "99.9%"), (5, 5, "100.0%")],
)
def test_only_all_is_100_percent(part, whole, text):
    """A run with one chunk left is not at 100 %."""
    assert fmt.percent(part, whole) == text


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
