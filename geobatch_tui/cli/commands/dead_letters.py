"""``geobatch dead-letters``: lists chunks, features and items that were given up, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import command_line, proper

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from geobatch_tui.execution.protocol.messages import Json

SHOWN = 20
"""Dead letters that are shown on a terminal."""


def dead_letters(
    directory: shared_options.RunDir,
    error_class: Annotated[
        str | None,
        typer.Option("--class", metavar="C", help="Only this cause, such as CorruptSourceError."),
    ] = None,
    geojson: Annotated[
        Path | None,
        shared_options.of_result(
            metavar="FILE",
            help="Write them as GeoJSON, each with the outline of its window. - is stdout.",
        ),
    ] = None,
    as_json: shared_options.AsJson = False,
) -> int:
    """List what was given up: cause, place, attempts, and how to reproduce it."""
    from geobatch_tui import open_run

    if geojson is not None and as_json:
        raise ConfigError("--json and --geojson exclude each other")
    view = open_run(directory)
    if geojson is not None:
        _write_geojson(view.dead_letters(error_class), geojson)
    elif as_json:
        streams.write_json_list(view.dead_letters(error_class))
    else:
        _show(view.dead_letters(error_class), directory, trusted=view.is_ours)
    return 0


def _show(letters: Iterable[Json], directory: Path, *, trusted: bool) -> None:
    """Print a card for each letter; a terminal gets the first ones only.

    Commands, which are there to be pasted, are shown only from a ``trusted`` directory.
    """
    limit = SHOWN if sys.stdout.isatty() else None
    count = 0
    for count, letter in enumerate(letters, 1):
        if limit is not None and count > limit:
            continue
        streams.show(card(letter))
        command = proper(str(letter.get("reproduce") or "")) if trusted else ""
        if command:
            # On a line of its own, unwrapped: it is there to be copied.
            streams.show(streams.foreign(f"$ {command}"), wrap=False)
        streams.show("")
    if not count:
        streams.say("no dead letters")
        return
    if not trusted:
        streams.say("commands are left out: this run's state is not yours, or others may write it")
    if limit is not None and count > limit:
        streams.say(f"{limit} of {count:,} are shown; --json gives all")
    streams.say(f"{figures.plural(count, 'dead letter')}; try again what may work by now with:")
    streams.say(f"  {command_line('geobatch retry', directory)}")


def card(letter: Json) -> Table:
    """Lay out a dead letter in two columns that stay readable on 80 columns."""
    table = streams.pairs()
    title = streams.foreign(letter["chunk"] or letter["item"], style="bold")
    table.add_row(streams.foreign(letter["error_class"], style="red"), title)
    table.add_row("message", streams.foreign(letter["error_message"]))
    stage = letter.get("stage") or "-"
    attempts = figures.plural(letter["attempts"], "attempt")
    table.add_row("stage", streams.foreign(f"{stage}, {attempts}"))
    if letter.get("feature") is not None:
        table.add_row("feature", str(letter["feature"]))
    elif letter.get("window"):
        col, row, width, height = letter["window"]
        table.add_row("window", f"{width} x {height} pixels at column {col}, row {row}")
    if letter.get("bounds_lonlat"):
        west, south, east, north = letter["bounds_lonlat"]
        table.add_row("lon, lat", f"{west:.4f} .. {east:.4f}, {south:.4f} .. {north:.4f}")
    if mark := letter.get("dismissed"):
        table.add_row("dismissed", streams.foreign(f"{mark['note'] or '-'} ({mark['by']})"))
    if letter.get("suggestion"):
        table.add_row("suggestion", streams.foreign(letter["suggestion"]))
    return table


def _write_geojson(letters: Iterable[Json], path: Path) -> None:
    from geobatch_tui.orchestration.state.letter_export import stream_geojson, write_file

    if str(path) == "-":
        stream_geojson(letters, sys.stdout)
        return
    write_file(stream_geojson, letters, path)
