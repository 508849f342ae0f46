"""Notes of progress: often while something moves, seldom while nothing does."""

from __future__ import annotations

from geobatch_tui.orchestration.run.monitor import STILL_PERIOD, Notes

FACTS = {
    "chunks_per_s": 2.0,
    "eta_s": 10.0,
    "rss_bytes": 1000,
    "state": "running",
    "suspended": "operator",
    "working": [],
    "workers": {"1": {"pid": 7, "rss": 500}},
}


def noted(*facts, notes=None):
    """Which notes of one a second are due."""
    notes = notes or Notes()
    return [second for second, one in enumerate(facts) if notes.due(one, 100.0 + second)]


def test_every_second_while_a_unit_is_worked_on():
    """Its seconds grow, so there is always something to tell."""
    busy = FACTS | {"working": [[1, "a@0,0", 3.0, "chunk"]]}
    assert noted(busy, busy, busy) == [0, 1, 2]


def test_seldom_while_nothing_moves():
    """Rates that only fade and memory that only breathes are no news."""
    still = [
        FACTS | {"chunks_per_s": 2.0 / n, "eta_s": 10.0 * n, "rss_bytes": 1000 + n}
        for n in range(1, 13)
    ]
    still[3] = still[3] | {"workers": {"1": {"pid": 7, "rss": 501}}}
    assert noted(*still) == [0, STILL_PERIOD, 2 * STILL_PERIOD]


def test_news_is_noted_at_once():
    """A state, a reason, a worker."""
    other = FACTS | {"suspended": "", "workers": {}}
    assert noted(FACTS, FACTS, other, other, FACTS) == [0, 2, 4]
