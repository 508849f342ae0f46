"""The map as a widget: what it says, what it sends to the terminal, what it reads."""

from __future__ import annotations

import random
import threading
from array import array
from contextlib import asynccontextmanager

import pytest
from scripted_maps import MapApp, Store, items, scattered, settled
from scripted_run import until
from textual.events import MouseScrollDown, MouseScrollUp

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.schema.updates import ChunkState as S
from geobatch_tui.tui.map import chunk_map
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.map.panels import CursorCard, HistogramPanel, Legend, MapHead
from geobatch_tui.tui.map.picture.codes import MODES, Code
from geobatch_tui.tui.map.picture.grid import GridScene
from geobatch_tui.tui.map.picture.ground import GroundScene
from geobatch_tui.tui.parts.page import Page
from geobatch_tui.tui.screens.map import MapScreen

FOUR = [(9.0, 47.0, 10.5, 48.0), (10.6, 47, 12.1, 48), (9, 48.1, 10.5, 49.1), (10.6, 48.1, 12, 49)]
EVIL = "[/bold]\x1b]52;c;AAAA\x07[@click=app.bell]\u202e.tif"


class Bare(Page):
    """A screen that leaves what the map says to the app."""

    AUTO_FOCUS = "*"

    def compose(self):
        yield ChunkMap(self.app.link.store, id="map")


@asynccontextmanager
async def running(store, size=(80, 24), make=MapScreen):
    app = MapApp(store, make=make)
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        yield app, pilot


def one(columns=30, rows=20, **options):
    store = scattered(Store(items((columns, rows), **options)))
    store.bury()
    return store


def four():
    store = scattered(Store(items((9, 8), (9, 8), (12, 9), (1, 1), bounds=FOUR)))
    store.bury()
    return store


def texts(app, kind):
    return [line.plain for widget in app.screen.query(kind) for line in widget._lines]


async def test_one_item_is_shown_in_its_grid():
    """A run of one raster opens on its chunks, the cursor on the first."""
    async with running(one()) as (app, _):
        assert isinstance(app.chunk_map.pictures.top, GridScene)
        assert "30x20 chunks of 1024x1024" in texts(app, MapHead)[0]
        assert "r000c000" in texts(app, CursorCard)[0]


async def test_enter_goes_down_and_escape_comes_back():
    """Enter opens the item under the cursor, then says which chunk is meant; escape goes back."""
    async with running(four(), make=Bare) as (app, pilot):
        assert isinstance(app.chunk_map.pictures.top, GroundScene)
        await pilot.press("n", "enter")
        assert isinstance(app.chunk_map.pictures.top, GridScene)
        assert app.told == []
        dead = app.link.store.states.index(S.DEAD)
        await pilot.press("enter")
        assert app.told == [dead]
        await pilot.press("escape")
        assert isinstance(app.chunk_map.pictures.top, GroundScene)
        assert not app.chunk_map.check_action("back", ())


async def test_a_whole_item_of_one_chunk_is_selected_at_once():
    """There is no grid to go down to."""
    async with running(four(), make=Bare) as (app, pilot):
        app.chunk_map.pictures.top.go(len(app.link.store.states) - 1)
        await pilot.press("enter")
        assert app.told == [len(app.link.store.states) - 1]


async def test_a_rectangle_grows_and_goes():
    """A rectangle grows with the cursor, stays when it is ended, and goes with escape."""
    whole = [(0, 2), (10, 12)]
    async with running(one(10, 10)) as (app, pilot):
        for key, selected in zip("vljvl", ([(0, 1)], [(0, 2)], whole, whole, whole), strict=True):
            await pilot.press(key)
            assert app.chunk_map.selected == selected
        await pilot.press("escape")
        await pilot.pause()
        assert app.chunk_map.selected == []
        await pilot.press("space")
        await pilot.pause()
        assert app.chunk_map.selected == [(12, 13)]


async def test_next_dead_goes_through_all_of_them():
    """``n`` and ``N`` go to dead chunks and round; without any it is said."""
    store = one(10, 10)
    store.states[:] = bytes([S.DONE]) * 100
    store.states[40] = store.states[77] = S.DEAD
    async with running(store) as (app, pilot):
        scene = app.chunk_map.pictures.top
        await pilot.press("n")
        assert (scene.row, scene.column) == (4, 0)
        await pilot.press("n")
        assert (scene.row, scene.column) == (7, 7)
        await pilot.press("N")
        assert (scene.row, scene.column) == (4, 0)
        store.states[40] = store.states[77] = S.DONE
        app.tick([40, 77])
        await pilot.press("n")
        assert [note.message for note in app._notifications] == ["no chunk is dead"]


async def test_dead_items_without_a_place_are_found():
    """An item that no probe placed is not on the ground: it is said on top, and ``n`` opens it."""
    store = Store(items((3, 3), (3, 3), (1, 1), bounds=FOUR[:2]))
    store.states[18] = S.DEAD
    async with running(store, (120, 30)) as (app, pilot):
        assert "1 item without a place, 1 dead" in texts(app, MapHead)[0]
        await pilot.press("n")
        assert app.chunk_map.pictures.opened.item_id == 3
        assert "r000c000  ✗ 1 dead" in texts(app, CursorCard)[0]


async def test_items_of_which_no_place_is_known_are_one_grid():
    """Without any place all chunks are shown in order."""
    async with running(Store(items((3, 3), (4, 4)))) as (app, _):
        assert app.chunk_map.pictures.top.grid.n == 25


def painted(app):
    """What is to be painted now, as the terminal gets it; nothing is left to be painted then."""
    compositor = app.screen._compositor
    compositor.update_widgets(set(app.screen.query("*")))
    update = compositor.render_update()
    return update.render_segments(app.console) if update is not None else ""


async def test_a_tick_sends_only_what_changed():
    """Twenty changed chunks of 10^6 are less than 4 kB to the terminal, and no full paint."""
    store = Store(items((1000, 1000)))
    async with running(store, (160, 48)) as (app, pilot):
        sent = []
        await until(lambda: app.chunk_map.pictures.loaded)
        for start in range(0, 900_000, 100_003):
            painted(app)  # on a busy machine the first picture may still be on its way
            changed = [start + 4321 * step for step in range(20)]
            for position in changed:
                store.states[position] = S.DEAD
            app.tick(changed)
            regions = set(app.chunk_map._repaint_regions)
            assert all(region.height == 1 for region in regions)
            sent.append(len(painted(app).encode()))
            await pilot.pause()
        assert max(sent) < 4096
        assert min(sent) > 100


async def test_nothing_changed_paints_nothing():
    """A poll that found nothing new leaves the map alone."""
    async with running(one()) as (app, _):
        app.tick()
        assert not app.chunk_map._repaint_regions


async def test_a_tick_is_seen():
    """A chunk that dies is a dead cell after the tick."""
    store = Store(items((10, 10)))
    async with running(store) as (app, pilot):
        store.states[55] = S.DEAD
        app.tick([55])
        await pilot.pause()
        assert sum(code == Code.DEAD for row in app.chunk_map.pictures.top.picture for code in row)


async def test_figures_are_read_and_followed():
    """A mode of figures reads them, and those of chunks that change after that."""
    store = one(10, 10)
    async with running(store) as (app, pilot):
        await pilot.press("m")
        await settled(pilot)
        assert app.chunk_map.mode.name == "duration"
        assert "Map · duration" in str(app.chunk_map.border_title)
        store.states[99] = S.DONE
        store.columns["seconds"][99] = 1e6
        app.tick([99])
        await settled(pilot)
        assert app.chunk_map.pictures.planes.steps[99] == 16
        assert Code.RAMP_5 in app.chunk_map.pictures.top.picture[-3]


async def test_figures_are_classed_anew_for_the_zoom():
    """The map, its legend and the histogram beside it have the scale of the cells in view."""
    store = one(200, 200)
    rng = random.Random(3)
    store.columns["seconds"] = array("f", [rng.expovariate(1.0) for _ in range(40_000)])
    store.states[:] = bytes([S.DONE]) * 40_000
    async with running(store, (160, 48)) as (app, pilot):
        chunk_map, panel = app.chunk_map, app.screen.query_one(HistogramPanel)
        await pilot.press("m")
        await settled(pilot)
        far = chunk_map.pictures.planes.scale
        steps = panel.histogram.steps
        assert far.edges[0] > 1.5  # of cells of 9 chunks and more
        while chunk_map.pictures.top.scale_text != "1:1":
            await pilot.press("greater_than_sign")
        await settled(pilot)
        near = chunk_map.pictures.planes.scale
        assert near.edges[0] < 1
        assert app.screen.query_one(Legend).scale is near
        assert sum(panel.histogram.steps) > sum(steps)
        assert panel.histogram.steps == tuple(sorted(panel.histogram.steps))


async def test_every_mode_can_be_shown():
    """``m`` goes through all modes and comes back to states."""
    async with running(one(10, 10)) as (app, pilot):
        names = []
        for _ in MODES:
            await pilot.press("m")
            await settled(pilot)
            names.append(app.chunk_map.mode.name)
        assert names == ["duration", "attempts", "memory", "worker", "node", "nodata", "state"]


async def test_figures_that_come_late_show_nothing():
    """A reading that lasts ends with the mode that wanted it."""
    store = one(10, 10)
    go_on = threading.Event()

    def wait(name):
        go_on.wait(10)
        return Store.figures(store, name)

    async with running(store) as (app, pilot):
        await pilot.press("m")
        await settled(pilot)
        store.figures = wait
        app.chunk_map.show_mode(MODES[1])
        await pilot.pause()
        app.chunk_map.show_mode(MODES[0])
        go_on.set()
        await settled(pilot)
        assert app.chunk_map.mode.name == "state"


async def test_what_cannot_be_read_is_said():
    """A ledger that fails leaves the picture as it is, and says why."""
    store = one(10, 10)

    def fail(name):
        raise StateError("the ledger [red]is gone[/red]")

    async with running(store) as (app, pilot):
        store.figures = fail
        await pilot.press("m")
        await settled(pilot)
        assert app.chunk_map.mode.name == "state"
        assert [note.message for note in app._notifications] == ["the ledger [red]is gone[/red]"]


async def test_the_card_tells_of_the_chunk():
    """Row and column, place, window, figures, and why a chunk is dead."""
    store = one(10, 10, bounds=[(10, 40, 20, 50)])
    async with running(store, (160, 48)) as (app, pilot):
        await pilot.press("n")
        await settled(pilot)
        card = "\n".join(line.plain for line in app.screen.query_one("#side-card")._lines)
        assert "memory" not in card
        for part in (
            "r002c005  ✗ 1 dead",
            "lon 15.500 lat 47.500",
            "px 5120,2048 +1024",
            "attempts  1",
            "CorruptSourceError: IReadBlock failed",
            "offset 3, Y offset 7",
        ):
            assert part in card
        await pilot.press("h")
        await settled(pilot)
        card = "\n".join(line.plain for line in app.screen.query_one("#side-card")._lines)
        assert "memory    309 MiB" in card
        assert "duration" in card
        histogram = "\n".join(texts(app, HistogramPanel))
        assert "p50" in histogram


async def test_the_cursor_stays_on_its_item(monkeypatch):
    """New items may move all positions: the opened item and its cursor stay."""
    monkeypatch.setattr(chunk_map, "REST", -1.0)  # however long they take
    store = four()
    async with running(store) as (app, pilot):
        await pilot.press("n", "enter", "j")
        before = app.chunk_map.pictures.top
        place = before.column, before.row
        store.items = items((9, 8), (9, 8), (12, 9), (1, 1), (5, 5), bounds=[*FOUR, FOUR[0]])
        store.states += bytes(25)
        app.tick(reshaped=True)
        await pilot.pause()
        top = app.chunk_map.pictures.top
        assert (top.column, top.row) == place
        assert app.chunk_map.pictures.opened.item_id == 1
        store.items, store.states = items((1, 1), bounds=FOUR[:1]), bytearray(1)
        app.tick(reshaped=True)
        await pilot.pause()
        assert app.chunk_map.pictures.top.grid.n == 1


async def test_changes_from_before_a_reshape_are_no_error():
    """A tick may name positions that are gone by the time it is shown."""
    store = one(10, 10)
    async with running(store) as (app, _):
        store.states = store.states[:50]
        app.tick([99, 3])
        assert len(app.chunk_map.pictures.planes.flags) == 100


async def test_a_click_moves_the_cursor_and_a_second_opens():
    """The mouse does what keys do."""
    async with running(one(10, 10), make=Bare) as (app, pilot):
        await pilot.click("#map", offset=(40, 5))
        scene = app.chunk_map.pictures.top
        assert scene.cursor_box().left <= 40 < scene.cursor_box().right
        await pilot.click("#map", offset=(40, 5), times=2)
        await pilot.pause()
        assert app.told == [scene.row * 10 + scene.column]


@pytest.mark.parametrize("bounds", [[], FOUR[:1]], ids=["grid", "ground"])
async def test_the_wheel_zooms_where_the_mouse_is(bounds):
    """What is there stays there, and gets the cursor; the other way round, all is in view again."""
    async with running(one(60, 40, bounds=bounds), make=Bare) as (app, pilot):
        scene = app.chunk_map.pictures.top

        async def turned(wheel):
            before = scene.scale_text
            await pilot._post_mouse_events([wheel], "#map", (46, 8), button=0)
            await until(lambda: scene.scale_text != before)

        whole, before = scene.scale_text, scene.cursor_box()
        await pilot.click("#map", offset=(46, 8))
        await until(lambda: scene.cursor_box() != before)
        chunks = scene.under_cursor()
        for _ in range(3):
            await turned(MouseScrollUp)
            box = scene.cursor_box()
            assert box.left - 1 <= 45 <= box.right
            assert box.top - 2 <= 14 <= box.bottom + 1
        deep = scene.under_cursor()
        assert chunks[0][0] <= deep[0][0] < deep[0][1] <= chunks[-1][1]
        for _ in range(3):
            await turned(MouseScrollDown)
        assert scene.scale_text == whole


async def test_names_are_never_markup():
    """Names of files with markup and escapes are shown as text, and break nothing."""
    from geobatch_tui.observability.text import safe

    store = one(6, 6, key=safe(EVIL))
    store.bury(safe(EVIL))
    async with running(store, (160, 48)) as (app, pilot):
        await pilot.press("n")
        await settled(pilot)
        shown = app.export_screenshot()
        assert "[/bold]" in shown
        assert "\x1b" not in shown


async def test_without_colour_states_are_glyphs(monkeypatch):
    """With NO_COLOR a dead chunk is told by its glyph, and no colour is sent."""
    monkeypatch.setenv("NO_COLOR", "1")
    store = Store(items((10, 10)))
    store.states[:] = bytes([S.DONE]) * 100
    store.states[0] = S.DEAD
    async with running(store) as (app, pilot):
        await pilot.press("l", "l", "j")
        rows = [app.chunk_map.render_line(y).text for y in range(app.chunk_map.size.height)]
        drawn = "\n".join(rows)
        assert "█" in drawn
        assert "✗" in drawn
        assert "▀" not in drawn
        assert "✗ dead" in texts(app, Legend)[-1]


async def test_a_run_of_nothing_yet():
    """Before anything is planned the map is empty, and every key does nothing."""
    async with running(Store([])) as (app, pilot):
        await pilot.press("j", "l", "less_than_sign", "greater_than_sign", "v", "space", "enter")
        await settled(pilot)
        assert texts(app, MapHead)[0].strip().startswith("nothing is planned yet")
        assert "no chunk here" in texts(app, CursorCard)[0]
        app.link.store.items, app.link.store.states = items((3, 3)), bytearray(9)
        app.tick(reshaped=True)
        await settled(pilot)
        assert "r000c000" in texts(app, CursorCard)[0]


async def test_chunks_are_shown_from_elsewhere():
    """One chunk: its item, the cursor on it. Several of an item: a rectangle round them. Of
    several items: the rectangle lies on the ground."""
    store = four()
    async with running(store) as (app, _):
        chunk_map = app.chunk_map
        chunk_map.show((75,))
        assert chunk_map.pictures.opened.item_id == 2
        assert chunk_map.pictures.top.under_cursor() == [(75, 76)]
        assert chunk_map.selected == []
        chunk_map.show((3, 11))
        assert chunk_map.pictures.opened.item_id == 1
        assert chunk_map.selected == [(2, 4), (11, 13)]
        chunk_map.show((0, 143, 10_000))
        assert isinstance(chunk_map.pictures.top, GroundScene)
        runs = dict(chunk_map.selected)
        assert 0 in runs
        assert any(start <= 143 < end for start, end in runs.items())


async def test_chunks_are_shown_as_soon_as_they_are_known():
    """What is asked for before the run was read is shown after that."""
    store = one(10, 10)
    app = MapApp(store)
    async with app.run_test() as pilot:
        app.chunk_map.show((55,))
        await settled(pilot)
        assert app.chunk_map.pictures.top.under_cursor() == [(55, 56)]
