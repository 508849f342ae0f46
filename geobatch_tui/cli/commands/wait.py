"""``geobatch wait``: returns when a run has ended."""

from __future__ import annotations

from typing import Annotated

import typer

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams


def wait(
    directory: shared_options.RunDir,
    period: Annotated[
        float,
        typer.Option("--every", metavar="SECONDS", min=0.1, help="Time between two looks."),
    ] = 0.5,
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
