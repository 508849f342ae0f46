"""What can be asked of geobatch: plan, run, retry, verify, repair, and a look at a run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geobatch_tui.config.layers import LoadedJob, from_plan_json
from geobatch_tui.errors import ConfigError, LedgerCorruptError, StateError
from geobatch_tui.execution.messages import ItemContext, ItemPlan
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.ledger.ledger import Ledger
from geobatch_tui.ledger.lock import RunLock, is_held
from geobatch_tui.ledger.reader import LedgerReader
from geobatch_tui.ledger.updates import ItemState
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.dispatcher import Dispatcher
from geobatch_tui.orchestration.fingerprints import changed_keys, digest_file
from geobatch_tui.orchestration.inputs import expand
from geobatch_tui.orchestration.intake import grid_of, unfinished_id
from geobatch_tui.orchestration.planner import Planner
from geobatch_tui.orchestration.report import PlanReport
from geobatch_tui.orchestration.resources import Resources
from geobatch_tui.orchestration.runner import Options, Requeue, execute, run_beside
from geobatch_tui.orchestration.session import state_of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from geobatch_tui.config.schema import Job
    from geobatch_tui.ledger.layout import StateDir
    from geobatch_tui.ledger.updates import ChunkRow, ItemRow
    from geobatch_tui.observability.snapshot import Snapshot
    from geobatch_tui.orchestration.outcome import RunResult
    from geobatch_tui.orchestration.planner import Decision

VERIFY_AT_ONCE = 4
"""Outputs read at once by verify."""


async def run(
    loaded: LoadedJob,
    *,
    fresh: bool = False,
    retry_dead: bool = False,
    observe: Callable[[Snapshot], None] | None = None,
    log_stream: Callable[[str], None] | None = None,
    log_format: Literal["json", "text"] = "json",
    max_duration: float | None = None,
) -> RunResult:
    """Plan and run a job; resumes by itself what an earlier run left unfinished.

    Args:
        loaded: the job, from :func:`load_job`.
        fresh: forget the ledger and redo everything.
        retry_dead: try the dead letters of earlier runs again.
        observe: called four times a second with a snapshot, on the loop's thread.
        log_stream: called with each log line.
        log_format: ``json`` or ``text``, for ``log_stream``.
        max_duration: seconds after which the run drains (exit code 16).

    Raises:
        PreflightError: refused before any chunk ran (exit code 2).
        LockHeldError: another run holds the output directory (13).
        StateError: ledger or output directory cannot be used (17).
    """
    return await execute(
        loaded,
        Options(
            fresh=fresh,
            requeue=Requeue() if retry_dead else None,
            observe=observe,
            log_stream=log_stream,
            log_format=log_format,
            max_duration=max_duration,
        ),
    )


def run_sync(loaded: LoadedJob, **options: Any) -> RunResult:
    """:func:`run` for callers without an event loop."""
    return asyncio.run(run(loaded, **options))


async def plan(loaded: LoadedJob, *, gdal: bool = False) -> PlanReport:
    """What :func:`run` would do and why; writes nothing to the output directory.

    Args:
        loaded: the job.
        gdal: also give the command of GDAL's own tools that makes the same pixels, per item.

    Raises:
        PreflightError: the run would be refused.
    """
    job = loaded.job
    operation = get_operation(job.op.name)
    resources = Resources.of(job)
    output_dir = Path(job.output.dir)
    inputs = expand(job.source.inputs, output_dir, job.output.format)
    report = PlanReport(resources.workers, str(output_dir))
    with _reader(output_dir) as reader, tempfile.TemporaryDirectory() as scratch:
        rows = reader.item_by_key if reader else _no_row
        if reader is not None:
            report.chunk_rows = partial(_chunk_rows, state_of_run(output_dir))
        planner = Planner(job, resources.recipe(job, operation), rows, adopt=True)
        pool = resources.make_pool(Path(scratch))
        dispatcher = Dispatcher(pool, resources.scheduler(job, "plan", "probe"), planner)
        planner.attach(dispatcher)

        async def consume() -> None:
            async for decision in planner.decide(inputs):
                report.add(decision, grid_of(decision), unfinished_id(decision))
                if gdal and (context := _context_of(decision, job, output_dir)) is not None:
                    report.gdal_commands.append(operation.gdal_command(context))

        try:
            await run_beside(dispatcher, consume())
        finally:
            await pool.close(0.0)
    report.check_disk(compressed=True)
    report.check_existing(job.output.if_exists)
    return report


def _chunk_rows(state: StateDir, item_id: int) -> Iterator[ChunkRow]:
    """Chunks of an item, read when they are asked for: the report outlives the plan's reader."""
    with contextlib.closing(LedgerReader(state.ledger)) as reader:
        yield from reader.chunks(item_id)


def _no_row(key: str) -> ItemRow | None:
    del key
    return None


@contextlib.contextmanager
def _reader(output_dir: Path) -> Iterator[LedgerReader | None]:
    if not (output_dir / ".geobatch").is_dir():
        yield None
        return
    state = state_of_run(output_dir)
    if not Path(state.ledger).exists():
        yield None
        return
    reader = LedgerReader(state.ledger)
    try:
        yield reader
    finally:
        reader.close()


def _context_of(decision: Decision, job: Job, output_dir: Path) -> ItemContext | None:
    """An item's context for showing, not for working: it has no work directory."""
    item_plan = decision.plan
    if item_plan is None and decision.row is not None and decision.row.plan:
        item_plan = ItemPlan.from_json(decision.row.plan)
    if item_plan is None:
        return None
    return ItemContext(
        item_id=0,
        key=decision.key,
        source=decision.source,
        source_id=decision.identity,
        fingerprint=decision.fingerprint,
        op=job.op.name,
        params=job.op.params.model_dump(mode="json"),
        output=job.output.model_dump(mode="json"),
        out_path=str(output_dir / decision.key),
        work_dir="",
        plan=item_plan,
    )


async def retry(
    directory: str | Path,
    *,
    classes: Sequence[str] = (),
    chunks: Sequence[str] = (),
    overrides: Sequence[str] = (),
    observe: Callable[[Snapshot], None] | None = None,
    log_stream: Callable[[str], None] | None = None,
    log_format: Literal["json", "text"] = "json",
) -> RunResult:
    """Requeue dead letters of a run and run again with the job that it had.

    Args:
        directory: the output directory of the run.
        classes: only letters of these error classes; empty: all.
        chunks: only these chunks (``item@row,col``) or items.
        overrides: ``KEY=VALUE`` of operational values, as ``--set`` takes them.
        observe: as for :func:`run`.
        log_stream: as for :func:`run`.
        log_format: as for :func:`run`.

    Raises:
        ConfigError: an override would change output bytes: published items would be stale, so
            that belongs into the job file and a new ``run``.
    """
    loaded = load_run(Path(directory), overrides)
    return await execute(
        loaded,
        Options(
            requeue=Requeue(tuple(classes), tuple(chunks)),
            observe=observe,
            log_stream=log_stream,
            log_format=log_format,
        ),
    )


def load_run(directory: Path, overrides: Sequence[str] = ()) -> LoadedJob:
    """The job of an earlier run, from its state directory.

    Raises StateError where the record of the job is unreadable, ConfigError where an override is
    semantic.
    """
    state = state_of_run(directory)
    try:
        record = json.loads(Path(state.plan).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(
            f"cannot read {safe(str(state.plan))}: {error}",
            hint="run the job file again instead",
        ) from error
    before = from_plan_json(record)
    if not overrides:
        return before
    after = from_plan_json(record, overrides=overrides)
    changed = changed_keys(before.job.semantic(), after.job.semantic())
    if changed:
        raise ConfigError(
            f"--set changes {', '.join(changed)}, which would make published outputs stale",
            hint="change the job file and use `geobatch run`: it redoes what the change touches",
        )
    return after


async def verify(directory: str | Path) -> dict[str, Any]:
    """Re-read every published output of a run and compare it with the ledger.

    Returns ``{"checked": n, "damaged": [paths]}``; a missing output is damaged.
    """
    gate = asyncio.Semaphore(VERIFY_AT_ONCE)

    async def damaged(row: ItemRow) -> str | None:
        async with gate:
            try:
                intact = await digest_file(Path(row.out_path)) == row.out_digest
            except OSError:
                intact = False
            return None if intact else row.out_path

    with _reader(Path(directory)) as reader:
        if reader is None:
            raise LedgerCorruptError(f"there is no ledger in {safe(str(directory))}")
        rows = [row for row in reader.items() if row.state is ItemState.PUBLISHED]
        found = await asyncio.gather(*map(damaged, rows))
    return {"checked": len(rows), "damaged": [safe(path) for path in found if path]}


async def repair(
    directory: str | Path, *, log_stream: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Rebuild a lost or damaged ledger from the outputs and the plan.

    A damaged ledger is kept beside the new one. Outputs whose embedded fingerprint is the plan's,
    and whose every block can be read, are adopted; nothing is computed. Spools of unfinished items
    are lost with the ledger: their chunks are redone by the next run.
    """
    loaded = load_run(Path(directory))
    state = state_of_run(Path(directory))
    kept = _set_aside(state)
    result = await execute(loaded, Options(adopt_only=True, log_stream=log_stream))
    return {
        "ledger_kept_as": kept,
        "adopted": result.items["published"],
        "items": result.items["total"],
        "counts": dict(result.counts),
    }


def _set_aside(state: StateDir) -> str | None:
    """Rename a ledger that cannot be used; returns its new name, or None if it is sound."""
    ledger = Path(state.ledger)
    lock = RunLock.acquire(state.lock, {})
    try:
        if not ledger.exists():
            return None
        try:
            Ledger.open(ledger, state.output_dir).close(archive=False)
        except LedgerCorruptError:
            kept = ledger.with_name(f"{ledger.name}.damaged-{int(time.time())}")
            ledger.rename(kept)
            for suffix in ("-wal", "-shm"):
                ledger.with_name(ledger.name + suffix).unlink(missing_ok=True)
            return str(kept)
        return None
    finally:
        lock.release()


class RunView:
    """A look at a run, live, finished or crashed, through its ledger; reads only."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._state = state_of_run(self.directory)

    @property
    def log_path(self) -> Path:
        """The run's log, one JSON object a line."""
        return Path(self._state.log)

    def status(self) -> dict[str, Any]:
        """The object of ``status --json``. ``state`` is ``running`` only while a process holds
        the lock; a run whose process is gone without an end is ``crashed``."""
        with contextlib.closing(LedgerReader(self._state.ledger)) as reader:
            row = reader.run()
            if row is None:
                raise StateError(f"no run is recorded in {safe(str(self.directory))}")
            held = is_held(self._state.lock)
            live = row.t1 is None
            state = ("running" if held else "crashed") if live else row.state
            counts, items = reader.counts(), reader.item_counts()
            progress = reader.last_event("progress") if live else None
            planned = reader.last_event("run.planned") or {}
            current = min(int(planned.get("current", 0)), counts["done"])
            return {
                "run_id": row.run_id,
                "state": state,
                "exit_code": row.exit_code,
                "reason": row.reason,
                "output_dir": safe(str(self.directory)),
                "duration_s": round((row.t1 or time.time()) - row.t0, 3),
                "counts": {
                    "total": counts["total"],
                    "done": counts["done"] - current,
                    "current": current,
                    "dead": counts["dead"],
                    "skipped": counts["skipped"],
                    "pending": counts["pending"] + counts["retry"],
                    "running": counts["running"] if held else 0,
                },
                "items": {
                    "total": items["total"],
                    "published": items["published"],
                    "held": items["held"],
                    "dead": items["dead"],
                },
                "rates": progress or {},
            }

    def dead_letters(self, error_class: str | None = None) -> Iterator[dict[str, Any]]:
        """The records of the dead letters, in the order in which they came."""
        with contextlib.closing(LedgerReader(self._state.ledger)) as reader:
            for letter in reader.dead_letters(error_class):
                yield dict(letter)


def open_run(directory: str | Path) -> RunView:
    """Look at the run in an output directory.

    Raises PlanMismatchError if there is none.
    """
    return RunView(directory)
