"""The screen of the log, as its operator meets it."""

from __future__ import annotations

import json
import os
from functools import partial

import pytest
import textual
from corpus import NAMES
from scripted_run import busy_run, pictured, shown, until
from textual.geometry import Region

from geobatch_tui.tui.parts.console_messages import ShowOnMap
from geobatch_tui.tui.parts.filter_bar import FilterBar
from geobatch_tui.tui.screens.log_screen import LogScreen

LEVELS = ["info"] * 9 + ["warning"]


def line(number, level="info", **fields):
    head = {"time": f"2026-11-24T12:{number // 60 % 60:02d}:{number % 60:02d}.007Z", "level": level}
    return json.dumps(head | {"message": f"line {number}"} | fields, separators=(",", ":")) + "\n"


async def opened(pilot, lines):
    """The screen, once it shows so many lines."""
    await pilot.press("4")
    await until(lambda: isinstance(pilot.app.screen, LogScreen))
    screen = pilot.app.screen
    await until(lambda: screen.view.count() == lines)
    await pilot.pause()
    await pilot.pause()
    return screen


@pytest.fixture
def console(console):
    """Consoles that open with the log."""
    return partial(console, mode="log")


@pytest.fixture
def log(script):
    """Two hundred lines; an error at 50 and at 150, debug at 3."""
    levels = {3: "debug", 50: "error", 150: "error"}
    path = script.state.log
    path.write_text(
        "".join(
            line(n, levels.get(n, "info"), worker=n % 3, chunk=f"1.tif@0,{n % 10}")
            for n in range(200)
        )
    )
    script.plan(1, 1, 10)
    return path


async def test_log_follows_its_end(console, log):
    """The last line is on the screen, and so is the one written next; whoever moves up stays."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 199)
        assert "line 199" in shown(app)
        with log.open("a") as file:
            file.write(line(200))
        await until(lambda: screen.view.count() == 200)
        await pilot.pause()
        await pilot.pause()
        assert "line 200" in shown(app)
        await pilot.press("k")
        with log.open("a") as file:
            file.write(line(201))
        await until(lambda: screen.view.count() == 201)
        await pilot.pause()
        assert "line 201" not in shown(app)
        assert "2 below (G)" in shown(app)
        await pilot.press("f")
        await pilot.pause()
        assert "line 201" in shown(app)
        assert "FOLLOW" in shown(app)


async def test_new_lines_move_the_others_once_a_while(console, log, monkeypatch):
    """After a rest a line is shown at once; those behind it wait."""
    monkeypatch.setattr(LogScreen, "SCROLL", 0.0)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 199)
        monkeypatch.setattr(LogScreen, "SCROLL", 1000.0)
        with log.open("a") as file:
            file.write(line(200))
        await until(lambda: screen.view.count() == 200)
        with log.open("a") as file:
            file.write(line(201))
        await until(lambda: screen.view.selection.count == 201)
        await pilot.pause(0.6)
        assert screen.view.count() == 200


async def test_scrolling_paints_what_differs(console, log):
    """The regions that are painted anew hold every cell that differs, and little else."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 199)
        view, painted = screen.view, set()
        refresh = view.refresh

        def recorded(*regions, **options):
            for region in regions or [Region(0, 0, *view.size)]:
                painted.update((x, y) for y in region.line_range for x in region.column_range)
            return refresh(*regions, **options)

        view.refresh = recorded
        before = [view.render_line(y).text for y in range(view.size.height)]
        with log.open("a") as file:
            file.write(line(200, message="a longer one") + line(201, "error") + line(202))
        await until(lambda: view.count() == 202)
        await pilot.pause()
        after = [view.render_line(y).text for y in range(view.size.height)]
        assert "a longer one" in after[-3]
        differ = {
            (x, y)
            for y, (old, new) in enumerate(zip(before, after, strict=True))
            for x in range(view.size.width - 1)
            if old[x] != new[x]
        }
        assert differ <= painted
        assert len(painted) < view.size.area / 2


async def test_levels_hide_lines(console, log):
    """< shows graver lines only, > more of them; debug is hidden at first."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 199)
        assert "199 of 200 lines" in shown(app)
        await pilot.press("greater_than_sign")
        await until(lambda: screen.view.count() == 200)
        await pilot.press("less_than_sign", "less_than_sign", "less_than_sign")
        await until(lambda: screen.view.count() == 2)
        await pilot.pause()
        assert "line 50" in shown(app)
        assert "line 51" not in shown(app)


async def test_filter_hides_lines_and_keeps_the_place(console, log):
    """/ hides what does not match; the cursor stays on its line of the log."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 199)
        await pilot.press("N")
        assert screen.view.entry(screen.view.cursor)["message"] == "line 150"
        await pilot.press("slash", *"worker:0", "enter")
        await until(lambda: screen.view.count() == 66)
        await until(lambda: screen.view.entry(screen.view.cursor)["message"] == "line 150")
        assert "/ worker:0" in shown(app)
        await pilot.press("escape")
        await until(lambda: screen.view.count() == 199)
        await until(lambda: screen.view.entry(screen.view.cursor)["message"] == "line 150")
        assert not screen.query_one(FilterBar).chosen


async def test_a_filter_does_not_wait_for_the_next_look_at_the_file(console, log, monkeypatch):
    """However long the screen rests where no run writes, what is typed is searched at once."""
    monkeypatch.setattr(LogScreen, "STILL", 3600.0)
    monkeypatch.setattr(LogScreen, "REST", 3600.0)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 199)
        await pilot.press("slash", *"message:199", "enter")
        await until(lambda: screen.view.count() == 1)
        await pilot.press("escape", "z")
        await until(lambda: "ERROR" in shown(app).splitlines()[0] and "searching" not in shown(app))


async def test_jump_to_errors(console, log):
    """N and n go from error to error, and say so where there is none. The key y copies the line of
    the file, and o finds the chunk that it names."""
    sent = []
    app = console()
    async with app.run_test(
        size=(80, 24), message_hook=lambda m: sent.append(m) if type(m) is ShowOnMap else None
    ) as pilot:
        screen = await opened(pilot, 199)
        await pilot.press("y")
        assert json.loads(app.clipboard)["message"] == "line 199"
        await pilot.press("N", "N")
        assert screen.view.entry(screen.view.cursor)["message"] == "line 50"
        await pilot.pause()
        assert "line 50" in shown(app)
        for _ in range(2):
            await pilot.press("n")
            assert screen.view.entry(screen.view.cursor)["message"] == "line 150"
        await pilot.press("k", "o")
        await pilot.pause()
        assert sent[0].chunks == (10,)


async def test_wrapped_lines_are_whole(console, script):
    """Wrapped, all of a long line is on the screen, and every line can be reached."""
    words = " ".join(f"word{n}" for n in range(60))
    script.state.log.write_text(
        "".join(line(n, detail="", message=f"{n} {words} end{n}") for n in range(10))
    )
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 10)
        assert "end9" not in shown(app)
        await pilot.press("w")
        await pilot.pause()
        await pilot.pause()
        assert "end9" in shown(app)
        for number in range(8, -1, -1):
            await pilot.press("k")
            await pilot.pause()
            assert f"end{number} " in shown(app), number
        await pilot.press("G")
        await pilot.pause()
        await pilot.pause()
        assert "end9" in shown(app)
        assert screen.view.following


async def test_wrapped_lines_scroll_as_little_as_needed(console, script):
    """Up from the first line of the screen leads one line up, not one screen."""
    words = " ".join(f"word{n}" for n in range(20))
    script.state.log.write_text(
        "".join(line(n, detail="", message=f"{n} {words}") for n in range(60))
    )
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 60)
        await pilot.press("w", *"k" * 30)
        await pilot.pause()
        assert screen.view.scroll_y == screen.view.cursor == 29


async def test_entry_unfolds(console, log):
    """Enter shows all fields of a line, and those of the next with the cursor."""
    with log.open("a") as file:
        file.write(line(200, "error", traceback='Traceback:\n  File "x", line 1\nValueError'))
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 200)
        await pilot.press("enter")
        await pilot.pause()
        assert 'File "x", line 1' in shown(app)
        await pilot.press("k")
        await pilot.pause()
        assert 'File "x"' not in shown(app)
        await pilot.press("escape")
        assert not screen.has_class("-unfolded")


async def test_rotated_log_is_shown_anew(console, log):
    """A log that was replaced is read from its beginning."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 199)
        other = log.with_name("other")
        other.write_text(line(1000))
        other.rename(log)
        await until(lambda: screen.view.count() == 1)
        await pilot.pause()
        assert "line 1000" in shown(app)


async def test_missing_log_is_empty(console, script):
    """A run whose log was removed has a screen without lines, and no error."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, 0)
        await pilot.press("j", "k", "n", "y", "enter", "w", "G", "o")
        assert "0 lines" in shown(app)


async def test_evil_lines_do_nothing(console, script):
    """Whatever a line holds is shown, never obeyed."""
    names = [os.fsdecode(raw) for raw in NAMES.values()]
    with script.state.log.open("w") as file:
        for name in names:
            file.write(
                line(1, chunk=name, message=name, traceback=f"{name}\n{name}", **{name: name})
            )
        file.write("\x1b[31m no json \x9b\u202e\n[red]\n")
    app = console()
    async with app.run_test(size=(120, 48)) as pilot:
        await opened(pilot, len(names) + 2)
        for keys in (("enter",), ("w",), *[("k",)] * len(names)):
            await pilot.press(*keys)
            await pilot.pause()
            assert shown(app).replace("\n", "").isprintable()


async def test_bytes_that_are_no_text_are_one_escape(console, script):
    """A byte that is not UTF-8 is one escape, in a line as in the entry; and no other reads so."""
    script.state.log.write_bytes(b"caf\xe9 and \x1b[31m and \\xe9\n")
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, 1)
        await pilot.press("enter")
        await pilot.pause()
        told = "caf\\xe9 and \\x1b[31m and \\\\xe9"
        assert shown(app).count(told) == 2


async def test_long_log_stays_quick(console, script, monkeypatch):
    """Of a long log only what is on the screen is parsed: to open it and to jump through it."""
    from geobatch_tui.tui.widgets import log_view

    part = "".join(line(n, LEVELS[n % 10]) for n in range(1000))
    script.state.log.write_text(part * 50)
    parsed = []
    real = log_view.entry_of
    monkeypatch.setattr(log_view, "entry_of", lambda raw: parsed.append(1) or real(raw))
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, 50_000)
        await pilot.press("home", "pagedown", "G", "k", "pageup")
        await pilot.pause()
        assert "line 9" in shown(app)
    assert len(parsed) < 1000


pictures = pytest.mark.skipif(
    textual.__version__ != "8.2.8", reason="pictures were made with textual 8.2.8"
)


@pictures
@pictured([("day", (80, 24)), ("night", (160, 48))])
def test_log_screen_picture(snap_compare, console, script, theme, size):
    """Line, log and entry fill the screen; nothing is cut or overlaps."""
    busy_run(script)
    app = console()

    async def before(pilot):
        pilot.app.theme = theme
        screen = await opened(pilot, 4)
        await pilot.press("enter")
        # Its keys are not this screen's alone: they change with every mode that is added.
        for bar in screen.query("Footer, KeyBar"):
            bar.visible = False
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)
