from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.observability.second_bars import Doing, Total, bars, longest_still
from geobatch_tui.observability.working_time import WorkingTime, stall_limit


def test_planning_and_pauses_are_no_work():
    """The clock of work begins with the first phase of it, and stands still while held."""
    work = WorkingTime()
    work.hold(3.0, held=True)
    assert work.at(5.0) == 0.0
    work.begin(10.0)
    assert work.at(12.0) == 0.0
    work.hold(14.0, held=False)
    assert work.at(20.0) == 6.0
    work.moved(20.0)
    work.hold(30.0, held=True)
    assert (work.at(60.0), work.still(60.0)) == (16.0, 10.0)
    work.hold(60.0, held=False)
    assert (work.at(61.0), work.still(61.0)) == (17.0, 11.0)


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=50))
def test_work_never_runs_back(steps):
    """Whatever is held when: seconds of work grow, and are no more than those of the clock."""
    work, now, last = WorkingTime(), 0.0, 0.0
    work.begin(now)
    for gap, held in steps:
        now += gap
        work.hold(now, held=held)
        assert last - 1e-9 <= work.at(now) <= now + 1e-9
        last = work.at(now)


def test_a_stall_is_what_is_unusual():
    """The user's own limit, else ten times a usual chunk, half a minute at least."""
    assert stall_limit([], 60.0) == 60.0
    assert stall_limit([]) == 120.0
    assert stall_limit([0.1] * 99 + [50.0]) == 30.0
    assert stall_limit([20.0] * 10) == 200.0


def test_bars_show_what_a_mean_hides():
    """A stall of 47 s is 47 bars of nothing; a pause is something else; so is a machine asleep."""
    totals = [Total(float(t), 10.0 * t) for t in range(11)]
    totals += [Total(10.0 + t, 100.0) for t in range(1, 48)]
    totals += [Total(58.0, 110.0), Total(63.0, 110.0, held=True), Total(163.0, 110.0)]
    shown = bars(totals, 3600)
    assert [bar.doing for bar in shown[:10]] == [Doing.WORK] * 10
    assert {bar.value for bar in shown[:10]} == {10.0}
    assert longest_still(shown) == 47
    assert [bar.doing for bar in shown[58:63]] == [Doing.HELD] * 5
    assert {bar.doing for bar in shown[63:]} == {Doing.UNKNOWN}
    assert len(bars(totals, 20)) == 20
    assert not bars(totals[:1], 20)


@given(st.lists(st.tuples(st.floats(0.4, 9), st.integers(0, 100)), min_size=1, max_size=80))
def test_bars_keep_the_sum(steps):
    """What bars show is what was finished, whenever it was noted."""
    totals, t, value = [Total(0.0, 0.0)], 0.0, 0.0
    for gap, gained in steps:
        t, value = t + gap, value + gained
        totals.append(Total(t, value))
    assert sum(bar.value for bar in bars(totals, 10_000)) == pytest.approx(value)
