"""The full-screen console seen from the command line: when it opens, and what comes after it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.errors import ConfigError, ExitCode
from geobatch_tui.observability.text import command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.state.outcome import RunResult
    from geobatch_tui.tui.kit.endings import Wish
    from geobatch_tui.tui.run.host import HostedRun


def wanted(*, tui: bool, headless: bool = False) -> bool:
    """Whether this command opens the console: if there is a terminal, and no ``--headless``.

    Raises ConfigError if both options are given, or ``--tui`` without a terminal.
    """
    from geobatch_tui.tui.kit.terminal import is_terminal

    if tui and headless:
        raise ConfigError("--tui and --headless exclude each other")
    if tui and not is_terminal():
        raise ConfigError(
            "--tui needs a terminal as stdin and stdout: there is none for the console here",
            hint="leave --tui away; `geobatch watch DIR` shows the run from any terminal",
        )
    return not headless and is_terminal()


def run_in_console(
    loaded: LoadedJob, *, fresh: bool = False, retry_dead: bool = False
) -> RunResult | int:
    """Run a job with the console in front, and return its result once both have ended; an exit code
    where the operator left the console and not the run, or went on to another."""
    from geobatch_tui.tui.console.launch import run_hosted

    closed = run_hosted(loaded, without_console, fresh=fresh, retry_dead=retry_dead)
    if closed.host is not None:
        return _go_on(closed.host, closed.wish, lost=closed.lost)
    if closed.lost:
        streams.silence(sys.stdout)
        streams.silence(sys.stderr)
    if closed.wish is None and closed.result is not None:
        return closed.result
    return follow(closed.wish)


def _go_on(host: HostedRun, wish: Wish | None, *, lost: bool) -> int:
    """Go on with a run without the terminal, on which the shell, or what the operator wished for,
    takes its place; return the exit code of the run, once it has ended."""
    from geobatch_tui.ledger.place.state_directory import StateDir
    from geobatch_tui.orchestration.detached import lead_streams_to_log
    from geobatch_tui.tui.kit import waiting_parent
    from geobatch_tui.tui.kit.terminal import signals_handled

    if wish is None and not lost:
        streams.write(str(host.directory))
        sys.stdout.flush()
        streams.say(
            f"the run goes on; follow it:  {command_line('geobatch watch', host.directory)}"
        )
        streams.say(f"stop it:    kill -INT {os.getpid()}")
    with signals_handled(lambda: None, _ends(host)):
        lead_streams_to_log(StateDir.open(host.directory).root)
        waiting_parent.let_go([] if wish is None else wish.words)
        host.wait()
    return int(host.result().exit_code)


def _ends(host: HostedRun) -> Callable[[], None]:
    """Return what drains a run when it is first called, and cancels it when it is called again."""
    calls = iter((host.drain,))

    def end() -> None:
        next(calls, host.cancel)()

    return end


def without_console(host: HostedRun, failure: str) -> None:
    """Follow a run of this process without its console, which may have failed, until it ends, as
    ``--headless`` does."""
    from geobatch_tui.cli.display.progress import follow
    from geobatch_tui.observability.terminal_signs import Signs
    from geobatch_tui.tui.kit.terminal import signals_handled

    if failure:
        streams.say(f"geobatch: the console failed: {failure}")
    if host.over:
        return
    watch = command_line("geobatch watch", host.directory)
    streams.say(f"geobatch: the run goes on; Ctrl-C drains it, and this steers it:  {watch}")
    with signals_handled(host.drain, _ends(host)), follow("auto", Signs()) as shown:
        host.control.observe = shown.observe
        host.wait()


def home() -> int:
    """Open the console on the history of runs, and :func:`follow` what the user asks for there."""
    from geobatch_tui.tui.console import launch

    return follow(launch.home())


def follow(wish: Wish | None, *, read_only: bool = False) -> int:
    """Open what the user asked for in a console, and go on while there is such a wish; return the
    exit code of the last run that the console had, 0 without one.

    ``read_only``: open runs to look at only, and start nothing.
    """
    from geobatch_tui.cli.commands.run import give
    from geobatch_tui.tui.console import launch
    from geobatch_tui.tui.kit.endings import Watch

    if wish is None:
        return ExitCode.OK
    if isinstance(wish, Watch):
        return follow(launch.watch(wish.directory, read_only=read_only), read_only=read_only)
    if read_only:
        raise ConfigError("this console is read-only: it starts no job")
    loaded = shared_options.load(wish.job)
    return give(run_in_console(loaded), as_json=False)
