"""``benchmarks/line_bytes.py`` counts what it says."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.color import ColorSystem
from scripted_run import busy_run
from textual.app import App
from textual.widgets import Static

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def line_bytes(script, clock, monkeypatch):
    """The benchmark, with the run by script of these tests."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    parts = SimpleNamespace(Clock=type(clock), Script=type(script))
    monkeypatch.setitem(sys.modules, "conftest", parts)
    return importlib.import_module("line_bytes")


def test_bytes_are_counted_by_what_they_are_for(line_bytes):
    """Places and colours by their sequences; all else is text, a glyph that is repeated, too."""
    move, turn = "\x1b[3;14H", "\x1b[5G"
    red, plain = "\x1b[1;38;2;255;0;0m", "\x1b[0m"
    sent = f"{move}done {red}✗{plain}{turn}─\x1b[40b"
    parts = line_bytes.counted(sent)
    assert parts["moves"] == len(move + turn)
    assert parts["colors"] == len(red + plain)
    assert parts["text"] == len("done ") + 2 * len("✗".encode()) + len("\x1b[40b")
    assert parts["bytes"] == len(sent.encode()) == sum(parts.values()) - parts["bytes"]


async def test_only_what_changed_is_counted(line_bytes):
    """All of the first picture, then what differs from the one before."""

    class Clock(App[None]):
        def compose(self):
            yield Static("12:04:30", markup=False)

    app = Clock()
    async with app.run_test(size=(40, 3)) as pilot:
        counter = line_bytes.Counter(app, ColorSystem.EIGHT_BIT)
        assert counter.take()["text"] == len("12:04:30") + 3 * len(
            " \x1b[39b"
        )  # blanks as a number
        assert not any(counter.take().values())
        app.query_one(Static).update("12:04:31")
        await pilot.pause()
        parts = counter.take()
        assert (parts["text"], parts["moves"]) == (1, len("\x1b[1;8H"))


def test_a_tick_is_a_second_of_the_run(line_bytes, script, store, clock):
    """Twelve chunks, one of them dead, and four lines of the log."""
    busy_run(script)
    before, lines, t = store.poll().view, script.state.log.read_text().splitlines(), clock.t
    for turn in range(2):
        line_bytes.go_on(script, turn)
        now = store.poll().view
        assert now.counts["done"] == before.counts["done"] + 11
        assert now.dead_letters == before.dead_letters + 1
        before = now
    assert len(script.state.log.read_text().splitlines()) == len(lines) + 2 * 4
    assert clock.t == t + 2
