"""Opens the console on a run of this process, or on one in another."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.ledger.place.owner import is_ours
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.observability.redact import redact
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit import terminal, waiting_parent
from geobatch_tui.tui.kit.endings import GOES_ON, Ending, Shown
from geobatch_tui.tui.run.host import HostedRun
from geobatch_tui.tui.run.link import RunLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.state.outcome import RunResult
    from geobatch_tui.tui.console.shell import Shell
    from geobatch_tui.tui.kit.endings import Wish

_LOG: Final = "console.err"


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a console, and of the run that it hosted, unless that goes on.

    Attributes:
        result: of the run, or of the last where dead letters were tried again; None: it goes on.
        host: the run that goes on, if it does.
        lost: the terminal is gone: nothing can be written to it.
        wish: what the operator wants to see next.
    """

    result: RunResult | None
    host: HostedRun | None
    lost: bool
    wish: Wish | None = None


def run_hosted(
    loaded: LoadedJob,
    go_on: Callable[[HostedRun, str], None],
    *,
    fresh: bool = False,
    retry_dead: bool = False,
) -> Closed:
    """Run a job with the console in front; returns when both have ended, or when the console has,
    and the run can go on without the terminal: its operator left it, or the terminal is gone.

    Args:
        loaded: the job.
        go_on: follows a run that stays on the terminal without a console, until it has ended; told
            what failed, if the console did.
        fresh: as for :func:`geobatch_tui.run`.
        retry_dead: as for :func:`geobatch_tui.run`.

    Raises:
        GeobatchError: what the run raised instead of giving a result.
    """
    import geobatch_tui

    host = HostedRun(
        local_place(loaded.job.output.dir),
        lambda control: geobatch_tui.run(
            loaded, fresh=fresh, retry_dead=retry_dead, control=control
        ),
    )
    host.start()
    host.wait_ready()
    link: RunLink | None = None
    shown = Shown()
    leaves = False
    try:
        try:
            if not host.over:
                link = RunLink(host.directory, host=host)
                shown = show_run(link)
        except Exception as error:  # noqa: BLE001 - boundary: a console may fail, its run goes on
            shown = Shown(failure=_keep_traceback(error, _log_of(host.directory)))
        lost = shown.ending is Ending.LOST or terminal.is_gone()
        last = _last(host, link)
        leaves = not last.over and waiting_parent.is_there() and (lost or shown.ending in GOES_ON)
        stays = shown.ending is Ending.DETACH or (shown.failure and shown.ending is None)
        if stays and not leaves and not lost:
            go_on(last, shown.failure)
    finally:
        # Whatever happened, the run is never left half done. A console that stays open until it
        # has ended finds nothing to drain.
        last = _last(host, link)
        if not leaves:
            last.drain()
            last.wait()
    return Closed(
        None if leaves else last.result(),
        host=last if leaves else None,
        lost=lost or terminal.is_gone(),
        wish=shown.wish,
    )


def _last(host: HostedRun, link: RunLink | None) -> HostedRun:
    """Return the newest run of this process: a retry of dead letters replaces the first one."""
    return link.host if link is not None and link.host is not None else host


def watch(directory: Path, *, read_only: bool = False) -> Wish | None:
    """Open the console on a run of another process: live, finished or crashed.

    Returns:
        What the operator wants to see next; None: nothing.

    Raises:
        PlanMismatchError, StateError: there is no run to read.
        GeobatchError: the console failed.
    """
    return _wish_of(show_run(RunLink(directory, read_only=read_only)))


def home() -> Wish | None:
    """Open the console on the history of runs; what the operator wants to see next.

    Raises:
        GeobatchError: the console failed.
    """
    from geobatch_tui.orchestration.state.run_index import index_dir
    from geobatch_tui.tui.console.app import HomeApp

    log = index_dir().with_name(_LOG)
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written
        log = _elsewhere()
    return _wish_of(run_app(HomeApp, log))


def show_run(link: RunLink) -> Shown:
    """Show a run until its console is closed."""
    from geobatch_tui.tui.console.app import GeobatchApp

    try:
        return run_app(lambda: GeobatchApp(link), _log_of(link.directory))
    finally:
        link.close()


@cache
def _log_of(directory: Path) -> Path:
    """Return the file for stray output of a console: beside the run's state, or, where that is
    another user's or cannot be written, into a directory of its own."""
    root = StateDir.open(directory).root
    if is_ours(root) and os.access(root, os.W_OK):
        return root / _LOG
    return _elsewhere()


def _elsewhere() -> Path:
    return Path(tempfile.mkdtemp(prefix="geobatch-")) / _LOG


def run_app(make: Callable[[], Shell], log: Path) -> Shown:
    """Run the app that ``make`` makes until it is closed; stray output goes into ``log``."""
    raised: Exception | None = None
    with terminal.guarded(log):
        app = make()
        with terminal.signals_handled(app.lose_terminal, app.end_by_signal):
            try:
                app.run()
            except Exception as error:  # noqa: BLE001 - boundary: whoever left has left
                raised = error
    failure = app.failure or raised
    if failure is not None and (app.closes or raised is not None):
        _keep_traceback(failure, log)  # what else is raised Textual has printed there
    if app.closes or (failure is None and not app.return_code):
        return Shown(app.return_value, app.wish)
    return Shown(app.leaving, failure=_described(failure, log))


def _wish_of(shown: Shown) -> Wish | None:
    """Return what the operator wants to see next.

    Raises:
        GeobatchError: the console failed.
    """
    if shown.failure:
        raise GeobatchError(
            f"the console failed: {shown.failure}",
            hint="`geobatch status DIR` and `geobatch watch DIR` show the run",
        )
    return shown.wish


def _keep_traceback(error: Exception, log: Path) -> str:
    """Append a traceback that Textual has not printed, and return the failure as a sentence."""
    import traceback

    try:
        with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(redact("".join(traceback.format_exception(error))))
    except OSError:
        return _error_text(error)
    return _described(error, log)


def _described(error: Exception | None, log: Path) -> str:
    return f"{_error_text(error)}; the traceback is in {safe(str(log))}"


def _error_text(error: Exception | None) -> str:
    if error is None:
        return "for no known reason"
    return safe(redact(f"{type(error).__name__}: {error}"))
