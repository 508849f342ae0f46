"""How many requests a host gets at once: less when it asks to slow down, more as it answers."""

import threading

import pytest

from geobatch_tui.execution.stores import host_limits
from geobatch_tui.execution.stores.host_limits import BEGIN, MOST, STEADY, HostLimit


def answer(limit: HostLimit, times: int) -> None:
    for _ in range(times):
        limit.answered()


def test_answers_raise_the_limit_to_a_bound():
    """By one for each at first, later for about as many as run at once."""
    limit = HostLimit()
    assert limit.limit == BEGIN
    answer(limit, STEADY - BEGIN)
    assert limit.limit == STEADY
    answer(limit, STEADY + 1)
    assert limit.limit == STEADY + 1
    answer(limit, 1000)
    assert limit.limit == MOST


def test_requests_that_were_slowed_together_halve_it_once():
    """Those that begin afterwards halve it again, down to one."""
    limit = HostLimit()
    with limit.turn() as began:
        pass
    for _ in range(BEGIN):
        limit.slowed(began, 0.0)
    assert limit.limit == BEGIN // 2
    for _ in range(10):
        with limit.turn() as began:
            limit.slowed(began, 0.0)
    assert limit.limit == 1


def test_a_host_that_was_away_begins_with_one():
    """And gets what it bore before with each answer, half of it quickly."""
    limit = HostLimit()
    limit.away()
    assert limit.is_away
    limit.back()
    assert not limit.is_away
    assert limit.limit == 1
    answer(limit, STEADY // 2 - 1)
    assert limit.limit == STEADY // 2
    answer(limit, 1)
    assert limit.limit == STEADY // 2


@pytest.mark.parametrize("allowed", [1, 3])
def test_no_more_run_at_once_than_are_allowed(allowed):
    """Whoever comes beyond waits for a turn."""
    limit, now, most = HostLimit(), [], []
    limit._limit = limit._steady = float(allowed)

    def ask() -> None:
        with limit.turn():
            now.append(1)
            most.append(len(now))
            pause.wait(0.002)
            now.pop()

    pause = threading.Event()
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= allowed


def test_each_host_has_its_own():
    """One that is away is nothing to the others."""
    host_limits.limit_of("http://one:1").away()
    assert not host_limits.limit_of("http://other:1").is_away
