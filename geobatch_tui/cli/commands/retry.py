"""``geobatch retry``: dead letters once more."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.commands.run import give, run_in_front
from geobatch_tui.observability.terminal_signs import Signs

Classes = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="C", help="Only dead letters of this cause. Repeatable."),
]
Chunks = Annotated[
    list[str] | None,
    typer.Option(
        "--chunk",
        metavar="KEY",
        help="Only this chunk (item@row,col) or item, as `dead-letters` shows it. Repeatable.",
    ),
]
Split = Annotated[
    bool,
    typer.Option(
        "--split",
        help="Plan their items anew, in chunks half as wide and high, to find the bad part.",
    ),
]
Replace = Annotated[
    Path | None,
    typer.Option(
        "--replace",
        metavar="FILE",
        help="Repaired features, made from the quarantine file of the item in --chunk: their "
        "geometries are taken in place of the source's.",
    ),
]


def retry(
    directory: shared_options.RunDir,
    classes: Classes = None,
    chunks: Chunks = None,
    split: Split = False,
    replace: Replace = None,
    set_: shared_options.Overrides = None,
    as_json: shared_options.AsJson = False,
) -> int:
    """Requeue dead letters of a run, and run them."""
    import geobatch_tui

    again = partial(
        geobatch_tui.retry,
        directory,
        classes=tuple(classes or ()),
        chunks=tuple(chunks or ()),
        overrides=tuple(set_ or ()),
        split=split,
        replace=replace,
    )
    return give(run_in_front(again, "auto", Signs()), as_json=as_json)
