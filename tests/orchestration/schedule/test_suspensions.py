"""Why nothing new is admitted, and whether that holds."""

from __future__ import annotations

import pytest

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule import suspensions
from geobatch_tui.orchestration.schedule.suspensions import Gate


@pytest.mark.parametrize(
    ("reasons", "level", "in_flight", "is_open"),
    [
        ([], u.Level.CALM, 5, True),
        ([], u.Level.HOLD, 1, False),
        ([], u.Level.HOLD, 0, True),
        (["memory"], u.Level.PAUSE, 1, False),
        (["memory"], u.Level.PAUSE, 0, True),
        (["memory"], u.Level.HOLD, 1, False),
        (["space"], u.Level.CALM, 0, False),
        (["operator"], u.Level.CALM, 0, False),
        (["memory", "space"], u.Level.PAUSE, 0, False),
        (["store s3://a", "store s3://b"], u.Level.CALM, 5, True),
        (["store s3://a", "operator"], u.Level.CALM, 0, False),
        (["store s3://a", "memory"], u.Level.PAUSE, 0, True),
    ],
)
def test_gate(reasons, level, in_flight, is_open):
    """Space and operator stop everything; memory all but the only unit; stores that are away
    nothing but their own."""
    gate = Gate(lambda decision: None)
    gate.level = level
    for reason in reasons:
        gate.suspend(reason)
    assert gate.open(in_flight) is is_open


def test_gate_tells_each_change_once():
    """Suspensions are told when they begin and end; HOLD alone is not worth a word."""
    told: list[u.Decision] = []
    gate = Gate(told.append)
    for level in (u.Level.HOLD, u.Level.PAUSE, u.Level.KILL, u.Level.HOLD, u.Level.CALM):
        gate.press(level)
    gate.resume("space")
    assert told == [u.Suspend("memory"), u.Unsuspend("memory")]


def test_each_reason_ends_alone():
    """Space that is there again does not undo the operator's pause."""
    told: list[u.Decision] = []
    gate = Gate(told.append)
    gate.suspend("operator")
    gate.suspend("space")
    gate.suspend("space")
    gate.resume("space")
    assert gate.reasons == ("operator",)
    assert not gate.open(0)
    gate.resume("operator")
    assert gate.open(0)
    assert told == [
        u.Suspend("operator"),
        u.Suspend("space"),
        u.Unsuspend("space"),
        u.Unsuspend("operator"),
    ]


def test_memory_that_paused_goes_on_at_calm_only():
    gate = Gate(lambda decision: None)
    gate.press(u.Level.PAUSE)
    gate.press(u.Level.HOLD)
    assert gate.reasons == ("memory",)
    assert not gate.calm
    gate.press(u.Level.CALM)
    assert gate.reasons == ()
    assert gate.calm


def test_each_reason_has_words():
    """Those with a store in them name it; another is shown as it is."""
    assert "s3://a is away" in suspensions.why("store s3://a")
    assert "s3://a takes no outputs" in suspensions.why("outputs to s3://a")
    for reason in ("space", "memory", "operator", suspensions.BEHIND):
        assert suspensions.why(reason) != reason != suspensions.why_no_more(reason)
    assert suspensions.why("breaker") == "breaker" == suspensions.why_no_more("breaker")
