"""What becomes of a unit that failed, or that lost its worker, one verdict at a time."""

from __future__ import annotations

import pytest
from scheduler_shell import chunk, death, failure

from geobatch_tui.errors import ChunkTimeoutError, MemoryBudgetError, ProcessLimitError, Reaction
from geobatch_tui.execution.protocol.messages import Failure
from geobatch_tui.orchestration.schedule.backlog import Entry
from geobatch_tui.orchestration.schedule.backoff import RetryBudget, RetryPolicy
from geobatch_tui.orchestration.schedule.verdicts import (
    CRASHES,
    DIVISIONS,
    FEWER_WAIT,
    KILL_SECONDS,
    KILLS,
    SUBDIVISIONS,
    Action,
    Judge,
    from_outside,
    hopeless,
    is_limited,
)


def judge(max_attempts: int = 3, tokens: int = 10) -> Judge:
    return Judge(RetryPolicy(max_attempts, 1.0, 8.0, "r"), RetryBudget(tokens))


LIMITED = Failure(ProcessLimitError.__name__, Reaction.RESOURCE, "no thread")


@pytest.mark.parametrize(
    ("reaction", "action", "attempts"),
    [
        (Reaction.TRANSIENT, Action.RETRY, 1),
        (Reaction.RESOURCE, Action.RETRY, 1),
        (Reaction.SPACE, Action.SUSPEND, 0),
        (Reaction.PERMANENT, Action.BURY, 1),
        (Reaction.POISON, Action.RETRY, 1),
        (Reaction.UNKNOWN, Action.RETRY, 1),
        (Reaction.FATAL, Action.END, 0),
    ],
)
def test_a_first_failure(reaction, action, attempts):
    """Each reaction has its action; a failure that is not the unit's is no attempt."""
    verdict = judge().failed(Entry(chunk(1)), failure(reaction))
    assert (verdict.action, verdict.unit.attempts) == (action, attempts)


def test_a_limit_of_threads_blames_no_unit():
    verdict = judge().failed(Entry(chunk(1)), LIMITED)
    assert (verdict.action, verdict.delay, verdict.unit) == (Action.FEWER, FEWER_WAIT, chunk(1))
    assert is_limited(LIMITED)
    assert not is_limited(failure(Reaction.RESOURCE))
    assert not is_limited(None)


def test_transient_failures_use_up_attempts_or_tokens():
    """The reason that a letter names tells the two apart."""
    last = judge().failed(Entry(chunk(1, attempts=2)), failure(Reaction.TRANSIENT))
    assert (last.action, last.unit.attempts) == (Action.BURY, 3)
    assert last.failure.evidence["given_up"] == "all attempts are used up"
    poor = judge(tokens=0).failed(Entry(chunk(1)), failure(Reaction.TRANSIENT))
    assert poor.failure.evidence["given_up"] == "the retry budget of the run is used up"


def test_an_unknown_failure_is_tried_once_more():
    """Whatever failed in between."""
    entry, one = Entry(chunk(1)), judge(max_attempts=5)
    first = one.failed(entry, failure(Reaction.UNKNOWN))
    entry.unit = first.unit
    assert first.action is Action.RETRY
    assert one.failed(entry, failure(Reaction.TRANSIENT)).action is Action.RETRY
    assert one.failed(entry, failure(Reaction.UNKNOWN)).action is Action.BURY


def test_a_unit_short_of_memory_is_subdivided_three_times():
    entry, one = Entry(chunk(1)), judge()
    depths = []
    for _ in range(SUBDIVISIONS + 1):
        verdict = one.failed(entry, failure(Reaction.RESOURCE))
        entry.unit = verdict.unit
        depths.append((verdict.action, verdict.unit.subdivide))
    assert depths[:-1] == [(Action.RETRY, depth) for depth in range(1, SUBDIVISIONS + 1)]
    assert depths[-1] == (Action.BURY, SUBDIVISIONS)


@pytest.mark.parametrize(("divisible", "limit"), [(False, CRASHES), (True, DIVISIONS)])
def test_crashes_convict(divisible, limit):
    """Two in a row; of a unit that loses a part with each crash, as many as it has parts."""
    entry, one = Entry(chunk(1, crashes=limit - 2, divisible=divisible)), judge()
    entry.unit = one.lost(entry, "exit", death(), 0.0).unit
    assert entry.unit.crashes == limit - 1
    assert one.lost(entry, "exit", death(), 1.0).action is Action.BURY


def test_a_timeout_tells_its_limit_and_convicts_at_the_second():
    """A suspect that is only slow is not convicted by one timeout."""
    entry, one = Entry(chunk(1, strikes=1)), judge()
    first = one.lost(entry, "timeout", None, 0.0, 12.5)
    assert (first.action, first.failure.error_class) == (Action.RETRY, ChunkTimeoutError.__name__)
    assert first.failure.evidence["timeout_s"] == 12.5
    entry.unit = first.unit
    assert one.lost(entry, "timeout", None, 0.0, 12.5).action is Action.BURY


def test_a_worker_out_of_memory_is_a_shortage():
    for cause in ("oom", "memory"):
        verdict = judge().lost(Entry(chunk(1)), cause, None, 0.0)
        assert (verdict.action, verdict.unit.subdivide) == (Action.RETRY, 1)
        assert verdict.failure.error_class == MemoryBudgetError.__name__
        assert verdict.failure.reaction is Reaction.RESOURCE


def test_a_retired_worker_marks_nothing():
    verdict = judge().lost(Entry(chunk(1)), "retired", None, 0.0)
    assert (verdict.action, verdict.unit) == (Action.RELEASE, chunk(1))


@pytest.mark.parametrize(
    ("cause", "evidence", "outside"),
    [
        ("signal", {"signal": "SIGTERM"}, True),
        ("signal", {"signal": 9}, True),
        ("signal", {"exitcode": None}, True),
        ("signal", {"signal": "SIGSEGV", "exitcode": -11}, False),
        ("signal", {"signal": 9, "oom": True}, False),
        ("exit", {"signal": 9}, False),
    ],
)
def test_who_ended_a_worker(cause, evidence, outside):
    assert from_outside(cause, failure(Reaction.POISON, evidence=evidence)) is outside
    assert not from_outside(cause, None)


def test_kills_from_outside_convict_in_the_end():
    """Sixteen over ten minutes where no other worker is up; each but the first two strikes."""
    entry, one = Entry(chunk(1)), judge()
    actions = []
    for number in range(KILLS):
        now = KILL_SECONDS * number / (KILLS - 1)
        verdict = one.lost(entry, "signal", death(9), now)
        entry.unit = verdict.unit
        actions.append(verdict.action)
    assert actions == [Action.RELEASE] * 2 + [Action.RETRY] * (KILLS - 3) + [Action.BURY]
    assert entry.unit.strikes == KILLS - 2
    assert entry.unit.attempts == 1


def test_other_workers_that_are_hit_clear_a_unit():
    """Somebody shoots at workers: sixteen kills in a minute convict nobody then."""
    entry, one = Entry(chunk(1)), judge()
    for number in range(3 * KILLS):
        one.stray()
        verdict = one.lost(entry, "signal", death(9), float(number), others=1)
        assert verdict.action is not Action.BURY
        entry.unit = verdict.unit


def test_a_hopeless_unit_names_both_sizes():
    told = hopeless(chunk(1, bytes=700 << 20), 300 << 20)
    assert told.error_class == MemoryBudgetError.__name__
    assert "700 MiB" in told.message
    assert "300 MiB" in told.message
