"""Fingerprints of stages, and which of an earlier plan of an item still hold.

What follows a stage can change alone: the stage depends on the source, the code and the steps
before it.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from geobatch_tui.execution.protocol.messages import ItemPlan
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.orchestration.plan.fingerprints import SCHEMA, digest

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import SourceIdentity, StagePlan
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.orchestration.plan.recipe import Recipe


def with_fingerprints(plan: ItemPlan, recipe: Recipe, source: SourceIdentity) -> ItemPlan:
    """Return ``plan`` with the fingerprints of its stages. The chunks are part of them: they decide
    where in the file a pixel lies."""
    if not plan.stages:
        return plan
    shared = [SCHEMA, recipe.code_digest, source.size, source.digest, recipe.params.get("source")]
    stages = tuple(
        replace(stage, fingerprint=digest([*shared, *_of_stage(plan, recipe, stage)]))
        for stage in plan.stages
    )
    return replace(plan, stages=stages)


def _of_stage(plan: ItemPlan, recipe: Recipe, stage: StagePlan) -> list[object]:
    """Return what decides the pixels of a stage beside source and code, and their places."""
    steps = recipe.params["op"]["steps"][: stage.steps]
    return [steps, plan.detail["chain"][: stage.after + 1], asdict(stage.grid)]


def kept_stages(row: ItemRow, plan: ItemPlan) -> tuple[StagePlan, ...]:
    """Return the first stages of ``plan`` of which an unfinished item has files by its row."""
    if row.state not in {ItemState.PLANNED, ItemState.HELD, ItemState.DEAD} or not row.plan:
        return ()
    kept: list[StagePlan] = []
    for stage, old in zip(plan.stages, ItemPlan.from_json(row.plan).stages, strict=False):
        if not old.fingerprint or stage.fingerprint != old.fingerprint:
            break
        kept.append(stage)
    return tuple(kept)
