"""Keys that arrive in one read: a dialog is answered once, and the screen below it stays."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from keys_at_once import button, type_at_once
from scripted_run import asked, busy_run, dialog_seen, shown, until
from textual.command import CommandList, CommandPalette
from textual.events import Key, MouseDown, MouseUp
from textual.widgets import Input

from geobatch_tui.tui.kit.modal import Palette
from geobatch_tui.tui.letters.retry_plan import consequence
from geobatch_tui.tui.parts.dialogs import Choice, PathDialog, Pick, Question
from geobatch_tui.tui.screens.retry_dialog import RetryDialog


async def settle(pilot):
    """Wait until everything that was typed has been done."""
    for _ in range(4):
        await pilot.pause()


async def opened(pilot, *keys):
    """Press keys one by one, and wait for what they open."""
    await pilot.press(*keys)
    await settle(pilot)
    if isinstance(pilot.app.screen, CommandPalette):
        while not pilot.app.screen.query_one(CommandList).option_count:
            await pilot.pause(0.02)


DIALOGS = (
    ("colon", "f"),
    ("ctrl+o", "down"),
    ("R",),
    ("question_mark",),
    ("3", "R"),
    ("3", "X"),
    ("6", "ctrl+s"),
)


async def test_a_dialog_is_closed_once(console, script, monkeypatch):
    """By doubled, held and pasted keys: nothing below it is closed, and nothing raises."""
    busy_run(script)
    app = console()
    monkeypatch.setattr(app, "command", lambda *_, **__: None)
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        for keys in DIALOGS:
            for typed in (["enter"] * 5, ["escape", "enter", "escape"]):
                await opened(pilot, "1", *keys)
                type_at_once(app, *typed)
                await settle(pilot)
                while len(app.screen_stack) > 1:
                    await opened(pilot, "escape")
                assert type(app.screen).__name__ in {f"{name.title()}Screen" for name in app.MODES}


async def test_a_command_is_run_once(console, script):
    """However often Enter came."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        frozen = []
        app.action_freeze = lambda: frozen.append(1)
        await opened(pilot, "colon")
        await opened(pilot, *"freeze")
        await pilot.pause(0.4)
        type_at_once(app, *["enter"] * 6)
        await settle(pilot)
        assert frozen == [1]


async def test_a_question_is_not_answered_before_it_was_seen(console, script, monkeypatch):
    """Its letters, and Enter, count from its first picture on; those typed ahead do nothing."""
    busy_run(script)
    app = console()
    sent = []
    monkeypatch.setattr(app, "command", lambda verb, **_: sent.append(verb))
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        for ahead in (["d", "s"], ["enter", "d"], ["down", "enter"]):
            type_at_once(app, "Q", *ahead)
            await settle(pilot)
            assert isinstance(app.screen, Question), ahead
            assert not sent
            await pilot.press("escape")
            await settle(pilot)
        late = Key("d", "d")
        type_at_once(app, "Q")
        await until(lambda: isinstance(app.screen, Question) and app.screen.was_seen)
        # As slow as it was on its way, it was typed before.
        app.post_message(late)
        await settle(pilot)
        assert isinstance(app.screen, Question)
        await pilot.press("d")
        await settle(pilot)
        assert sent == ["drain"]
        await opened(pilot, "Q")
        await until(lambda: app.screen.was_seen)
        await pilot.press("j", "j", "j", "k", "enter")
        await settle(pilot)
        assert sent == ["drain", "cancel"]


async def test_a_button_answers_no_question_that_was_not_seen(console, script, monkeypatch):
    """It was pressed on what lay there before; pressed on an answer that was seen it counts."""
    busy_run(script)
    app = console()
    sent = []
    monkeypatch.setattr(app, "command", lambda verb, **_: sent.append(verb))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await opened(pilot, "Q")
        await asked(app)
        lines = shown(app).splitlines()
        y = next(y for y, line in enumerate(lines) if "Drain instead" in line)
        x = lines[y].index("Drain instead")
        await opened(pilot, "escape")
        early = button(MouseDown, x, y)
        await opened(pilot, "Q")
        await asked(app)
        # As slow as it was on its way, it was pressed before.
        app.post_message(early)
        app.post_message(button(MouseUp, x, y))
        await settle(pilot)
        assert isinstance(app.screen, Question)
        assert not sent
        app.post_message(button(MouseDown, x, y))
        app.post_message(button(MouseUp, x, y))
        await until(lambda: sent == ["drain"])


async def test_a_retry_is_agreed_to_when_it_was_seen(console, script):
    """Enter that was typed before the dialog said what it will do starts nothing."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        await opened(pilot, "3")
        await until(lambda: app.screen.listing.total)
        late = Key("enter", "\r")
        await opened(pilot, "R")
        await dialog_seen(app, RetryDialog)
        app.post_message(late)
        await settle(pilot)
        assert isinstance(app.screen, RetryDialog)
        await pilot.press("enter")
        await until(lambda: not isinstance(app.screen, RetryDialog))


async def test_the_next_question_is_not_closed_for_the_first(console, script):
    """A dialog that was answered, or lies below another, closes no other one."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        await opened(pilot, "Q")
        first = app.screen
        assert isinstance(first, Question)
        first.dismiss("")
        app.action_retry()
        second = app.screen
        assert isinstance(second, Question)
        first.dismiss("cancel")
        assert app.screen is second


async def test_paging_a_list_that_is_not_laid_out(console, script):
    """Keys behind the one that opens a list reach it before it has lines."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        for opening in ("colon", "ctrl+o", "Q"):
            type_at_once(app, opening, "pageup", "up", "pageup", "pagedown", "down", "pagedown")
            await settle(pilot)
            type_at_once(app, "pageup", "up", "pagedown", "pagedown", "up", "pageup")
            await settle(pilot)
            type_at_once(app, "escape", "escape")
            await settle(pilot)
            assert len(app.screen_stack) == 1


async def test_a_palette_that_is_closed_before_it_was_shown(console, script):
    """Its keys came with the one that opened it, and those that open another behind them."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        for opening in ("colon", "ctrl+o", "question_mark", "Q"):
            type_at_once(app, opening, "escape", opening, "escape", "escape")
            await settle(pilot)
            assert len(app.screen_stack) == 1


async def test_a_palette_is_opened_while_the_last_one_is_taken_down(console, script):
    """Both are there for a moment: they have no name that only one may have."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        for opened in (app.action_command_palette, app.action_jump, app.search_themes):
            opened()
            await settle(pilot)
            app.screen.dismiss()
            opened()
            await settle(pilot)
            assert len(app.screen_stack) == 2
            app.screen.dismiss()
            await settle(pilot)


async def test_a_closed_palette_searches_no_more(console, script):
    """What was typed before it closed is not looked for: its list is gone."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        await opened(pilot, "colon")
        palette = app.screen
        field = palette.query_one(Input)
        palette._start_busy_countdown()
        palette._start_no_matches_countdown("x")
        await palette.dismiss()
        assert palette._busy_timer is palette._no_matches_timer is None
        searched = []
        palette._gather_commands = searched.append
        await palette._on_message(Input.Changed(field, "x"))
        assert searched == []


async def test_keys_come_before_a_screen_has_its_widgets(console, script):
    """As on a busy machine: they find no list and no field, so they do nothing but leave it."""
    busy_run(script)
    app = console()

    async def at_once(*keys):
        """What Textual does with a key that the screen below let pass."""
        for key in keys:
            if not await app._check_bindings(key, priority=True):
                await app._check_bindings(key)

    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        for make in (
            Palette,
            lambda: Pick("Pick", [Choice("a", "a", "the first"), Choice("b", "b", "the second")]),
            lambda: PathDialog("Open", "a directory", Path("x")),
            lambda: RetryDialog(
                consequence({}, (), lambda _: None, live=False), "this run", check=lambda _: "wrong"
            ),
        ):
            app.push_screen(screen := make())
            await at_once("down", "up", "pagedown", "pageup", "tab", "enter")
            assert app.screen is screen
            await settle(pilot)
            type_at_once(app, "escape")
            await settle(pilot)
            app.push_screen(make())
            await at_once("escape")
            await settle(pilot)
            assert len(app.screen_stack) == 1
        app.switch_mode("dead")
        await at_once(*"gsnNom<>", "escape", "enter")
        await settle(pilot)
        assert app.screen.is_mounted


async def test_keys_behind_a_screen_that_opens_reach_it(console, script):
    """A key that arrives with the one that opens a screen for the first time is that screen's."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        type_at_once(app, "5", "1")
        await settle(pilot)
        assert app.current_mode == "run"
        type_at_once(app, "2", "4")
        await settle(pilot)
        assert app.current_mode == "log"
        type_at_once(app, "3", "g", "g")
        await settle(pilot)
        assert app.screen.list.has_focus
        assert not isinstance(app.focused, Input)
        assert app.screen._grouping == 2


async def test_no_key_overtakes_one_before_it(console, script, monkeypatch):
    """Keys come back to the console from where they were sent, from some screens sooner than from
    others; the screens that they ask for are shown in their order."""
    script.plan(1, 1, 1)
    app = console()
    draw = random.Random(1)
    asked, switch = [], app.switch_mode
    monkeypatch.setattr(app, "switch_mode", lambda mode: asked.append(mode) or switch(mode))
    async with app.run_test(size=(40, 10)) as pilot:
        await settle(pilot)
        for _ in range(8):
            asked.clear()
            times = draw.randrange(2, 7)
            for key in "21" * times:
                type_at_once(app, key)
                await asyncio.sleep(draw.choice((0.0, 0.001, 0.003)))
            await settle(pilot)
            assert asked == ["map", "run"] * times


async def test_keys_wait_for_none_that_is_lost(console, script):
    """As the widget that it was sent to is removed before it is handled."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        app._keys.send()
        type_at_once(app, "2", "3")
        await until(lambda: app.current_mode == "dead")


async def test_a_filter_is_typed_in_one_burst_with_its_key(console, script):
    """Its letters are no keys of the list, which open editors and dialogs."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        for mode in "3", "4":
            type_at_once(app, mode)
            await settle(pilot)
            screen = app.screen
            type_at_once(app, "slash", *"e/vil", "enter")
            await settle(pilot)
            assert screen.bar.chosen.text == "e/vil"
            assert app.screen is screen


async def test_keys_behind_a_filter_in_one_burst_are_the_lists(console, script):
    """They find what the filter lists, and Escape takes back what was typed before it."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await settle(pilot)
        await opened(pilot, "3")
        screen = app.screen
        await until(lambda: screen.listing.total)
        type_at_once(app, "slash", *"class:MemoryBudget", "enter", "a", "g")
        await settle(pilot)
        assert screen.bar.chosen.text == "class:MemoryBudget"
        letters = app.link.store.letters
        assert {letters[at].error_class for at in screen.list.marks} == {"MemoryBudgetError"}
        assert screen._grouping == 1
        type_at_once(app, "slash", *"zzz", "escape", "g")
        await settle(pilot)
        assert screen.bar.chosen.text == ""
        assert screen.listing.shown == screen.listing.total
        assert screen._grouping == 2
