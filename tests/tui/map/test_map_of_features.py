"""The map of a layer speaks of features: it has no pixels, and none of them is without data."""

from __future__ import annotations

from scripted_maps import items

from geobatch_tui.tui.map.panels import CursorCard
from geobatch_tui.tui.map.picture.codes import Code
from geobatch_tui.tui.map.picture.reading import Reading
from geobatch_tui.tui.run.model import View

FIGURES = {"seconds": 0.9, "attempts": 2.0, "rss_bytes": 3e8, "nodata": 0.0, "spool": 2.0}


def card(unit, height):
    """The card of the second chunk of an item of ten."""
    shown = CursorCard()
    shown.reading = Reading(
        position=1,
        item=items((10, 1))[0],
        column=1,
        counts={Code.DONE: 1},
        window=(1165, 0, 1165, 1),
    )
    shown.figures = FIGURES
    return "\n".join(line.plain for line in shown.build(View(unit_name=unit), 76, height))


def test_a_chunk_of_features_is_a_range_of_them():
    """On the card of a small screen, and on that of a large one."""
    for height in (2, 14):
        told = card("features", height)
        assert "features 1165 +1165" in told
        assert "px" not in told
        assert "nodata" not in told


def test_a_chunk_of_pixels_is_a_window():
    for height in (2, 14):
        told = card("px", height)
        assert "px 1165,0 +1165x1" in told
        assert "nodata" in told
