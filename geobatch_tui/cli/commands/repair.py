"""``geobatch repair``: rebuilds the ledger."""

from __future__ import annotations

import asyncio

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams


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
