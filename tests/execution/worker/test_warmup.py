"""What is loaded before the first task."""

from __future__ import annotations

import sys

from geobatch_tui.execution.worker import warmup


def test_what_chains_need_is_there_to_be_loaded() -> None:
    """A name that is none would be passed over in silence, and each worker would load it again."""
    warmup.import_for_steps()
    names = {f"geobatch_tui.execution.raster.{name}" for name in warmup._FOR_STEPS}
    assert names <= set(sys.modules)
