"""Figures of the stores of a run: what passes to and from each, and whether it is away.

Rates are of the last seconds; a store that is away says since when, and when it is asked next.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.execution.stores import host_traffic
from geobatch_tui.execution.stores.host_traffic import COUNTED, TRAFFIC, traffic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.protocol.messages import Json, Outcome

#: Seconds that rates are of.
WINDOW = 10.0
#: Stores that are told of: those with the most requests. A catalogue may name thousands.
SHOWN = 16


@dataclass(frozen=True, slots=True)
class Outage:
    """A store that does not answer: since when, and when it is asked next, in monotonic seconds;
    None: it is being asked."""

    since: float
    asked_at: float | None


class HostFigures:
    """Adds up what workers tell, and what passed in this process. Memory is bounded: a sum a second
    within the window, and one a store. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._totals: dict[str, list[int]] = {}
        self._lately: deque[tuple[float, dict[str, list[int]]]] = deque()
        self._new: dict[str, list[int]] = {}
        self._begun: float | None = None

    def told(self, outcome: Outcome) -> None:
        """Take what a worker's answer tells."""
        if told := outcome.evidence.get(TRAFFIC):
            host_traffic.add(self._new, told)

    def at(self, now: float, away: Mapping[str, Outage], clock: float) -> list[Json]:
        """Return the figures of each store, those that are away first. ``clock`` is UNIX time at
        ``now``."""
        self._settle(now)
        span = min(WINDOW, now - self._begun) if self._begun is not None else 0.0
        lately: dict[str, list[int]] = {}
        for _, counts in self._lately:
            host_traffic.add(lately, counts)
        nothing = [0] * len(COUNTED)
        roots = sorted(
            {*self._totals, *away},
            key=lambda root: (root not in away, -self._totals.get(root, nothing)[0], root),
        )
        return [
            {
                "host": root,
                **dict(zip(COUNTED, self._totals.get(root, nothing), strict=True)),
                **_rates(lately.get(root, nothing), span),
                **_told(away.get(root), clock - now),
            }
            for root in roots[:SHOWN]
        ]

    def _settle(self, now: float) -> None:
        """Move what came since the last call to the window, and drop what has left it."""
        host_traffic.add(self._new, traffic.taken())
        if self._new:
            host_traffic.add(self._totals, self._new)
            self._lately.append((now, self._new))
            self._new = {}
            if self._begun is None:
                self._begun = now - 1.0
        while self._lately and self._lately[0][0] <= now - WINDOW:
            self._lately.popleft()


def _rates(counts: list[int], span: float) -> Json:
    requests, got, sent, _ = counts
    seconds = max(span, 1.0)
    return {
        "requests_per_s": round(requests / seconds, 2),
        "bytes_per_s": round((got + sent) / seconds, 1),
    }


def _told(outage: Outage | None, offset: float) -> Json:
    if outage is None:
        return {"away_since": None, "next_probe": None}
    asked = None if outage.asked_at is None else round(outage.asked_at + offset, 1)
    return {"away_since": round(outage.since + offset, 1), "next_probe": asked}
