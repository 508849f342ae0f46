"""The resources of a run: workers, memory, open files; and the recipe, scheduler and pool that
follow from them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.config.chains.own_functions import functions_of
from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.runtime.sandbox import state
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.ledger.place.owner import followed_links
from geobatch_tui.orchestration.plan.machine import cores, memory_limit, open_files
from geobatch_tui.orchestration.plan.measured_memory import recall
from geobatch_tui.orchestration.plan.plan_report import WORKER_BYTES
from geobatch_tui.orchestration.plan.recipe import Recipe
from geobatch_tui.orchestration.schedule.backlog import depth_of
from geobatch_tui.orchestration.schedule.scheduler import Scheduler, SchedulerConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.config.schema import Job
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.operation import Operation
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.workers.pool import Pool

ENGINE_BYTES = 120 * 1024 * 1024
"""Resident bytes of the engine process itself (measured, with a margin)."""

CHUNK_CAP = 512 * 1024 * 1024
"""A chunk is planned to need no more than this, however large the budget: beyond it larger chunks
gain nothing and cost more when they are lost."""

CHUNK_FLOOR = 16 * 1024 * 1024
HANDLES_PER_WORKER = 4
RESERVED_FILES = 64
"""Descriptors of the engine and each worker that are no datasets: pipes, ledger, logs."""


@dataclass(frozen=True, slots=True)
class Resources:
    """``workers`` at once, ``budget`` in bytes over the process tree, ``handles``: open files;
    ``measured``: what a trial found of functions of the user, as the scheduler takes it;
    ``largest``: bytes for a chunk that runs alone; 0: all. ``lease``: of workers on a cluster."""

    workers: int
    budget: int
    handles: int
    executor: str
    confined: bool
    measured: float = 0.0
    largest: int = 0
    lease: float = 0.0

    @classmethod
    def of(cls, job: Job) -> Resources:
        """Measure the resources for a job on this machine. Raises PreflightError where budget or
        open files do not suffice for one worker."""
        budget = job.engine.memory_budget or memory_limit()
        least = ENGINE_BYTES + WORKER_BYTES + CHUNK_FLOOR
        if budget < least:
            raise PreflightError(
                f"engine.memory_budget of {budget:,} bytes is under the {least:,} that one worker "
                "needs",
                hint="raise engine.memory_budget",
            )
        room = open_files() - RESERVED_FILES
        if room < HANDLES_PER_WORKER:
            raise PreflightError(
                f"the limit of {open_files()} open files leaves {max(room, 0)} for datasets, "
                f"{HANDLES_PER_WORKER} are needed",
                hint="raise `ulimit -n`",
            )
        wanted = job.engine.max_workers or cores()
        fitting = (budget - ENGINE_BYTES) // (WORKER_BYTES + CHUNK_FLOOR)
        return cls(
            workers=max(1, min(wanted, fitting)),
            budget=budget,
            handles=min(job.engine.max_open_files, room),
            executor=job.engine.executor,
            confined=job.engine.sandbox == "auto",
            measured=recall(job) if any(functions_of(job)) else 0.0,
        )

    @property
    def chunk_budget(self) -> int:
        """Bytes for workers: the budget without the engine's share."""
        return self.budget - ENGINE_BYTES

    def recipe(self, job: Job, operation: Operation) -> Recipe:
        """Make the recipe of the job's items, with the chunk size that this machine carries."""
        largest = self.largest or self.chunk_budget - WORKER_BYTES
        return Recipe.of(job, operation, self.needs - WORKER_BYTES, largest)

    def scheduler(self, job: Job, run_id: str, phase: str, total: int = 0) -> Scheduler:
        """Return a fresh scheduler for a ``phase``: "plan" of a plan alone, "probe" and "run" of a
        run."""
        limit = job.failures.max_failures if phase == "run" else None
        return Scheduler(
            SchedulerConfig(
                workers=self.workers,
                budget_bytes=self.chunk_budget,
                max_handles=self.handles,
                max_attempts=job.retry.max_attempts,
                backoff_base=job.retry.backoff_base,
                backoff_cap=job.retry.backoff_cap,
                run_id=run_id,
                probes_wait=phase != "plan",
                chunk_timeout=job.engine.chunk_timeout,
                failure_limit=limit,
                worker_baseline=WORKER_BYTES,
                measured=self.measured,
                total=total,
                lease=self.lease,
                **(_deep(self.workers) if self.lease else {}),
            )
        )

    @property
    def share(self) -> int:
        """Bytes for one worker."""
        return self.chunk_budget // self.workers

    @property
    def needs(self) -> int:
        """Bytes that one worker needs for the chunks that are planned: no more than its share."""
        chunk = max(CHUNK_FLOOR, min(CHUNK_CAP, self.share - WORKER_BYTES))
        return WORKER_BYTES + chunk

    def make_pool(
        self, directory: Path, write: Sequence[str], inputs: Sequence[Input] = ()
    ) -> Pool:
        """Make the pool of workers for ``engine.executor``; they write their fd 2 to ``directory``.
        ``write``: more directories that they may write to, if they are confined. They may connect
        to the stores of ``inputs``."""
        if self.executor == "thread":
            from geobatch_tui.orchestration.workers.thread_pool import ThreadPool

            return ThreadPool()
        from geobatch_tui.orchestration.workers.process_pool import ProcessPool

        ports = store_settings.current().ports(
            path for each in inputs for path in (each.path, *each.members)
        )
        return ProcessPool(directory, write=write if self.confined else None, ports=ports)

    def sandbox(self) -> str:
        """Return the confinement of the workers, or why there is none."""
        return state(wanted=self.confined, executor=self.executor)


#: Units that a worker of a cluster holds at most.
MOST_LEASED = 2048


def _deep(workers: int) -> dict[str, int]:
    """Return the depth of queues from which leases are made."""
    low, high = depth_of(workers)
    return {"max_prefetch": MOST_LEASED, "refill_low": low, "refill_high": high}


def expected_leases(job: Job, chunks: int, seconds: float | None) -> Json:
    """Return how many leases chunks make, which last ``seconds`` each in the mean: ``leases`` as
    ``plan --json`` shows them. None: not known, so there are as many as chunks at most."""
    if not seconds:
        return {"at_most": chunks, "seconds": job.dask.lease}
    about = min(chunks, math.ceil(chunks * seconds / job.dask.lease))
    return {"about": about, "at_most": chunks, "seconds": job.dask.lease}


def written_by_workers(job: Job, inputs: Sequence[Input]) -> list[str]:
    """List directories beside a run's own that its workers write to: directories that an operation
    of a plug-in marks so (``writes`` among the extras of a field), and those of databases whose
    write-ahead log is not in them yet, which SQLite reads only if it can make another file."""
    params = job.op.params
    fields = type(params).model_fields
    directories = {
        str(getattr(params, name)): None
        for name, field in fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("writes")
    }
    for each in inputs:
        if each.path.lower().endswith((".gpkg", ".sqlite")):
            database = Path(each.path).resolve()
            if Path(f"{database}-wal").exists():
                directories[os.fspath(database.parent)] = None
    directories.pop("", None)
    return list(directories)


def linked_for_outputs(output_dir: Path, inputs: Sequence[Input]) -> list[str]:
    """List directories elsewhere that outputs go to, by links of the user in ``output_dir``."""
    folders = {os.path.dirname(each.key) for each in inputs}  # noqa: PTH120 - of each input
    return list(followed_links(output_dir, (output_dir / folder for folder in sorted(folders))))
