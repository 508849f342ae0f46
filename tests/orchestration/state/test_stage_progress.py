"""Which chunks wait for a stage, and when none can go on."""

from __future__ import annotations

from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan, StagePlan
from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.orchestration.state.stage_progress import StageProgress

DONE, DEAD, PENDING = ChunkState.DONE, ChunkState.DEAD, ChunkState.PENDING


def grid(chunks: int) -> ChunkGrid:
    return ChunkGrid(chunks, 1, 1, 1)


def plan(*stages: int) -> ItemPlan:
    made = tuple(
        StagePlan(grid(chunks), 1, number, number, 1, "asked")
        for number, chunks in enumerate(stages, 1)
    )
    return ItemPlan(grid(3), 1, 1, {}, stages=made)


def test_an_item_without_stages_waits_for_nothing() -> None:
    progress = StageProgress.of(plan(), b"")
    assert not any(progress.waits(index) for index in range(3))
    assert not progress.stuck
    assert progress.settle(2, done=False) is None


def test_each_stage_waits_for_all_of_the_one_before() -> None:
    progress = StageProgress.of(plan(2, 1), bytes([DONE, PENDING, PENDING]))
    assert [progress.waits(index) for index in range(6)] == [False, False, *[True] * 4]
    assert progress.settle(1, done=True) == (2, 3)
    assert [progress.waits(index) for index in range(2, 6)] == [False, *[True] * 3]
    assert progress.settle(2, done=True) == (3, 6)
    assert not any(progress.waits(index) for index in range(6))


def test_a_dead_chunk_of_a_stage_leaves_the_item_stuck_once_the_others_are_done() -> None:
    progress = StageProgress.of(plan(3), bytes([DEAD, PENDING, PENDING]))
    assert progress.settle(1, done=True) is None
    assert not progress.stuck
    assert progress.settle(2, done=False) is None
    assert progress.stuck
    assert progress.told().startswith("2 of 3 chunks that are stored behind step 1")
    progress.revive("a.tif@stage1:0,2")
    progress.revive("a.tif@0,2")
    assert (progress.stuck, progress.dead) == (False, [1])


def test_lost_chunks_make_what_is_behind_them_wait_again() -> None:
    progress = StageProgress.of(plan(2, 1), bytes([DONE, DONE, DONE]))
    progress.lose([1])
    assert [progress.waits(index) for index in range(6)] == [False, False, *[True] * 4]
    # What comes after the second stage, which is complete, goes on at once.
    assert progress.settle(1, done=True) == (2, 6)
