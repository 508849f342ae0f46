"""The console as its operator meets it: keys, questions, what is sent to the run."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from inspect import unwrap

import pytest
from scripted_run import asked, busy_run, shown, until
from textual.color import Color
from textual.css import stylesheet
from textual.css.stylesheet import Stylesheet

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.tui.glance.throughput import Throughput
from geobatch_tui.tui.kit import waiting_parent
from geobatch_tui.tui.kit.endings import Ending, Watch
from geobatch_tui.tui.kit.keymap import KEYS
from geobatch_tui.tui.parts.help import HelpScreen
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.palette import KeyCommands
from geobatch_tui.tui.widgets.causes import Causes
from geobatch_tui.tui.widgets.overview import Overview

EVIL = (
    "[red]a[/red]",
    "[@click=app.bell]x[/]",
    "\x1b[31mred\x1b]52;c;eA==\x07",
    "\u202ecod\u2066",
    "line\nbreak\ttab",
    "\udcff\udcfe.tif",
    "[/vsis3/…]",
    "$error $chunk-dead",
    "😀漢字é",
)


class Wire:
    """Records the commands of a console in place of sending them."""

    def __init__(self, app):
        self.sent = []
        self.answer = ""
        app.link.send = self

    def __call__(self, verb, **arguments):
        self.sent.append((verb, arguments))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def settle(pilot, script=None):
    """Poll, and wait for the picture."""
    if script is not None:
        pilot.app.poll()
    await pilot.pause()
    await pilot.pause()


async def test_run_screen_follows_the_run(console, script):
    """What is committed is on the screen after the next poll."""
    script.plan(1, 1, 10)
    script.put(lu.Noted("run.planned", {"current": 0}))
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "RUNNING" in shown(app)
        assert re.search(r"done 0 ", shown(app))
        script.done(1, 2, 3)
        script.die(4)
        await settle(pilot, script)
        assert re.search(r"done 3 .*dead 1 ", shown(app))
        assert "IReadBlock failed" in shown(app)
        assert "40.0%" in shown(app)


async def test_nothing_is_planned_yet(console, script):
    """A console that opens before the first item shows that, on every screen and for every key of
    the map; what is planned then appears."""
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot, script)
        assert "PLANNING" in shown(app)
        for key in ("1", "tab", "m", "<", ">", "n", "right", "down", "v", "space", "enter"):
            await pilot.press(key)
        for mode in app.MODES:
            await app.switch_mode(mode)
            await settle(pilot, script)
            await pilot.press("m", "<", ">", "n", "right", "down", "enter", "escape")
        # By its key, which waits for those before it: Escape in a job's form goes back a screen.
        await pilot.press("1")
        script.plan(1, 1, 10)
        script.done(1)
        await settle(pilot, script)
        assert re.search(r"done 1 ", shown(app))


async def test_frozen_picture_stands_still(console, script):
    """While frozen nothing changes on the screen; afterwards all of it is there. A click on a key of
    the bottom line presses it."""
    script.plan(1, 1, 10)
    app = console()
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot, script)
        last = shown(app).split("\n")[-1]
        await pilot.click(KeyBar, offset=(last.index("Freeze"), 0))
        await settle(pilot)
        assert app.frozen
        assert "FROZEN" in shown(app)
        script.done(1, 2)
        await settle(pilot, script)
        assert re.search(r"done 0 ", shown(app))
        await pilot.press("p")
        await settle(pilot)
        assert "FROZEN" not in shown(app)
        assert re.search(r"done 2 ", shown(app))


async def test_only_changed_lines_are_painted(console, script):
    """A poll in which nothing but the time moved repaints the header alone."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, script)
        causes, overview = app.screen.query_one(Causes), app.screen.query_one(Overview)
        painted = []
        causes.refresh = lambda *regions, **_: painted.append(("causes", regions))
        overview.refresh = lambda *regions, **_: painted.append(("overview", regions))
        script.clock.t += 1
        await settle(pilot, script)
        assert [name for name, _ in painted] == ["overview"]
        assert [region.y for region in painted[0][1]] == [0]


async def test_what_keys_change_is_sent(console, script):
    """P pauses a run, and lets a paused one go on; + and - ask for one worker more or less, never
    for none."""
    script.plan(1, 1, 10)
    script.progress(workers={"0": {"pid": 1, "rss": 1}, "1": {"pid": 2, "rss": 1}})
    app = console()
    wire = Wire(app)
    async with app.run_test() as pilot:
        await settle(pilot, script)
        await pilot.press("P")
        await settle(pilot)
        script.progress(
            suspended="operator", workers={"0": {"pid": 1, "rss": 1}, "1": {"pid": 2, "rss": 1}}
        )
        await settle(pilot, script)
        assert "PAUSED" in shown(app)
        await pilot.press("P")
        await settle(pilot)
        assert wire.sent == [("pause", {}), ("resume", {})]
        wire.sent.clear()
        await pilot.press("+", "+", "-")
        await settle(pilot)
        script.progress(workers={str(n): {"pid": 1 + n, "rss": 1} for n in range(3)})
        await settle(pilot, script)
        await pilot.press("-", "-", "-")
        await settle(pilot)
    assert [arguments["count"] for _, arguments in wire.sent] == [3, 4, 3, 2, 1]
    assert {verb for verb, _ in wire.sent} == {"set_workers"}


async def test_one_letter_is_one(console, script):
    """In the question, and in what the run answers."""
    script.plan(1, 1, 2)
    script.start(1)
    script.die(1, "out of luck")
    app = console()
    Wire(app)
    async with app.run_test() as pilot:
        await settle(pilot, script)
        await pilot.press("R")
        await pilot.pause()
        assert "1 dead letter tried again" in shown(app)


async def test_retry_and_stop_ask_first(console, script):
    """R says how many letters it means, and Q how many chunks are abandoned; nothing is sent until
    the operator agrees, to drain instead, too."""
    busy_run(script)
    app = console()
    wire = Wire(app)
    async with app.run_test() as pilot:
        await settle(pilot, script)
        await pilot.press("R")
        await pilot.pause()
        assert "44 dead letters" in shown(app)
        await pilot.press("enter")
        await pilot.pause()
        assert wire.sent == []
        await pilot.press("R")
        await pilot.pause()
        await pilot.press("down", "enter")
        await settle(pilot)
        assert wire.sent == [("retry_dead", {})]
        wire.sent.clear()
        await pilot.press("Q")
        await pilot.pause()
        assert "9 running chunks will be abandoned" in shown(app)
        await asked(app)
        await pilot.press("down", "enter")
        await settle(pilot)
        await pilot.press("Q")
        await pilot.pause()
        await pilot.press("escape")
        await settle(pilot)
    assert wire.sent == [("drain", {})]


async def test_refusals_are_told(console, script):
    """What the run answers to a command is shown, as plain text."""
    script.plan(1, 1, 10)
    script.progress()
    app = console()
    wire = Wire(app)
    wire.answer = StateError("the run refused [pause]: no")
    async with app.run_test(notifications=True) as pilot:
        await settle(pilot, script)
        await pilot.press("P")
        await settle(pilot)
        await pilot.pause(0.1)
        assert "the run refused [pause]" in shown(app)


async def test_a_read_only_console_sends_nothing(console, script):
    """Keys that change the job do nothing, and are not offered; nor does the palette have them."""
    busy_run(script)
    app = console(read_only=True)
    async with app.run_test() as pilot:
        await settle(pilot, script)
        await pilot.press("P", "R", "Q", "+")
        await settle(pilot)
        assert len(app.screen_stack) == 1
        assert "Pause" not in shown(app)
        assert " READ ONLY " in shown(app).splitlines()[0]
        texts = [command.name for command in KeyCommands(app.screen).commands()]
        assert any(text.startswith("Dead") for text in texts)
        assert not [
            text for text in texts if "Retry" in text or "Resume" in text or "Clone" in text
        ]


async def test_a_finished_run_cannot_be_steered(console, script):
    """Where nothing is live, keys of the job are dim and do nothing."""
    script.plan(1, 1, 1)
    script.done(1)
    script.end()
    app = console()
    wire = Wire(app)
    async with app.run_test() as pilot:
        await settle(pilot, script)
        await pilot.press("P", "Q")
        await settle(pilot)
        assert "SUCCESS" in shown(app)
    assert wire.sent == []


async def test_leaving_an_attached_console_just_leaves(console, script):
    """The run is not ours: q asks nothing."""
    script.plan(1, 1, 1)
    app = console()
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert app.return_value is Ending.LEFT


class Host:
    """A run in this process, by name only."""

    def __init__(self):
        self.over = False
        self.failed = False
        self.drained = 0
        self.control = self

    def drain(self):
        self.drained += 1


async def test_draining_keeps_the_console_until_it_is_done(console, script):
    """The console stays until the run has drained, then ends as was chosen."""
    script.plan(1, 1, 1)
    host = Host()
    app = console(host=host)
    async with app.run_test() as pilot:
        await pilot.press("q")
        await asked(app)
        assert host.drained == 0
        await pilot.press("down", "enter")
        await settle(pilot)
        assert host.drained == 1
        app.look_at_host()
        assert app.is_running
        host.over = True
        app.look_at_host()
        await settle(pilot)
    assert app.return_value is Ending.LEFT


async def test_leaving_is_the_first_answer_and_stops_nothing(console, script):
    """Escape, or the last answer, changes nothing; Enter leaves the run running, at once."""
    script.plan(1, 1, 1)
    host = Host()
    app = console(host=host)
    async with app.run_test() as pilot:
        for keys in (["escape"], ["down", "down", "enter"]):
            await pilot.press("q")
            await asked(app)
            await pilot.press(*keys)
            await settle(pilot)
            assert app.is_running
        await pilot.press("q")
        await asked(app)
        await pilot.press("enter")
        await settle(pilot)
    assert host.drained == 0
    assert app.return_value is Ending.DETACH


@pytest.mark.parametrize("stands", [True, False], ids=["goes-on", "drains"])
async def test_a_lost_terminal(console, script, monkeypatch, stands):
    """HUP: the console closes; the run goes on, where a process can go on without its terminal."""
    monkeypatch.setattr(waiting_parent, "is_there", lambda: stands)
    script.plan(1, 1, 1)
    host = Host()
    app = console(host=host)
    async with app.run_test() as pilot:
        app.lose_terminal()
        await settle(pilot)
    assert host.drained == (not stands)
    assert app.return_value is Ending.LOST


async def test_another_run_is_opened_while_this_one_goes_on(console, script, tmp_path, monkeypatch):
    """Where the process can leave its terminal; else that is said, and nothing happens."""
    script.plan(1, 1, 1)
    host = Host()
    app = console(host=host)
    async with app.run_test() as pilot:
        app.open(Watch(tmp_path / "other"))
        await settle(pilot)
        assert app.is_running
        monkeypatch.setattr(waiting_parent, "is_there", lambda: True)
        app.open(Watch(tmp_path / "other"))
        await settle(pilot)
    assert (app.return_value, app.wish) == (Ending.DETACH, Watch(tmp_path / "other"))
    assert host.drained == 0


async def test_end_and_crash_are_announced(console, script):
    """A change of the run's state is a notice, once."""
    script.plan(1, 1, 2)
    script.start(1)
    script.progress()
    app = console()
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await settle(pilot, script)
        script.release()
        await settle(pilot, script)
        await settle(pilot, script)
        assert "CRASHED" in shown(app)
        assert len(app._notifications) == 1
        await pilot.pause(0.1)
        assert "its process is gone; ^r on the run screen" in shown(app)
        await pilot.press("ctrl+r")
        await asked(app)
        assert "Resume" in shown(app)


async def test_every_line_fits(console, script):
    """At any size no line is longer than the terminal, and the numbers stay. The key u tells
    throughput in chunks, pixels, bytes in and bytes out."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        for size in ((80, 24), (59, 17), (40, 10), (160, 48)):
            await pilot.resize_terminal(*size)
            await settle(pilot, script)
            lines = shown(app).split("\n")
            assert len(lines) == size[1]
            assert "RUNNING" in lines[0], size
            assert "60.1%" in lines[1], size
            assert "done 5" in lines[2], size
        titles = []
        for _ in range(4):
            titles.append(str(app.screen.query_one(Throughput).border_title))
            await pilot.press("u")
            await pilot.pause()
        assert titles == [f"Throughput  {unit}" for unit in ("ch/min", "px/s", "B/s in", "B/s out")]


async def test_foreign_text_is_shown_as_text(console, script):
    """Names and messages that could be markup, escapes or styles arrive as visible text."""
    app = console()
    async with app.run_test(size=(160, 24)) as pilot:
        for item, text in enumerate(EVIL, 1):
            script.ledger.requeue_dead(None, None)
            first = 3 * item - 2
            script.plan(item, first, 3, key=text)
            said = {"item": item, "chunk": f"{text}@0,0", "source": text, "suggestion": text}
            script.die(first, f"cannot open {text}", **said)
            script.die(first + 1, text, item=item, error="[bold]Odd[/]", source=text)
            script.progress(working=[[0, text, 1.0, text]], workers={"0": {"pid": 1, "rss": 5}})
            await settle(pilot, script)
            picture = shown(app)
            for raw in "\x1b\x07\u202e\u2066\t":
                assert raw not in picture
            plain = text if text.isprintable() else text[:2] if text[:2].isprintable() else ""
            assert plain[:20] in picture, text
            assert "\x1b" not in app.export_screenshot()
            assert "@click" not in str(list(_metas(app)))


async def test_a_picture_is_saved_where_the_operator_is(console, script, tmp_path, monkeypatch):
    """There need be no folder for downloads; and the name of this one is text."""
    place = tmp_path / "a [bold]b[" / "c]"
    place.mkdir(parents=True)
    script.plan(1, 1, 10)
    app = console()
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await settle(pilot, script)
        monkeypatch.chdir(place)
        app.action_screenshot("picture.svg")
        for _ in range(100):
            await pilot.pause(0.05)
            if "saved" in shown(app):
                break
        assert "[bold]b[/c]/picture.svg" in "".join(shown(app).split()).replace("▌", "")
    assert (place / "picture.svg").read_text().startswith("<svg")


def _metas(app):
    for line in app.screen._compositor.render_strips():
        for segment in line:
            if segment.style is not None:
                yield {key for key in (segment.style.meta or {}) if key.startswith("@")}


async def test_the_way_to_help_is_always_there(console, script):
    """On every screen the bottom line has all modes, help and quit, whatever else fits."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(160, 12)) as pilot:
        for mode in app.MODES:
            await app.switch_mode(mode)
            for size in ((60, 12), (80, 12), (160, 12)):
                await pilot.resize_terminal(*size)
                await settle(pilot, script)
                last = shown(app).split("\n")[-1]
                assert "? Help" in last, (mode, size)
                assert "q Quit" in last, (mode, size)
                assert re.search(r"1 .*2 .*3 .*4 ", last), (mode, size)


async def test_help_comes_from_the_live_keys(console, script):
    """Every key of the registry that works here is listed, with the key it is on."""
    script.plan(1, 1, 1)
    app = console()
    async with app.run_test(size=(100, 40)) as pilot:
        await settle(pilot, script)
        await pilot.press("?")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        said = shown(app)
        for identifier in ("job.pause", "freeze", "units", "detach", "workers.more"):
            assert KEYS[identifier].help in said
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, HelpScreen)
        await pilot.press("3", "?")
        await pilot.pause()
        more = str(app.screen._more())
        for words in ("arrows, h j k l", "attempts>2", "fields: ", "✗ dead"):
            assert words in more, words


async def test_keys_can_be_moved(console, script, tmp_path):
    """The user's file moves a key by its id; the old key does nothing any more."""
    path = tmp_path / "config" / "geobatch" / "keys.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[keys]\nfreeze = "f9"\n')
    script.plan(1, 1, 1)
    app = console()
    async with app.run_test() as pilot:
        await pilot.press("p")
        assert not app.frozen
        await pilot.press("f9")
        assert app.frozen


async def test_palette_reaches_every_screen(console, script):
    """Commands are found by their sentence. What is done on another screen is found, too, and done
    there."""
    script.plan(1, 1, 4)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, script)
        for typed, done in (
            ("hold the pic", lambda: app.frozen),
            ("wrap long", lambda: app.current_mode == "log"),
            ("read a job", lambda: app.current_mode == "config"),
        ):
            await pilot.press("colon")
            await pilot.pause()
            await pilot.press(*typed)
            await pilot.pause(0.5)
            await pilot.press("enter")
            await until(done)
        await until(lambda: len(app.screen_stack) == 2)  # the dialog of the action is open


async def test_the_palette_loads_screens_beside_its_picture(console, script):
    """Those that were not shown yet: their modules are imported in a thread. Textual's own commands
    are there only where no key does the same."""
    script.plan(1, 1, 4)
    app, threads = console(), {}

    def noted(mode):
        def load():
            threads.setdefault(mode.name, threading.current_thread())
            return mode.load()

        return mode._replace(load=load)

    async with app.run_test() as pilot:
        await pilot.pause()
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert titles == ["Theme", "Screenshot"]
        app.PAGES = tuple(map(noted, app.PAGES))
        await pilot.press("colon")
        await until(lambda: len(threads) == len(app.PAGES))
    assert threading.main_thread() not in threads.values()


async def test_problems_of_the_keymap_are_in_the_help(console, script, tmp_path):
    """First of all, whatever the size; and as a notice when the console opens."""
    path = tmp_path / "config" / "geobatch" / "keys.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[keys]\nfreeze = "P"\n')
    script.plan(1, 1, 1)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        assert [notice.title for notice in app._notifications] == ["keys"]
        await pilot.press("?")
        await pilot.pause()
        lines = app.screen._compositor.render_strips(app.screen.size)
        text = "\n".join("".join(segment.text for segment in strip) for strip in lines)
        assert "1 problem" in text
        assert "the key P means freeze and job.pause" in text


async def test_themes_are_switched_while_the_console_runs(console, script):
    """The name in the header has the first colour of each, and dialogs open under each."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot, script)
        for name, key in {
            "day": "?", "terminal": "R", "paper": "colon", "contrast": "?", "textual-dark": "R",
            "night": "colon",
        }.items():  # fmt: skip
            app.theme = name
            await settle(pilot)
            assert brand(app).color == Color.parse(app.current_theme.primary).rich_color, name
            await pilot.press(key)
            await settle(pilot)
            assert len(app.screen_stack) == 2
            await pilot.press("escape")
            await settle(pilot)


async def test_styles_are_parsed_once_for_a_theme(console, script, monkeypatch):
    """However many screens are shown; another theme gives all of them its colours."""
    parsed = Counter()

    def parse(scope, css, place, **how):
        parsed[place, css, how["tie_breaker"]] += 1
        return textual_parse(scope, css, place, **how)

    textual_parse = stylesheet.parse
    monkeypatch.setattr(stylesheet, "parse", parse)
    # Not that of all consoles of the tests.
    monkeypatch.setattr(Stylesheet, "_parse_rules", unwrap(Stylesheet._parse_rules))
    script.plan(1, 1, 1)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, script)
        parsed.clear()
        for mode in ("map", "log", "run"):
            await app.switch_mode(mode)
            await settle(pilot)
        assert max(parsed.values()) == 1
        app.theme = "paper"
        await settle(pilot)
        assert brand(app).color == Color.parse(app.current_theme.primary).rich_color


async def test_a_bad_theme_is_one_notice(console, script, tmp_path):
    """A theme of the user's that cannot be used is said once, and nothing else happens."""
    themes = tmp_path / "config" / "geobatch" / "themes"
    themes.mkdir(parents=True)
    (themes / "broken.toml").write_text("name = [")
    (themes / "mine.toml").write_text('[colors]\nprimary = "#ff0000"\n')
    script.plan(1, 1, 1)
    app = console()
    async with app.run_test() as pilot:
        await settle(pilot)
        assert "mine" in app.available_themes
        assert len(app._notifications) == 1
        (themes / "other.toml").write_text('[colors]\nprimary = "#00ff00"\n')
        app._watch_outside()
        assert "other" in app.available_themes
        assert len(app._notifications) == 1, "it was said before"
        app.theme = "mine"
        await pilot.pause()
        assert app.is_running


async def test_a_theme_that_changed_is_shown(console, script, tmp_path, monkeypatch):
    """TEXTUAL_THEME names the first theme; a file of the user's that changes is read again."""
    path = tmp_path / "config" / "geobatch" / "themes" / "mine.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[colors]\nprimary = "#ff0000"\n')
    monkeypatch.setenv("TEXTUAL_THEME", "mine")
    script.plan(1, 1, 1)
    app = console()
    # As Textual does with the variable when it is imported.
    app.set_reactive(type(app).theme, "mine")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, script)
        assert brand(app).color.triplet.red > 250
        path.write_text('[colors]\nprimary = "#00ff00"\n')
        os.utime(path, (1, 1))
        app._watch_outside()
        await settle(pilot, script)
        assert brand(app).color.triplet.green > 250
        path.write_text('dark = false\n[colors]\nprimary = "#0000ff"\n')
        os.utime(path, (2, 2))
        app._watch_outside()
        await settle(pilot, script)
        assert brand(app).color.triplet.blue > 250
        assert app.has_class("-light-mode")
        assert not app.has_class("-dark-mode")


def brand(app):
    """The style of the product's name on top."""
    line = app.screen._compositor.render_strips()[0]
    return next(segment.style for segment in line if "geobatch" in segment.text)
