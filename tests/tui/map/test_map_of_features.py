"""What the map's card tells of a chunk. Of a layer it speaks of features: it has no pixels, and none
of them is without data."""

from __future__ import annotations

from scripted_maps import items

from geobatch_tui.tui.map.panels import CursorCard
from geobatch_tui.tui.map.picture.codes import Code
from geobatch_tui.tui.map.picture.reading import Reading
from geobatch_tui.tui.run.model import View

FIGURES = {"seconds": 0.9, "attempts": 2.0, "rss_bytes": 3e8, "nodata": 0.0, "worker": 2.0}


def lines_of(unit, height):
    """The card of the second chunk of an item of ten."""
    shown = CursorCard()
    shown.reading = Reading(
        position=1,
        item=items((10, 1))[0],
        column=1,
        counts={Code.DONE: 1},
        window=(1165, 0, 1165, 1),
        near=["     ", "█ █ ✗", "     "],
    )
    shown.figures = FIGURES
    return shown.build(View(unit_name=unit), 76, height)


def card(unit, height):
    return "\n".join(line.plain for line in lines_of(unit, height))


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


def test_a_worker_has_the_number_that_log_and_units_give_it():
    for height in (2, 14):
        assert "worker 2" in " ".join(card("px", height).split())


def test_neighbours_have_the_colours_of_their_states():
    (line,) = (line for line in lines_of("px", 14) if "neighbours" in line.plain)
    styles = {line.plain[span.start : span.end]: span.style for span in line.spans}
    assert (styles["█"], styles["✗"]) == ("$chunk-done", "$chunk-dead")
