"""The end of a run: its code and state, in the ledger, the log, the summary and the result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project
from scripted_session import fails, logged, planned, session_of

from geobatch_tui.errors import OutputGoneError, PreflightError
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.run.ending import end_run
from geobatch_tui.orchestration.run.monitor import Monitor
from geobatch_tui.orchestration.state.letters import LETTERS_SHOWN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from geobatch_tui.orchestration.state.outcome import RunResult
    from geobatch_tui.orchestration.state.session import Session


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    with session_of(Project(tmp_path)) as session:
        yield session


async def end(session: Session, reason: str = "complete", **more: Any) -> RunResult:
    values: dict[str, Any] = {"signal": None, "fatal": None, "warnings": ()}
    monitor = Monitor(session, 0)
    monitor.tally.running = 3
    result = await end_run(session, monitor, reason, **(values | more))
    assert (monitor.state, monitor.reason) == (result.state, result.reason)
    assert result.counts["running"] == 0
    return result


async def recorded(session: Session) -> tuple[str, int | None, str]:
    """The end of the run as its ledger has it."""
    await session.flush()
    row = session.reader.run()
    assert row is not None
    assert row.t1 is not None
    return row.state, row.exit_code, row.reason


async def test_a_complete_run(session: Session) -> None:
    result = await end(session, warnings=["odd"])
    assert (result.state, result.exit_code, result.reason) == ("success", 0, "complete")
    assert await recorded(session) == ("success", 0, "complete")
    summary = json.loads(session.state.summary.read_text())
    assert summary == json.loads(json.dumps(result.to_json()))
    assert summary["warnings"] == ["odd"]
    (line,) = logged(session, "run.exit")
    assert (line["code"], line["reason"]) == (0, "complete")
    assert not (session.state.root / "log.reserve").exists()


async def test_counts_are_the_ledgers(session: Session) -> None:
    """Whatever was counted on the way."""
    session.put(lu.ItemPlanned(planned(1, 1, 2)))
    session.put(lu.DeadLetter(1, None, 1, 0, "SchemaError", {"item": "1.tif"}))
    result = await end(session)
    assert (result.state, result.exit_code) == ("failed", 1)
    assert (result.counts["dead"], result.items["dead"]) == (2, 1)
    assert result.dead_by_class == {"SchemaError": 1}


@pytest.mark.parametrize(
    ("reason", "signal", "code", "state"),
    [("drained", 15, 143, "interrupted"), ("deadline", None, 16, "interrupted")],
)
async def test_a_run_that_was_ended(
    session: Session, reason: str, signal: int | None, code: int, state: str
) -> None:
    result = await end(session, reason, signal=signal)
    assert (result.state, result.exit_code, result.reason) == (state, code, reason)


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [(OutputGoneError("it is gone"), 17, "stopped"), (PreflightError("it is gone"), 2, "refused")],
)
async def test_an_error_gives_code_and_reason(
    session: Session, error: Exception, code: int, state: str
) -> None:
    result = await end(session, "fatal", fatal=error)
    assert (result.state, result.exit_code, result.reason) == (state, code, "it is gone")
    assert await recorded(session) == (state, code, "it is gone")


async def test_the_failure_that_ended_a_run_is_told(session: Session) -> None:
    """In one line of the reason, and with all that is known of it in the log."""
    cause = fails(name="WorkerCrashError", stage="start", evidence={"stderr": "no library"})
    result = await end(session, "crash-loop", cause=cause)
    assert result.reason == "crash-loop: WorkerCrashError: it fails"
    (line,) = logged(session, "run.failed")
    assert (line["stage"], line["stderr"]) == ("start", "no library")


async def test_letters_are_shown_without_their_bulk(session: Session) -> None:
    """Some of them: the ledger has all."""
    many = LETTERS_SHOWN + 5
    session.put(lu.ItemPlanned(planned(1, 1, many)))
    for number in range(1, many + 1):
        record = {"chunk": f"1.tif@0,{number}", "traceback": "long", "evidence": {"a": 1}}
        session.put(lu.DeadLetter(1, number, 1, 0, "SchemaError", record))
    result = await end(session)
    assert len(result.dead_letters) == LETTERS_SHOWN
    assert result.dead_letters[0]["chunk"] == "1.tif@0,1"
    assert not {"traceback", "evidence"} & set(result.dead_letters[0])


async def test_a_summary_that_cannot_be_written_is_no_error(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a copy for people; the result is the same."""

    def full(*_: object) -> None:
        raise OutputGoneError("the disk is gone")

    monkeypatch.setattr("geobatch_tui.orchestration.run.ending.write_json_atomic", full)
    assert (await end(session)).exit_code == 0
    assert len(logged(session, "run.exit")) == 1
