"""Figures of stores: what workers and the engine saw, lately and in all, and which are away."""

from __future__ import annotations

import pytest

from geobatch_tui.execution.protocol.messages import Outcome
from geobatch_tui.execution.stores import host_traffic
from geobatch_tui.execution.stores.host_traffic import TRAFFIC, Traffic
from geobatch_tui.orchestration.side_tasks import host_figures
from geobatch_tui.orchestration.side_tasks.host_figures import HostFigures, Outage

A, B = "s3://a", "https://b.org"


@pytest.fixture
def ours(monkeypatch):
    """The traffic of this process, in which other tests left none."""
    traffic = Traffic()
    monkeypatch.setattr(host_figures, "traffic", traffic)
    return traffic


def outcome(**counts):
    told = {TRAFFIC: {"s3://a": counts["a"]}} if counts else {}
    return Outcome(1, None, None, 0.1, 1, 1, told)


def told(figures, now, away=()):
    return {each["host"]: each for each in figures.at(now, dict(away), now + 1000.0)}


def test_rates_are_of_the_last_seconds(ours):
    """Of workers and of this process; what was counted once is not counted again."""
    figures = HostFigures()
    assert figures.at(1.0, {}, 0.0) == []
    figures.told(outcome())
    figures.told(outcome(a=(4, 1000, 0, 1)))
    ours.count(A, sent=500)
    ours.tried_again(A, 2)
    ours.tried_again(B, 0)
    ours.count(B, got=1)
    first = told(figures, 2.0)
    assert first[A] == {
        "host": A, "requests": 5, "bytes_in": 1000, "bytes_out": 500, "retries": 3,
        "requests_per_s": 5.0, "bytes_per_s": 1500.0, "away_since": None, "next_probe": None,
    }  # fmt: skip
    assert list(first) == [A, B]
    later = told(figures, 6.0)
    assert (later[A]["requests"], later[A]["requests_per_s"]) == (5, 1.0)
    last = told(figures, 13.0)
    assert (last[A]["requests"], last[A]["requests_per_s"]) == (5, 0.0)


def test_stores_that_are_away_come_first(ours):
    """Also one that never answered; of many, those with the most requests are told of."""
    figures = HostFigures()
    for number in range(100):
        for _ in range(number):
            ours.count(f"https://{number}.org")
    away = {B: Outage(3.0, 8.0), "https://1.org": Outage(4.0, None)}
    found = figures.at(5.0, away, 1005.0)
    assert len(found) == host_figures.SHOWN
    assert [(each["host"], each["away_since"], each["next_probe"]) for each in found[:3]] == [
        ("https://1.org", 1004.0, None), (B, 1003.0, 1008.0), ("https://99.org", None, None),
    ]  # fmt: skip


def test_traffic_is_taken_once():
    traffic = Traffic()
    assert traffic.taken() == {}
    traffic.count(A, got=3)
    assert (traffic.taken(), traffic.taken()) == ({A: [1, 3, 0, 0]}, {})
    sums: dict[str, list[int]] = {}
    host_traffic.add(sums, {A: (1, 2, 3, 4)})
    host_traffic.add(sums, {A: (1, 2, 3, 4)})
    assert sums == {A: [2, 4, 6, 8]}
