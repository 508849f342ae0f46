"""The units screen on a ledger, as its operator meets it."""

from __future__ import annotations

import csv
from functools import partial

import pytest
import textual
from scripted_maps import settled
from scripted_run import shown, until

from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.tui.parts.dialogs import PathDialog
from geobatch_tui.tui.screens.map import MapScreen
from geobatch_tui.tui.units.time_line import TimeLine
from geobatch_tui.tui.units.unit_screen import UnitsScreen
from geobatch_tui.tui.units.unit_table import UnitHeading, UnitTable

EVIL = "=1+1 [red]\x1b[31m\u202e.tif"


@pytest.fixture
def console(console):
    """Consoles that open with the units."""
    return partial(console, mode="units")


@pytest.fixture
def costly(script):
    """Forty chunks by two workers, one of them slow; one dead, five running."""
    script.plan(1, 1, 10, 5, key=EVIL)
    script.plan(2, 51, 2, 2, key="scl.tif", bounds=[12.5, 46.5, 14.0, 48.0])
    for chunk in range(1, 41):
        spent = 12.0 if chunk == 17 else 0.2 + chunk / 100
        t = script.clock.t + chunk + spent
        more = {"worker": 1 + chunk % 2, "ended": t, "seconds": spent, "attempts": 1 + chunk // 40}
        script.done(chunk, reading=0.9 * spent, writing=0.05 * spent, **more)
    script.die(41)
    script.start(*range(42, 47))
    script.clock.t += 50
    script.progress(working=[[1, "scl.tif@0,0", 3.0, "chunk"]], workers={"1": {}, "2": {}})
    return script


async def opened(pilot):
    await pilot.press("7")
    await settled(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, UnitsScreen)
    await until(lambda: not screen._busy)
    await settled(pilot)
    return screen


def names(table):
    return [table.text(number).split("\t")[0].rpartition("@")[2] for number in range(3)]


async def pressed(pilot, *keys):
    """Press keys, and wait for what each of them reads; for that of a text when it was typed."""
    await pilot.pause()
    for key in (*keys, ""):
        await pilot.press(*(key if key.startswith("/") else filter(None, [key])))
        await until(lambda: not getattr(pilot.app.screen, "_busy", False))
        await settled(pilot)


async def test_units_are_sorted_filtered_and_shared(console, costly, tmp_path):
    """The slowest first; by another column, backwards, by items, filtered; copied, written; the
    cursor stays on its chunk, and the map and the workers' time follow it."""
    app = console()
    async with app.run_test(size=(160, 36)) as pilot:
        screen = await opened(pilot)
        table, line = screen.query_one(UnitTable), screen.query_one("#beside", TimeLine)
        assert names(table) == ["1,6", "3,9", "3,8"]
        assert table.border_subtitle.endswith("max 12 s  1 stands out (n)")
        assert (line.chosen[0], line.chosen[2] - line.chosen[1]) == (2, pytest.approx(12))
        assert [lane.worker for lane in line.lanes.lanes] == [1, 2]
        assert screen.map.pictures.top.under_cursor() == [(16, 17)]
        assert "\x1b" not in shown(app)
        await pressed(pilot, "j", "b")
        assert table.text(table.cursor).split("\t")[1] == "0.6 s" or table.cursor > 0
        assert table.position == 39
        await pressed(pilot, "n")
        assert table.position == 16
        await pressed(pilot, "s")
        assert screen.query_one(UnitHeading).sort == "read"
        await pressed(pilot, "less_than_sign", "/dur>0.5 dur<12", "enter")
        assert table.count() == 10
        assert "10 of 54 chunks" in shown(app)
        assert sum(screen._source.states) == 10 * lu.ChunkState.DONE
        await pilot.press("ctrl+s")
        await until(lambda: isinstance(app.screen, PathDialog))
        await pressed(pilot, "enter")
        with (tmp_path / "units.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 10
        assert rows[0]["chunk"].startswith("'=1+1")
        assert float(rows[0]["seconds"]) == pytest.approx(0.6)
        await pressed(pilot, "escape", "z")
        assert [table.text(at).rpartition("\t")[2] for at in range(table.count())] == ["✗ dead"]
        await pressed(pilot, "z", "g")
        assert [table.text(at).rpartition("\t")[2] for at in range(2)] == ["▒ running", "· planned"]
        await pressed(pilot, "/left>0", "enter")  # a field that only items have
        assert not screen.bar.chosen.problems
        assert table.count() == 2
        await pressed(pilot, "escape", "j", "enter")
        assert table.count() == 4
        await pressed(pilot, "enter")
        assert isinstance(app.screen, MapScreen)


async def test_new_chunks_come_in_while_it_is_shown(console, costly, monkeypatch):
    """What is done since is listed at the next reading; so is an item that was planned since, and a
    click on a heading sorts by it. Where nothing is planned, that is said."""
    monkeypatch.setattr("geobatch_tui.tui.units.unit_screen._PERIOD", 0.0)
    monkeypatch.setattr("geobatch_tui.tui.units.unit_screen._REST", 0.0)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        table = screen.query_one(UnitTable)
        costly.done(42, seconds=30.0, ended=costly.clock.t)
        app.poll()
        await pressed(pilot)
        assert names(table)[:2] == ["4,1", "1,6"]
        assert table.position == 16
        costly.plan(3, 55, 3, 1, key="late.tif")
        app.poll()
        await pressed(pilot)
        assert table.count() == 57
        await pilot.click(UnitHeading, offset=(4, 0))
        await pressed(pilot)
        assert table.text(0).startswith("=1+1")
        assert screen.query_one(UnitHeading).sort == "chunk"


async def test_nothing_is_planned_yet(console, script):
    """There is nothing to open, to copy, to write or to go to."""
    app = console()
    async with app.run_test() as pilot:
        await opened(pilot)
        await pressed(pilot, "enter", "y", "o", "n", "g", "enter", "ctrl+s")
        assert "nothing is planned yet" in shown(app)
        assert [note.message for note in app._notifications] == ["nothing stands out"]


@pytest.mark.skipif(textual.__version__ != "8.2.8", reason="pictures were made with textual 8.2.8")
@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_picture(snap_compare, console, costly, size):
    """The table in its columns; on a wide terminal the map and the workers beside it."""

    async def before(pilot):
        await opened(pilot)

    assert snap_compare(console(), terminal_size=size, run_before=before)
