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
from geobatch_tui.errors import StepError
from geobatch_tui.observability import figures

if TYPE_CHECKING:
    from geobatch_tui.orchestration.single_chunk import ComputedChunk, ComputedFeatures

#: Features set aside that are shown.
_SHOWN = 20


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
    as_json: shared_options.AsJson = False,
) -> int:
    """Compute one chunk, or one feature, in the foreground; nothing is written.

    Functions of your own print to the terminal, show where they fail, and are tried for seams.
    """
    from geobatch_tui.orchestration.single_chunk import ComputedChunk, compute

    loaded = shared_options.load(job, None, set_)
    try:
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
