"""``geobatch watch``: follows a run by its ledger. Reads only."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geobatch_tui.cli import figures, options, streams
from geobatch_tui.cli.status import table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LIVE = {"planning", "running", "draining"}


def watch(
    directory: options.RunDir,
    period: Annotated[
        float,
        typer.Option("--every", metavar="SECONDS", min=0.1, help="Time between two looks."),
    ] = 1.0,
) -> int:
    """Follow a run until it ends: its status, refreshed. Reads only.

    Works on a live, finished or crashed run. A full-screen console will take its place.
    """
    from geobatch_tui import open_run

    view = open_run(directory)
    follow = _refresh if sys.stderr.isatty() else _lines
    state = follow(view.status, period)
    with streams.reader_may_leave():
        streams.show(table_of(state))
    return 0


def _refresh(look: Callable[[], Mapping[str, Any]], period: float) -> Mapping[str, Any]:
    """Repaint the status in place until the run ends; give the last state."""
    from rich.console import Group
    from rich.live import Live

    from geobatch_tui.cli.glance import bar

    console = streams.err_console()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            state = look()
            if state["state"] not in _LIVE:
                return state
            width = min(console.width - 1, 100)
            live.update(Group(bar(state["counts"], width), table_of(state)), refresh=True)
            time.sleep(period)


def _lines(look: Callable[[], Mapping[str, Any]], period: float) -> Mapping[str, Any]:
    """Say one line at each change until the run ends; give the last state."""
    last = ""
    while True:
        state = look()
        if (line := summary(state)) != last:
            streams.say(line)
            last = line
        if state["state"] not in _LIVE:
            return state
        time.sleep(period)


def summary(state: Mapping[str, Any]) -> str:
    """The counts of a run on one line."""
    counts = state["counts"]
    parts = [f"{counts[key]:,} {key}" for key in ("done", "current", "dead", "pending")]
    return f"{state['state']}: {', '.join(parts)} of {figures.plural(counts['total'], 'chunk')}"
