"""The end of items while a run goes on: letters tried again, publications that fail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project
from scripted_session import RunPhase, logged, planned, session_of

from geobatch_tui.errors import OutputGoneError, StateError
from geobatch_tui.execution.protocol.messages import ChunkTask, Outcome, Task
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.state.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    """Two items of two chunks, of each of which one is dead, and one that could not be planned."""
    with session_of(Project(tmp_path)) as session:
        for row in (planned(1, 1, 2), planned(2, 3, 2), planned(3, 5, 1, plan={})):
            session.put(lu.ItemPlanned(row))
        for item_id, chunk_id, label, name in (
            (1, 1, "1.tif@0,0", "SchemaError"),
            (2, 4, "2.tif@0,1", "VerifyError"),
            (3, None, None, "CrsError"),
        ):
            record = {"item": f"{item_id}.tif", "chunk": label, "feature": None}
            record |= {"item_id": item_id, "error_class": name}
            session.put(lu.DeadLetter(item_id, chunk_id, 1, 0, name, record))
        await session.flush()
        yield session


@pytest.mark.parametrize(
    ("classes", "keys", "chosen"),
    [
        ((), (), {1, 4}),
        (("SchemaError",), (), {1}),
        (("VerifyError", "SchemaError"), (), {1, 4}),
        (("VerifyError",), ("1.tif",), set()),
        ((), ("1.tif@0,0",), {1}),
        ((), ("2.tif",), {4}),
        (("CrsError",), (), set()),
    ],
)
async def test_letters_are_tried_again_while_the_run_goes_on(
    session: Session, tmp_path: Path, classes: Any, keys: Any, chosen: set[int]
) -> None:
    """All or some; the letter of an item that was never planned is left for a new run."""
    phase = RunPhase(session, Project(tmp_path))
    phase.engine.refill(10)
    finisher, dispatcher = phase.engine.finisher, phase.engine.dispatcher
    assert finisher.requeue(classes, keys) == len(chosen)
    await asyncio.gather(*finisher._side_tasks)
    ids = {1: "SchemaError", 4: "VerifyError", None: "CrsError"}
    left = {name for chunk_id, name in ids.items() if chunk_id not in chosen}
    assert set(session.reader.dead_by_class()) == left
    assert dispatcher.scheduler.place.backlog.ready == 2 + len(chosen)
    for chunk_id in chosen:
        item, _ = phase.engine._open_items.chunk(chunk_id)
        assert (item.remaining, item.dead) == (2, 0)


async def test_the_run_waits_for_letters_that_are_tried_again_beside_its_last_chunk(
    session: Session, tmp_path: Path
) -> None:
    """They are pending only once the ledger says so: the last chunk ends before that."""
    phase = RunPhase(session, Project(tmp_path))
    answer, requeued = phase.answer, []

    def retry_beside(task: Task) -> Outcome | None:
        if isinstance(task, ChunkTask) and task.item.item_id == 2 and not requeued:
            requeued.append(phase.engine.finisher.requeue((), ("1.tif",)))
        return answer(task)

    phase.answer = retry_beside  # type: ignore[method-assign]
    assert (await phase.run()).reason == "complete"
    assert requeued == [1]
    assert phase.chunks() == [(1, 1), (2, 0), (1, 0)]
    assert session.reader.counts()["pending"] == 0


async def test_letters_stay_where_the_run_is_ending(session: Session, tmp_path: Path) -> None:
    """Nothing would compute them, and the run would end as if nothing had failed."""
    phase = RunPhase(session, Project(tmp_path))
    await phase.run()
    before = session.reader.dead_by_class()
    with pytest.raises(ValueError, match="the run is ending"):
        phase.engine.finisher.requeue((), ())
    await session.flush()
    assert session.reader.dead_by_class() == before


async def test_a_publication_that_fails_is_a_letter_of_its_item(
    session: Session, tmp_path: Path
) -> None:
    phase = RunPhase(session, Project(tmp_path))
    update = lu.ItemPublished(1, "/gone.part", 1, "e" * 64, {})
    phase.engine.finisher.publishing[1] = "1.tif"
    phase.engine.finisher.not_published(update, OutputGoneError("the folder is gone"))
    await session.flush()
    letter = list(session.reader.dead_letters())[-1]
    assert (letter["item"], letter["error_class"], letter["stage"]) == (
        "1.tif",
        "OutputGoneError",
        "publish",
    )
    assert phase.tally.items_dead == 1
    assert phase.engine.finisher.publishing == {}
    assert [line["item"] for line in logged(session, "item.dead")] == ["1.tif"]


async def test_a_publication_of_an_unknown_item_is_raised(session: Session, tmp_path: Path) -> None:
    """A ledger that lost the row cannot be gone on with."""
    phase = RunPhase(session, Project(tmp_path))
    error = StateError("no such item")
    with pytest.raises(StateError) as raised:
        phase.engine.finisher.not_published(lu.ItemPublished(9, "p", 1, "e", {}), error)
    assert raised.value is error


async def test_an_assembly_that_cannot_be_offered_ends_the_run(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a commit in a task of its own, whose error would be lost."""
    session.put(lu.ItemPlanned(planned(4, 6, 2)))
    await session.flush()
    phase = RunPhase(session, Project(tmp_path), only=frozenset({6, 7}))
    answer, error = phase.answer, StateError("the ledger is gone")

    async def flush(_: Session) -> None:
        raise error

    def breaking(task: Any) -> Any:
        monkeypatch.setattr(Session, "flush", flush)
        return answer(task)

    phase.answer = breaking  # type: ignore[method-assign]
    with pytest.raises(StateError) as raised:
        await phase.run()
    assert raised.value is error
    assert phase.chunks() == [(4, 0), (4, 1)]
    monkeypatch.undo()
