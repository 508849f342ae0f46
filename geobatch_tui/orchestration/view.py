"""A look at a run from outside: live, finished or crashed, through its ledger alone."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.lock import is_held
from geobatch_tui.ledger.reader import LedgerReader
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.session import state_of_run

if TYPE_CHECKING:
    from collections.abc import Iterator


class RunView:
    """A look at a run, live, finished or crashed, through its ledger; reads only."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._state = state_of_run(self.directory)

    @property
    def log_path(self) -> Path:
        """The run's log, one JSON object a line."""
        return Path(self._state.log)

    def status(self) -> dict[str, Any]:
        """The object of ``status --json``. ``state`` is ``running`` only while a process holds
        the lock; a run whose process is gone without an end is ``crashed``."""
        with contextlib.closing(LedgerReader(self._state.ledger)) as reader:
            row = reader.run()
            if row is None:
                raise StateError(f"no run is recorded in {safe(str(self.directory))}")
            held = is_held(self._state.lock)
            live = row.t1 is None
            state = ("running" if held else "crashed") if live else row.state
            counts, items = reader.counts(), reader.item_counts()
            progress = reader.last_event("progress") if live else None
            planned = reader.last_event("run.planned") or {}
            current = min(int(planned.get("current", 0)), counts["done"])
            return {
                "run_id": row.run_id,
                "state": state,
                "exit_code": row.exit_code,
                "reason": row.reason,
                "output_dir": safe(str(self.directory)),
                "duration_s": round((row.t1 or time.time()) - row.t0, 3),
                "counts": {
                    "total": counts["total"],
                    "done": counts["done"] - current,
                    "current": current,
                    "dead": counts["dead"],
                    "skipped": counts["skipped"],
                    "pending": counts["pending"] + counts["retry"],
                    "running": counts["running"] if held else 0,
                },
                "items": {
                    "total": items["total"],
                    "published": items["published"],
                    "held": items["held"],
                    "dead": items["dead"],
                },
                "rates": progress or {},
            }

    def dead_letters(self, error_class: str | None = None) -> Iterator[dict[str, Any]]:
        """The records of the dead letters, in the order in which they came."""
        with contextlib.closing(LedgerReader(self._state.ledger)) as reader:
            for letter in reader.dead_letters(error_class):
                yield dict(letter)


def open_run(directory: str | Path) -> RunView:
    """Look at the run in an output directory.

    Raises PlanMismatchError if there is none.
    """
    return RunView(directory)
