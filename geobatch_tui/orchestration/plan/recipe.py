"""What every item of a job is planned by, and what the planner decided for one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.protocol.messages import (
    Chunking,
    Failure,
    InspectReceipt,
    ItemPlan,
    SourceIdentity,
)
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.orchestration.plan.fingerprints import (
    code_identity,
    digest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.config.schema import Job
    from geobatch_tui.execution.ops.registry import Operation
    from geobatch_tui.ledger.schema.updates import ItemRow


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all items of a job share: parameters, code, and their digests."""

    operation: Operation
    params: Mapping[str, Any]
    params_digest: str
    code_digest: str
    chunking: Chunking
    output_dir: Path

    @classmethod
    def of(cls, job: Job, operation: Operation, chunk_bytes: int, most_bytes: int = 0) -> Recipe:
        """The recipe of a job. ``chunk_bytes`` caps the predicted peak of one chunk; an item of
        which one needs more than ``most_bytes``, however small, is refused (0: none is)."""
        params = job.semantic()
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
            output_dir=Path(job.output.dir),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about one item, and why.

    ``reason`` is one of the reasons of ``plan --explain``; ``changed``: keys of values that differ
    where it is ``param_changed``. ``row`` is the ledger's, if any. ``layer`` is that of the input.
    ``plan`` is set where chunks are to be computed anew, ``failure`` where the probe refused,
    ``adopted`` where an intact output stands without a row.
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
    replaces: bool = False
    changed: tuple[str, ...] = ()
    layer: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the ledger holds all that there is to say of the item."""
        if self.reason not in {"current", "was_failed", "was_interrupted"} or self.row is None:
            return False
        return bool(self.row.plan) or self.row.state is ItemState.DEAD
