"""Opens the console on a run of this process, or on one in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geobatch_tui.errors import GeobatchError
from geobatch_tui.ledger.layout import StateDir
from geobatch_tui.observability.text import safe
from geobatch_tui.tui import terminal
from geobatch_tui.tui.host import HostedRun
from geobatch_tui.tui.link import RunLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.outcome import RunResult
    from geobatch_tui.tui.shell import Shell
    from geobatch_tui.tui.wishes import Ending, Wish


@dataclass(frozen=True, slots=True)
class Closed:
    """How a console with a run of its own closed.

    Attributes:
        result: of the run, or of the last one where dead letters were tried again; it has ended.
        detach: the operator wants it resumed in the background.
        lost: the terminal is gone: nothing can be written to it.
        wish: what the operator wants to see next.
    """

    result: RunResult
    detach: bool
    lost: bool
    wish: Wish | None = None


def run_hosted(loaded: LoadedJob, *, fresh: bool = False, retry_dead: bool = False) -> Closed:
    """Run a job with the console in front; returns when both have ended.

    Whatever happens to the console, the run is drained and waited for.

    Raises:
        GeobatchError: what the run raised instead of giving a result.
    """
    import geobatch_tui
    from geobatch_tui.tui.wishes import Ending

    host = HostedRun(
        Path(loaded.job.output.dir),
        lambda control, observe: geobatch_tui.run(
            loaded, fresh=fresh, retry_dead=retry_dead, control=control, observe=observe
        ),
    )
    host.start()
    shown: Shown | None = None
    link: RunLink | None = None
    try:
        host.wait_ready()
        if not host.over:
            link = RunLink(host.directory, host=host)
            shown = _show_run(link)
    finally:
        # Returned, crashed or without a terminal: the run is never left half done. A console
        # that stays open until the run has ended finds nothing to drain.
        last = link.host if link is not None and link.host is not None else host
        last.drain()
    # Of dead letters that were tried again here, this is how that ended.
    result = last.result()
    ending = shown.ending if shown is not None else None
    return Closed(
        result,
        detach=ending is Ending.DETACH,
        lost=ending is Ending.LOST or terminal.is_gone(),
        wish=shown.wish if shown is not None else None,
    )


def watch(directory: Path, *, read_only: bool = False) -> Wish | None:
    """Open the console on a run of another process: live, finished or crashed.

    Returns:
        What the operator wants to see next; None: nothing.

    Raises:
        PlanMismatchError, StateError: there is no run to read.
    """
    return _show_run(RunLink(directory, read_only=read_only)).wish


def home() -> Wish | None:
    """Open the console on the history of runs; what the operator wants to see next.

    Raises:
        GeobatchError: the console failed.
    """
    import tempfile

    from geobatch_tui.orchestration.known import index_dir
    from geobatch_tui.tui.home import HomeApp

    log = index_dir().with_name("console.err")
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written
        log = Path(tempfile.mkdtemp(prefix="geobatch-")) / log.name
    return _show(HomeApp, log).wish


class Shown(NamedTuple):
    """How a console closed, and what is wished for next."""

    ending: Ending | None
    wish: Wish | None


def _show_run(link: RunLink) -> Shown:
    from geobatch_tui.tui.app import GeobatchApp

    try:
        return _show(lambda: GeobatchApp(link), StateDir.open(link.directory).root / "console.err")
    finally:
        link.close()


def _show(make: Callable[[], Shell], log: Path) -> Shown:
    with terminal.guarded(log):
        app = make()
        with terminal.signals_handled(app.lose_terminal, app.end_by_signal):
            ending = app.run()
    if app.return_code:
        raise GeobatchError(
            f"the console failed; what it said is in {safe(str(log))}",
            hint="`geobatch status DIR` and `geobatch watch DIR` show the run",
        )
    return Shown(ending, app.wish)
