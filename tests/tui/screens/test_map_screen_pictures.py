"""Pictures of the map's screen: every size and every way of colours."""

from __future__ import annotations

import pytest
import textual
from scripted_maps import MapApp, Store, items, scattered, settled
from scripted_run import pictured

SIZES = [(80, 24), (120, 30), (160, 48)]
KNOWN = "8.2.8"
FOUR = [(9.0, 47.0, 10.5, 48.0), (10.6, 47, 12.1, 48), (9, 48.1, 10.5, 49.1), (10.6, 48.1, 12, 49)]

pytestmark = pytest.mark.skipif(
    textual.__version__ != KNOWN, reason=f"pictures were made with textual {KNOWN}"
)


def store_of(*shapes, **options):
    store = scattered(Store(items(*shapes, **options)))
    store.bury()
    return store


def pressing(*keys):
    async def before(pilot):
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)

    return before


@pictured([("night", (80, 24)), ("day", (120, 30)), ("night", (160, 48))])
def test_grid(snap_compare, theme, size):
    """150 x 100 chunks by duration, the cursor on a dead one, a rectangle round it."""
    store = store_of((150, 100), bounds=[(9, 47, 12, 49)])
    run = pressing("n", "m", "v", "l", "j")
    assert snap_compare(MapApp(store, theme), terminal_size=size, run_before=run)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_ground(snap_compare, size):
    """Four items on the ground, with borders, one chunk dead."""
    store = store_of((9, 8), (9, 8), (12, 9), (4, 4), bounds=FOUR)
    assert snap_compare(MapApp(store), terminal_size=size, run_before=pressing("n"))


@pytest.mark.parametrize("theme", ["night", "terminal"])
def test_item(snap_compare, theme):
    """An item that was opened: chunks drawn large, a frame round the one under the cursor, and
    those that are selected."""
    store = store_of((9, 8), (9, 8), (12, 9), (4, 4), bounds=FOUR)
    run = pressing("n", "enter", "v", "l", "j")
    assert snap_compare(MapApp(store, theme), run_before=run)


def test_without_colors(snap_compare, monkeypatch):
    """With NO_COLOR states are told by glyphs, the cursor and the rectangle by attributes."""
    monkeypatch.setenv("NO_COLOR", "1")
    store = store_of((40, 30), bounds=[(9, 47, 12, 49)])
    run = pressing("n", "v", "l", "l", "j", "j")
    assert snap_compare(MapApp(store), terminal_size=(80, 24), run_before=run)
