"""The values that all items of a job are planned with, and the decision on one item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.execution.params.frozen import step_version
from geobatch_tui.execution.protocol.messages import (
    ChunkGrid,
    Chunking,
    Failure,
    ItemPlan,
    SourceIdentity,
)
from geobatch_tui.execution.stores.output_prefix import OutputPrefix, is_prefix, local_place
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.orchestration.plan.fingerprints import code_identity, digest
from geobatch_tui.orchestration.plan.standing.standing_outputs import LocalOutputs, ObjectOutputs

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.config.schema import Job, JobValues
    from geobatch_tui.execution.protocol.looking import InspectReceipt
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.operation import Operation
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.orchestration.plan.standing.standing_outputs import StandingOutputs

UNPLANNED = ItemPlan(ChunkGrid(1, 1, 1, 1), 0, 0, {})
"""The plan of an item that could not be planned: one chunk, so that the totals add up."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Parameters and code of all items of a job, with their digests."""

    operation: Operation
    params: Json
    params_digest: str
    code_digest: str
    chunking: Chunking
    output_dir: Path
    prefix: OutputPrefix | None = None

    @classmethod
    def of(cls, job: Job, operation: Operation, chunk_bytes: int, most_bytes: int = 0) -> Recipe:
        """Make the recipe of a job. ``chunk_bytes`` caps the predicted peak of a chunk; an item
        whose smallest possible chunk needs more than ``most_bytes`` is refused (0: none is)."""
        params = _with_versions(job.semantic())
        return cls(
            operation=operation,
            params=params,
            params_digest=digest(params),
            code_digest=digest(code_identity(operation)),
            chunking=Chunking(
                job.engine.chunk_cols,
                job.engine.chunk_rows,
                job.engine.chunk_features,
                chunk_bytes,
                most_bytes,
            ),
            output_dir=local_place(job.output.dir),
            prefix=OutputPrefix.of(job.output.dir) if is_prefix(job.output.dir) else None,
        )

    def outputs(self) -> StandingOutputs:
        """Return what is there of the outputs of the job."""
        if self.prefix is None:
            return LocalOutputs(self.output_dir)
        return ObjectOutputs(self.prefix)


def _with_versions(params: JobValues) -> JobValues:
    """Return the values of a job with the version of each step of a chain beside its parameters, so
    that one that changes makes its own outputs stale, and is named."""
    steps = params["op"].get("steps")
    if not isinstance(steps, list):
        return params
    known = [
        {**step, "version": step_version(step["name"])} if "name" in step else step
        for step in steps
    ]
    return {**params, "op": {**params["op"], "steps": known}}


@dataclass(frozen=True, slots=True)
class Decision:
    """Work to do for one item, and the reason.

    ``reason`` is one of the reasons of ``plan --explain``; ``changed``: keys of values that differ
    if it is ``param_changed``. ``row`` is the ledger's, if any. ``layer`` is that of the input.
    ``plan`` is set if chunks are to be computed anew, ``failure`` if the probe refused,
    ``adopted`` if an intact output stands without a row, since ``made_ns``.
    """

    key: str
    source: str
    identity: SourceIdentity
    fingerprint: str
    reason: str
    detail: str = ""
    row: ItemRow | None = None
    plan: ItemPlan | None = None
    failure: Failure | None = None
    adopted: InspectReceipt | None = None
    made_ns: int = 0
    replaces: bool = False
    changed: tuple[str, ...] = ()
    layer: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the ledger's row says enough, so that no probe is needed."""
        if self.reason not in {"current", "was_failed", "was_interrupted"} or self.row is None:
            return False
        return bool(self.row.plan) or self.row.state is ItemState.DEAD

    @property
    def item_plan(self) -> ItemPlan:
        """The item's plan, new or from the ledger; :data:`UNPLANNED` where there is none."""
        if self.plan is not None:
            return self.plan
        if self.row is not None and self.row.plan and self.failure is None:
            return ItemPlan.from_json(self.row.plan)
        return UNPLANNED

    @property
    def unfinished_id(self) -> int | None:
        """The item's id if the states of its chunks differ, so that the ledger must be asked."""
        if self.row is None or self.plan is not None or self.failure is not None:
            return None
        return self.row.item_id if self.reason in {"was_interrupted", "was_failed"} else None
