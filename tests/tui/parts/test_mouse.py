"""The mouse: a click does what the thing under it is for, and a double click on a head shows one
panel whole."""

from __future__ import annotations

from scripted_run import busy_run, log_line, shown, until

from geobatch_tui.tui.glance.throughput import Throughput
from geobatch_tui.tui.parts.scroll_lines import ListHeading
from geobatch_tui.tui.screens.dead import DeadScreen
from geobatch_tui.tui.units.unit_screen import UnitsScreen
from geobatch_tui.tui.widgets.causes import Causes
from geobatch_tui.tui.widgets.inspector import Inspector
from geobatch_tui.tui.widgets.letter_list import LetterList
from geobatch_tui.tui.widgets.log_tail import LogPanel
from geobatch_tui.tui.widgets.workers import Workers


async def test_run_screen_leads_to_what_is_clicked(console, script):
    """A cause lists its letters, a log line and a worker show their chunk, and one panel at a time
    can be whole."""
    busy_run(script)
    with script.state.log.open("a") as file:
        file.write(log_line("info", "chunk.done", chunk="ndvi.tif@2,3") + "\n")
        file.write(log_line("error", "chunk.dead", chunk="ndvi.tif@16,2") + "\n")
        file.write(log_line("info", "run.note", "names nothing") + "\n")
    app = console()
    app.link.poll()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        home = app.screen
        causes = home.query_one(Causes)
        await pilot.click(Causes, offset=(4, 2))
        await until(lambda: isinstance(app.screen, DeadScreen))
        await pilot.pause()
        assert app.screen.listing.shown == causes.view.groups[1].count

        assert app.screen.bar.chosen.text
        await pilot.press("escape", "1")
        lines = len(app.link.tail.lines)
        await pilot.click(LogPanel, offset=(4, lines))
        assert app.screen is home
        await pilot.click(LogPanel, offset=(4, lines - 1))
        await until(lambda: isinstance(app.screen, DeadScreen))
        await until(lambda: app.screen.list.letter is not None)
        assert app.link.store.letters[app.screen.list.letter].chunk_id == 1 + 16 * 40 + 2

        await pilot.press("1")
        await pilot.click(LogPanel, offset=(4, lines - 2))
        await until(lambda: isinstance(app.screen, UnitsScreen))
        await until(lambda: app.screen.table.position == 2 * 40 + 3)

        await pilot.press("1")
        await pilot.click(Workers, offset=(9, 2))
        await until(lambda: isinstance(app.screen, UnitsScreen))
        await until(lambda: app.screen.table.position == 17 * 40 + 21)


async def test_heads_sort_and_signs_mark_and_fold(console, script):
    """A click on the name of a column sorts by it, another one the other way round; the signs of a
    line mark and fold; a click on a tab opens it."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("3")
        screen = app.screen
        await until(lambda: screen.listing.total)
        await pilot.click(ListHeading, offset=(6, 0))
        assert (screen._sort, screen._backwards) == ("chunk", False)
        await pilot.click(ListHeading, offset=(6, 0))
        assert (screen._sort, screen._backwards) == ("chunk", True)
        assert "chunk▼" in shown(app)
        marked = screen.listing.groups[0].letters
        await pilot.click(LetterList, offset=(2, 1))
        assert screen.list.marks == set(marked)
        rows = screen.list.count()
        await pilot.click(LetterList, offset=(3, 1))
        assert screen.list.count() != rows
        start = shown(app).splitlines()[screen.query_one(Inspector).region.y].index("Trace")
        await pilot.click(Inspector, offset=(start - screen.query_one(Inspector).region.x + 1, 0))
        assert screen.query_one(Inspector).tab == 1


async def test_one_panel_is_whole(console, script):
    """A key and a double click show one panel on all of the screen; esc brings the others back, and
    the key remembers."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        plot = app.screen.query_one(Throughput)

        def log():
            return app.screen.query_one(LogPanel)

        await pilot.press("0", "0")
        await until(lambda: plot.size.height > 15)
        assert plot.size.width == 78
        assert "7 Units" in shown(app) or "7" in shown(app).splitlines()[-1]
        assert "dead letters" in shown(app).splitlines()[0]
        await pilot.press("3", "1")
        await until(lambda: plot.size.height > 15)
        await pilot.press("escape")
        await until(lambda: not plot.display)
        await until(lambda: 0 < log().size.height < 15)
        await pilot.press("0")
        await until(lambda: plot.size.height > 15)
        await pilot.press("escape")
        await until(lambda: 0 < log().size.height < 15)
        await pilot.click(LogPanel, offset=(3, 0), times=2)
        await until(lambda: log().size.height > 15)
        await pilot.click(LogPanel, offset=(3, 0), times=2)
        await until(lambda: 0 < log().size.height < 15)
