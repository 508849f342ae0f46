"""A terminal that is sent patches shows the picture, whatever it showed before."""

from __future__ import annotations

import random

import pytest
from cell_screen import CellScreen
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from geobatch_tui.tui.kit.cell_patch import TerminalPicture

WIDE, HIGH = 24, 6
STYLES = (
    None,
    Style(color="red"),
    Style(color="#102030", bgcolor="#405060"),
    Style(bold=True, bgcolor="#405060"),
    Style(bold=True, italic=True),
    Style(reverse=True, color="#102030"),
)
WORDS = ("done", " ", "    ", "│", "▒▒▒", "日本", "e\u0301", "relief.tif", "0", "😀")


def picture(draw):
    """Rows of words in colours, all of one width."""
    rows = []
    for _ in range(HIGH):
        words = [Segment(draw.choice(WORDS), draw.choice(STYLES)) for _ in range(7)]
        rows.append(Strip(words).adjust_cell_length(WIDE))
    return rows


def shown(strips):
    """What a terminal shows that is sent all of it, as Textual does."""
    screen = CellScreen(WIDE, HIGH)
    for y, strip in enumerate(strips):
        cells = "".join(
            Strip.render_style(style or Style(), text, ColorSystem.TRUECOLOR)
            for text, style, _ in strip
        )
        screen.feed(f"\x1b[{y + 1};1H{cells}")
    return screen.cells


@pytest.mark.parametrize("room", [1, 60, 1 << 30])
def test_patches_make_any_picture(room):
    """Row by row where there is little room, the picture comes out cell by cell, glyphs of no and
    of two cells included."""
    draw = random.Random(room)
    known, screen = TerminalPicture(), CellScreen(WIDE, HIGH)
    strips = picture(draw)
    for _ in range(60):
        for y in draw.sample(range(HIGH), draw.choice((0, 1, 2, HIGH))):
            strips[y] = picture(draw)[y]
        whole = False
        while not whole:
            text, whole = known.patch(strips, ColorSystem.TRUECOLOR, room)
            screen.feed(text)
        assert screen.cells == shown(strips)


def test_only_what_differs_is_sent():
    """One figure of a row is a few bytes, and the same picture none."""
    known = TerminalPicture()
    grey = Style(color="#808080", bgcolor="#101010")

    def rows(count):
        return [Strip([Segment(f"{count:>8} of 4,489 chunks", grey)])] * HIGH

    first, _ = known.patch(rows(7), ColorSystem.TRUECOLOR, 1 << 30)
    assert len(first) > HIGH * 24
    assert known.patch(rows(7), ColorSystem.TRUECOLOR, 1 << 30) == ("", True)
    second, _ = known.patch(rows(8), ColorSystem.TRUECOLOR, 1 << 30)
    assert second.count("8") >= HIGH
    assert "chunks" not in second
    assert len(second) < 100 + HIGH * 8


def test_rows_of_a_dialog_come_first():
    """Where there is room for a part, it is of them; the others follow from above."""
    known, screen = TerminalPicture(), CellScreen(WIDE, HIGH)
    strips = [Strip([Segment(f"row {y}".ljust(WIDE))]) for y in range(HIGH)]
    came = []
    for _ in range(HIGH):
        text, whole = known.patch(strips, ColorSystem.TRUECOLOR, 1, range(2, 4))
        assert known.shows(strips, range(2, 4)) is (len(came) > 0)
        came += [y for y in range(HIGH) if f"row {y}" in text]
        screen.feed(text)
    assert came == [2, 3, 0, 1, 4, 5]
    assert whole or known.patch(strips, ColorSystem.TRUECOLOR, 1, range(2, 4)) == ("", True)
    assert screen.cells == shown(strips)


def test_all_is_sent_where_nothing_is_known():
    """After another program had the terminal, and where the terminal has another size."""
    known = TerminalPicture()
    strips = picture(random.Random(3))
    everything, _ = known.patch(strips, ColorSystem.TRUECOLOR, 1 << 30)
    known.forget()
    assert known.patch(strips, ColorSystem.TRUECOLOR, 1 << 30) == (everything, True)
    lower = strips[:-1]
    assert known.patch(lower, ColorSystem.TRUECOLOR, 1 << 30)[0].count("H") >= HIGH - 1
