"""The replay of a run: it plays by itself, can be held, scrubbed and left."""

from __future__ import annotations

import pytest
import textual
from scripted_maps import settled
from scripted_run import log_line, shown, until

from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.tui.replay.event_strip import EventStrip
from geobatch_tui.tui.replay.replay_screen import ReplayScreen
from geobatch_tui.tui.screens.dashboard import RunScreen


@pytest.fixture
def night(script):
    """A hundred seconds in which a chunk a second is done, and one dies half-way."""
    script.plan(1, 1, 11, 11, key="odd [red]\x1b[31m.tif")
    t0 = script.clock.t
    for chunk in range(1, 101):
        script.clock.t = t0 + chunk
        if chunk == 50:
            script.die(chunk)
        else:
            script.done(chunk, seconds=2.0, ended=script.clock.t)
    with script.state.log.open("w") as file:
        line = log_line("error", "chunk.dead", chunk="x", run_id="run-1")
        file.write(line.replace("2026-11-24T12:04:30.123Z", "2026-11-18T11:07:30Z") + "\n")
    return script


async def wound_up(pilot):
    await pilot.press("t")
    await until(lambda: getattr(pilot.app.screen, "reel", None) is not None)
    await settled(pilot)
    assert isinstance(pilot.app.screen, ReplayScreen)
    return pilot.app.screen


async def test_a_run_is_watched_again(console, night):
    """It plays; held, it goes on and back by keys, to what died, and to where the strip is
    clicked; at the end it can begin anew, and ``t`` leaves it as it opened it."""
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        screen = await wound_up(pilot)
        reel = screen.reel
        await until(lambda: reel.at > reel.start)
        await pilot.press("space", "home")
        assert (reel.at, reel.states.count(lu.ChunkState.DONE)) == (reel.start, 0)
        await pilot.press(*["right"] * 10, "shift+right", "left")
        assert reel.share == pytest.approx(0.19)
        assert reel.states.count(lu.ChunkState.DONE) == 19
        await pilot.press("n")
        assert reel.at == reel.start + 50
        assert "✗ dead 1" in shown(app)
        assert "given up" in shown(app)
        assert "PAUSED" in shown(app)
        assert "\x1b" not in shown(app)
        await pilot.press("n", "greater_than_sign")
        assert [note.message for note in app._notifications] == ["no chunk was given up there"]
        await pilot.click(EventStrip, offset=(119, 1))
        await pilot.press("end", "space")
        assert screen.playing
        assert reel.share < 0.1
        await pilot.press("t", "t")
        await pilot.pause()
        await pilot.press("escape")
        await settled(pilot)
        assert isinstance(app.screen, RunScreen)


async def test_a_run_without_times_is_not_replayed(console, script):
    """A ledger of an older geobatch has none: that is said."""
    script.plan(1, 1, 2, 2)
    script.done(1)
    app = console()
    async with app.run_test() as pilot:
        await settled(pilot)
        await pilot.press("t")
        await settled(pilot)
        assert isinstance(app.screen, RunScreen)
        said = [note.message for note in app._notifications]
        assert said == ["no chunk of this run has a time"]


@pytest.mark.skipif(textual.__version__ != "8.2.8", reason="pictures were made with textual 8.2.8")
def test_picture(snap_compare, console, night):
    """The map and the counts half-way, and the strip below."""

    async def before(pilot):
        await settled(pilot)
        screen = await wound_up(pilot)
        screen.playing = False
        screen._go(screen.reel.start + 60)
        await settled(pilot)

    assert snap_compare(console(), terminal_size=(120, 36), run_before=before)
