"""Durations of units, for the depth of prefetch and for the automatic timeout."""

from __future__ import annotations

from collections import deque

from geobatch_tui.orchestration.schedule.events import Kind

#: Work that a worker's queue should hold, in seconds: many times a round trip through a pipe and
#: a sync of what was written, and little enough that what is queued behind a slow unit hardly
#: waits.
QUEUED_SECONDS = 0.060
TIMEOUT_FACTOR = 20
SAMPLES = 200
ENOUGH = 5

#: The least automatic timeout in seconds, and the one before there are enough samples. Assembly
#: and inspection take as long as a file is large: what small ones took says nothing of a big one.
_FLOOR = {Kind.PROBE: 60.0, Kind.CHUNK: 60.0, Kind.FINALISE: 3600.0, Kind.INSPECT: 3600.0}
_UNKNOWN = {Kind.PROBE: 600.0, Kind.CHUNK: 600.0, Kind.FINALISE: 3600.0, Kind.INSPECT: 3600.0}


class Durations:
    """Recent durations by kind, in seconds.

    Args:
        max_prefetch: units that a worker may hold at most.
        lease: seconds of work that are sent at once. A worker then holds two leases, so that it
            never waits for the next; they begin with one unit, and double. 0: no leases.
    """

    def __init__(self, max_prefetch: int, lease: float = 0.0) -> None:
        self._max_prefetch = max(max_prefetch, 1)
        self._queued = 2 * lease or QUEUED_SECONDS
        self._doubles = lease > 0
        self._count = dict.fromkeys(Kind, 0)
        self._mean: dict[Kind, float] = {}
        self._depth = dict.fromkeys(Kind, 1)
        self._recent: dict[Kind, deque[float]] = {kind: deque(maxlen=SAMPLES) for kind in Kind}

    def note(self, kind: Kind, seconds: float) -> None:
        seconds = max(seconds, 0.0)
        self._recent[kind].append(seconds)
        mean = self._mean.get(kind)
        # Slower than before counts at once, or one slow unit would block a queue of 64.
        weight = 0.1 if mean is not None and seconds < 4 * mean else 0.5
        mean = seconds if mean is None else mean + weight * (seconds - mean)
        self._mean[kind] = mean
        depth = self._queued / mean if mean > 0 else self._max_prefetch
        if self._doubles:
            self._count[kind] += 1
            depth = min(depth, 2 * self._count[kind])
        self._depth[kind] = max(1, int(min(depth, self._max_prefetch)))

    def depth(self, kind: Kind) -> int:
        """Return how many units of this kind a worker may hold, the running one included."""
        return self._depth[kind]

    def timeout(self, kind: Kind) -> float:
        """Return 20 times the 95th percentile of the last 200, in seconds, with a floor by kind."""
        recent = self._recent[kind]
        if len(recent) < ENOUGH:
            return _UNKNOWN[kind]
        ranked = sorted(recent)
        return max(_FLOOR[kind], TIMEOUT_FACTOR * ranked[int(0.95 * (len(ranked) - 1))])
