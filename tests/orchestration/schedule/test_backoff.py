"""Delays and the retry budget."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.orchestration.schedule.backoff import RETRY_AFTER_CAP, RetryBudget, RetryPolicy
from geobatch_tui.orchestration.schedule.events import Kind

KEY = (Kind.CHUNK, 7)


@given(
    n=st.integers(1, 5000),
    base=st.floats(0, 100),
    cap=st.floats(0, 1000),
    ident=st.integers(0, 1 << 62),
    run=st.text(),
)
def test_full_jitter_bounds(n, base, cap, ident, run):
    """A delay lies in [0, min(cap, base * 2**(n - 1))]."""
    delay = RetryPolicy(5, base, cap, run).delay((Kind.CHUNK, ident), n)
    assert 0 <= delay <= min(cap, base * 2.0 ** min(n - 1, 900))


def test_jitter_is_uniform():
    """Delays of many units fill their range evenly."""
    policy = RetryPolicy(5, 1.0, 60.0, "run")
    delays = [policy.delay((Kind.CHUNK, ident), 1) for ident in range(4000)]
    counts = [sum(step / 10 <= delay < (step + 1) / 10 for delay in delays) for step in range(10)]
    assert all(300 < count < 500 for count in counts)


def test_jitter_depends_on_run_unit_and_try():
    """Each part of the seed matters, and nothing else."""
    policy = RetryPolicy(run_id="a")
    same = policy.delay(KEY, 1)
    assert same == RetryPolicy(run_id="a").delay(KEY, 1)
    assert same != RetryPolicy(run_id="b").delay(KEY, 1)
    assert same != policy.delay((Kind.CHUNK, 8), 1)
    assert same != policy.delay((Kind.PROBE, 7), 1)
    assert policy.delay(KEY, 7) / policy.delay(KEY, 8) != 0.5


def test_jitter_is_the_same_in_every_process():
    """The seed does not go through Python's randomised hash."""
    code = (
        "from geobatch_tui.orchestration.schedule.backoff import RetryPolicy;"
        "from geobatch_tui.orchestration.schedule.events import Kind;"
        "import sys; sys.stdout.write(repr(RetryPolicy(run_id='a').delay((Kind.CHUNK, 7), 3)))"
    )
    told = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        for _ in range(2)
    }
    assert told == {repr(RetryPolicy(run_id="a").delay(KEY, 3)).encode()}


@pytest.mark.parametrize("asked", [1.0, 30.0, 600.0])
def test_retry_after_is_a_lower_bound(asked):
    """What a server asks for is kept, within ten per cent above."""
    policy = RetryPolicy(5, 0.5, 0.5, "run")
    delays = [policy.delay((Kind.CHUNK, ident), 1, asked) for ident in range(50)]
    assert all(asked <= delay <= 1.1 * asked for delay in delays)
    assert len(set(delays)) == 50


def test_long_backoff_beats_a_short_retry_after():
    """A server that asks for less than the backoff does not shorten it."""
    policy = RetryPolicy(5, 50.0, 60.0, "run")
    plain = policy.delay(KEY, 1)
    assert policy.delay(KEY, 1, 0.001) == plain > 1


@pytest.mark.parametrize("asked", [-1.0, 0.0, math.nan, math.inf])
def test_nonsense_retry_after_is_ignored(asked):
    """Negative, zero, NaN and infinite waits are no waits."""
    policy = RetryPolicy(run_id="run")
    assert policy.delay(KEY, 1, asked) == policy.delay(KEY, 1)


def test_absurd_retry_after_is_capped():
    """A date in the next century holds no unit for ever."""
    assert RetryPolicy().delay(KEY, 1, 1e12) <= 1.1 * RETRY_AFTER_CAP


@pytest.mark.parametrize(
    "wrong", [{"max_attempts": 0}, {"backoff_base": -1.0}, {"backoff_cap": math.inf}]
)
def test_policy_refuses_nonsense(wrong):
    """A policy that could not work is refused."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_unpaired_surrogates_in_a_run_id():
    """A run id that is no valid text still seeds."""
    assert RetryPolicy(run_id="\udcff").delay(KEY, 1) >= 0


def test_budget_starts_with_ten():
    """A run may retry ten times before anything has succeeded."""
    budget = RetryBudget()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]


def test_ten_successes_buy_a_retry():
    """A success earns a tenth; ten make exactly one."""
    budget = RetryBudget(initial=0)
    for _ in range(9):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
    assert not budget.spend()


def test_budget_is_bounded():
    """A million successes do not buy a hundred thousand retries."""
    budget = RetryBudget()
    for _ in range(100_000):
        budget.earn()
    assert [budget.spend() for _ in range(101)] == [True] * 100 + [False]
