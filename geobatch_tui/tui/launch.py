"""Opens the console on a run of this process, or on one in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError
from geobatch_tui.ledger.layout import StateDir
from geobatch_tui.observability.text import safe
from geobatch_tui.tui import terminal
from geobatch_tui.tui.host import HostedRun
from geobatch_tui.tui.link import RunLink

if TYPE_CHECKING:
    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.outcome import RunResult
    from geobatch_tui.tui.steering import Ending


@dataclass(frozen=True, slots=True)
class Closed:
    """How a console with a run of its own closed.

    Attributes:
        result: of the run, or of the last one where dead letters were tried again; it has ended.
        detach: the operator wants it resumed in the background.
        lost: the terminal is gone: nothing can be written to it.
    """

    result: RunResult
    detach: bool
    lost: bool


def run_hosted(loaded: LoadedJob, *, fresh: bool = False, retry_dead: bool = False) -> Closed:
    """Run a job with the console in front; returns when both have ended.

    Whatever happens to the console, the run is drained and waited for.

    Raises:
        GeobatchError: what the run raised instead of giving a result.
    """
    import geobatch_tui
    from geobatch_tui.tui.steering import Ending

    host = HostedRun(
        Path(loaded.job.output.dir),
        lambda control, observe: geobatch_tui.run(
            loaded, fresh=fresh, retry_dead=retry_dead, control=control, observe=observe
        ),
    )
    host.start()
    ending: Ending | None = None
    link: RunLink | None = None
    try:
        host.wait_ready()
        if not host.over:
            link = RunLink(host.directory, host=host)
            ending = _show(link)
    finally:
        # Returned, crashed or without a terminal: the run is never left half done. A console
        # that stays open until the run has ended finds nothing to drain.
        last = link.host if link is not None and link.host is not None else host
        last.drain()
    # Of dead letters that were tried again here, this is how that ended.
    result = last.result()
    return Closed(
        result,
        detach=ending is Ending.DETACH,
        lost=ending is Ending.LOST or terminal.is_gone(),
    )


def watch(directory: Path, *, read_only: bool = False) -> None:
    """Open the console on a run of another process: live, finished or crashed.

    Raises:
        PlanMismatchError, StateError: there is no run to read.
    """
    _show(RunLink(directory, read_only=read_only))


def _show(link: RunLink) -> Ending | None:
    from geobatch_tui.tui.app import GeobatchApp

    log = StateDir.open(link.directory).root / "console.err"
    try:
        with terminal.guarded(log):
            app = GeobatchApp(link)
            with terminal.signals_handled(app.lose_terminal, app.end_by_signal):
                ending = app.run()
        if app.return_code:
            raise GeobatchError(
                f"the console failed; what it said is in {safe(str(log))}",
                hint="`geobatch status DIR` and `geobatch watch DIR` show the run",
            )
        return ending
    finally:
        link.close()
