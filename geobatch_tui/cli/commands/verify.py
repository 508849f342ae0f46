"""``geobatch verify``: re-reads what was published."""

from __future__ import annotations

import asyncio

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import figures, streams
from geobatch_tui.errors import ExitCode


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
