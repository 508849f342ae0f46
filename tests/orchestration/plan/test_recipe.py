"""What a decision says of its item: its plan, and whether the ledger must be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project
from scripted_session import fails, planned

from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan, SourceIdentity
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.orchestration.plan.recipe import UNPLANNED, Decision, Recipe

if TYPE_CHECKING:
    from pathlib import Path

NEW = ItemPlan(ChunkGrid(9, 1, 1, 1), 1, 1, {})
ROW = planned(7, 1, 3)
DECISION = Decision("a.tif", "/data/a.tif", SourceIdentity(1, 2, "a" * 32), "f" * 32, "new")


@pytest.mark.parametrize(
    ("changes", "chunks"),
    [
        ({}, 1),
        ({"plan": NEW}, 9),
        ({"row": ROW}, 3),
        ({"row": ROW, "plan": NEW}, 9),
        ({"row": ROW, "failure": fails()}, 1),
        ({"row": replace(ROW, plan={})}, 1),
    ],
)
def test_the_plan_of_an_item(changes: dict[str, Any], chunks: int) -> None:
    """A new one before the ledger's; none where the probe refused."""
    plan = replace(DECISION, **changes).item_plan
    assert len(plan.grid) == chunks
    assert (plan is UNPLANNED) is (chunks == 1)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"row": ROW, "reason": "was_interrupted"}, 7),
        ({"row": ROW, "reason": "was_failed"}, 7),
        ({"row": ROW, "reason": "current"}, None),
        ({"row": ROW, "reason": "was_failed", "failure": fails()}, None),
        ({"row": ROW, "reason": "was_interrupted", "plan": NEW}, None),
        ({"reason": "was_failed"}, None),
    ],
)
def test_the_ledger_is_asked_where_chunks_differ(
    changes: dict[str, Any], asked: int | None
) -> None:
    assert replace(DECISION, **changes).unfinished_id == asked


@pytest.mark.parametrize(
    ("reason", "row", "known"),
    [
        ("current", ROW, True),
        ("was_interrupted", ROW, True),
        ("was_failed", replace(ROW, plan={}, state=ItemState.DEAD), True),
        ("was_failed", replace(ROW, plan={}), False),
        ("param_changed", ROW, False),
        ("new", None, False),
    ],
)
def test_what_needs_no_probe(reason: str, row: Any, known: bool) -> None:
    assert replace(DECISION, reason=reason, row=row).is_known is known


def test_operational_values_are_no_part_of_a_recipe(tmp_path: Path) -> None:
    """A chunk size or a number of workers changes no digest; a semantic value does."""

    def digests(chunk_cols: int, size: int) -> tuple[str, str]:
        values = {"engine": {"chunk_cols": chunk_cols}}
        job = Project(tmp_path, values=values, op={"bytes": size}).job().job
        recipe = Recipe.of(job, get_operation(job.op.name), 1 << 20)
        return recipe.params_digest, recipe.code_digest

    assert digests(512, 64) == digests(1024, 64)
    assert digests(512, 64)[0] != digests(512, 65)[0]
    assert digests(512, 64)[1] == digests(512, 65)[1]
