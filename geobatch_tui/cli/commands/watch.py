"""``geobatch watch`` and ``wait``: follow a run by its ledger. They only read."""

from __future__ import annotations

import sys
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui.cli import console, shared_options
from geobatch_tui.cli.commands.status import table_of
from geobatch_tui.cli.display import streams
from geobatch_tui.observability import figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.observability.snapshot import Snapshot

_Period = Annotated[
    float, typer.Option("--every", metavar="SECONDS", min=0.1, help="Time between two looks.")
]
_LIVE = {"planning", "running", "draining"}


def watch(
    directory: shared_options.RunDir,
    period: _Period = 1.0,
    headless: shared_options.Headless = False,
    tui: shared_options.Tui = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="The console sends no command to the run.")
    ] = False,
) -> int:
    """Look at a run: live, finished or crashed.

    In a terminal this opens the console; a live run of yours can be steered from it. Without a
    terminal, or with --headless, its status is followed until it ends; the exit code is the
    run's, or 17 if its process died.
    """
    from geobatch_tui import open_run
    from geobatch_tui.orchestration.state.run_view import exit_code_of

    if console.wanted(tui=tui, headless=headless):
        from geobatch_tui.tui.kit.endings import Watch

        return console.follow(Watch(directory), read_only=read_only)
    view = open_run(directory)
    follow = _refresh if sys.stderr.isatty() else _lines
    state = follow(view.status, period)
    with streams.reader_may_leave():
        streams.show(table_of(state))
    return exit_code_of(state)


def _refresh(look: Callable[[], Json], period: float) -> Json:
    """Repaint the run in place until it ends, and return its last state."""
    from rich.live import Live

    from geobatch_tui.cli.display.glance import glance

    console = streams.console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            state = look()
            if state["state"] not in _LIVE:
                return state
            live.update(glance(snapshot_of(state), console.width), refresh=True)
            time.sleep(period)


def snapshot_of(state: Json) -> Snapshot:
    """Make the snapshot that the progress view takes of the status of a live run."""
    from geobatch_tui.observability.snapshot import Snapshot

    rates = state.get("rates") or {}
    known = {field.name for field in fields(Snapshot)} - {"workers"}
    shown = {key: value for key, value in rates.items() if key in known}
    shown["working"] = tuple(tuple(entry) for entry in rates.get("working", ()))
    return Snapshot(
        **{
            "unit_name": "",
            **shown,
            "run_id": state["run_id"],
            "job": state["output_dir"],
            "state": rates.get("state") or state["state"],
            "elapsed_s": state["duration_s"],
            "counts": state["counts"],
            "items": state["items"],
            "workers": len(rates.get("workers", ())),
        }
    )


def _lines(look: Callable[[], Json], period: float) -> Json:
    """Print a line at each change until the run ends, and return its last state."""
    last = ""
    while True:
        state = look()
        if (line := summary(state)) != last:
            streams.say(line)
            last = line
        if state["state"] not in _LIVE:
            return state
        time.sleep(period)


def summary(state: Json) -> str:
    """Say the counts of a run on one line."""
    counts = state["counts"]
    parts = [f"{counts[key]:,} {key}" for key in ("done", "current", "dead", "pending")]
    return f"{state['state']}: {', '.join(parts)} of {figures.plural(counts['total'], 'chunk')}"


def wait(
    directory: shared_options.RunDir,
    period: _Period = 0.5,
    as_json: shared_options.AsJson = False,
) -> int:
    """Wait until a run has ended, and return its exit code.

    The code is 17 if the process of the run died: `geobatch run` goes on with it. A run that has
    ended already is not waited for. With --json its status is printed, as by `geobatch status`.
    """
    from geobatch_tui import open_run
    from geobatch_tui.orchestration.state.run_view import exit_code_of

    state = open_run(directory).wait(period)
    if as_json:
        with streams.reader_may_leave():
            streams.write_json(state)
    return exit_code_of(state)
