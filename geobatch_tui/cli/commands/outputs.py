"""``geobatch outputs``, ``verify`` and ``repair``: lists what a run has published, reads it again,
and makes a lost ledger anew from it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.errors import ConfigError, ExitCode
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from geobatch_tui.execution.protocol.messages import Json


def outputs(
    directory: shared_options.RunDir,
    as_csv: Annotated[
        bool, shared_options.of_result("--csv", help="The result as a table.")
    ] = False,
    as_json: shared_options.AsJson = False,
) -> int:
    """List what a run has published: path, source, size, SHA-256, CRS, bounds, pixels or features,
    seconds of work.

    It is told from the ledger; only what one of an earlier version lacks is read from the files.
    """
    from geobatch_tui import open_run

    if as_csv and as_json:
        raise ConfigError("--csv and --json exclude each other")
    entries = open_run(directory).outputs()
    if as_json:
        streams.write_json_list(entries)
    elif as_csv:
        from geobatch_tui.orchestration.state.published import stream_csv

        stream_csv(map(_harmless, entries) if sys.stdout.isatty() else entries, sys.stdout)
    elif listed := list(entries):
        streams.show(table_of(listed))
        total = sum(entry["size"] for entry in listed)
        streams.say(f"{figures.plural(len(listed), 'output')}, {figures.size(total)}")
    else:
        streams.say("nothing is published")
    return 0


def _harmless(entry: Json) -> dict[str, object]:
    return {key: harmless(one) if isinstance(one, str) else one for key, one in entry.items()}


def table_of(entries: Iterable[Json]) -> Table:
    """Lay out outputs in a table that fits 80 columns; JSON and CSV say more of them."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column("output", overflow="fold")
    table.add_column("size", justify="right")
    table.add_column("holds", justify="right")
    table.add_column("CRS", overflow="ellipsis", no_wrap=True, max_width=16)
    table.add_column("work", justify="right")
    for entry in entries:
        seconds = entry["seconds"]
        table.add_row(
            streams.foreign(entry["item"]),
            figures.size(entry["size"]),
            _amount(entry),
            streams.foreign(entry["crs"] or "-"),
            "-" if seconds is None else figures.duration(seconds),
        )
    return table


def _amount(entry: Json) -> str:
    """Say how many pixels and bands, or features, an output holds."""
    if entry["width"] is not None:
        bands = f" x {entry['bands']}" if entry["bands"] != 1 else ""
        return f"{entry['width']} x {entry['height']}{bands}"
    return "-" if entry["features"] is None else figures.plural(entry["features"], "feature")


def repair(directory: shared_options.RunDir, as_json: shared_options.AsJson = False) -> int:
    """Rebuild a lost or damaged ledger from the outputs and the plan."""
    import geobatch_tui

    result = asyncio.run(geobatch_tui.repair(directory))
    if as_json:
        streams.write_json(result)
        return 0
    for key, value in result.items():
        streams.show(streams.foreign(f"{key}: {value}"))
    return 0


def verify(directory: shared_options.RunDir, as_json: shared_options.AsJson = False) -> int:
    """Re-read the published outputs against the ledger. Ends with 14 if any is damaged."""
    import geobatch_tui

    result = asyncio.run(geobatch_tui.verify(directory))
    damaged = result["damaged"]
    if as_json:
        streams.write_json(result)
    else:
        streams.show(f"{figures.plural(result['checked'], 'output')} checked")
        for path in damaged:
            streams.show("damaged", streams.foreign(path, style="red"))
    if damaged:
        streams.say("run the job again: what is damaged is made anew, and nothing else")
    return ExitCode.DAMAGED if damaged else ExitCode.OK
