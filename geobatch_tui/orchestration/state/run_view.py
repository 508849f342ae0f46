"""Reads a run from outside, whether live, finished or crashed, through its ledger alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import ExitCode, StateError
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.ledger.place.lock import is_held, live_holder
from geobatch_tui.ledger.place.owner import is_ours
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.observability.rates import named, overall
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.inspection import Inspector
from geobatch_tui.orchestration.state.outcome import RunStatus
from geobatch_tui.orchestration.state.published import published
from geobatch_tui.orchestration.state.session import state_of_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.reader import RunRow


PERIOD: Final = 0.5
"""Seconds from one look of :meth:`RunView.wait` to the next."""


def is_live(run: RunRow | None, lock: Path) -> bool:
    """Whether a process works at a run: it has no end on record, and the lock is held."""
    return run is not None and run.t1 is None and is_held(lock)


def state_now(run: RunRow, *, live: bool) -> str:
    """Return the state in which a run ended; else ``running`` if it is live, ``crashed`` if not."""
    if run.t1 is not None:
        return run.state
    return "running" if live else "crashed"


def passed(noted: Json) -> Json:
    """Return what passed to and from stores until the last note, if any did; none is away now."""
    still = {"requests_per_s": 0.0, "bytes_per_s": 0.0, "away_since": None, "next_probe": None}
    hosts = [{**host, **still} for host in noted.get("hosts") or ()]
    return {"hosts": hosts} if hosts else {}


class RunView:
    """A run in an output directory, live, finished or crashed; reads only."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = local_place(directory)
        self._state = state_of_run(self.directory)

    @property
    def log_path(self) -> Path:
        """The run's log, one JSON object a line."""
        return Path(self._state.log)

    @property
    def is_ours(self) -> bool:
        """Whether the state is the user's own and nobody else may write to it, so that it can be
        obeyed and not only shown."""
        return is_ours(Path(self._state.root))

    def status(self) -> Json:
        """Return the object of ``status --json``; its ``state`` is that of :func:`state_now`."""
        with LedgerReader(self._state.ledger) as reader:
            return self._status(reader, self._newest(reader)).to_json()

    def wait(self, period: float = PERIOD) -> Json:
        """Wait until the run that is there now has ended, or its process is gone.

        Args:
            period: seconds between two looks.

        Returns:
            Its status then; :func:`exit_code_of` tells the code.

        Raises:
            StateError: its ledger is gone, or knows nothing of it.
        """
        run_id = ""
        while (holder := live_holder(self._state.lock)) is not None:
            run_id = run_id or holder.run_id
            if holder.run_id != run_id:
                break  # another run has begun meanwhile
            time.sleep(period)
        with LedgerReader(self._state.ledger) as reader:
            run_id = run_id or self._newest(reader).run_id
            row = next((run for run in reader.runs() if run.run_id == run_id), None)
            if row is None:
                raise StateError(f"the run {run_id} never began, or another began afresh")
            return self._status(reader, row).to_json()

    def _newest(self, reader: LedgerReader) -> RunRow:
        row = reader.run()
        if row is None:
            raise StateError(f"no run is recorded in {safe(str(self.directory))}")
        return row

    def _status(self, reader: LedgerReader, row: RunRow) -> RunStatus:
        live = is_live(row, self._state.lock)
        counts, items = reader.counts(), reader.item_counts()
        planned = reader.last_event("run.planned") or {}
        current = min(int(planned.get("current", 0)), counts["done"])
        # Nobody saw a run crash: the last that it wrote is the nearest to it.
        end = row.t1 or (time.time() if live else max(row.t0, reader.last_sign()))
        seconds = max(0.0, end - row.t0)
        note = reader.last_event("progress") or {}
        # Notes of an earlier run are all that one has which ended in its first second.
        worked = float(note.get("worked_s") or 0.0)
        worked = worked if 0 < worked <= seconds else seconds
        rates = note if live else {**overall(row.totals, worked), **passed(note)}
        unit = str(planned.get("unit_name", ""))
        return RunStatus(
            run_id=row.run_id,
            state=state_now(row, live=live),
            exit_code=row.exit_code,
            reason=row.reason,
            output_dir=safe(self._state.outputs),
            duration_s=round(seconds, 3),
            counts={
                "total": counts["total"],
                "done": counts["done"] - current,
                "current": current,
                "dead": counts["dead"],
                "skipped": 0,
                "pending": counts["pending"] + counts["retry"],
                "running": counts["running"] if live else 0,
            },
            items={state: items[state] for state in ("total", "published", "held", "dead")},
            rates={**rates, **named(rates.get("units_per_s") or 0.0, unit)},
            undefined_pixels=reader.undefined_pixels(),
        )

    def outputs(self) -> Iterator[Json]:
        """Yield the objects of ``outputs --json``, in the order of the items. Facts that the ledger
        of an earlier version lacks are read from the file by a worker."""
        with LedgerReader(self._state.ledger) as reader, Inspector() as inspector:
            yield from published(reader, self._state, inspector)

    def dead_letters(self, error_class: str | None = None) -> Iterator[Json]:
        """Yield the records of the dead letters, in the order in which they came."""
        with LedgerReader(self._state.ledger) as reader:
            yield from reader.dead_letters(error_class)


def exit_code_of(status: Json) -> int:
    """Return the exit code of a run that has ended, by its status. A run whose process died has the
    code of a failed environment: it can be resumed as well."""
    code = status["exit_code"]
    return ExitCode.ENVIRONMENT if code is None else int(code)


def open_run(directory: str | Path) -> RunView:
    """Open the run in an output directory for reading. Raises PlanMismatchError if there is
    none."""
    return RunView(directory)
