"""The panel of causes: what failed has the room that counts and names leave."""

from __future__ import annotations

from geobatch_tui.tui.run.model import DeadGroup, View
from geobatch_tui.tui.widgets.causes import Causes


def group(name, message, count, where):
    letters = tuple(range(count))
    return DeadGroup(
        error_class=name, message=message, count=count, where=where, letters=letters,
        attempts=1, first_t=0.0, last_t=0.0, suggestion="",
    )  # fmt: skip


def test_a_narrow_panel_is_for_the_message():
    """Columns are as wide as the longest of their texts, and lines as the panel."""
    groups = (
        group("CorruptSourceError", "<path>: <n> of <n> blocks cannot be read", 12, "all in a.tif"),
        group("CrsError", "it has no CRS", 1, "b.tif"),
    )
    for width in (46, 60, 118):
        lines = [line.plain for line in Causes().build(View(groups=groups), width, 5)]
        assert all(len(line) == width for line in lines)
    wide, short = (line.plain for line in Causes().build(View(groups=groups), 60, 5))
    assert wide == "12 CorruptSource  <path>: <n> of <n> blocks ca… all in a.tif"
    assert short.startswith(" 1 Crs            it has no CRS ")
