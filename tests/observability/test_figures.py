"""Figures as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.observability import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 chunks"), (1, "1 chunk"), (2, "2 chunks"), (15_000, "15,000 chunks")],
)
def test_one_is_no_plural(value, text):
    """Of one thing alone there is one; thousands stand apart."""
    assert figures.plural(value, "chunk") == text
    assert figures.count(value) == text.split()[0]


@pytest.mark.parametrize(
    ("value", "text", "short"),
    [
        (0, "0 B", "0 B"),
        (1023, "1023 B", "1023 B"),
        (1536, "1.5 KiB", "1.5 KiB"),
        (310_000_000, "295.6 MiB", "296 MiB"),
        (1000 << 20, "1000.0 MiB", "1.0 GiB"),
        (3 << 30, "3.0 GiB", "3.0 GiB"),
        (1 << 60, "1024.0 PiB", "1024 PiB"),
        (float("nan"), "-", "-"),
    ],
)
def test_sizes(value, text, short):
    """Bytes have a binary unit; in a column first the decimal goes, then the unit is the next."""
    assert figures.size(value) == text
    assert figures.size(value, 7) == short


@given(st.floats(0, 2**59))
def test_sizes_fit_their_column(value):
    """Seven cells are enough for any size."""
    assert len(figures.size(value, 7)) <= 7


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (3.54, "3.5"), (212.3, "212"), (1400, "1.4k"), (12e6, "12M")]
)
def test_amounts_are_short(value, text):
    """At most four digits and a prefix."""
    assert figures.amount(value) == text


@pytest.mark.parametrize(
    ("seconds", "text", "short", "fine"),
    [
        (0, "0.0 s", "0.0 s", "0.0 s"),
        (0.0003, "0.0 s", "0.0 s", "0.3 ms"),
        (0.04, "0.0 s", "0.0 s", "40 ms"),
        (9.9, "9.9 s", "9.9 s", "9.9 s"),
        (59.4, "59 s", "59 s", "59 s"),
        (187, "3:07", "3:07", "3:07"),
        (7509, "2:05:09", "2.1 h", "2:05:09"),
        (86_399, "23:59:59", "24 h", "23:59:59"),
        (3 * 86_400 + 4 * 3600 + 300, "3d 04:05", "76 h", "3d 04:05"),
        (9 * 86_400, "9d 00:00", "216 h", "9d 00:00"),
        (None, "-", "-", "-"),
        (float("inf"), "-", "-", "-"),
    ],
)
def test_durations(seconds, text, short, fine):
    """From seconds to days; in a column of five cells hours are the unit before days are."""
    assert figures.duration(seconds) == text
    assert figures.duration(seconds, 5) == short
    assert figures.duration(seconds, fine=True) == fine


@given(st.floats(0, 8.6e6))
def test_durations_fit_their_column(seconds):
    """Eight cells are enough for all, and five for what is coarser."""
    assert len(figures.duration(seconds, 5)) <= 5
    assert len(figures.duration(seconds)) <= 9


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "-"), (0, 9, "0.0%"), (1, 10**6, "0.1%"), (999_999, 10**6, "99.9%"), (5, 5, "100.0%")],
)
def test_only_all_is_100_percent(part, whole, text):
    """A run with one chunk left is not at 100 %."""
    assert figures.percent(part, whole) == text


def test_rates_are_told_in_what_was_counted():
    """Pixels or features beside chunks; what is 0, or not known, is left out."""
    assert figures.rates({"chunks_per_s": 25.54, "mpx_per_s": 41.26}) == "25.5 chunks/s, 41.3 Mpx/s"
    assert figures.rates({"features_per_s": 12_345.6}) == "12,346 features/s"
    assert figures.rates({"chunks_per_s": 0.0}) == figures.rates({}) == ""
