"""Open items: which chunks are handed out, once each, and what is known of their items."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from run_project import Project
from scripted_session import done, planned, session_of

from geobatch_tui.errors import StateError
from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan, StagePlan
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.run.open_items import HANDLES, OpenItems
from geobatch_tui.orchestration.schedule import events as u

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from geobatch_tui.orchestration.state.session import Session


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    """Items of 3, 1 and 4 chunks; the third has one done and one dead."""
    with session_of(Project(tmp_path)) as session:
        for row in (planned(1, 1, 3), planned(2, 4, 1), planned(3, 5, 4)):
            session.put(lu.ItemPlanned(row))
        session.put(done(5, 3))
        session.put(lu.DeadLetter(3, 6, 1, 0, "SchemaError", {"chunk": "3.tif@0,1"}))
        session.put(lu.ChunkWaiting(7, 2, 1, 1, 0.0, "RemoteIOError", ""))
        await session.flush()
        yield session


def opened(session: Session, tmp_path: Path, only: frozenset[int] | None = None) -> OpenItems:
    return OpenItems(session, only)


def idents(units: tuple[u.Unit, ...]) -> list[int]:
    return [unit.ident for unit in units]


async def test_each_open_chunk_is_handed_out_once(session: Session, tmp_path: Path) -> None:
    items = opened(session, tmp_path)
    assert idents(items.refill(2)) == [1, 2]
    assert idents(items.refill(3)) == [3, 4, 7]
    assert not items.idle
    assert idents(items.refill(3)) == [8]
    assert items.refill(3) == ()


@pytest.fixture
async def staged(tmp_path: Path) -> AsyncIterator[Session]:
    """Items of a stage of 2 chunks and an output of 3; of the second, the stage has a dead letter
    and nothing else to do."""
    with session_of(Project(tmp_path)) as session:
        for number, first in ((1, 1), (2, 6)):
            row = planned(number, first, 5)
            stage = StagePlan(ChunkGrid(2, 1, 1, 1), 7, 1, 1, 1, "asked")
            plan = ItemPlan(ChunkGrid(3, 1, 1, 1), 1, 1, {}, stages=(stage,))
            session.put(lu.ItemPlanned(replace(row, plan=plan.to_json())))
        session.put(done(6, 2))
        session.put(lu.DeadLetter(2, 7, 1, 0, "SchemaError", {"chunk": "2.tif@stage1:0,1"}))
        await session.flush()
        yield session


async def test_chunks_wait_for_their_stage(staged: Session, tmp_path: Path) -> None:
    items = opened(staged, tmp_path)
    first = items.refill(9)
    assert [(unit.ident, unit.bytes) for unit in first] == [(1, 7), (2, 7)]
    assert [item.context.item_id for item in items.stuck] == [2]
    assert items.refill(9) == ()
    items.settle(1, done=True)
    assert items.refill(9) == ()
    items.settle(2, done=True)
    assert not items.idle
    assert [(unit.ident, unit.bytes) for unit in items.refill(2)] == [(3, 1), (4, 1)]
    assert idents(items.refill(9)) == [5]
    items.rewind()
    assert items.refill(9) == ()


async def test_chunks_behind_a_stage_that_is_damaged_wait_again(
    staged: Session, tmp_path: Path
) -> None:
    items = opened(staged, tmp_path)
    items.refill(9)
    for chunk in (1, 2):
        items.settle(chunk, done=True)
        staged.put(done(chunk, 1))
    await staged.flush()
    for chunk in (1, 2):
        items.committed(chunk)
    assert idents(items.refill(1)) == [3]
    item, _ = items.chunk(3)
    item.stages.lose([0])
    items.take_back(3)
    staged.put(lu.ChunkReleased(1))
    staged.put(lu.ChunkReleased(3))
    await staged.flush()
    items.rewind()
    assert idents(items.refill(9)) == [1]
    items.settle(1, done=True)
    assert idents(items.refill(9)) == [3, 4, 5]


async def test_a_unit_carries_what_earlier_runs_left(session: Session, tmp_path: Path) -> None:
    unit = opened(session, tmp_path).refill(5)[-1]
    assert (unit.ident, unit.attempts, unit.crashes, unit.strikes) == (7, 2, 1, 1)
    assert (unit.bytes, unit.handles) == (1, HANDLES[u.Kind.CHUNK])


@pytest.mark.parametrize(
    ("notes", "order", "strips"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [1] * 3 + [4] * 3 + [7] * 3 + [None]),
        ({"strip_rows": 2}, [1, 4, 2, 5, 3, 6, 7, 8, 9, 10], [1] * 6 + [7] * 3 + [None]),
    ],
)
async def test_units_that_share_what_they_read_are_in_strips(
    tmp_path: Path, notes: dict[str, object], order: list[int], strips: list[int | None]
) -> None:
    """Those of a row of chunks, by its first, or of two rows, by columns; others are in none."""
    with session_of(Project(tmp_path)) as session:
        plan = ItemPlan(ChunkGrid(3, 3, 1, 1), 1, 1, {}, notes={"overlaps": True} | notes)
        session.put(lu.ItemPlanned(planned(1, 1, 9, plan=plan.to_json())))
        session.put(lu.ItemPlanned(planned(2, 10, 1)))
        await session.flush()
        units = opened(session, tmp_path).refill(12)
    assert [unit.ident for unit in units] == order
    assert [unit.strip for unit in units] == strips


async def test_items_count_what_is_settled(session: Session, tmp_path: Path) -> None:
    items = opened(session, tmp_path)
    items.refill(10)
    item, index = items.chunk(8)
    assert (item.context.key, index) == ("3.tif", 3)
    assert (item.remaining, item.done, item.dead) == (2, 1, 1)
    items.settle(7, done=True)
    items.settle(8, done=False)
    assert (item.remaining, item.done, item.dead) == (0, 2, 2)
    with pytest.raises(KeyError):
        items.chunk(8)
    assert items.item(2).whole
    assert not item.whole


async def test_after_a_rewind_nothing_is_handed_out_twice(session: Session, tmp_path: Path) -> None:
    """Neither what is in flight nor what is settled, but not in the ledger yet."""
    items = opened(session, tmp_path)
    items.refill(10)
    items.settle(1, done=True)
    items.rewind()
    assert items.refill(10) == ()
    items.rewind()
    items.committed(1)  # the ledger, which was not told, still has it open
    items.committed(None)
    assert idents(items.refill(10)) == [1]


async def test_it_is_idle_once_all_items_are_closed(session: Session, tmp_path: Path) -> None:
    items = opened(session, tmp_path)
    items.refill(10)
    for item_id in (1, 2):
        items.close(item_id)
    assert not items.idle
    items.close(3)
    assert items.idle
    items.rewind()
    assert not items.idle


async def test_of_chosen_chunks_it_is_idle_once_these_are_settled(
    session: Session, tmp_path: Path
) -> None:
    """Their items stay open, for the sake of the others."""
    items = opened(session, tmp_path, frozenset({2, 5, 8}))
    assert idents(items.refill(1)) == [2]
    assert idents(items.refill(5)) == [8]
    items.settle(2, done=True)
    assert not items.idle
    items.settle(8, done=True)
    assert items.idle


async def test_an_item_that_is_not_in_the_ledger(session: Session, tmp_path: Path) -> None:
    items = opened(session, tmp_path)
    assert items.get(1) is None
    with pytest.raises(KeyError, match="item 9"):
        items.item(9)


async def test_complete_items_are_those_without_a_chunk_to_do(
    session: Session, tmp_path: Path
) -> None:
    session.put(done(4, 2))
    await session.flush()
    assert [item.context.key for item in opened(session, tmp_path).complete()] == ["2.tif"]


async def test_segments_are_in_the_order_of_chunks(session: Session, tmp_path: Path) -> None:
    for chunk_id, offset in ((3, 0), (1, 10)):
        session.put(done(chunk_id, 1, offset=offset))
    await session.flush()
    items = opened(session, tmp_path)
    found = [(one.index, one.offset) for one in items.segments(items.item(1))]
    assert found == [(0, 10), (2, 0)]


async def test_a_spool_of_another_item_is_refused(session: Session, tmp_path: Path) -> None:
    """A ledger that somebody else wrote may name any file."""
    session.put(done(1, 1, spool="../2/s.spool"))
    await session.flush()
    items = opened(session, tmp_path)
    with pytest.raises(StateError, match="spool that is not its item's"):
        list(items.segments(items.item(1)))
