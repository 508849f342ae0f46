"""A run that is told of: in its log, its ledger, and to whoever looks; it never pays for that."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

from geobatch_tui.config.notify.notify_section import NotifySection
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.snapshot import Snapshot
from geobatch_tui.orchestration.side_tasks.notifier import ALERT, Notifier

RUN = Snapshot(run_id="r1", job="relief", state="running", stall_s=30.0)


class Session:
    """What a notifier needs of one; what it was given."""

    def __init__(self, tmp_path, **section):
        self.job = SimpleNamespace(notify=NotifySection.model_validate(section))
        self.output_dir = tmp_path
        self.lines, self.notes = [], []
        self.log = SimpleNamespace(
            emit=lambda event, **fields: self.lines.append((event, json.dumps(fields)))
        )

    def put(self, update):
        assert isinstance(update, lu.Noted)
        self.notes.append((update.kind, update.data["event"]))


def test_a_stall_is_a_line_of_the_log_whatever_is_asked_for(tmp_path):
    """Once when it begins, and once when it is over."""
    session = Session(tmp_path)
    notifier = Notifier(session)
    for second in range(48):
        notifier.look(replace(RUN, still_s=float(second)))
    notifier.look(replace(RUN, counts=dict(RUN.counts) | {"running": 2}))
    assert [event for event, _ in session.lines] == ["run.stall", "run.stall_over"]
    assert "no chunk was finished for 30 s" in session.lines[0][1]


async def test_what_fails_costs_no_run(tmp_path, monkeypatch):
    """A variable that is not set, a disk that is gone, a bug: lines of the log, and notes."""
    session = Session(tmp_path / "gone", on=["end", "dead>0", "disk<5GB"], webhook="env:NO_HOOK")
    monkeypatch.delenv("NO_HOOK", raising=False)
    notifier = Notifier(session)
    notifier.look(replace(RUN, dead_by_class={"A": 1}))
    await notifier.end(lambda: replace(RUN, state="partial"), 12)
    assert [event for event, _ in session.lines] == ["run.notify", "notify.failed"]
    assert session.notes == [(ALERT, "dead"), (ALERT, "failed"), (ALERT, "end")]
    assert [alert.event for alert in notifier.told] == ["dead", "end"]


async def test_a_bug_costs_no_run(tmp_path, monkeypatch):
    """It is said once, and nothing is looked at any more."""
    session = Session(tmp_path, on=["end", "dead>0"])
    notifier = Notifier(session)
    monkeypatch.setattr(notifier._alerts, "look", lambda *_: 1 / 0)
    for _ in range(3):
        notifier.look(RUN)
    await notifier.end(lambda: 1 / 0, 12)
    assert [event for event, _ in session.lines] == ["notify.failed"] * 2
