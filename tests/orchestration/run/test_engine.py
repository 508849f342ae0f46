"""The engine carries tasks out and outcomes back: ledger, log and counts agree."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project
from scripted_session import RunPhase, done, fails, logged, planned, session_of

from geobatch_tui.errors import Reaction
from geobatch_tui.execution.protocol.messages import FeatureLetter, FinaliseTask
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.run import engine as module
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.workers.pool import Lost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import WorkerCause
    from geobatch_tui.orchestration.state.session import Session


@pytest.fixture
async def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
async def session(project: Project) -> AsyncIterator[Session]:
    with session_of(project) as session:
        yield session


async def plan(session: Session, *rows: lu.ItemRow) -> None:
    for row in rows:
        session.put(lu.ItemPlanned(row))
    await session.flush()


def states(session: Session, item_id: int) -> list[str]:
    return [row.state.name for row in session.reader.chunks(item_id)]


async def test_chunks_are_done_and_the_item_is_published(
    session: Session, project: Project
) -> None:
    await plan(session, planned(1, 1, 3))
    phase = RunPhase(session, project)
    phase.tally.total = 3
    assert (await phase.run()).reason == "complete"
    assert states(session, 1) == ["DONE"] * 3
    assert (project.out / "1.tif").read_bytes() == b"whole"
    row = session.reader.item(1)
    assert row is not None
    assert (row.state, row.out_digest, row.facts["holes"]) == (lu.ItemState.PUBLISHED, "e" * 64, 0)
    assert isinstance(phase.tasks[-1], FinaliseTask)
    assert [segment.offset for segment in phase.tasks[-1].segments] == [0, 10, 20]
    tally = phase.tally
    assert (tally.done, tally.running, tally.pending, tally.published) == (3, 0, 0, 1)
    run = session.reader.run()
    assert run is not None
    assert (run.units, run.bytes_in, run.bytes_out) == (9, 15, 30)
    assert [line["chunk"] for line in logged(session, "chunk.done")] == [
        f"1.tif@0,{index}" for index in range(3)
    ]
    assert [line["item"] for line in logged(session, "item.published")] == ["1.tif"]
    assert phase.space.told == ["progressed"] * 4


async def test_an_item_of_one_chunk_needs_no_assembly(session: Session, project: Project) -> None:
    await plan(session, planned(1, 1, 1))
    phase = RunPhase(session, project)
    await phase.run()
    assert [type(task).__name__ for task in phase.tasks] == ["ChunkTask"]
    assert phase.tally.published == 1


async def test_such_an_item_is_computed_again_if_it_was_not_published(
    session: Session, project: Project
) -> None:
    """It has no spool that it could be assembled from; one of two chunks has."""
    await plan(session, planned(1, 1, 1), planned(2, 2, 2))
    for update in (done(1, 1), done(2, 2), done(3, 2)):
        session.put(update)
    await session.flush()
    phase = RunPhase(session, project)
    phase.tally.current = 3
    await phase.run()
    assert phase.chunks() == [(1, 0)]
    assert (phase.tally.current, phase.tally.done, phase.tally.published) == (2, 1, 2)


async def test_a_dead_chunk_holds_its_item_alone(session: Session, project: Project) -> None:
    await plan(session, planned(1, 1, 2), planned(2, 3, 2))
    phase = RunPhase(session, project, {(1, 1): [fails()]})
    assert (await phase.run()).reason == "complete"
    assert states(session, 1) == ["DONE", "DEAD"]
    assert [path.name for path in project.out.glob("*.tif")] == ["2.tif"]
    row = session.reader.item(1)
    assert row is not None
    assert (row.state, row.reason) == (lu.ItemState.HELD, "1 of 2 chunks are dead letters")
    (letter,) = session.reader.dead_letters()
    assert (letter["chunk"], letter["error_class"], letter["attempts"]) == (
        "1.tif@0,1",
        "SchemaError",
        1,
    )
    assert (phase.tally.dead, phase.tally.held, phase.tally.done) == (1, 1, 3)
    assert phase.tally.dead_by_class == {"SchemaError": 1}
    (line,) = logged(session, "chunk.dead")
    assert (line["error_class"], line["attempt"]) == ("SchemaError", 1)


async def test_a_hole_is_published_where_the_job_fills_it(tmp_path: Path) -> None:
    project = Project(tmp_path, values={"output": {"on_dead_chunk": "fill"}})
    with session_of(project) as session:
        await plan(session, planned(1, 1, 2), planned(2, 3, 2))
        failures: Any = {(1, 0): [fails()], (2, 0): [fails()], (2, 1): [fails()]}
        phase = RunPhase(session, project, failures)
        await phase.run()
        filled, empty = session.reader.item(1), session.reader.item(2)
        assert filled is not None
        assert empty is not None
        assert (filled.state, filled.facts["holes"]) == (lu.ItemState.PUBLISHED, 1)
        assert empty.state is lu.ItemState.HELD


async def test_a_retry_is_noted_and_counted(session: Session, project: Project) -> None:
    await plan(session, planned(1, 1, 2))
    failure = fails(Reaction.TRANSIENT, "RemoteIOError", stage="read")
    phase = RunPhase(session, project, {(1, 0): [failure]})
    await phase.run()
    assert (phase.tally.done, phase.tally.running) == (2, 0)
    first = session.reader.chunk(1)
    assert first is not None
    assert (first.state, first.attempts) == (lu.ChunkState.DONE, 2)
    (line,) = logged(session, "chunk.retry")
    assert (line["chunk"], line["stage"], line["error_class"]) == (
        "1.tif@0,0",
        "read",
        "RemoteIOError",
    )


async def test_damage_that_an_assembly_finds_is_computed_anew_once(
    session: Session, project: Project
) -> None:
    """The second time the item is dead: its disk, not its chunk, is to blame."""
    await plan(session, planned(1, 1, 3), planned(2, 4, 3))
    damage = fails(Reaction.PERMANENT, "VerifyError", evidence={"chunks": [1]})
    phase = RunPhase(session, project, {(1, None): [damage], (2, None): [damage, damage]})
    await phase.run()
    assert phase.chunks().count((1, 1)) == phase.chunks().count((2, 1)) == 2
    assert len(phase.chunks()) == 8
    assert [path.name for path in project.out.glob("*.tif")] == ["1.tif"]
    (letter,) = session.reader.dead_letters()
    assert (letter["item"], letter["chunk"]) == ("2.tif", None)
    assert phase.tally.items_dead == 1


async def test_only_chosen_chunks_are_run(session: Session, project: Project) -> None:
    """The rest stays as it is, and the run ends all the same."""
    await plan(session, planned(1, 1, 3), planned(2, 4, 3))
    phase = RunPhase(session, project, only=frozenset({2, 6}))
    assert (await phase.run()).reason == "complete"
    assert phase.chunks() == [(1, 1), (2, 2)]
    assert states(session, 1) == ["PENDING", "DONE", "PENDING"]


async def test_what_is_cancelled_is_released(session: Session, project: Project) -> None:
    """Of the units in flight, the one that had begun is marked, and that is taken back."""
    await plan(session, planned(1, 1, 3))
    phase = RunPhase(session, project)

    def cancel(_: object) -> None:
        phase.tally.done = -1  # nothing counts from here on
        phase.engine.dispatcher.tell(u.Command(u.Verb.CANCEL))

    phase.answer = cancel  # type: ignore[method-assign, assignment]
    assert (await phase.run()).reason == "cancelled"
    assert states(session, 1) == ["PENDING"] * 3
    assert session.reader.chunk(1).strikes == 0  # type: ignore[union-attr]
    assert phase.tally.running == 0


async def test_the_start_of_a_brief_chunk_is_not_written(
    session: Session, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of one which lasts is: it is suspect if the engine dies."""
    await plan(session, planned(1, 1, 2))
    phase = RunPhase(session, project)
    begun = asyncio.Event()
    started, put, answer = [], session.committer.put, phase.answer

    def note(update: lu.Update) -> None:
        if isinstance(update, lu.ChunkStarted):
            started.append(update.chunk_id)
            begun.set()
        put(update)

    monkeypatch.setattr(session.committer, "put", note)
    phase.answer = lambda task: None if getattr(task, "index", 0) else answer(task)  # type: ignore[method-assign]
    running = asyncio.ensure_future(phase.run())
    await begun.wait()
    phase.engine.dispatcher.tell(u.Command(u.Verb.CANCEL))
    await running
    assert started == [2]


@pytest.mark.parametrize("cause", ["signal", "retired"])
async def test_parts_of_lost_workers_are_swept_at_the_end(
    cause: WorkerCause, session: Session, project: Project
) -> None:
    """A node was lost while it assembled: others did its work, under names of their own."""
    await plan(session, planned(1, 1, 1))
    phase = RunPhase(session, project)
    part = project.out / f".1.dddddddd.n7.{session.epoch}.part"
    part.write_bytes(b"hal")
    phase.engine.worker_lost(Lost(9, None, (4,), cause, None))
    finish = await phase.run()
    phase.engine.sweep(replace(finish, reason="drained"))
    assert part.exists(), "leases may be in flight"
    phase.engine.sweep(finish)
    assert part.exists() == (cause == "retired"), "what was queued there had not begun"
    assert (project.out / "1.tif").exists()


async def test_a_full_disk_suspends_and_is_told(session: Session, project: Project) -> None:
    await plan(session, planned(1, 1, 2))
    phase = RunPhase(session, project, {(1, 0): [fails(Reaction.SPACE, "DiskFullError")]})
    unsuspended = phase.space.suspended

    def suspended() -> None:
        unsuspended()
        phase.engine.dispatcher.tell(u.Space(ok=True))

    phase.space.suspended = suspended  # type: ignore[method-assign]
    assert (await phase.run()).reason == "complete"
    assert phase.space.told[0] == "suspended"
    assert "disk is full" in logged(session, "run.suspend")[0]["message"]
    assert len(logged(session, "run.unsuspend")) == 1
    assert session.reader.chunk(1).attempts == 1  # type: ignore[union-attr]


async def test_features_set_aside_are_letters_up_to_a_limit(
    session: Session, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log names some of them, the quarantine file has all."""
    monkeypatch.setattr(module, "LETTERS", 2)
    await plan(session, planned(1, 1, 2))
    phase = RunPhase(session, project)
    answer = phase.answer
    letters = tuple(FeatureLetter(n, n, "GeometryError", "bad", "", 0) for n in range(3))

    def with_letters(task: Any) -> Any:
        outcome = answer(task)
        if getattr(task, "index", None) != 0 or outcome is None:
            return outcome
        return replace(outcome, receipt=replace(outcome.receipt, letters=letters))

    phase.answer = with_letters  # type: ignore[method-assign]
    await phase.run()
    assert session.reader.dead_by_class() == {"GeometryError": 2}
    (line,) = logged(session, "features.quarantined")
    assert line["fids"] == [0, 1, 2]
    assert line["message"].startswith("3 features set aside")


async def test_units_in_flight_have_names(session: Session, project: Project) -> None:
    await plan(session, planned(1, 1, 2))
    phase = RunPhase(session, project)
    phase.engine.refill(1)
    assert phase.engine.label(u.Unit(u.Kind.CHUNK, 1)) == "1.tif@0,0"
    assert phase.engine.label(u.Unit(u.Kind.FINALISE, 1)) == "1.tif"
