"""``geobatch step``: one chunk in this process, to look into a function of one's own."""

from __future__ import annotations

import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.errors import ConfigError, StepError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from rich.table import Table

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.single_chunk import (
        ComputedChunk,
        ComputedFeatures,
        StepFeatures,
        StepPixels,
    )

#: Features set aside that are shown.
_SHOWN = 20
#: The same, and features themselves, of each step.
_FEW = 5


def step(
    job: Annotated[
        Path,
        typer.Argument(metavar="JOB", help="Job file; or the output directory of a run: its job."),
    ],
    chunk: Annotated[
        str,
        typer.Argument(
            metavar="CHUNK",
            help="item@row,col, as `dead-letters` shows it; item@n is one feature, from 0.",
        ),
    ],
    set_: shared_options.Overrides = None,
    pdb: Annotated[
        bool,
        typer.Option(
            "--pdb", help="Stop at the first line of each function, and where it raises an error."
        ),
    ] = False,
    each: Annotated[
        bool,
        typer.Option("--each", help="Show what the source and each step of the chain give for it."),
    ] = False,
    as_json: shared_options.AsJson = False,
) -> int:
    """Compute one chunk, or one feature, in the foreground; nothing is written.

    Functions of your own print to the terminal, show where they fail, and are tried for seams.
    """
    from geobatch_tui.orchestration.single_chunk import ComputedChunk, compute

    if each and pdb:
        raise ConfigError("--each and --pdb do not go together")
    loaded = shared_options.load(job, None, set_)
    try:
        if each:
            return _show_each(loaded, chunk, as_json=as_json)
        done = compute(loaded, chunk, debug=pdb)
    except StepError as error:
        if error.own is not None:
            sys.stderr.write("".join(traceback.format_exception(error.own)))
        raise
    if as_json:
        streams.write_json(asdict(done))
    elif isinstance(done, ComputedChunk):
        _show(done)
    else:
        _show_features(done)
    return 0


def _show_each(loaded: LoadedJob, chunk: str, *, as_json: bool) -> int:
    """Show what each step gives; those before one that fails, too."""
    from geobatch_tui.orchestration.single_chunk import StepPixels, each_step

    found: list[StepPixels | StepFeatures] = []
    try:
        for done in each_step(loaded, chunk):
            found.append(done)
            if not as_json:
                streams.show(_pixels(done) if isinstance(done, StepPixels) else _features(done))
    finally:
        if as_json:
            streams.write_json({"chunk": safe(chunk), "steps": [asdict(done) for done in found]})
    return 0


def _pixels(done: StepPixels) -> Table:
    table = streams.pairs()
    table.add_row(f"step {done.step}", streams.foreign(done.name, style="bold"))
    col, row, width, height = done.window
    columns, rows = done.size
    said = f"{width} x {height} of {columns} x {rows} pixels at column {col}, row {row}"
    table.add_row("window", said)
    for band, (limits, missing) in enumerate(zip(done.ranges, done.missing, strict=True), 1):
        text = "nothing is valid" if limits is None else f"{limits[0]:g} to {limits[1]:g}"
        share = f", {missing:.1%} nodata" if missing else ""
        table.add_row(f"band {band}", f"{text}{share}, {done.dtype}")
    return table


def _features(done: StepFeatures) -> Table:
    table, found = streams.pairs(), done.found
    table.add_row(f"step {done.step}", streams.foreign(done.name, style="bold"))
    gone = [f"{found.dropped:,} not asked for"] * bool(found.dropped)
    gone += [f"{found.lost:,} set aside"] * bool(found.lost)
    table.add_row("features", ", ".join([f"{found.made:,} of {found.read:,}", *gone]))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.kinds.items())
    table.add_row("types", streams.foreign(kinds or "none"))
    if found.bounds is not None:
        sides = ", ".join(f"{side:.9g}" for side in found.bounds)
        table.add_row("bounds", streams.foreign(f"{sides} {found.crs}".rstrip()))
    fields = ", ".join(f"{name} ({kind})" for name, kind in found.fields.items())
    table.add_row("fields", streams.foreign(fields or "none"))
    for place, name, reason in found.aside[:_FEW]:
        table.add_row(streams.foreign(name, style="red"), streams.foreign(f"{place}: {reason}"))
    for line in found.lines[:_FEW]:
        row = "  ".join([line.geometry, *line.values])
        table.add_row(str(line.position), streams.foreign(row))
    return table


def _show(done: ComputedChunk) -> None:
    table = streams.pairs()
    table.add_row("chunk", streams.foreign(done.chunk))
    col, row, width, height = done.window
    table.add_row("window", f"{width} x {height} pixels at column {col}, row {row}")
    table.add_row("pixels", f"{done.shape[0]} x {done.dtype}, {done.valid:.1%} valid")
    for band, (low, high) in enumerate(zip(done.low, done.high, strict=True), 1):
        table.add_row(f"band {band}", f"{low:g} to {high:g}")
    table.add_row("time", figures.duration(done.seconds))
    streams.show(table)


def _show_features(done: ComputedFeatures) -> None:
    table = streams.pairs()
    table.add_row("chunk", streams.foreign(done.chunk))
    table.add_row("features", f"{done.made:,} of {done.read:,} that were read")
    for place, name, reason in done.aside[:_SHOWN]:
        table.add_row(streams.foreign(name, style="red"), streams.foreign(f"{place}: {reason}"))
    if len(done.aside) > _SHOWN:
        table.add_row("", f"and {len(done.aside) - _SHOWN:,} more; --json gives all")
    for field, kind in done.fields.items():
        table.add_row(streams.foreign(field), streams.foreign(kind))
    table.add_row("time", figures.duration(done.seconds))
    streams.show(table)
