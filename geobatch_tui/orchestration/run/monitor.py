"""Snapshots of a run for this process, and notes in the ledger for those that watch from others."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.rates import Rates, named
from geobatch_tui.observability.snapshot import Snapshot
from geobatch_tui.orchestration.side_tasks.host_figures import HostFigures
from geobatch_tui.orchestration.side_tasks.notifier import Notifier
from geobatch_tui.orchestration.state.outcome import Tally
from geobatch_tui.orchestration.state.outlook import Outlook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geobatch_tui.execution.protocol.messages import ChunkReceipt, Json
    from geobatch_tui.observability.time_left import Kind
    from geobatch_tui.orchestration.schedule.events import Unit
    from geobatch_tui.orchestration.side_tasks.host_figures import Outage
    from geobatch_tui.orchestration.side_tasks.watchdogs import MemoryWatch
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.dispatcher import Dispatcher

SNAPSHOT_PERIOD = 0.25
NOTE_PERIOD = 1.0
STILL_PERIOD = 5.0
"""Seconds between two notes of a run in which nothing moves: each is a write to disk, and wakes
all readers."""

PASSING = frozenset({"working", "workers", "nodes", "hosts"})
"""What a note says of this moment alone: rates and totals are looked up later, these are not."""

_AGEING = frozenset(
    {
        *("chunks_per_s", "units_per_s", "bytes_in_per_s", "bytes_out_per_s", "rss_bytes"),
        *("eta_s", "eta_low_s", "eta_high_s", "worked_s", "still_s", "stall_s"),
    }
)


class Monitor:
    """Counts, rates, workers and units of a run, of which all workers may take ``budget`` bytes.
    ``state`` and ``reason`` are set by the run as it goes; ``outlook`` learns what work takes."""

    def __init__(self, session: Session, budget: int) -> None:
        self.tally = Tally()
        self.outlook = Outlook(session.job.notify.stall)
        self.notifier = Notifier(session)
        self.hosts = HostFigures()
        #: Each tells which stores do not answer.
        self.outages: list[Callable[[], Mapping[str, Outage]]] = []
        self._rates = Rates()
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
        dispatcher.told = self.hosts.told

    async def observe(self, observer: Callable[[], Callable[[Snapshot], None] | None]) -> None:
        """Give a snapshot to whoever observes the run at the moment, four times a second."""
        while True:
            if (take := observer()) is not None:
                take(self.snapshot())
            await asyncio.sleep(SNAPSHOT_PERIOD)

    def left(self) -> int:
        """Count the chunks that are to be done."""
        return self.tally.pending + self.tally.running

    async def note(self) -> None:
        """Note rates and workers in the ledger, for readers in other processes."""
        notes = Notes()
        while True:
            await asyncio.sleep(NOTE_PERIOD)
            snapshot = self.snapshot()
            facts = self._facts(snapshot)
            if notes.due(facts, time.monotonic()):
                self._session.put(lu.Noted("progress", facts, PASSING))
            self.notifier.look(snapshot)
            self._session.log.flush()

    def last_note(self) -> None:
        """Note how long the run worked, for the means that are told of it later, and what passed
        to and from stores."""
        worked = self.outlook.worked(time.monotonic())
        facts = {**self._rates.at(worked).named(), "totals": list(self._rates.totals)}
        facts |= {"worked_s": round(worked, 3), "hosts": self._hosts()}
        self._session.put(lu.Noted("progress", facts, PASSING))

    def begin(self) -> None:
        """Work begins: all that came before is no part of any rate."""
        self._rates.start(0.0)
        self.outlook.begin(time.monotonic())

    def chunk_done(self, kind: Kind, seconds: float, receipt: ChunkReceipt) -> None:
        """Count a chunk of this kind, which took a worker so many seconds."""
        worked = self.outlook.chunk_done(time.monotonic(), kind, seconds, receipt.bytes_out)
        self._rates.add(worked, 1, receipt.units, receipt.bytes_in, receipt.bytes_out)

    def overall(self) -> Json:
        """Return the rates of the whole run, over the time that it worked, and what passed to and
        from stores."""
        rates = self._rates.overall(self.outlook.worked(time.monotonic()))
        hosts = {"hosts": found} if (found := self._hosts()) else {}
        return {**rates, **named(rates["units_per_s"], self.unit_name), **hosts}

    def _facts(self, snapshot: Snapshot) -> dict[str, object]:
        return {
            "chunks_per_s": round(snapshot.chunks_per_s, 3),
            "units_per_s": round(snapshot.units_per_s, 1),
            "bytes_in_per_s": round(snapshot.bytes_in_per_s, 1),
            "bytes_out_per_s": round(snapshot.bytes_out_per_s, 1),
            "eta_s": snapshot.eta_s and round(snapshot.eta_s, 1),
            "eta_low_s": snapshot.eta_low_s and round(snapshot.eta_low_s, 1),
            "eta_high_s": snapshot.eta_high_s and round(snapshot.eta_high_s, 1),
            "worked_s": round(snapshot.worked_s, 1),
            "still_s": round(snapshot.still_s, 1),
            "stall_s": round(snapshot.stall_s, 1),
            "finishing": snapshot.finishing,
            "totals": list(snapshot.totals),
            "rss_bytes": snapshot.rss_bytes,
            "budget_bytes": snapshot.budget_bytes,
            "unit_name": snapshot.unit_name,
            "suspended": snapshot.suspended,
            "state": snapshot.state,
            "working": [list(entry) for entry in snapshot.working],
            "workers": self._workers(),
            "hosts": self._hosts(),
            **self._nodes(),
        }

    def _hosts(self) -> list[Json]:
        away = {root: outage for ask in self.outages for root, outage in ask().items()}
        return self.hosts.at(time.monotonic(), away, time.time())

    def _nodes(self) -> Json:
        nodes = self._dispatcher.nodes() if self._dispatcher is not None else []
        return {"nodes": nodes} if nodes else {}

    def _workers(self) -> dict[str, dict[str, int | str]]:
        """Return pid, resident bytes, finished and failed units of each worker, by its number; on a
        cluster also its node."""
        if self._dispatcher is None:
            return {}
        rss, records = self._memory.workers if self._memory else {}, self._dispatcher.records
        return {
            str(worker): {
                "pid": entry.pid,
                "rss": rss.get(worker, entry.rss),
                "done": records[worker].done,
                "failed": records[worker].failed,
                **({"node": entry.node} if entry.node else {}),
            }
            for worker, entry in self._dispatcher.workers.items()
        }

    def snapshot(self) -> Snapshot:
        now = time.monotonic()
        tally = self.tally
        suspended, working = self._activity(now)
        workers = len(self._dispatcher.workers) if self._dispatcher else 0
        view = self.outlook.at(now, tally, suspended, working, workers)
        rates, left = self._rates.at(view.worked_s), view.left
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
            eta_s=None if left is None else left.middle,
            eta_low_s=None if left is None else left.low,
            eta_high_s=None if left is None else left.high,
            worked_s=view.worked_s,
            still_s=view.still_s,
            stall_s=view.stall_s,
            finishing=view.finishing,
            totals=self._rates.totals,
            working=working,
            dead_by_class=dict(tally.dead_by_class),
            workers=workers,
            suspended=suspended,
            rss_bytes=self._memory.rss if self._memory else 0,
            budget_bytes=self._budget,
            alerts=tuple(self.notifier.told),
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
        lasting["hosts"] = [
            (one["host"], one["away_since"] is None) for one in facts.get("hosts", ())
        ]
        if not facts["working"] and lasting == self._last and now < self._next:
            return False
        self._last = lasting
        # The period is counted in whole notes, however late each comes.
        self._next = now + STILL_PERIOD - NOTE_PERIOD / 2
        return True
