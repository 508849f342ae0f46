"""Two rows of pixels as a line of cells."""

from __future__ import annotations

from geobatch_tui.tui.map.picture.codes import CURSOR, SELECTED, Code
from geobatch_tui.tui.map.picture.half_blocks import FILLED, GLYPH, UNDER, blocks, glyphs

WAIT, RUN, RETRY, DONE, DEAD = (
    Code.WAIT,
    Code.RUN,
    Code.RETRY,
    Code.DONE,
    Code.DEAD,
)


def test_half_blocks_show_two_pixels():
    """Upper and lower pixel are foreground and background; equal cells are one run."""
    upper = bytes([DONE, DONE, DONE, 0, WAIT])
    lower = bytes([DONE, DONE, WAIT, WAIT, 0])
    assert list(blocks(upper, lower)) == [
        ("▀▀", (DONE, DONE)),
        ("▀", (DONE, WAIT)),
        ("▄", (WAIT, 0)),
        ("▀", (WAIT, 0)),
    ]


def test_what_lies_under_is_seen_where_no_chunk_is():
    """Coasts fill empty cells, in their own columns."""
    found = list(blocks(bytes([0, 0, DONE, 0]), bytes(4), "abcd"))
    assert found == [("ab", UNDER), ("▀", (DONE, 0)), ("d", UNDER)]
    assert list(blocks(bytes(3), bytes(3))) == [("   ", UNDER)]


def test_what_is_empty_is_never_the_foreground():
    """An empty place that is selected has a background only."""
    upper, lower = bytes([SELECTED, SELECTED, DONE]), bytes([SELECTED, DONE, SELECTED])
    assert list(blocks(upper, lower)) == [
        (" ", (SELECTED, SELECTED)),
        ("▄", (DONE, SELECTED)),
        ("▀", (DONE, SELECTED)),
    ]


def test_what_is_dead_has_a_glyph_in_colour_too():
    """A cell with a dead pixel is a dead cell, whatever the other pixel is."""
    found = list(blocks(bytes([DEAD, DONE]), bytes([DONE, DEAD | SELECTED])))
    assert found == [("✗", (DEAD, FILLED)), ("✗", (DEAD | SELECTED, FILLED))]


def test_glyphs_show_the_worse_pixel():
    """One glyph for two pixels; states can be told apart without colour."""
    upper = bytes([DONE, WAIT, RUN, DONE, Code.RAMP_1])
    lower = bytes([DONE, DONE, RETRY, DEAD, Code.RAMP_5])
    found = list(glyphs(upper, lower))
    assert "".join(text for text, _ in found) == "█·▚✗5"
    assert found[3][1] == (DEAD, GLYPH)


def test_marks_survive_in_glyphs():
    """A mark on either pixel marks the cell, also where no chunk is."""
    found = list(glyphs(bytes([DONE | CURSOR, CURSOR]), bytes([DEAD, 0]), "xy"))
    assert found == [("✗", (DEAD | CURSOR, GLYPH)), ("y", (CURSOR, GLYPH))]


def test_what_is_selected_and_done_is_lighter():
    """An underline cannot be seen below a full block."""
    found = list(glyphs(bytes([DONE | SELECTED, DONE]), bytes([DONE, DONE])))
    assert [text for text, _ in found] == ["▓", "█"]


def test_a_line_is_as_wide_as_its_rows():
    """No cell is lost or added, whatever the codes."""
    codes = [code | mark for mark in (0, SELECTED, CURSOR, SELECTED | CURSOR) for code in range(13)]
    upper, lower = bytes(codes), bytes(reversed(codes))
    for draw in (blocks, glyphs):
        assert sum(len(text) for text, _ in draw(upper, lower, "~" * 52)) == 52
