"""Units that name a part with each crash are not condemned by the first few."""

from __future__ import annotations

import dataclasses

from geobatch_tui.orchestration.schedule.backlog import Entry
from geobatch_tui.orchestration.schedule.backoff import RetryBudget, RetryPolicy
from geobatch_tui.orchestration.schedule.events import Kind, Unit
from geobatch_tui.orchestration.schedule.verdicts import CRASHES, DIVISIONS, Action, Judge


def _timeouts_until_buried(unit):
    judge = Judge(RetryPolicy(5, 0.5, 60.0, "run"), RetryBudget())
    entry = Entry(unit)
    for count in range(1, 2 * DIVISIONS):
        verdict = judge.lost(entry, "timeout", None, 1.0)
        if verdict.action is Action.BURY:
            return count
        entry.unit = verdict.unit
    return None


def test_a_divisible_unit_outlives_crashes():
    """A divisible unit is tried as often as it can be divided; any other has two timeouts."""
    assert _timeouts_until_buried(Unit(Kind.CHUNK, 1)) == CRASHES
    assert _timeouts_until_buried(Unit(Kind.CHUNK, 1, divisible=True)) == DIVISIONS


def test_a_divisible_unit_is_no_suspect_for_its_crashes():
    """Several may run at once. A strike, which a neighbour may have caused, sends one to the lane."""
    unit = Unit(Kind.CHUNK, 1, crashes=1, divisible=True)
    assert not Entry(unit).suspect
    assert Entry(dataclasses.replace(unit, strikes=1)).suspect
    assert Entry(dataclasses.replace(unit, divisible=False)).suspect
