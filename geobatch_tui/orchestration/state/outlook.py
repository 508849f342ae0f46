"""The outlook of a run: how long it has worked, stood still, and has yet to go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.observability.time_left import Ahead, TimeLeft, kind_of
from geobatch_tui.observability.working_time import WorkingTime, stall_limit
from geobatch_tui.orchestration.schedule.events import Kind as Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.messages import ItemPlan
    from geobatch_tui.observability.time_left import Estimate, Kind
    from geobatch_tui.orchestration.state.outcome import Tally

#: Why a run is held though chunks are in flight: no others follow them.
_OPERATOR = "operator"
_MANY = 64  #: durations after which the limit of a stall is found anew


@dataclass(frozen=True, slots=True)
class Prospect:
    """An outlook at one moment, with the fields of a snapshot."""

    worked_s: float
    still_s: float
    stall_s: float
    finishing: int
    left: Estimate | None


class Outlook:
    """Learns what work takes. All times are those of one monotonic clock.

    Args:
        stall: seconds without a finished chunk that the user calls a stall; None: by what chunks
            take.
    """

    def __init__(self, stall: float | None = None) -> None:
        self._work = WorkingTime()
        self._left = TimeLeft()
        self._asked = stall
        self._counted = 0
        self._limit = (0, stall_limit((), stall))

    def begin(self, now: float) -> None:
        """Work begins, as the plan is made."""
        self._work.begin(now)

    def expect(self, plan: ItemPlan, settled: int = 0) -> None:
        """Expect the chunks of an item, but for the first ones, which are settled."""
        sizes: dict[Kind, int] = {}
        for number, grid in enumerate(plan.grids):
            passed = min(settled, len(grid))
            settled -= passed
            if len(grid) > passed:
                kind = kind_of(number, grid.chunk_width * grid.chunk_height)
                sizes[kind] = sizes.get(kind, 0) + len(grid) - passed
        self._left.expect(sizes, assembled=plan.chunks if len(plan.grid) > 1 else 0)

    def chunk_done(self, now: float, kind: Kind, seconds: float, bytes_out: int) -> float:
        """Count a chunk that took a worker so many seconds; return the seconds of work so far."""
        self._left.add(kind, seconds, bytes_out)
        self._work.moved(now)
        self._counted += 1
        return self._work.at(now)

    def put_together(self, chunks: int, size: int, seconds: float) -> None:
        """Count an output of so many chunks and bytes that was put together."""
        self._left.finished(chunks, size, seconds)

    def worked(self, now: float) -> float:
        """Return the seconds of work so far."""
        return self._work.at(now)

    def at(
        self,
        now: float,
        tally: Tally,
        suspended: str,
        working: Sequence[tuple[int, str, float, str]],
        workers: int,
    ) -> Prospect:
        """Return the outlook, given the counts, why nothing new starts, and what is in flight."""
        self._work.hold(now, held=bool(suspended) and (not working or _OPERATOR in suspended))
        chunks = tally.pending + tally.running
        running = [seconds for *_, seconds, kind in working if kind == Work.CHUNK.value]
        finishing = [seconds for *_, seconds, kind in working if kind == Work.FINALISE.value]
        items = max(0, tally.items - tally.published - tally.held - tally.items_dead)
        work = self._work.at(now)
        ahead = Ahead(chunks, running[:chunks], workers, items, finishing)
        known = self._work.begun and not suspended
        return Prospect(
            worked_s=work,
            still_s=self._work.still(now) if chunks and not suspended else 0.0,
            stall_s=self._stall_limit(),
            finishing=len(finishing) if chunks else items,
            left=self._left.at(work, ahead) if known else None,
        )

    def _stall_limit(self) -> float:
        counted, limit = self._limit
        if self._counted - counted >= _MANY or (self._counted and not counted):
            limit = stall_limit(self._left.durations(), self._asked)
            self._limit = self._counted, limit
        return limit
