"""Pictures of the run screen: every size and every way of colours."""

from __future__ import annotations

import pytest
import textual
from scripted_run import busy_run, pictured

KNOWN = "8.2.8"

pytestmark = pytest.mark.skipif(
    textual.__version__ != KNOWN, reason=f"pictures were made with textual {KNOWN}"
)


@pictured()
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


def test_run_screen_without_colors(snap_compare, console, script, monkeypatch):
    """With NO_COLOR states are told by glyphs, and nothing is black on black."""
    monkeypatch.setenv("NO_COLOR", "1")
    busy_run(script)
    assert snap_compare(console(), terminal_size=(120, 30))
