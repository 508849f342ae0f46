"""A terminal that is sent patches shows the picture, whatever it showed before."""

from __future__ import annotations

import random

import pytest
from cell_screen import CellScreen
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from scripted_run import busy_run
from textual.geometry import Region
from textual.strip import Strip

from geobatch_tui.tui.kit import cell_patch
from geobatch_tui.tui.kit.cell_patch import TerminalPicture
from geobatch_tui.tui.kit.painter import SLOW_LINE

WIDE, HIGH = 24, 6
ALL = Region(0, 0, WIDE, HIGH)
STYLES = (
    None,
    Style(color="red"),
    Style(color="#102030", bgcolor="#405060"),
    Style(bold=True, bgcolor="#405060"),
    Style(bold=True, italic=True),
    Style(bold=True, underline=True, color="red"),
    Style(underline=True, bgcolor="#405060"),
    Style(dim=True, strike=True),
    Style(dim=True),
    Style(reverse=True, color="#102030"),
)
WORDS = (
    "done",
    " ",
    "    ",
    "│",
    "▒▒▒",
    "日本",
    "e\u0301",
    "relief.tif",
    "0",
    "😀",
    "──────",
    "─────────────",
)
REGULAR = tuple(word for word in WORDS if all(cell_len(glyph) == 1 for glyph in word))


def picture(draw, known=WORDS):
    """Rows of words in colours, all of one width."""
    rows = []
    for _ in range(HIGH):
        words = [Segment(draw.choice(known), draw.choice(STYLES)) for _ in range(7)]
        rows.append(Strip(words).adjust_cell_length(WIDE))
    return rows


def shown(strips, wide=WIDE, high=HIGH):
    """What a terminal shows that is sent all of it, as Textual does."""
    screen = CellScreen(wide, high)
    for y, strip in enumerate(strips):
        cells = "".join(
            Strip.render_style(style or Style(), text, ColorSystem.TRUECOLOR)
            for text, style, _ in strip
        )
        screen.feed(f"\x1b[{y + 1};1H{cells}")
    return screen.seen()


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("room", [1, 60, 1 << 30])
@pytest.mark.parametrize("known", [WORDS, REGULAR], ids=["any", "regular"])
def test_patches_make_any_picture(room, repeats, known):
    """Part by part where there is little room, and with any part of it first, the picture comes out
    cell by cell, glyphs of no and of two cells included."""
    draw = random.Random(room)
    shows, screen = TerminalPicture(), CellScreen(WIDE, HIGH, repeats=repeats)
    strips = picture(draw, known)
    for _ in range(20):
        for y in draw.sample(range(HIGH), draw.choice((0, 1, 2, HIGH))):
            strips[y] = picture(draw, known)[y]
        whole = False
        while not whole:
            first = Region(*(draw.randrange(9) for _ in range(4)))
            text, whole = shows.patch(
                strips, ColorSystem.TRUECOLOR, room, [first, ALL], repeats=repeats
            )
            screen.feed(text)
        assert screen.seen() == shown(strips)


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


def test_a_glyph_that_comes_again_is_sent_once():
    """Where the terminal knows a number behind it, and as it is where that is as short."""
    frame, short = "─" * WIDE, "ab" + " " * 4 + "=" * 5
    strips = [Strip([Segment(frame)]), Strip([Segment(short.ljust(WIDE))])]
    text, _ = TerminalPicture().patch(strips, ColorSystem.TRUECOLOR, 1 << 30, repeats=True)
    assert text == f"\x1b[1H─\x1b[{WIDE - 1}b\r\nab    ===== \x1b[{WIDE - 12}b"
    plain, _ = TerminalPicture().patch(strips, ColorSystem.TRUECOLOR, 1 << 30)
    assert plain == f"\x1b[1H{frame}\r\n{short.ljust(WIDE)}"


def test_colours_that_nobody_sees_are_not_sent():
    """A blank has any ink; an attribute ends without the colours beside it."""
    ground = "#101010"
    words = [
        Segment("done", Style(color="#808080", bgcolor=ground)),
        Segment("    ", Style(color="#ffffff", bgcolor=ground)),
        Segment("dead", Style(color="#808080", bgcolor=ground, bold=True)),
        Segment(" is ", Style(color="#808080", bgcolor=ground)),
        Segment("  ", Style(color="#404040", bgcolor=ground, underline=True)),
    ]
    row = Strip(words)
    text, _ = TerminalPicture().patch([row], ColorSystem.TRUECOLOR, 1 << 30)
    colors = "\x1b[38;2;128;128;128;48;2;16;16;16m"
    assert text == f"\x1b[1H{colors}done    \x1b[1mdead \x1b[22mis \x1b[4;38;2;64;64;64m  \x1b[0m"


def test_a_dialog_comes_first():
    """Where there is room for a part, it is of its cells; all else follows from above."""
    known, screen = TerminalPicture(), CellScreen(WIDE, HIGH)
    box, outside = Region(4, 2, 9, 2), Region(3, 2, 10, 2)
    strips = [Strip([Segment(f"{y} row {y}".ljust(WIDE - 1) + str(y))]) for y in range(HIGH)]
    assert not known.shows(strips, box)
    text, whole = known.patch(strips, ColorSystem.TRUECOLOR, 1, [box, ALL])
    assert text == "\x1b[3;5Hw 2\x1b[4;5Hw 3" or (text.count("w 2"), text.count("w 3")) == (1, 1)
    assert not whole
    assert known.shows(strips, box)
    assert not known.shows(strips, outside)
    screen.feed(text)
    assert [line.strip() for line in screen.lines()] == ["", "", "w 2", "w 3", "", ""]
    text, whole = known.patch(strips, ColorSystem.TRUECOLOR, 1, [box, ALL])
    screen.feed(text)
    assert [line[:5] for line in screen.lines()] == [
        "0 row",
        "1 row",
        "2 row",
        "3 row",
        *[" " * 5] * 2,
    ]
    while not whole:
        text, whole = known.patch(strips, ColorSystem.TRUECOLOR, 1, [box, ALL])
        screen.feed(text)
    assert screen.seen() == shown(strips)
    assert known.shows(strips, ALL)


def test_colours_are_changed_as_seldom_as_that_pays():
    """What looks alike is sent together, in four rows at a time; moves are the shortest."""
    grey, red = Style(color="#808080"), Style(color="red")
    row = [Segment("│", grey), Segment("dead", red), Segment("│", grey), Segment("x", red)]
    strips = [Strip([*row, Segment(" " * (WIDE - 7))])] * 5
    known, screen = TerminalPicture(), CellScreen(WIDE, HIGH - 1)
    text, _ = known.patch(strips, ColorSystem.TRUECOLOR, 1 << 30, repeats=True)
    screen.feed(text)
    assert screen.seen() == shown(strips)[: HIGH - 1]
    assert text.count("\x1b[38;2;128;128;128m") == 1  # the second band begins with it
    assert known.patch(strips, ColorSystem.TRUECOLOR, 1 << 30) == ("", True)


def test_an_image_is_sent_in_its_order(monkeypatch):
    """Where each cell has a colour of its own, the shortest way is not looked for among all."""
    moves = []
    move = cell_patch._move
    monkeypatch.setattr(cell_patch, "_move", lambda *where: moves.append(where) or move(*where))
    image = [
        Strip([Segment("▀", Style(color=f"rgb({x},{y},7)")) for x in range(100)]) for y in range(4)
    ]
    screen = CellScreen(100, 4)
    screen.feed(TerminalPicture().patch(image, ColorSystem.TRUECOLOR, 10**6)[0])
    assert len(moves) == 400
    assert screen.seen() == shown(image, 100, 4)


def test_all_is_sent_where_nothing_is_known():
    """After another program had the terminal, and where the terminal has another size."""
    known = TerminalPicture()
    strips = picture(random.Random(3))
    everything, _ = known.patch(strips, ColorSystem.TRUECOLOR, 1 << 30)
    known.forget()
    assert known.patch(strips, ColorSystem.TRUECOLOR, 1 << 30) == (everything, True)
    lower = strips[:-1]
    assert known.patch(lower, ColorSystem.TRUECOLOR, 1 << 30)[0].count("H") >= HIGH - 1


async def test_a_screen_takes_less_than_a_second_of_a_slow_line(console, script):
    """Of 5,000 bytes a second, in the colours and the styles of one; a second of a run a tenth."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        known = TerminalPicture()

        async def sent():
            await pilot.pause()
            strips = app.screen._compositor.render_strips()
            text, _ = known.patch(strips, ColorSystem.EIGHT_BIT, 1 << 30, repeats=True)
            return len(text.encode())

        app.set_class(True, SLOW_LINE)
        first = await sent()
        assert 1500 < first < 4000
        for chunk in range(700, 712):
            script.start(chunk)
            script.done(chunk)
        app.poll()
        assert 40 < await sent() < 500
        for key in ("2", "1", "question_mark", "escape"):
            await pilot.press(key)
            assert 1500 < await sent() < 4000
