"""Going somewhere by name: screens, runs, items, chunks, keys of a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from geobatch_tui.orchestration.state import run_index
from geobatch_tui.tui.console.app import HomeApp
from geobatch_tui.tui.jobs.draft import Draft
from geobatch_tui.tui.kit.endings import Watch
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.parts.jump import ITEMS, matching
from geobatch_tui.tui.screens.job_form import ConfigScreen


async def jump(pilot, text):
    """Open the picker, type, take the first."""
    await pilot.press("ctrl+o")
    await pilot.pause()
    await pilot.press(*text)
    await pilot.pause(0.4)
    await pilot.press("enter")
    await pilot.pause(0.2)
    await pilot.pause()


def cursor_of(app):
    """The chunk under the map's cursor."""
    return app.screen_stack[0].query_one(ChunkMap).pictures.top.under_cursor()


@pytest.fixture
def two(console, script):
    """A run of two items of a grid each."""
    script.plan(1, 1, 10, 10, key="north.tif")
    script.plan(2, 101, 5, 4, key="south.tif", bounds=[5.0, 40.0, 6.0, 41.0])
    return console


async def test_a_screen_is_jumped_to(two):
    """By its name in the footer."""
    app = two()
    async with app.run_test(size=(100, 30)) as pilot:
        await jump(pilot, "history")
        assert app.current_mode == "history"


async def test_the_way_through_the_screens(two):
    """Back, and forward again; another way ends what lay ahead."""
    app = two()
    async with app.run_test(size=(100, 30)) as pilot:
        seen = []
        for key in ("2", "4", "[", "[", "[", "]", "5", "]", "["):
            await pilot.press(
                {"[": "left_square_bracket", "]": "right_square_bracket"}.get(key, key)
            )
            await pilot.pause()
            seen.append(app.current_mode)
        assert seen == ["map", "log", "map", "run", "run", "map", "history", "history", "map"]


async def test_an_item_is_jumped_to(two):
    """The map shows it."""
    app = two()
    async with app.run_test(size=(100, 30)) as pilot:
        await jump(pilot, "sou")
        assert app.current_mode == "map"
        pictures = app.screen_stack[0].query_one(ChunkMap).pictures
        assert pictures.opened.key == "south.tif"


async def test_a_chunk_is_jumped_to(two):
    """By the name that the log and all lists give it."""
    app = two()
    async with app.run_test(size=(100, 30)) as pilot:
        await jump(pilot, "south.tif@2,3")
        assert app.current_mode == "map"
        assert cursor_of(app) == [(100 + 2 * 5 + 3, 100 + 2 * 5 + 4)]


async def test_another_run_is_jumped_to(monkeypatch, tmp_path):
    """Of those that this user ran."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    out = tmp_path / "ndvi-2025"
    (out / ".geobatch").mkdir(parents=True)
    run_index.note(out)
    app = HomeApp(watching=False)
    async with app.run_test(size=(100, 30)) as pilot:
        await jump(pilot, "ndvi-2025")
    assert app.wish == Watch(Path(out))


async def test_a_key_of_the_job_is_jumped_to(monkeypatch, tmp_path):
    """Also one that the filter hides."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "job.toml"
    path.write_text(
        '[source]\ninputs = ["a.tif"]\n[op]\nname = "raster.convert"\n[output]\ndir = "out"\n'
    )
    app = HomeApp(watching=False)
    async with app.run_test(size=(100, 30)) as pilot:
        await app.switch_mode("config")
        screen = app.screen_stack[0]
        assert isinstance(screen, ConfigScreen)
        screen.edit(Draft.of_file(path))
        await pilot.press("slash", *"layer:file", "enter")
        await jump(pilot, "backoff_cap")
        assert screen.list.current.leaf.key == "retry.backoff_cap"


async def test_names_are_text(console, script):
    """Markup in the name of an item is not obeyed by the picker."""
    script.plan(1, 1, 2, 2, key="[bold]x[/bold] [@click=app.bell]y")
    script.plan(2, 5, 2, 2, key="b.tif")
    app = console()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("ctrl+o")
        await pilot.pause()
        await pilot.press(*"bold")
        await pilot.pause(0.4)
        lines = app.screen._compositor.render_strips(app.screen.size)
        text = "\n".join("".join(segment.text for segment in strip) for strip in lines)
        assert "[bold]x[/bold]" in text
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert app.current_mode == "map"


def test_items_that_are_offered_are_few(store, script):
    """However many there are."""
    for number in range(2 * ITEMS):
        script.plan(number + 1, number + 1, key=f"A{number}.tif")
    store.poll()
    assert len(matching(store.items, "a")) == ITEMS
    assert [item.key for item in matching(store.items, "a59")] == ["A59.tif"]
