"""The map's screen on a ledger, as its operator meets it."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from keys_at_once import type_at_once
from scripted_maps import settled
from scripted_run import dialog_seen, until

from geobatch_tui.tui.letters.listing import names_of
from geobatch_tui.tui.letters.previewer import Unseen
from geobatch_tui.tui.letters.retry_plan import dead_within
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.map.panels import CursorCard
from geobatch_tui.tui.map.picture.ground import GroundScene
from geobatch_tui.tui.parts.console_messages import RetryRequested, ShowOnMap
from geobatch_tui.tui.screens.dead import DeadScreen
from geobatch_tui.tui.screens.map import MapScreen
from geobatch_tui.tui.screens.retry_dialog import RetryDialog
from geobatch_tui.tui.widgets.letter_list import LetterList

LATTICE = {
    "cols": 2,
    "rows": 2,
    "points": [[20.0, 10.0], [20.0, 9.0], [21.0, 10.0], [21.0, 9.0]],
}


@pytest.fixture
def console(console):
    """Consoles that open with the map."""
    return partial(console, mode="map")


@pytest.fixture
def deaths(script):
    """Six dead chunks of one item: four that touch, two apart."""
    script.plan(1, 1, 10, 10, key="odd\x1b[31m.tif")
    for chunk in (1, 2, 11, 12, 56, 99):
        row, col = divmod(chunk - 1, 10)
        script.die(chunk, f"damaged at {chunk}", chunk=f"odd\x1b[31m.tif@{row},{col}")
    return script


class NoPreview:
    """No worker for previews."""

    def __init__(self, **_):
        pass

    async def look(self, task):
        return Unseen("there is nothing to see")

    async def close(self):
        pass


async def on_the_map(pilot):
    await settled(pilot)
    await pilot.press("2")
    await settled(pilot)
    assert isinstance(pilot.app.screen, MapScreen)
    return pilot.app.screen


def sent(app, monkeypatch):
    told = []
    monkeypatch.setattr(type(app), "on_retry_requested", lambda self, message: told.append(message))
    return told


def cards(app):
    return "\n".join(line.plain for card in app.screen.query(CursorCard) for line in card._lines)


async def test_the_dead_of_a_rectangle_are_retried(console, deaths, monkeypatch):
    """``R`` asks about what is dead in the rectangle, and names just that, as the ledger does."""
    app = console()
    told = sent(app, monkeypatch)
    async with app.run_test() as pilot:
        await on_the_map(pilot)
        await pilot.press("v", "l", "j", "v", "R")
        await dialog_seen(app, RetryDialog)
        await pilot.press("enter")
        await settled(pilot)
    assert told == [
        RetryRequested(keys=tuple(f"odd\x1b[31m.tif@{at}" for at in ("0,0", "0,1", "1,0", "1,1")))
    ]


async def test_without_a_rectangle_the_cursor_counts(console, deaths, monkeypatch):
    """One dead chunk under the cursor; where nothing is dead it is said, and nothing is asked."""
    app = console()
    told = sent(app, monkeypatch)
    async with app.run_test() as pilot:
        await on_the_map(pilot)
        await pilot.press("l", "l", "R")
        await settled(pilot)
        assert [note.message for note in app._notifications] == ["nothing is dead under the cursor"]
        await pilot.press("n", "R")
        await dialog_seen(app, RetryDialog)
        await pilot.press("escape")
        await settled(pilot)
        assert told == []
        await pilot.press("R")
        await dialog_seen(app, RetryDialog)
        await pilot.press("enter")
        await settled(pilot)
    assert [len(message.keys) for message in told] == [1]


async def test_a_read_only_console_retries_nothing(console, deaths):
    """``R`` does not exist there."""
    app = console(read_only=True)
    async with app.run_test() as pilot:
        screen = await on_the_map(pilot)
        assert screen.check_action("retry_chosen", ()) is False
        await pilot.press("R")
        await settled(pilot)
        assert isinstance(app.screen, MapScreen)


async def test_others_show_chunks_on_the_map(console, deaths):
    """What another screen wants to be shown is under the cursor when the map opens."""
    app = console(mode="run")
    async with app.run_test() as pilot:
        await settled(pilot)
        app.screen.post_message(ShowOnMap(("56",), (56,)))
        await settled(pilot)
        assert isinstance(app.screen, MapScreen)
        assert app.screen.query_one(ChunkMap).pictures.top.under_cursor() == [(55, 56)]


async def test_enter_on_a_dead_chunk_leads_to_its_letter(console, deaths, monkeypatch):
    """The list of dead letters opens with the cursor on it, also when it was open before; a chunk
    that is not dead has nothing to open."""
    monkeypatch.setattr("geobatch_tui.tui.screens.dead.Previewer", NoPreview)
    app = console()
    async with app.run_test() as pilot:
        await on_the_map(pilot)
        for chunk in (56, 99):
            app.screen.map.show((chunk - 1,))
            await settled(pilot)
            await pilot.press("enter")
            await until(lambda: isinstance(app.screen, DeadScreen))
            await settled(pilot)
            letters = app.screen.query_one(LetterList)
            assert app.link.store.letters[letters.letter].chunk_id == chunk
            assert letters.chosen == (letters.letter,)
            await on_the_map(pilot)
        await pilot.press("k", "enter")
        await settled(pilot)
        assert isinstance(app.screen, MapScreen)
        assert [note.message[-18:] for note in app._notifications] == ["has no dead letter"]


async def test_a_letter_is_shown_though_a_key_left_its_screen(console, deaths, monkeypatch):
    """The key came while the screen was being made: it decides, and the cursor has moved."""
    monkeypatch.setattr("geobatch_tui.tui.screens.dead.Previewer", NoPreview)
    app = console()
    async with app.run_test() as pilot:
        screen = await on_the_map(pilot)
        screen.map.show((55,))
        await settled(pilot)
        type_at_once(app, "enter")
        while app.current_mode != "dead":  # noqa: ASYNC110 - to be there before it is mounted
            await asyncio.sleep(0)
        app.call_later(app.action_switch_mode, "run")
        await settled(pilot)
        assert app.current_mode == "run"
        await pilot.press("3")
        await settled(pilot)
        letters = app.screen.query_one(LetterList)
        assert app.link.store.letters[letters.letter].chunk_id == 56


async def test_the_exact_place_comes_from_the_plan(console, script):
    """A raster that lies on its side is read from its lattice, on the ground and on the card."""
    plan = {
        "grid": {"width": 1000, "height": 1000, "chunk_width": 100, "chunk_height": 100},
        "bounds_lonlat": [20.0, 9.0, 21.0, 10.0],
        "notes": {"lonlat": LATTICE},
    }
    script.plan(1, 1, 10, 10, plan=plan)
    script.plan(2, 101, 10, 10, plan={**plan, "bounds_lonlat": [21.5, 9, 22.5, 10], "notes": {}})
    app = console()
    async with app.run_test() as pilot:
        screen = await on_the_map(pilot)
        top = screen.map.pictures.top
        assert isinstance(top, GroundScene)
        top.go(9)
        screen.map.renew()
        await settled(pilot)
        # Upper right of the raster is the south-west of the ground.
        assert "lon 20.050 lat 9.050" in cards(app)
        assert "r000c009" in cards(app)


async def test_letters_by_place(script, store):
    """A chunk's letter lies at its chunk, an item's wherever its item is; runs end before their
    end. Names are the ledger's."""
    script.plan(1, 1, 10, 1)
    script.plan(2, 11, 5, 1)
    script.die(3, "a", chunk="1.tif@0,2")
    script.die(None, "b", item=2)
    store.poll()
    letters = list(store.letters.values())
    first, second = (letter.dead_id for letter in letters)
    assert dead_within(store, letters, [(0, 2)]) == ()
    assert dead_within(store, letters, [(0, 1), (2, 3)]) == (first,)
    assert dead_within(store, letters, [(0, 3), (12, 13)]) == (first, second)
    assert dead_within(store, letters, []) == ()
    named = store.reading(lambda reader: names_of(reader, (first, second)))
    assert named == {first: "1.tif@0,2", second: "2.tif"}
