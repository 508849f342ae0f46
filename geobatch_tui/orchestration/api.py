"""The commands of the engine: plan, run, retry."""

from __future__ import annotations

import asyncio
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import ItemContext
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.cluster.joining import described, exposure, joined, resources_of
from geobatch_tui.orchestration.plan.groups import inputs_of
from geobatch_tui.orchestration.plan.parts.group_parts import Kept
from geobatch_tui.orchestration.plan.planning import Planning, ended_early
from geobatch_tui.orchestration.plan.recipe import UNPLANNED
from geobatch_tui.orchestration.plan.resources import Resources, expected_leases, written_by_workers
from geobatch_tui.orchestration.run.options import Options, Requeue
from geobatch_tui.orchestration.run.runner import execute
from geobatch_tui.orchestration.splitting import splitting
from geobatch_tui.orchestration.state.repaired_files import item_of
from geobatch_tui.orchestration.state.session import (
    read_suspects,
    reading,
    refuse_file,
    refuse_log,
    state_of_run,
)
from geobatch_tui.orchestration.upkeep import load_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.config.schema import Job
    from geobatch_tui.ledger.place.state_directory import StateDir
    from geobatch_tui.ledger.schema.updates import ChunkRow
    from geobatch_tui.observability.snapshot import Snapshot
    from geobatch_tui.orchestration.plan.plan_report import PlanReport
    from geobatch_tui.orchestration.plan.recipe import Decision
    from geobatch_tui.orchestration.run.control import Control
    from geobatch_tui.orchestration.state.outcome import RunResult


async def run(  # noqa: PLR0913 - each one is a flag of the command line
    loaded: LoadedJob,
    *,
    fresh: bool = False,
    retry_dead: bool = False,
    observe: Callable[[Snapshot], None] | None = None,
    log_stream: Callable[[str], None] | None = None,
    log_format: Literal["json", "text"] = "json",
    max_duration: float | None = None,
    control: Control | None = None,
) -> RunResult:
    """Plan and run a job; resumes by itself what an earlier run left unfinished.

    Args:
        loaded: the job, from :func:`geobatch_tui.load_job`.
        fresh: forget the ledger and redo everything.
        retry_dead: try the dead letters of earlier runs again.
        observe: called four times a second with a snapshot, on the loop's thread.
        log_stream: called with each log line.
        log_format: ``json`` or ``text``, for ``log_stream``.
        max_duration: seconds after which the run drains (exit code 16).
        control: a handle through which the run can be steered from another thread.

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
            control=control,
        ),
    )


def run_sync(loaded: LoadedJob, **options: Any) -> RunResult:
    """:func:`run` for callers without an event loop."""
    return asyncio.run(run(loaded, **options))


async def plan(loaded: LoadedJob, *, gdal: bool = False) -> PlanReport:
    """Tell what :func:`run` would do and why; write nothing to the output directory.

    Args:
        loaded: the job.
        gdal: also give the command of GDAL's own tools that makes the same pixels, per item.

    Raises:
        PreflightError: the run would be refused.
        GeobatchError: the run would end before it has looked at every input.
    """
    job = loaded.job
    operation = get_operation(job.op.name)
    output_dir = local_place(job.output.dir)
    inputs = inputs_of(job)
    refuse_log(loaded)
    refuse_file(output_dir)
    resources = Resources.of(job)
    async with joined(job) as cluster:
        if cluster is not None:
            await cluster.look([each.path for each in inputs])
        planned_for = resources_of(job, cluster)
        place = described(job, cluster)
    commands: list[str] = []

    def take(decision: Decision) -> None:
        if gdal and (context := _context_of(decision, job, output_dir)) is not None:
            commands.append(operation.gdal_command(context))

    with reading(output_dir) as reader, tempfile.TemporaryDirectory() as scratch:
        suspects = read_suspects(state_of_run(output_dir)) if reader else frozenset()
        scheduler = resources.scheduler(job, "plan", "plan")
        pool = resources.make_pool(Path(scratch), written_by_workers(job, inputs), inputs)
        planning = Planning(
            loaded, planned_for, pool, scheduler, reader, suspects=suspects, kept=Kept(reader)
        )
        try:
            finish = await planning.run(inputs, Path(scratch, "sources"), take)
        finally:
            await pool.close(0.0)
        if finish.reason != "complete":
            raise ended_early(finish)
        planning.check()
        report = planning.report
        if place:
            todo = report.chunks - report.reasons["current"]
            leases = expected_leases(job, todo, _seconds_before(reader, job))
            place = {**place, "leases": leases}
    report.gdal_commands = commands
    report.cluster = place
    if place and (open_to := exposure(job.dask.cluster)):
        report.warnings.append(open_to)
    if report.chunk_rows is not None:
        report.chunk_rows = partial(_chunk_rows, state_of_run(output_dir))
    return report


def _seconds_before(reader: LedgerReader | None, job: Job) -> float | None:
    """Return how long a chunk took in the last run of this operation in the directory; None: there
    was none."""
    for row in reader.runs() if reader else ():
        if row.n_done and row.job.get("job", {}).get("op", {}).get("name") == job.op.name:
            return row.seconds / row.n_done
    return None


def _chunk_rows(state: StateDir, item_id: int) -> Iterator[ChunkRow]:
    """Read the chunks of an item by a reader of their own: the report outlives the plan's."""
    with LedgerReader(state.ledger) as reader:
        yield from reader.chunks(item_id)


def _context_of(decision: Decision, job: Job, output_dir: Path) -> ItemContext | None:
    """Make an item's context for display: it has no work directory."""
    item_plan = decision.item_plan
    if item_plan is UNPLANNED:
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


async def retry(  # noqa: PLR0913 - each one is a flag of the command line
    directory: str | Path,
    *,
    classes: Sequence[str] = (),
    chunks: Sequence[str] = (),
    overrides: Sequence[str] = (),
    split: bool = False,
    replace: str | Path | None = None,
    observe: Callable[[Snapshot], None] | None = None,
    log_stream: Callable[[str], None] | None = None,
    log_format: Literal["json", "text"] = "json",
    control: Control | None = None,
) -> RunResult:
    """Requeue dead letters of a run and run again with the job that it had.

    Args:
        directory: the output directory of the run.
        classes: only letters of these error classes; empty: all.
        chunks: only these chunks (``item@row,col``) or items.
        overrides: ``KEY=VALUE`` of operational values, as for ``--set``.
        split: plan items with dead chunks anew, in chunks half as wide and half as high, and
            compute all of these; see :mod:`geobatch_tui.orchestration.splitting`.
        replace: a file of repaired features, made from the quarantine file of the one item in
            ``chunks``: their geometries are taken in place of those in the source, from now on.
        observe: as for :func:`run`.
        log_stream: as for :func:`run`.
        log_format: as for :func:`run`.
        control: as for :func:`run`.

    Raises:
        ConfigError: an override would change output bytes: published items would be stale, so
            that belongs into the job file and a new ``run``. Or nothing can be split.
    """
    loaded = load_run(local_place(directory), overrides)
    replaced = None
    if replace is not None:
        if get_operation(loaded.job.op.name).data != "vector":
            raise ConfigError(f"{loaded.job.op.name} has no features to replace")
        replaced = (item_of(chunks, Path(replace)), Path(replace))
    replanned: tuple[int, ...] = ()
    if split:
        if get_operation(loaded.job.op.name).data != "raster":
            raise ConfigError(
                f"{loaded.job.op.name} has no chunks of pixels to split",
                hint="retry with a lower engine.chunk_features instead",
            )
        creation = loaded.job.output.creation
        replanned, sizes = splitting(local_place(directory), creation, classes, chunks)
        loaded = load_run(local_place(directory), (*overrides, *sizes))
    return await execute(
        loaded,
        Options(
            requeue=Requeue(tuple(classes), tuple(chunks), replanned, replaced),
            observe=observe,
            log_stream=log_stream,
            log_format=log_format,
            control=control,
        ),
    )
