"""What a run notes of a store, as people read it: rates, totals, and whether it is away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class HostReport:
    """Figures of one store. ``away_since`` and ``next_probe`` are UNIX times: of its first failure,
    and of the next question whether it answers; both None: it is well."""

    host: str
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    retries: int = 0
    requests_per_s: float = 0.0
    bytes_per_s: float = 0.0
    away_since: float | None = None
    next_probe: float | None = None

    @classmethod
    def of(cls, noted: Mapping[str, Any]) -> Self:
        """Read an entry of ``hosts`` in a note of progress."""
        return cls(
            host=safe(str(noted.get("host", ""))),
            requests=int(noted.get("requests") or 0),
            bytes_in=int(noted.get("bytes_in") or 0),
            bytes_out=int(noted.get("bytes_out") or 0),
            retries=int(noted.get("retries") or 0),
            requests_per_s=float(noted.get("requests_per_s") or 0),
            bytes_per_s=float(noted.get("bytes_per_s") or 0),
            away_since=_moment(noted.get("away_since")),
            next_probe=_moment(noted.get("next_probe")),
        )

    @property
    def is_away(self) -> bool:
        return self.away_since is not None

    def rates(self) -> str:
        """Return the rates of the last seconds."""
        return f"{figures.amount(self.requests_per_s)} req/s  {figures.size(self.bytes_per_s)}/s"

    def totals(self) -> str:
        """Return what passed in the run so far."""
        parts = [figures.plural(self.requests, "request")]
        for size, way in ((self.bytes_in, "in"), (self.bytes_out, "out")):
            parts += [f"{figures.size(size)} {way}"] if size else []
        return ", ".join([*parts, f"{self.retries:,} tried again"] if self.retries else parts)

    def outage(self, now: float) -> str:
        """Return since when it is away and when it is asked next; empty if it is not."""
        if self.away_since is None:
            return ""
        since = time.strftime("%H:%M:%S", time.localtime(self.away_since))
        left = None if self.next_probe is None else self.next_probe - now
        asked = "being asked" if left is None or left <= 0 else f"asked in {figures.duration(left)}"
        return f"away since {since}, {asked}"


def _moment(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
