"""The dialog that asks for a line."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from cell_screen import CellScreen
from scripted_run import busy_run, until
from textual._styles_cache import StylesCache

from geobatch_tui.tui.kit.cell_patch import TerminalPicture
from geobatch_tui.tui.kit.line_load import UNLIMITED
from geobatch_tui.tui.kit.painter import SLOW_LINE
from geobatch_tui.tui.parts.dialogs import PathDialog


def test_a_home_that_nobody_has_is_a_path_like_another(monkeypatch):
    """It raises nothing: whoever writes there says that there is no such folder."""
    monkeypatch.setenv("HOME", "/home/ada")
    dialog = PathDialog("Write", "", Path("x.csv"))
    assert dialog.meant("~/x.csv") == Path("/home/ada/x.csv")
    assert dialog.meant("~nobody-of-this-name/x.csv") == Path("~nobody-of-this-name/x.csv")


def pictures():
    """How many widgets' pictures are in memory."""
    gc.collect()
    # By its type: an object that stands for another may be asked for no class of that.
    return sum(type(kept) is StylesCache for kept in gc.get_objects())


async def test_dialogs_that_were_closed_leave_no_pictures(console, script):
    """However often one is opened: of what is gone nothing is kept."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(60, 18)) as pilot:
        await pilot.pause()
        counts = []
        for _ in range(3):
            for key in ("question_mark", "colon"):
                await pilot.press(key)
                await until(lambda: len(app.screen_stack) == 2)
                await pilot.pause()
                await pilot.press("escape")
                await until(lambda: len(app.screen_stack) == 1)
                await pilot.pause()
            counts.append(pictures())
        # The last dialog may be on its way out.
        await until(lambda: pictures() <= counts[0])


@pytest.mark.parametrize("key", ["question_mark", "colon"])
async def test_a_dialog_on_a_slow_line_is_its_box(console, script, key):
    """What lies around it is as dark as before, and not sent again, twice; else it is darker."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:

        def beside():
            """The first cells of the upper rows, which no dialog has."""
            text, _ = known.patch(app.screen._compositor.render_strips(), None, UNLIMITED)
            screen.feed(text)
            return [row[0] for row in screen.seen()[:3]]

        for slow in (True, False):
            known, screen = TerminalPicture(), CellScreen(80, 24)
            app.set_class(slow, SLOW_LINE)
            await pilot.pause()
            below = beside()
            await pilot.press(key)
            await until(lambda: len(app.screen_stack) == 2)
            await pilot.pause()
            assert (beside() == below) is slow
            await pilot.press("escape")
            await until(lambda: len(app.screen_stack) == 1)
