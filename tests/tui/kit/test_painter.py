"""A terminal behind a slow line gets the newest picture, and no queue of old ones."""

from __future__ import annotations

import pytest
from cell_screen import CellScreen
from rich.color import ColorSystem
from rich.style import Style
from textual.app import App
from textual.containers import Vertical
from textual.events import Key
from textual.strip import Strip
from textual.widgets import Input, Static

from geobatch_tui.tui.kit.line_load import ASK, LineLoad
from geobatch_tui.tui.kit.modal import Modal
from geobatch_tui.tui.kit.painter import Painter

SIZE = (40, 8)


class Wire:
    """A driver whose terminal answers when it is told to."""

    def __init__(self):
        self.load = LineLoad()
        self.load.sent(0)
        self.load.answered(9)
        self.begun = 1
        self.is_behind = False
        self.sent = []

    def write(self, text):
        self.sent.append(text)

    def flush(self):
        pass

    def ask(self, count, *, whole):
        self.load.sent(count, whole=whole)
        self.write(ASK)


class Clock(App):
    """An app that shows a number."""

    def compose(self):
        yield Static("0", markup=False)


def pictured(app):
    """The cells that the app means to show."""
    screen = CellScreen(*SIZE)
    for y, strip in enumerate(app.screen._compositor.render_strips()):
        line = (
            Strip.render_style(style or Style(), text, ColorSystem.TRUECOLOR)
            for text, style, _ in strip
        )
        screen.feed(f"\x1b[{y + 1};1H{''.join(line)}")
    return screen.seen()


@pytest.mark.asyncio
async def test_old_pictures_are_dropped():
    """While the terminal has not come to what it was sent, twenty pictures are no bytes; then the
    newest is sent, and what the terminal shows is what the app does."""
    wire, screen, app = Wire(), CellScreen(*SIZE), Clock()
    painter = Painter(app, wire, (lambda: None, lambda: None))
    async with app.run_test(size=SIZE) as pilot:
        app.console._color_system = ColorSystem.TRUECOLOR
        painter.want()
        first = len(wire.sent)
        assert first
        for count in range(1, 21):
            app.query_one(Static).update(str(count))
            await pilot.pause()
            painter.want()
        assert len(wire.sent) == first
        wire.load.answered()
        wire.load.key_came()
        painter.paint()
        assert len(wire.sent) > first
        assert not any("19" in text for text in wire.sent)
        screen.feed("".join(wire.sent))
        assert screen.shows("20")
        assert screen.seen() == pictured(app)


class Asked(Modal):
    """A dialog."""

    CSS = "Vertical { width: 10; height: 3; }"

    def compose(self):
        with Vertical():
            yield Static("sure?")


@pytest.mark.asyncio
async def test_a_dialog_is_seen_when_the_terminal_has_come_to_its_picture():
    """Not when it was sent: a key may be on its way meanwhile. Later pictures make no difference."""
    wire, app = Wire(), Clock()
    painter = Painter(app, wire, (lambda: None, lambda: None))
    async with app.run_test(size=SIZE) as pilot:
        painter.want()
        wire.load.answered()
        asked, early = Asked(), Key("y", "y")
        app.push_screen(asked)
        await pilot.pause()
        wire.load.key_came()
        painter.want()
        assert asked.is_laid_out
        assert not asked.was_seen
        asked.query_one(Static).update("well?")
        await pilot.pause()
        painter.want()
        assert not asked.was_seen
        wire.load.answered()
        soon = Key("y", "y")  # before the console has looked
        painter.paint()
        assert asked.was_seen
        assert asked.is_ahead(early)
        assert not asked.is_ahead(soon)
        assert not asked.is_ahead(Key("y", "y"))


@pytest.mark.asyncio
async def test_another_screen_waits_for_no_rest():
    """However long after its key it is put up, and whatever was painted in between."""
    now = [100.0]
    wire, app = Wire(), Clock()
    wire.load = LineLoad(lambda: now[0])
    wire.load.sent(0)
    wire.load.answered()
    painter = Painter(app, wire, (lambda: None, lambda: None))
    async with app.run_test(size=SIZE) as pilot:

        async def tick(text):
            app.query_one(Static).update(text)
            await pilot.pause()
            painter.want()
            now[0] += 1.0
            wire.load.answered()
            now[0] += 0.3

        await tick("1")
        wire.load.key_came()
        now[0] += 2.0
        await tick("2")
        before = len(wire.sent)
        app.query_one(Static).update("3")
        await pilot.pause()
        painter.want()
        assert len(wire.sent) == before  # the line rests
        app.push_screen(Asked())
        await pilot.pause()
        painter.want()
        assert "sure?" in "".join(wire.sent[before:])


@pytest.mark.asyncio
async def test_nothing_is_queued_for_a_terminal_that_takes_nothing():
    """Not even where it never answered: the queue of Textual would hold up the whole console."""
    wire, app = Wire(), Clock()
    wire.load, wire.is_behind = LineLoad(), True
    painter = Painter(app, wire, (lambda: None, lambda: None))
    async with app.run_test(size=SIZE):
        painter.want()
        assert not wire.sent
        wire.is_behind = False
        painter.paint()
        assert wire.sent


class Darkened(Asked):
    """A dialog around which all is of another colour."""

    CSS = Asked.CSS + "Darkened { background: red 50%; }"


@pytest.mark.asyncio
async def test_a_dialog_is_asked_for_right_behind_its_box():
    """However much room there seems to be: what lies around it comes once the terminal has come to
    the box."""
    wire, screen, app = Wire(), CellScreen(*SIZE), Clock()
    painter = Painter(app, wire, (lambda: None, lambda: None))
    async with app.run_test(size=SIZE) as pilot:
        app.console._color_system = ColorSystem.TRUECOLOR
        painter.want()
        wire.load.answered()
        screen.feed("".join(wire.sent))
        before, last = len(wire.sent), screen.seen()[-1]
        asked = Darkened()
        app.push_screen(asked)
        await pilot.pause()
        painter.want()
        screen.feed("".join(wire.sent[before:]))
        assert wire.sent[-1] == ASK
        assert screen.shows("sure?")
        assert screen.seen()[-1] == last
        before = len(wire.sent)
        wire.load.answered()
        painter.paint()
        assert asked.was_seen
        screen.feed("".join(wire.sent[before:]))
        assert screen.seen() == pictured(app)


class Panels(App):
    """Two panels; the lower one has the keys."""

    CSS = "Input { border: none; height: 1; } Vertical { height: 6; }"

    def compose(self):
        with Vertical():
            for number in range(6):
                yield Static(f"line {number}", markup=False)
        yield Input("the field", compact=True)


@pytest.mark.asyncio
async def test_the_panel_with_the_keys_comes_before_the_rest():
    """Behind the head of a screen that was not there before."""
    wire, app = Wire(), Panels()
    painter = Painter(app, wire, (lambda: None, lambda: None))
    async with app.run_test(size=SIZE) as pilot:
        painter.want()
        text = "".join(wire.sent)
        places = [
            text.index(said) for said in ("line 0", "line 2", "the field", "line 3", "line 5")
        ]
        assert places == sorted(places)
        wire.load.answered()
        for line in app.query(Static):
            line.update("changed")
        app.query_one(Input).value = "a word"
        await pilot.pause()
        wire.load.key_came()
        before = len(wire.sent)
        painter.want()
        text = "".join(wire.sent[before:])
        assert text.index("a word") < text.index("changed")
