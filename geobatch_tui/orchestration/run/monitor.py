"""Snapshots of a run for this process, and notes in the ledger for those that watch from others."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.rates import Rates, named
from geobatch_tui.observability.snapshot import Snapshot
from geobatch_tui.orchestration.state.outcome import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.orchestration.schedule.events import Unit
    from geobatch_tui.orchestration.side_tasks.watchdogs import MemoryWatch
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.dispatcher import Dispatcher

SNAPSHOT_PERIOD = 0.25
NOTE_PERIOD = 1.0
STILL_PERIOD = 5.0
"""Seconds between two notes of a run in which nothing moves: each is a write to disk, and wakes
all readers."""

_AGEING = frozenset(
    {"chunks_per_s", "units_per_s", "bytes_in_per_s", "bytes_out_per_s", "eta_s", "rss_bytes"}
)


class Monitor:
    """Counts, rates, workers and units of a run, of which all workers may take ``budget`` bytes.
    ``state`` and ``reason`` are set by the run as it goes."""

    def __init__(self, session: Session, budget: int) -> None:
        self.tally = Tally()
        self.rates = Rates()
        self.state = "planning"
        self.reason = ""
        self._dispatcher: Dispatcher | None = None
        self._label: Callable[[Unit], str] | None = None
        self._memory: MemoryWatch | None = None
        self._session = session
        data = get_operation(session.job.op.name).data
        self.unit_name = "px" if data == "raster" else "features"
        self._budget = budget

    def show(
        self,
        dispatcher: Dispatcher,
        label: Callable[[Unit], str] | None = None,
        memory: MemoryWatch | None = None,
    ) -> None:
        """Show the workers of a dispatcher from now on; with ``label``, which names units, also
        the units in flight and why the run is suspended; with ``memory`` what they occupy."""
        self._dispatcher, self._label, self._memory = dispatcher, label, memory

    async def observe(self, observer: Callable[[], Callable[[Snapshot], None] | None]) -> None:
        """Give a snapshot to whoever observes the run at the moment, four times a second."""
        while True:
            if (take := observer()) is not None:
                take(self.snapshot())
            await asyncio.sleep(SNAPSHOT_PERIOD)

    async def note(self) -> None:
        """Note rates and workers in the ledger, for readers in other processes."""
        notes = Notes()
        while True:
            await asyncio.sleep(NOTE_PERIOD)
            facts = self._facts()
            if notes.due(facts, time.monotonic()):
                self._session.put(lu.Noted("progress", facts))
            self._session.log.flush()

    def overall(self, seconds: float) -> dict[str, float]:
        rates = self.rates.overall(seconds)
        return rates | named(rates["units_per_s"], self.unit_name)

    def _facts(self) -> dict[str, object]:
        snapshot = self.snapshot()
        return {
            "chunks_per_s": round(snapshot.chunks_per_s, 3),
            "units_per_s": round(snapshot.units_per_s, 1),
            "bytes_in_per_s": round(snapshot.bytes_in_per_s, 1),
            "bytes_out_per_s": round(snapshot.bytes_out_per_s, 1),
            "eta_s": snapshot.eta_s and round(snapshot.eta_s, 1),
            "rss_bytes": snapshot.rss_bytes,
            "budget_bytes": snapshot.budget_bytes,
            "unit_name": snapshot.unit_name,
            "suspended": snapshot.suspended,
            "state": snapshot.state,
            "working": [list(entry) for entry in snapshot.working],
            "workers": self._workers(),
        }

    def _workers(self) -> dict[str, dict[str, int]]:
        """Return pid, resident bytes, finished and failed units of each worker, by its number."""
        if self._dispatcher is None:
            return {}
        rss, records = self._memory.workers if self._memory else {}, self._dispatcher.records
        return {
            str(worker): {
                "pid": entry.pid,
                "rss": rss.get(worker, entry.rss),
                "done": records[worker].done,
                "failed": records[worker].failed,
            }
            for worker, entry in self._dispatcher.workers.items()
        }

    def snapshot(self) -> Snapshot:
        now = time.monotonic()
        tally, rates = self.tally, self.rates.at(now, self.tally.pending + self.tally.running)
        suspended, working = self._activity(now)
        return Snapshot(
            run_id=self._session.run_id,
            job=self._session.job.job.name,
            state=self.state,
            reason=self.reason,
            elapsed_s=now - self._session.started,
            counts=tally.counts(),
            items=tally.item_counts(),
            chunks_per_s=rates.chunks,
            units_per_s=rates.units,
            unit_name=self.unit_name,
            bytes_in_per_s=rates.bytes_in,
            bytes_out_per_s=rates.bytes_out,
            # Nobody knows when a run that stands still goes on.
            eta_s=None if suspended else rates.eta_s,
            working=working,
            dead_by_class=dict(tally.dead_by_class),
            workers=len(self._dispatcher.workers) if self._dispatcher else 0,
            suspended=suspended,
            rss_bytes=self._memory.rss if self._memory else 0,
            budget_bytes=self._budget,
        )

    def _activity(self, now: float) -> tuple[str, tuple[tuple[int, str, float, str], ...]]:
        """Return why nothing new is admitted, and the units in flight with their workers."""
        if self._dispatcher is None or self._label is None:
            return "", ()
        scheduler = self._dispatcher.scheduler
        working = tuple(
            (worker, self._label(unit), now - since, unit.kind.value)
            for worker, unit, since in scheduler.in_flight()
        )
        return ", ".join(sorted(scheduler.suspended)), working


class Notes:
    """Decides which notes are worth a write: all while a unit is in flight; of equal ones, one now
    and then."""

    def __init__(self) -> None:
        self._last: dict[str, object] = {}
        self._next = 0.0

    def due(self, facts: Json, now: float) -> bool:
        """Whether ``facts`` are to be noted at ``now`` (monotonic seconds)."""
        lasting = {key: value for key, value in facts.items() if key not in _AGEING}
        lasting["workers"] = sorted(facts["workers"])
        if not facts["working"] and lasting == self._last and now < self._next:
            return False
        self._last = lasting
        # The period is counted in whole notes, however late each comes.
        self._next = now + STILL_PERIOD - NOTE_PERIOD / 2
        return True
