"""A run before and beside its phases: commands, errors that are none of its own, the end."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project
from scripted_session import logged, session_of

from geobatch_tui.errors import (
    DiskFullError,
    GeobatchError,
    LockHeldError,
    OpenFilesError,
    OutputGoneError,
    StateError,
)
from geobatch_tui.ledger.place.lock import read_holder
from geobatch_tui.orchestration.run import runner
from geobatch_tui.orchestration.run.options import Options
from geobatch_tui.orchestration.run.runner import MAX_WORKERS, Run, execute
from geobatch_tui.orchestration.schedule import events as u

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from geobatch_tui.orchestration.state.session import Session

THREADS = {"engine": {"executor": "thread", "max_workers": 1}}
ME = "uid 1, pid 2"


class Told:
    """Stands for the dispatcher of a phase: keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[u.Event] = []
        self.errors: list[BaseException] = []

    def tell(self, event: u.Event) -> None:
        self.events.append(event)

    def fail(self, error: BaseException) -> bool:
        self.errors.append(error)
        return True


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    with session_of(Project(tmp_path)) as session:
        yield session


def run_of(session: Session, tmp_path: Path, told: Told | None = None) -> Run:
    run = Run(session, Options(), [])
    run._dispatcher = told  # type: ignore[assignment]
    return run


@pytest.mark.parametrize(
    ("verb", "arguments", "events"),
    [
        ("ping", {}, []),
        ("pause", {}, [u.Command(u.Verb.PAUSE)]),
        ("resume", {}, [u.Command(u.Verb.RESUME)]),
        ("drain", {}, [u.Command(u.Verb.DRAIN)]),
        ("cancel", {}, [u.Command(u.Verb.CANCEL)]),
        ("set_workers", {"count": 3}, [u.SetWorkers(3)]),
        ("dismiss", {"letters": [[1, 2.0]], "note": "known"}, []),
    ],
)
async def test_commands_are_obeyed_and_noted(
    session: Session, tmp_path: Path, verb: str, arguments: Any, events: Any
) -> None:
    """In the log and in the ledger, with who gave them; a ping is no command."""
    told = Told()
    reply = run_of(session, tmp_path, told).steer(verb, arguments, ME)
    assert told.events == events
    assert (reply["run_id"], reply["state"]) == (session.run_id, "planning")
    lines = logged(session, "run.command")
    assert [(line["verb"], line["origin"]) for line in lines] == (
        [] if verb == "ping" else [(verb, ME)]
    )
    await session.flush()
    noted = session.reader.last_event("command") or {}
    assert noted.get("verb") == (None if verb == "ping" else verb)


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("set_workers", {"count": 0}, "1 to"),
        ("set_workers", {"count": MAX_WORKERS + 1}, "1 to"),
        ("retry_dead", {}, "still planning"),
        ("nonsense", {}, "nonsense"),
    ],
)
async def test_commands_that_do_not_fit_are_refused(
    session: Session, tmp_path: Path, verb: str, arguments: Any, said: str
) -> None:
    told = Told()
    with pytest.raises(ValueError, match=said):
        run_of(session, tmp_path, told).steer(verb, arguments, ME)
    assert told.events == []


async def test_the_first_reason_to_drain_stands(session: Session, tmp_path: Path) -> None:
    """A deadline that passes while a signal drains the run does not change its exit code."""
    told = Told()
    run = run_of(session, tmp_path, told)
    run._on_first(15)
    run._drain("deadline")
    result = await run._end(u.Finish("drained"))
    assert (result.reason, result.exit_code) == ("drained", 128 + 15)
    assert told.events == [u.Command(u.Verb.DRAIN)] * 2
    assert len(logged(session, "run.drain")) == 1


async def test_a_run_that_completes_while_it_drains_is_complete(
    session: Session, tmp_path: Path
) -> None:
    run = run_of(session, tmp_path, Told())
    run._on_first(15)
    assert (await run._end(u.Finish("complete"))).exit_code == 0


async def test_an_error_beside_the_phases_ends_the_phase(session: Session, tmp_path: Path) -> None:
    """By its dispatcher; between two phases, by the end of the run."""
    told, error = Told(), StateError("the ledger is gone")
    run_of(session, tmp_path, told)._on_commit_error(error, ())
    await asyncio.sleep(0)
    assert told.errors == [error]
    run = run_of(session, tmp_path)
    run._died(error)
    with pytest.raises(StateError) as raised:
        await run._end(u.Finish("fatal"))
    assert raised.value is error
    assert logged(session, "run.exit")[-1]["code"] == 17


async def test_a_bug_is_recorded_and_raised(session: Session, tmp_path: Path) -> None:
    run = run_of(session, tmp_path)
    run._died(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await run._end(u.Finish("fatal"))
    assert "unexpected ZeroDivisionError: a bug" in logged(session, "run.exit")[-1]["reason"]


async def test_a_full_ledger_suspends_only_the_run_phase(session: Session, tmp_path: Path) -> None:
    """While it is planned nothing is in flight that could be waited for."""
    told, error = Told(), DiskFullError("full")
    run = run_of(session, tmp_path, told)
    run._not_committed(error, ())
    assert told.errors == [error]
    told = Told()
    run = run_of(session, tmp_path, told)
    run._engine = object()  # type: ignore[assignment]
    run._not_committed(error, ())
    assert (told.errors, told.events) == ([], [u.Space(ok=False)])
    task = run._ledger._waiting
    assert task is not None
    task.cancel()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EMFILE, "too many"), OpenFilesError),
        (OSError(errno.EROFS, "read only"), OutputGoneError),
        (RuntimeError("a bug"), RuntimeError),
        (LockHeldError("held"), LockHeldError),
    ],
)
async def test_a_shortage_of_the_machine_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(runner, "open_session", refuse)
    with pytest.raises(kind) as raised:
        await execute(Project(tmp_path, values=THREADS).job(), Options())
    assert isinstance(error, GeobatchError) is (raised.value is error) or kind is RuntimeError


async def test_a_run_tells_where_it_listens(tmp_path: Path) -> None:
    """The lock file names its socket while it lives."""
    project = Project(tmp_path, values=THREADS)
    sockets = []

    def look(_: object) -> None:
        holder = read_holder(project.out / ".geobatch/lock")
        sockets.append(holder.socket if holder is not None else "")

    assert (await execute(project.job(), Options(observe=look))).exit_code == 0
    assert sockets[0].endswith(".sock")
