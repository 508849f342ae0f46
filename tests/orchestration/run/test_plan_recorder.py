"""Decisions of the planner become rows of the ledger and counts before the run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from run_project import Project
from scripted_session import done, fails, logged, planned, session_of

from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.looking import InspectReceipt
from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan, SourceIdentity
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.plan.recipe import Decision, Recipe
from geobatch_tui.orchestration.run.plan_phase import PlanRecorder
from geobatch_tui.orchestration.state.outcome import Tally
from geobatch_tui.orchestration.state.outlook import Outlook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from geobatch_tui.orchestration.run.monitor import Monitor
    from geobatch_tui.orchestration.state.session import Session

PLAN = ItemPlan(ChunkGrid(3, 1, 1, 1), 7, 9, {})
DECISION = Decision("a.tif", "/data/a.tif", SourceIdentity(1, 2, "a" * 32), "f" * 32, "new")


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    with session_of(Project(tmp_path)) as session:
        yield session


def recorder(session: Session, root: Path, **output: Any) -> tuple[PlanRecorder, Tally]:
    session.loaded = Project(root, values={"output": output}).job()
    recipe = Recipe.of(session.job, get_operation(session.job.op.name), 1 << 20)
    tally = Tally()
    monitor = SimpleNamespace(tally=tally, outlook=Outlook())
    return PlanRecorder(session, recipe, cast("Monitor", monitor)), tally


async def row_of(session: Session, key: str = "a.tif") -> lu.ItemRow:
    await session.flush()
    row = session.reader.item_by_key(key)
    assert row is not None
    return row


async def test_a_plan_becomes_pending_chunks(session: Session, tmp_path: Path) -> None:
    made, tally = recorder(session, tmp_path)
    made.take(replace(DECISION, plan=PLAN))
    made.take(replace(DECISION, key="b.tif", plan=PLAN))
    first, second = await row_of(session), await row_of(session, "b.tif")
    assert (first.first_chunk, first.n_chunks, second.first_chunk) == (1, 3, 4)
    assert ItemPlan.from_json(first.plan) == PLAN
    assert (first.state, first.reason, first.fingerprint) == (
        lu.ItemState.PLANNED,
        "new",
        "f" * 32,
    )
    assert (tally.items, tally.total, tally.pending) == (2, 6, 6)


async def test_chunks_that_are_planned_anew_have_new_ids(session: Session, tmp_path: Path) -> None:
    """The item keeps its own; its spools are removed."""
    made, _ = recorder(session, tmp_path)
    made.take(replace(DECISION, plan=PLAN))
    row = await row_of(session)
    spools = session.state.work(row.item_id)
    spools.mkdir(parents=True)
    made.take(replace(DECISION, plan=PLAN, row=row, reason="param_changed"))
    again = await row_of(session)
    assert (again.item_id, again.first_chunk, again.reason) == (row.item_id, 4, "param_changed")
    assert not spools.exists()


async def test_a_refused_input_is_a_letter_of_its_item(session: Session, tmp_path: Path) -> None:
    made, tally = recorder(session, tmp_path)
    made.take(replace(DECISION, failure=fails(stage="open")))
    row = await row_of(session)
    assert (row.state, row.n_chunks, row.plan) == (lu.ItemState.DEAD, 1, {})
    (letter,) = session.reader.dead_letters()
    assert (letter["item"], letter["chunk"], letter["stage"]) == ("a.tif", None, "open")
    assert letter["reproduce"] == "gdalinfo /data/a.tif"
    assert (tally.total, tally.dead, tally.items_dead) == (1, 1, 1)
    assert [line["item"] for line in logged(session, "item.dead")] == ["a.tif"]


async def test_an_unsafe_input_is_not_to_be_opened_by_hand(
    session: Session, tmp_path: Path
) -> None:
    made, _ = recorder(session, tmp_path)
    made.take(replace(DECISION, failure=fails(name="UnsafeInputError")))
    await session.flush()
    assert [letter["reproduce"] for letter in session.reader.dead_letters()] == [""]


async def test_an_output_is_adopted(session: Session, tmp_path: Path) -> None:
    (session.output_dir / "a.tif").write_bytes(b"whole")
    made, tally = recorder(session, tmp_path)
    receipt = InspectReceipt("f" * 32, 5, "e" * 64, {"made": True})
    made.take(replace(DECISION, plan=PLAN, adopted=receipt, reason="current"))
    row = await row_of(session)
    assert (row.state, row.n_done, row.out_size, row.out_digest, row.reason) == (
        lu.ItemState.PUBLISHED,
        3,
        5,
        "e" * 64,
        "adopted",
    )
    assert (tally.total, tally.current, tally.published) == (3, 3, 1)


@pytest.mark.parametrize(
    ("state", "reason", "on_dead", "after", "counts"),
    [
        # what the ledger has, the decision, the job's policy; then the state, and the tally's
        # published, held and dead items.
        (lu.ItemState.PLANNED, "was_interrupted", "hold", lu.ItemState.PLANNED, (0, 0, 0)),
        (lu.ItemState.ORPHAN, "was_interrupted", "hold", lu.ItemState.PLANNED, (0, 0, 0)),
        (lu.ItemState.HELD, "was_failed", "hold", lu.ItemState.HELD, (0, 1, 0)),
        (lu.ItemState.HELD, "was_failed", "fill", lu.ItemState.PLANNED, (0, 0, 0)),
    ],
)
async def test_known_items_come_back(
    session: Session,
    tmp_path: Path,
    state: lu.ItemState,
    reason: str,
    on_dead: str,
    after: lu.ItemState,
    counts: tuple[int, int, int],
) -> None:
    session.put(lu.ItemPlanned(planned(1, 1, 3, "a.tif")))
    session.put(done(1, 1))
    session.put(lu.DeadLetter(1, 2, 1, 0, "SchemaError", {"item": "a.tif"}))
    session.put(lu.ItemChanged(1, state, "because"))
    row = await row_of(session)
    made, tally = recorder(session, tmp_path, on_dead_chunk=on_dead)
    made.take(replace(DECISION, row=row, reason=reason))
    assert (await row_of(session)).state is after
    assert (tally.total, tally.current, tally.dead) == (3, 1, 1)
    assert (tally.published, tally.held, tally.items_dead) == counts


async def test_an_orphan_whose_output_stands_is_published_again(
    session: Session, tmp_path: Path
) -> None:
    """Its source may be a copy, with another time, which is noted."""
    row = planned(1, 1, 3, "a.tif", src_mtime_ns=5, out_digest="e" * 64, out_size=5)
    session.put(lu.ItemPlanned(replace(row, state=lu.ItemState.PUBLISHED, n_done=3), adopted=True))
    session.put(lu.ItemChanged(1, lu.ItemState.ORPHAN, "no longer an input"))
    made, tally = recorder(session, tmp_path)
    made.take(replace(DECISION, row=await row_of(session), reason="current"))
    again = await row_of(session)
    assert (again.state, again.src_mtime_ns) == (lu.ItemState.PUBLISHED, 2)
    assert (tally.total, tally.current, tally.published) == (3, 3, 1)


async def test_orphans_are_marked_once(session: Session, tmp_path: Path) -> None:
    session.put(lu.ItemPlanned(planned(1, 1, 3, "a.tif")))
    before = await row_of(session)
    made, _ = recorder(session, tmp_path)
    made.mark([(1, "a.tif", before.state)])
    row = await row_of(session)
    assert (row.state, row.reason) == (lu.ItemState.ORPHAN, "no longer an input")
    seq = session.reader.last_seq()
    made.mark([(1, "a.tif", row.state)])
    await session.flush()
    assert session.reader.last_seq() == seq
