"""A plan's totals: memory and output also of items that an earlier run left unfinished."""

from __future__ import annotations

import pytest
from scripted_session import planned

from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan, SourceIdentity
from geobatch_tui.ledger.schema.updates import ChunkRow, ChunkState
from geobatch_tui.orchestration.plan.plan_report import PlanReport
from geobatch_tui.orchestration.plan.recipe import Decision


@pytest.mark.parametrize(("done", "output"), [(0, 1000), (3, 250), (4, 250)])
def test_what_is_left_of_an_interrupted_item_is_counted(done: int, output: int) -> None:
    """Bytes of done chunks lie on the disk already; the last part is counted until the output is
    published."""
    plan = ItemPlan(ChunkGrid(4, 1, 1, 1), 5000, 1000, {})
    row = planned(7, 1, 4, plan=plan.to_json())
    states = [ChunkState.DONE] * done + [ChunkState.PENDING] * (4 - done)
    report = PlanReport(2, "out")
    report.chunk_rows = lambda _: (
        ChunkRow(n + 1, 7, state, 0, 0, 0, 0.0) for n, state in enumerate(states)
    )
    identity = SourceIdentity(1, 2, "a" * 32)
    report.add(Decision("7.tif", "/data/7.tif", identity, "d" * 32, "was_interrupted", row=row))
    assert report.output_bytes == output
    assert report.peak_memory_bytes > 2 * 5000
    assert report.reasons["current"] == done
