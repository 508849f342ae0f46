from __future__ import annotations

from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from long_jobs import KIND, long_jobs, told

from geobatch_tui.observability.time_left import Ahead, Estimate, TimeLeft, kind_of


def learnt(*durations, left=0, kind=KIND):
    known = TimeLeft()
    known.expect({kind: len(durations) + left})
    for seconds in durations:
        known.add(kind, seconds, 1000)
    return known


def test_long_jobs_are_told_of_truly():
    """Over four times three jobs with one chunk of 50 s, a pause of 30 s, a cold start: half of
    the middles are within 6 %, and the truth is in the range about four times of five."""
    errors, hits = {}, []
    for seed in range(4):
        for name, job in long_jobs(seed):
            for _, estimate, truth in told(job):
                errors.setdefault(name, []).append(abs(estimate.middle - truth) / truth)
                hits.append(estimate.low <= truth <= estimate.high)
    assert {name: median(found) < 0.06 for name, found in errors.items()} == dict.fromkeys(
        errors, True
    )
    assert fmean(hits) >= 0.75


def test_too_little_is_no_promise():
    """Before two chunks and a second there is no time to the end; with nothing left it is 0."""
    assert learnt(left=5).at(5.0, Ahead(5)) is None
    assert learnt(1.0, left=5).at(5.0, Ahead(5)) is None
    assert learnt(0.1, 0.1, left=5).at(0.5, Ahead(5)) is None
    assert learnt(1.0, 1.0, left=5).at(2.0, Ahead(5)) is not None
    assert learnt(1.0).at(1.0, Ahead(0)) == Estimate(0.0, 0.0, 0.0)


def test_kinds_have_their_own_time():
    """Small tiles go first and quickly; the large chunks behind them take as long as they do."""
    small, large = kind_of(0, 1 << 10), kind_of(0, 1 << 20)
    known = TimeLeft()
    known.expect({small: 100, large: 100})
    for _ in range(100):
        known.add(small, 0.01, 1)
    known.look(1.0, Ahead(100))
    for second in range(2, 12):
        known.add(large, 1.0, 1)
        known.look(float(second), Ahead(101 - second))
    assert known.at(11.0, Ahead(90, (), 1)).middle == pytest.approx(90, rel=0.1)


def test_a_kind_that_nobody_measured_is_guessed_with_a_wide_range():
    """By the nearest in size, and the range says how little that is."""
    known = learnt(*[0.1] * 50, kind=kind_of(0, 1 << 10))
    known.expect({kind_of(0, 1 << 14): 50})
    found = known.at(5.0, Ahead(50))
    assert found.high > 3 * found.low
    assert found.middle > 5


def test_the_end_includes_what_is_put_together():
    """An output of many chunks is put together when they are done: first guessed, then measured."""
    known = TimeLeft()
    known.expect({KIND: 20}, assembled=10)
    known.expect({}, assembled=10)
    for _ in range(20):
        known.add(KIND, 0.1, 100_000_000)
    guessed = known.at(10.0, Ahead(0, (), 2, items=2))
    assert guessed.low < 5 < guessed.middle < guessed.high
    known.finished(10, 1_000_000_000, 40.0)
    assert known.at(50.0, Ahead(0, (), 2, items=1)).middle == pytest.approx(40, rel=0.01)
    later = known.at(70.0, Ahead(0, (), 2, items=1, finishing=(20.0,)))
    assert later.middle == pytest.approx(20, rel=0.01)


def test_one_that_runs_for_long_is_waited_for():
    """When one chunk is left that has run 100 s in place of 1, nobody says that it ends at once."""
    known = learnt(*[1.0] * 50, left=1)
    assert known.at(150.0, Ahead(1, (100.0,), 2)).low >= 20


@given(
    st.lists(st.floats(0, 100), min_size=2, max_size=60),
    st.integers(0, 1000),
    st.integers(1, 64),
    st.lists(st.floats(0, 1000), max_size=4),
    st.integers(0, 5),
)
def test_ranges_are_ranges(durations, left, workers, running, items):
    """Whatever was measured: nothing negative, and the middle lies between the ends."""
    known = learnt(*durations, left=left)
    known.expect({}, assembled=items)
    found = known.at(10.0, Ahead(left, running[:left], workers, items))
    assert 0 <= found.low <= found.middle <= found.high < float("inf")


def test_what_changes_widens_the_range():
    """A chunk that runs for long may run as long again, and chunks that became quick stay so."""
    even = learnt(*[0.5] * 100, left=400)
    usual = even.at(30.0, Ahead(400, (0.2, 0.2), 2))
    stuck = even.at(30.0, Ahead(400, (0.2, 20.0), 2))
    assert stuck.high - usual.high > 8
    assert stuck.middle - usual.middle < 4
    colder = learnt(*[3.0 - 0.04 * number for number in range(60)], left=400)
    found = colder.at(60.0, Ahead(400, (), 2))
    assert found.low <= 400 * 0.9 / 2
