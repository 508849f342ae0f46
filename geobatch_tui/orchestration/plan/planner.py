"""Joins the inputs of a job with what the ledger knows, and has workers probe the rest.

The planner yields a :class:`Decision` for each input, or for each layer of it, in input order; it
holds only inputs whose probe is under way. It writes nothing: ``plan`` counts the decisions,
``run`` records them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from itertools import batched
from typing import TYPE_CHECKING

from geobatch_tui.errors import Reaction, RemoteIOError, SourceNotFoundError
from geobatch_tui.execution.protocol.looking import (
    InspectReceipt,
    InspectTask,
    LayersReceipt,
    LayersTask,
)
from geobatch_tui.execution.protocol.messages import Failure, ItemPlan, ProbeTask, SourceIdentity
from geobatch_tui.execution.sources.file_identity import EDGE
from geobatch_tui.execution.sources.object_sources import tag_of
from geobatch_tui.execution.sources.source_list import is_source_list
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.observability.redact import redact_value
from geobatch_tui.orchestration.plan.fingerprints import (
    UNSEEN,
    changed_code,
    changed_keys,
    functions_in,
    identify_all,
    identity_of,
    item_fingerprint,
)
from geobatch_tui.orchestration.plan.inputs import EVERY, Input, Names, items_of, prefix_of
from geobatch_tui.orchestration.plan.parts.group_parts import GroupParts, Kept
from geobatch_tui.orchestration.plan.parts.survey_parts import SurveyParts
from geobatch_tui.orchestration.plan.plan_report import too_large
from geobatch_tui.orchestration.plan.recipe import Decision
from geobatch_tui.orchestration.plan.remote.store_waits import StoreWaits, store_of
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.backoff import RetryPolicy
from geobatch_tui.orchestration.state.open_item import HELD_WHOLE
from geobatch_tui.orchestration.workers.dispatcher import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from geobatch_tui.config.schema import Job
    from geobatch_tui.execution.protocol.messages import Json, Outcome, Task
    from geobatch_tui.ledger.read.reader import LedgerReader
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.orchestration.plan.fingerprints import Identified
    from geobatch_tui.orchestration.plan.recipe import Recipe
    from geobatch_tui.orchestration.plan.standing.standing_outputs import Existing, Standing
    from geobatch_tui.orchestration.workers.dispatcher import Dispatcher

LOOKAHEAD = 256
"""Inputs that may be in the planner at once."""

TOGETHER = 16
"""Inputs that a thread reads in one go: handing over each would take longer than a small file."""


#: Errors of a source that cannot be read any more, as its output may stand nevertheless.
_MISSING = frozenset({SourceNotFoundError.__name__, RemoteIOError.__name__})


class Planner(Listener):
    """Plans the items of one job; listens to the dispatcher that it gives its probes to.

    Args:
        job: the job.
        recipe: what its items share.
        reader: the ledger of earlier runs; None: there was none, or it has no item.
        existing: what becomes of outputs without a row.
        suspects: keys whose outputs are read whole, whatever their size and time say.
        most_bytes: an item whose output is estimated to be larger cannot fit on the disk and is
            refused alone; 0: none is.
        kept: remembers what workers saw of large groups and rasters.
    """

    def __init__(
        self,
        job: Job,
        recipe: Recipe,
        reader: LedgerReader | None,
        *,
        existing: Existing,
        suspects: frozenset[str] = frozenset(),
        most_bytes: int = 0,
        kept: Kept | None = None,
    ) -> None:
        self._job = job
        self._recipe = recipe
        self._reader = reader
        self._existing = existing
        self._suspects = suspects
        self._most_bytes = most_bytes
        self._params = job.op.params.model_dump(mode="json")
        self._output = job.output.model_dump(mode="json")
        # Without the inputs: with them, each of ten thousand probes would carry the names of all.
        self._source = job.source.model_dump(mode="json", exclude={"inputs"})
        self._every_layer = job.source.layer == EVERY and recipe.operation.data == "vector"
        name, code = recipe.operation.name, recipe.code_digest
        kept = kept or Kept()
        self._parts = GroupParts(self._ask, kept, name, self._source, code)
        self._surveys = SurveyParts(self._ask, kept, code)
        self._outputs = recipe.outputs()
        self.waits = StoreWaits(self._tell)
        self._asked: dict[int, tuple[Task, asyncio.Future[Outcome | Failure]]] = {}
        self._next = 0
        self._alone: frozenset[str] = frozenset()
        self._dispatcher: Dispatcher | None = None

    def attach(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def _row(self, key: str) -> ItemRow | None:
        return None if self._reader is None else self._reader.item_by_key(key)

    async def decide(self, inputs: Sequence[Input]) -> AsyncIterator[Decision]:
        """Decide on each input, in order. Raises PreflightError where two layers would have one
        output."""
        names = Names(inputs, self._recipe.output_dir) if self._every_layer else None
        self._alone = frozenset(entry.path for entry in inputs if entry.alone)
        pending: deque[asyncio.Task[list[Decision]]] = deque()
        try:
            for group in batched(inputs, TOGETHER):
                rows = [self._row(entry.key) for entry in group]
                paths = [entry.path for entry in group]
                identities = asyncio.create_task(asyncio.to_thread(identify_all, paths, rows))
                for at, (entry, row) in enumerate(zip(group, rows, strict=True)):
                    pending.append(asyncio.create_task(self._one(entry, row, identities, at)))
                while len(pending) > LOOKAHEAD - TOGETHER:
                    for decision in _named_once(await pending.popleft(), names):
                        yield decision
            while pending:
                for decision in _named_once(await pending.popleft(), names):
                    yield decision
        finally:
            for task in pending:
                task.cancel()

    async def _one(
        self, entry: Input, row: ItemRow | None, identities: asyncio.Task[list[Identified]], at: int
    ) -> list[Decision]:
        # Shielded: it is the others' too.
        identity = await self._again(entry, row, (await asyncio.shield(identities))[at], at)
        if identity is UNSEEN:
            identity = await self._parts.identify(entry.path)
            if isinstance(identity, Failure) and identity.error_class not in _MISSING:
                return [replace(self._unread(entry, row), failure=identity)]
        if isinstance(identity, Failure):
            return await self._missing(entry, row, identity)
        base = await self._base(entry, row, identity)
        if base.is_known or not self._every_layer:
            return [await self._item(base)]
        # What the ledger knows by the input's own name has one layer, or could not be opened.
        layers = await self._ask(LayersTask(0, self._recipe.operation.name, entry.path))
        if isinstance(layers, Failure):
            return [replace(base, failure=layers)]
        if not isinstance(layers.receipt, LayersReceipt):
            raise TypeError(f"layers of {entry.key!r}: {type(layers.receipt).__name__}")
        items = items_of(entry, layers.receipt.names, self._job.output.format)
        if items == [entry]:
            return [await self._item(base)]
        return await asyncio.gather(*(self._layer(item, identity) for item in items))

    async def _layer(self, entry: Input, identity: SourceIdentity) -> Decision:
        return await self._item(await self._base(entry, self._row(entry.key), identity))

    async def _base(self, entry: Input, row: ItemRow | None, identity: SourceIdentity) -> Decision:
        """Compare an item with its row in the ledger, without a probe."""
        recipe = self._recipe
        fingerprint = item_fingerprint(
            recipe.params_digest, recipe.code_digest, identity, entry.key, entry.layer
        )
        base = Decision(
            entry.key, entry.path, identity, fingerprint, "new", row=row, layer=entry.layer
        )
        return base if row is None else await self._compare(base, row)

    async def _item(self, base: Decision) -> Decision:
        return base if base.is_known else await self._probe(base)

    async def _missing(self, entry: Input, row: ItemRow | None, failure: Failure) -> list[Decision]:
        """Decide on a source that cannot be read any more: on each layer that was an item, or else
        on the input."""
        rows: list[ItemRow] = []
        unknown = row is None or row.state is ItemState.ORPHAN
        if self._every_layer and unknown and self._reader is not None:
            named = self._reader.items_named(prefix_of(entry.key, self._job.output.format))
            rows = [one for one in named if one.source == entry.path]
            rows = [one for one in rows if one.state is not ItemState.ORPHAN]
        if not rows:
            return [await self._missing_source(entry, row, failure)]
        items = [(Input(entry.path, one.key), one) for one in rows]
        return [await self._missing_source(item, one, failure) for item, one in items]

    async def _again(
        self, entry: Input, row: ItemRow | None, identity: Identified, at: int
    ) -> Identified:
        """Try a passing failure again, as often as that of a chunk, and wait for a store."""
        retry, attempt = self._job.retry, 1
        policy = RetryPolicy(retry.max_attempts, retry.backoff_base, retry.backoff_cap)
        while isinstance(identity, Failure) and identity.reaction is Reaction.TRANSIENT:
            if not await self.waits.outlast(identity):
                if attempt >= policy.max_attempts:
                    break
                await asyncio.sleep(policy.delay((u.Kind.PROBE, at), attempt))
                attempt += 1
            (identity,) = await asyncio.to_thread(identify_all, [entry.path], [row])
        if isinstance(identity, SourceIdentity):
            self.waits.answered(entry.path)
        return identity

    async def _missing_source(
        self, entry: Input, row: ItemRow | None, failure: Failure
    ) -> Decision:
        """Decide on an item whose source cannot be read: dead, unless its output stands."""
        base = self._unread(entry, row)
        if row is not None and row.state is ItemState.PUBLISHED:
            # The work is done and its output stands: a source may be archived afterwards.
            base = replace(
                base, identity=identity_of(row), fingerprint=row.fingerprint, reason="current"
            )
            return replace(await self._check_output(base, row), detail="source gone")
        if row is not None and row.state is ItemState.DEAD and not row.src_digest:
            return replace(base, reason="was_failed", detail=row.reason)
        return replace(base, failure=failure)

    def _unread(self, entry: Input, row: ItemRow | None) -> Decision:
        return Decision(entry.key, entry.path, SourceIdentity(0, 0, ""), "", "new", row=row)

    async def _compare(self, base: Decision, row: ItemRow) -> Decision:
        stale = self._stale(base, row)
        if stale is not None:
            return stale
        if row.out_digest and row.state in {ItemState.PUBLISHED, ItemState.ORPHAN}:
            return await self._check_output(base, row)
        if row.state in {ItemState.DEAD, ItemState.HELD} or not row.plan:
            return replace(base, reason="was_failed", detail=row.reason)
        reason = "was_failed" if row.reason == "was_failed" else "was_interrupted"
        return replace(base, reason=reason)

    def _stale(self, base: Decision, row: ItemRow) -> Decision | None:
        """Find what changed since the ledger's row was written; None if nothing did."""
        recipe = self._recipe
        other_code = row.code_digest != recipe.code_digest
        if row.params_digest != recipe.params_digest:
            # Other code may know other parameters, which nobody has changed.
            # The ledger keeps no credentials: where one alone changed, no name is told.
            kept, now = redact_value(row.params), redact_value(recipe.params)
            names = tuple(changed_keys(kept, now, shared=other_code))
            if other_code and not names:
                return replace(base, reason="code_changed", detail=recipe.operation.name)
            if code := changed_code(names, self._params):
                return replace(base, reason="code_changed", detail=code)
            return replace(base, reason="param_changed", detail=", ".join(names), changed=names)
        if other_code:
            return replace(base, reason="code_changed", detail=recipe.operation.name)
        # The hash of a large source covers only its head and tail.
        touched = base.identity.mtime_ns != row.src_mtime_ns and base.identity.size > 2 * EDGE
        # Chunks of an object are read on the condition that it has the tag of its row.
        now, then = tag_of(base.identity), tag_of(identity_of(row))
        touched |= bool(now and then != now and row.state is not ItemState.PUBLISHED)
        if row.fingerprint != base.fingerprint or touched:
            return replace(base, reason="source_changed", detail=base.source)
        return None

    async def _check_output(self, base: Decision, row: ItemRow) -> Decision:
        flaw = await self._outputs.flaw(row, suspect=row.key in self._suspects)
        return replace(base, reason=flaw or "current", detail=row.key if flaw else base.detail)

    async def _probe(self, base: Decision) -> Decision:
        recipe = self._recipe
        source = {**self._source, "layer": base.layer} if self._every_layer else self._source
        looks = await self._parts.take(base.source)
        if isinstance(looks, Failure):
            return replace(base, failure=looks)
        task = ProbeTask(
            0,
            base.key,
            base.source,
            source,
            recipe.operation.name,
            self._params,
            self._output,
            recipe.chunking,
            await self._published(base),
            looks,
            base.identity,
            alone=base.source in self._alone,
        )
        ready = await self._surveys.ready(task)
        outcome = ready if isinstance(ready, Failure) else await self._ask(ready)
        if isinstance(outcome, Failure):
            return replace(base, failure=outcome)
        if not isinstance(outcome.receipt, ItemPlan):
            raise TypeError(f"probe of {base.key!r} answered {type(outcome.receipt).__name__}")
        if 0 < self._most_bytes < outcome.receipt.output_bytes:
            return replace(base, failure=too_large(outcome.receipt))
        base = replace(base, plan=outcome.receipt)
        standing = await self._outputs.standing(base.key) if base.row is None else None
        return base if standing is None else await self._inspect(base, standing)

    async def _published(self, base: Decision) -> Json:
        """Return what a probe may take of its item's output, if that stands as it was published:
        files of a group changed, or parameters did and no source."""
        row = base.row
        if row is None or base.reason not in {"source_changed", "param_changed"}:
            return {}
        if not is_source_list(base.source) and base.identity != identity_of(row):
            return {}
        if functions_in(row.params) != functions_in(self._recipe.params):
            return {}
        path = self._outputs.path(row.key)
        if not (path and row.plan and row.out_digest and row.state is ItemState.PUBLISHED):
            return {}
        if (await self._check_output(base, row)).reason != "current":
            return {}
        output = {"path": str(path), "size": row.out_size}
        return {
            "detail": row.plan["detail"],
            "source": row.source,
            "mtime_ns": row.out_mtime_ns,
            **output,
        }

    async def _inspect(self, base: Decision, standing: Standing) -> Decision:
        """Adopt an output that the ledger does not know, or say that it is in the way."""
        if self._existing == "refuse":
            return replace(base, detail="there is an output already", replaces=True)
        receipt = await self._outputs.inspect(base.key, self._look)
        ours = receipt is not None and receipt.fingerprint
        adopts = self._existing == "adopt" and base.identity.mtime_ns <= standing.mtime_ns
        if receipt is not None and ours == base.fingerprint and adopts:
            found = replace(receipt, facts={**receipt.facts, **standing.facts})
            made = standing.mtime_ns
            return replace(base, reason="current", detail="adopted", adopted=found, made_ns=made)
        detail = "replaces an output of another plan" if ours else "a foreign file is in the way"
        return replace(base, detail=detail, replaces=not ours)

    async def _look(self, path: str) -> InspectReceipt | None:
        """Have a worker read an output back."""
        task = InspectTask(0, self._recipe.operation.name, path)
        outcome = await self._ask(task, u.Kind.INSPECT)
        receipt = None if isinstance(outcome, Failure) else outcome.receipt
        return receipt if isinstance(receipt, InspectReceipt) else None

    # --- the dispatcher's listener -------------------------------------------------------------

    async def _ask(self, task: Task, kind: u.Kind = u.Kind.PROBE) -> Outcome | Failure:
        """Have a worker do a task, through the scheduler: crashes and retries are its business."""
        ident, self._next = self._next, self._next + 1
        future: asyncio.Future[Outcome | Failure] = asyncio.get_running_loop().create_future()
        self._asked[ident] = task, future
        store = store_of(task.source) if isinstance(task, ProbeTask) else ""
        held = HELD_WHOLE if store else 1
        self._tell(u.Offered((u.Unit(kind, ident, held=held, store=store),)))
        return await future

    def _tell(self, event: u.Event) -> None:
        if self._dispatcher is None:
            raise RuntimeError("the planner has no dispatcher yet")
        self._dispatcher.tell(event)

    def suspended(self, reason: str, seconds: float) -> None:
        self.waits.suspended(reason, seconds)

    def unsuspended(self, reason: str) -> None:
        self.waits.unsuspended(reason)

    def build(self, unit: u.Unit, task_id: int, attempt: int) -> Task:
        del attempt
        task, _ = self._asked[unit.ident]
        return replace(task, task_id=task_id)

    def _settle(self, unit: u.Unit, result: Outcome | Failure) -> None:
        _, future = self._asked.pop(unit.ident)
        if not future.done():
            future.set_result(result)

    def succeeded(self, unit: u.Unit, worker: int, outcome: Outcome) -> None:
        del worker
        self._settle(unit, outcome)

    def buried(self, unit: u.Unit, failure: Failure) -> None:
        self._settle(unit, failure)


def _named_once(decisions: list[Decision], names: Names | None) -> list[Decision]:
    if names is not None:
        for decision in decisions:
            names.take(decision.key, decision.source)
    return decisions
