"""A store that is away for a while costs time, and nothing else."""

from __future__ import annotations

import outage
import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("how", "at"), [("gone", 0.75), ("503", 0.3)])
def test_a_store_that_is_away_in_mid_run_costs_only_time(tmp_path, how, at):
    """Eight workers, in the plan and among chunks: no attempt counted, nothing given up, no
    stampede when it is back."""
    verdict = outage.endpoint_away(tmp_path, 5.0, sources=60, workers=8, how=how, at=at)
    assert verdict.faults == [], verdict


def test_the_busiest_stretch_is_found():
    """Of one second, wherever it begins."""
    assert outage.busiest([]) == 0
    assert outage.busiest([0.0, 0.5, 0.9, 1.2, 1.45, 3.0]) == 4
