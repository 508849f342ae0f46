"""What a console has its terminal show, though it paints nothing."""

from __future__ import annotations

from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.tui.kit.endings import Ending


async def test_alerts_ring_and_the_title_tells(console, script, monkeypatch):
    """Those that come while it is open, as the run's own job asks; failures are notices. The title
    is given back when it closes."""
    monkeypatch.setenv("TERM_PROGRAM", "iTerm.app")
    script.plan(1, 1, 4)
    script.put(lu.Noted("alert", {"event": "dead", "title": "before", "text": "it opened"}))
    app = console()
    sent = []
    app.sign = sent.append
    async with app.run_test() as pilot:
        app.poll()
        assert not any("before" in sequence for sequence in sent)
        script.put(lu.Noted("alert", {"event": "stall", "title": "a\x1b[2J", "text": "47 s"}))
        script.put(lu.Noted("alert", {"event": "failed", "title": "notify", "text": "[no] hook"}))
        app.action_freeze()
        app.poll()
        await pilot.pause()
        rung = [sequence for sequence in sent if sequence.startswith("\x1b]9;")]
        assert rung == ["\x1b]9;a\\x1b[2J: 47 s\a"]
        assert [note.message for note in app._notifications] == ["[no] hook"]
        assert any("\x1b]2;0 % " in sequence and "— geobatch\a" in sequence for sequence in sent)
        app.exit(Ending.LEFT)
        await pilot.pause()
    assert sent[-1] == "\x1b[23;2t"
