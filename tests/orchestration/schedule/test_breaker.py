"""Systemic failures, failure limits, crash loops."""

from __future__ import annotations

import pytest

from geobatch_tui.config.units import FailureLimit
from geobatch_tui.errors import Reaction
from geobatch_tui.orchestration.schedule.breaker import Breaker, CrashLoop, FailureWindow, exceeds

COUNTED = [Reaction.TRANSIENT, Reaction.RESOURCE, Reaction.UNKNOWN]


def burials(breaker: Breaker, reaction: Reaction, count: int) -> int:
    """How many of ``count`` burials are noted before the breaker opens; ``count`` if it does not."""
    for n in range(count):
        if breaker.buried(reaction):
            return n + 1
    return count


@pytest.mark.parametrize("reaction", [*COUNTED, Reaction.POISON])
def test_twenty_failures_from_the_start(reaction):
    """Where nothing ever worked, the twentieth failure opens."""
    assert burials(Breaker(), reaction, 100) == 20


@pytest.mark.parametrize("reaction", COUNTED)
def test_twenty_failures_in_a_row_midway(reaction):
    """However much worked before, twenty in a row open."""
    breaker = Breaker()
    for _ in range(10_000):
        breaker.succeeded()
    assert burials(breaker, reaction, 100) == 20


@pytest.mark.parametrize("reaction", [*COUNTED, Reaction.POISON])
@pytest.mark.parametrize("before", [0, 1, 9, 10, 100])
def test_ten_neighbours_do_not_open(reaction, before):
    """Ten bad chunks side by side are ten dead letters, at the start too."""
    breaker = Breaker()
    for _ in range(before):
        breaker.succeeded()
    assert not any(breaker.buried(reaction) for _ in range(10))


def test_poison_judged_last_does_not_open():
    """25 convictions in a row after 275 successes are no epidemic; 100 after that are."""
    breaker = Breaker()
    for _ in range(275):
        breaker.succeeded()
    assert burials(breaker, Reaction.POISON, 1000) == 100


def test_every_third_does_not_open():
    """A third of failures is for max_failures to judge."""
    breaker = Breaker()
    for _ in range(500):
        breaker.succeeded()
        breaker.succeeded()
        assert not breaker.buried(Reaction.UNKNOWN)


def test_every_second_opens():
    """Half of the last forty opens."""
    breaker = Breaker()
    opened = False
    for _ in range(20):
        breaker.succeeded()
        opened = breaker.buried(Reaction.TRANSIENT)
    assert opened


@pytest.mark.parametrize("reaction", [Reaction.PERMANENT, Reaction.SPACE, Reaction.FATAL])
def test_invalid_input_is_not_counted(reaction):
    """What says nothing of the machine neither opens nor dilutes."""
    breaker = Breaker()
    assert not any(breaker.buried(reaction) for _ in range(1000))
    assert burials(breaker, Reaction.UNKNOWN, 100) == 20


def test_window_forgets():
    """Failures that left the window count no more."""
    window = FailureWindow(10, minimum=5)
    for failed in [True] * 4 + [False] * 10 + [True] * 4:
        window.note(failed=failed)
        assert not window.systemic
    window.note(failed=True)
    assert window.systemic


@pytest.mark.parametrize(
    ("limit", "dead", "total", "exceeded"),
    [
        (None, 10**9, 1, False),
        (FailureLimit(count=0), 0, 0, False),
        (FailureLimit(count=0), 1, 0, True),
        (FailureLimit(count=5), 5, 10, False),
        (FailureLimit(count=5), 6, 10, True),
        (FailureLimit(share=0.05), 5, 100, False),
        (FailureLimit(share=0.05), 6, 100, True),
        (FailureLimit(share=0.0), 1, 100, True),
        (FailureLimit(share=1.0), 100, 100, False),
        (FailureLimit(share=0.05), 50, 0, False),
    ],
)
def test_failure_limit(limit, dead, total, exceeded):
    """The limit itself is tolerated, one more is not; a share needs a known total."""
    assert exceeds(limit, dead, total) is exceeded


def test_five_deaths_are_a_crash_loop():
    """Five workers in a row that die by themselves."""
    loop = CrashLoop()
    assert [loop.died(from_outside=False) for _ in range(5)] == [False] * 4 + [True]


def test_a_living_worker_breaks_the_row():
    """One that works starts the count anew."""
    loop = CrashLoop()
    for _ in range(50):
        assert not any(loop.died(from_outside=False) for _ in range(4))
        loop.alive()


def test_kills_from_outside_count_little_but_count():
    """Hundreds of kills are survived, an endless row is not."""
    loop = CrashLoop()
    assert not any(loop.died(from_outside=True) for _ in range(499))
    assert loop.died(from_outside=True)
