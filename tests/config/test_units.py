from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.config.units import (
    FailureLimit,
    format_bytes,
    format_duration,
    parse_bytes,
    parse_duration,
    parse_failure_limit,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0.5s", 0.5),
        ("6h", 21600),
        ("1m30s", 90),
        ("2d 3h", 183600),
        ("250ms", 0.25),
        ("5min", 300),
        ("90", 90),
        (90, 90),
        (0.25, 0.25),
        (" 10s ", 10),
    ],
)
def test_durations_as_people_write_them(text, seconds):
    """A duration is a sum of parts, or a number of seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5x", "-1s", "1s1m", "1m1m", "s", "1 2s", -1, float("inf"), float("nan"), True, []]
)
def test_what_is_no_duration_is_refused(text):
    """Anything else is refused with examples of what is right."""
    with pytest.raises(ValueError, match="90s"):
        parse_duration(text)


@given(st.floats(min_value=0, max_value=1e12) | st.integers(0, 10**9).map(float))
def test_durations_round_trip(seconds):
    """No digit of a duration is lost in its text."""
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 << 30),
        ("512MB", 512_000_000),
        ("1.5 GiB", 3 << 29),
        ("100", 100),
        ("7b", 7),
        (4096, 4096),
        ("1tib", 1 << 40),
    ],
)
def test_sizes_as_people_write_them(text, size):
    """KB counts in thousands, KiB in 1024s."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "4 gigs", "-1", -1, "GiB", "1e9", 1.5, True, None])
def test_what_is_no_size_is_refused(text):
    """Anything else is refused with examples of what is right."""
    with pytest.raises(ValueError, match="4GiB"):
        parse_bytes(text)


@given(st.integers(0, 2**60))
def test_sizes_round_trip(size):
    """The text of a size is exact."""
    assert parse_bytes(format_bytes(size)) == size


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("100", FailureLimit(count=100)),
        (100, FailureLimit(count=100)),
        ("0", FailureLimit(count=0)),
        ("5%", FailureLimit(share=0.05)),
        ("2.5 %", FailureLimit(share=0.025)),
        ("100%", FailureLimit(share=1.0)),
    ],
)
def test_failure_limits(text, limit):
    """A limit is a count or a share, and its text reads back."""
    assert parse_failure_limit(text) == limit
    assert parse_failure_limit(str(limit)) == limit


@given(st.integers(0, 10_000).map(lambda n: f"{n / 100:g}%"))
def test_shares_round_trip(text):
    """A share with two decimals reads back from its own text."""
    limit = parse_failure_limit(text)
    assert parse_failure_limit(str(limit)) == limit


@pytest.mark.parametrize("text", ["", "five", "101%", "-1", "1.5", True, 2.5, "%"])
def test_what_is_no_limit_is_refused(text):
    """Anything else is refused with examples of what is right."""
    with pytest.raises(ValueError, match="5%"):
        parse_failure_limit(text)
