"""The dialog that asks for a line."""

from __future__ import annotations

import gc
from pathlib import Path

from scripted_run import busy_run, until
from textual._styles_cache import StylesCache

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
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        counts = []
        for _ in range(4):
            for key in ("question_mark", "colon"):
                await pilot.press(key)
                await until(lambda: len(app.screen_stack) == 2)
                await pilot.pause()
                await pilot.press("escape")
                await until(lambda: len(app.screen_stack) == 1)
                await pilot.pause()
            counts.append(pictures())
        assert counts[-1] <= counts[0]
