"""Pictures of the run screen: every size and every way of colours."""

from __future__ import annotations

import pytest
import textual
from console_desk import busy_run

SIZES = [(80, 24), (120, 30), (160, 48)]
KNOWN = "8.2.8"

pytestmark = pytest.mark.skipif(
    textual.__version__ != KNOWN, reason=f"pictures were made with textual {KNOWN}"
)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("theme", ["night", "day", "terminal"])
def test_run_screen(snap_compare, console, script, theme, size):
    """A busy run fills its panels, and nothing is cut or overlaps."""
    busy_run(script)
    app = console()

    async def before(pilot):
        pilot.app.theme = theme
        await pilot.pause()
        await pilot.pause()
        assert pilot.app.is_running

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_run_screen_without_colors(snap_compare, console, script, monkeypatch, size):
    """With NO_COLOR states are told by glyphs, and nothing is black on black."""
    monkeypatch.setenv("NO_COLOR", "1")
    busy_run(script)
    assert snap_compare(console(), terminal_size=size)
