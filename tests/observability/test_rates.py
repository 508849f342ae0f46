from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.observability.rates import Rates


def test_a_steady_pace_is_told_as_it_is():
    """Four chunks a second are four chunks a second, and so are their units and bytes."""
    rates = Rates()
    rates.start(100.0)
    for n in range(1, 401):
        rates.add(100 + n / 4, 1, 10, 20, 30)
    reading = rates.at(200.0)
    assert reading.chunks == pytest.approx(4, rel=0.02)
    assert reading.units == pytest.approx(40, rel=0.02)
    assert (reading.bytes_in, reading.bytes_out) == (
        pytest.approx(80, rel=0.02),
        pytest.approx(120, rel=0.02),
    )


def test_the_rate_is_the_recent_one():
    """After a slow hour, the last minute decides."""
    rates = Rates()
    rates.start(0.0)
    for second in range(3600):
        rates.add(second + 1.0)
    for n in range(1, 1201):
        rates.add(3600 + n / 20)
    assert rates.at(3660.0).chunks == pytest.approx(20, rel=0.05)


def test_slow_chunks_have_a_rate_too():
    """Where a minute holds no chunk, the window reaches back to the last few."""
    rates = Rates()
    rates.start(0.0)
    for n in range(1, 21):
        rates.add(n * 90.0)
    reading = rates.at(1800.0)
    assert reading.chunks == pytest.approx(1 / 90, rel=0.01)


def test_a_stall_lowers_the_rate():
    """While nothing finishes, the rate falls."""
    rates = Rates()
    rates.start(0.0)
    for n in range(1, 101):
        rates.add(n * 0.1)
    before, after = rates.at(10.0), rates.at(100.0)
    assert after.chunks < before.chunks / 5


def test_without_a_start_the_first_chunk_is_one():
    """A chunk of unknown duration counts in the total, not in the rate."""
    rates = Rates()
    rates.add(50.0, 1000)
    for n in range(1, 11):
        rates.add(50.0 + n)
    assert rates.at(60.0).chunks == pytest.approx(1)
    assert rates.overall(10.0)["chunks_per_s"] == 101.0


def test_overall_rates():
    """The result of a run tells all that was done over all its time."""
    rates = Rates()
    rates.start(0.0)
    rates.add(1.0, 2, 10, 20, 30)
    assert rates.overall(4.0) == {
        "chunks_per_s": 0.5,
        "units_per_s": 2.5,
        "bytes_in_per_s": 5.0,
        "bytes_out_per_s": 7.5,
    }
    assert set(rates.overall(0.0).values()) == {0.0}


@given(st.lists(st.floats(0, 30), max_size=200))
def test_memory_is_bounded_and_rates_are_sane(gaps):
    """Whatever the pace, few buckets are kept, and no rate is negative."""
    rates, now = Rates(), 0.0
    rates.start(now)
    for gap in gaps:
        now += gap
        rates.add(now, 1, 5)
        reading = rates.at(now)
        assert reading.chunks >= 0
        assert reading.units == pytest.approx(reading.chunks * 5)
        assert len(rates._buckets) <= 61 + 8
        assert rates._recent[0] == sum(bucket.sums[0] for bucket in rates._buckets)
