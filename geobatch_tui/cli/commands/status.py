"""``geobatch status`` and ``report``: tell of a run, live or not, on a screen or on a page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.cli.display.result import undefined
from geobatch_tui.observability import figures
from geobatch_tui.observability.host_report import HostReport
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from rich.table import Table

    from geobatch_tui.execution.protocol.messages import Json

_STDOUT = Path("-")


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
    for host in map(HostReport.of, rates.get("hosts") or ()):
        said = host.outage(time.time()) or (host.rates() if state["state"] == "running" else "")
        told = "  ".join(filter(None, (host.host, said, host.totals())))
        table.add_row("store", streams.foreign(told))
    if rates.get("eta_s") and state["state"] == "running":
        left = figures.time_left(rates.get("eta_low_s"), rates["eta_s"], rates.get("eta_high_s"))
        table.add_row("left", f"about {left}")
    if 0 < (rates.get("stall_s") or 0) <= (rates.get("still_s") or 0):
        table.add_row("stalled", f"no chunk for {figures.duration(rates['still_s'])}")
    table.add_row("time", figures.duration(state["duration_s"]))
    return table


def report(
    directory: shared_options.RunDir,
    output: Annotated[
        Path | None,
        shared_options.of_result(
            "--output",
            "-o",
            metavar="FILE",
            help="HTML, or Markdown by the ending .md; in a directory, by default the working "
            "directory, report-<run>.html. - is stdout, as HTML.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Write a page about the newest run: counts, causes, maps, time line, slowest, parameters.

    The page is one file that needs no other, for a browser or a printer. The run may be live,
    ended or crashed; the page says how it stands now.
    """
    # Its plots and templates are loaded by this command alone.
    from geobatch_tui.tui.report.report_page import proposed_name, report_of, write_report

    if output == _STDOUT:
        streams.write(report_of(directory))
        return 0
    path = output or Path()
    if path.is_dir():
        path /= proposed_name(directory)
    write_report(directory, path)
    streams.write(safe(str(path)))
    return 0
