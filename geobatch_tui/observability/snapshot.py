"""A run at one moment, as every renderer gets it: progress bar, console, ``status``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.observability.alert import Alert

CHUNK_STATES = ("total", "done", "current", "dead", "skipped", "pending", "running")
ITEM_STATES = ("total", "published", "held", "dead")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment.

    Attributes:
        counts: chunks by ``CHUNK_STATES``; ``done`` by this invocation, ``current`` needed no work.
        items: items by ``ITEM_STATES``; ``held`` have a dead chunk and are not published.
        reason: why it ended or why it is suspended; "" while it just runs.
        elapsed_s: seconds since this invocation started.
        units_per_s: in ``unit_name``: px (output pixels times bands) or features.
        eta_s: seconds to the end, finishing included; None where that is not known.
        eta_low_s, eta_high_s: the range in which it lies four times of five.
        worked_s: seconds of work: neither planning nor pauses.
        still_s: seconds of work since a chunk was finished; 0 while none is to be.
        stall_s: from so many on the run stalls.
        finishing: outputs whose chunks are done and that are not published yet.
        totals: chunks, units, bytes in and out of this invocation.
        alerts: the latest of what somebody was told.
        working: worker, label of its unit, seconds at it, and stage or kind of the unit.
        dead_by_class: dead letters by error class.
        suspended: why nothing new is admitted (space, memory, breaker, operator), or "".
        rss_bytes: resident memory of the engine and all workers.
        budget_bytes: its limit; 0 if there is none.
    """

    run_id: str
    job: str
    state: str
    reason: str = ""
    elapsed_s: float = 0.0
    counts: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(CHUNK_STATES, 0))
    items: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(ITEM_STATES, 0))
    chunks_per_s: float = 0.0
    units_per_s: float = 0.0
    unit_name: str = "px"
    bytes_in_per_s: float = 0.0
    bytes_out_per_s: float = 0.0
    eta_s: float | None = None
    eta_low_s: float | None = None
    eta_high_s: float | None = None
    worked_s: float = 0.0
    still_s: float = 0.0
    stall_s: float = 0.0
    finishing: int = 0
    totals: tuple[int, int, int, int] = (0, 0, 0, 0)
    working: tuple[tuple[int, str, float, str], ...] = ()
    dead_by_class: Mapping[str, int] = field(default_factory=dict)
    workers: int = 0
    suspended: str = ""
    rss_bytes: int = 0
    budget_bytes: int = 0
    alerts: tuple[Alert, ...] = ()

    @property
    def stalls(self) -> bool:
        """Whether no chunk was finished for longer than is usual."""
        return 0 < self.stall_s <= self.still_s
