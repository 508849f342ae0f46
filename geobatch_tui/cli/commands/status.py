"""``geobatch status``: shows the state of a run, live or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.cli.display.result import undefined
from geobatch_tui.observability import figures

if TYPE_CHECKING:
    from rich.table import Table

    from geobatch_tui.execution.protocol.messages import Json


def status(directory: shared_options.RunDir, as_json: shared_options.AsJson = False) -> int:
    """Show counts, rates and state of a run: live, finished or crashed."""
    from geobatch_tui import open_run

    state = open_run(directory).status()
    if as_json:
        streams.write_json(state)
    else:
        streams.show(table_of(state))
    return 0


def table_of(state: Json) -> Table:
    """Lay out the state of a run, in the shape of ``status --json``, in a table."""
    counts, items, rates = state["counts"], state["items"], state.get("rates") or {}
    table = streams.pairs()
    reason = state.get("reason") or ""
    reason = f" ({reason})" if reason not in {"", "complete", state["state"]} else ""
    table.add_row("run", streams.foreign(state["run_id"]))
    table.add_row("state", streams.foreign(f"{state['state']}{reason}"))
    table.add_row("output", streams.foreign(state["output_dir"]))
    table.add_row("items", f"{items['published']:,} of {items['total']:,} published")
    for key in ("held", "dead"):
        if items[key]:
            table.add_row("", f"{items[key]:,} {key}")
    table.add_row("chunks", f"{counts['done'] + counts['current']:,} of {counts['total']:,} done")
    for key in ("running", "pending", "dead"):
        if counts[key]:
            table.add_row("", f"{counts[key]:,} {key}")
    if state.get("undefined_pixels"):
        table.add_row("undefined", undefined(state["undefined_pixels"]))
    if rate := figures.rates(rates):
        table.add_row("rate", rate)
    if rates.get("eta_s") and state["state"] == "running":
        table.add_row("left", f"about {figures.duration(rates['eta_s'])}")
    table.add_row("time", figures.duration(state["duration_s"]))
    return table
