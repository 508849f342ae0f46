"""How long units take: the depth of prefetch and the automatic timeout."""

from __future__ import annotations

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.durations import Durations


def test_depth_of_prefetch():
    """A queue holds 60 ms of work: 64 tiny units at most, one of those over 30 ms."""
    for seconds, depth in [(0.0, 64), (1e-5, 64), (0.002, 30), (0.029, 2), (0.031, 1), (9.0, 1)]:
        durations = Durations(64)
        assert durations.depth(u.Kind.CHUNK) == 1
        durations.note(u.Kind.CHUNK, seconds)
        assert durations.depth(u.Kind.CHUNK) == depth
        assert durations.depth(u.Kind.PROBE) == 1


def test_leases_double():
    """A worker of a cluster holds two leases; the first have one unit, two, four."""
    durations = Durations(64, lease=3.0)
    depths = []
    for _ in range(5):
        durations.note(u.Kind.CHUNK, 1.0)
        depths.append(durations.depth(u.Kind.CHUNK))
    assert depths == [2, 4, 6, 6, 6]
    assert durations.depth(u.Kind.FINALISE) == 1
    for _ in range(100):
        durations.note(u.Kind.CHUNK, 1e-5)
    assert durations.depth(u.Kind.CHUNK) == 64


def test_depth_falls_at_the_first_slow_unit():
    """After a slow unit nothing is queued behind its like."""
    durations = Durations(64)
    for _ in range(100):
        durations.note(u.Kind.CHUNK, 0.0001)
    durations.note(u.Kind.CHUNK, 0.1)
    assert durations.depth(u.Kind.CHUNK) == 1


def test_automatic_timeout():
    """20 times the 95th percentile, at least a minute, for assembly an hour."""
    durations = Durations(64)
    assert durations.timeout(u.Kind.CHUNK) == 600
    for n in range(100):
        durations.note(u.Kind.CHUNK, 1.0 if n < 90 else 10.0)
        durations.note(u.Kind.PROBE, 0.1)
        durations.note(u.Kind.FINALISE, 0.1)
    assert durations.timeout(u.Kind.CHUNK) == 200
    assert durations.timeout(u.Kind.PROBE) == 60
    assert durations.timeout(u.Kind.FINALISE) == 3600
    for _ in range(200):
        durations.note(u.Kind.CHUNK, 4.0)
    assert durations.timeout(u.Kind.CHUNK) == 80
