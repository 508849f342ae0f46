"""The configuration of a scheduler, and its figures for snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.schedule.admission import MIB

if TYPE_CHECKING:
    from geobatch_tui.config.units import FailureLimit
    from geobatch_tui.orchestration.schedule.events import Unit


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """The limits of a run.

    Args:
        workers: processes to run at most.
        run_id: seeds the jitter of retries.
        budget_bytes: memory for all workers, their baselines included; 0: no limit.
        max_handles: open files over all workers; 0: no limit.
        max_attempts, backoff_base, backoff_cap: see ``backoff.RetryPolicy``.
        chunk_timeout: seconds for a chunk or a probe; None: 20 times the recent 95th percentile,
            at least 60 s. Assembly and inspection always use the latter, with 1 h at least.
        refill_low: ask for more when fewer units than this are queued, up to ``refill_high``.
        max_prefetch: units that a worker may hold, the running one included.
        failure_limit: dead letters that are tolerated; None: any number.
        total: units of the whole job, for a limit that is a share; 0: unknown.
        worker_baseline: bytes of an idle worker, until ``WorkerUp`` tells more.
        stall_after: seconds between two events after which the engine itself counts as having been
            stopped: the gap is not held against running units. The shell ticks far more often.
    """

    workers: int
    run_id: str = ""
    budget_bytes: int = 0
    max_handles: int = 0
    max_attempts: int = 5
    backoff_base: float = 0.5
    backoff_cap: float = 60.0
    chunk_timeout: float | None = None
    refill_low: int = 64
    refill_high: int = 256
    max_prefetch: int = 64
    failure_limit: FailureLimit | None = None
    total: int = 0
    worker_baseline: int = 120 * MIB
    stall_after: float = 10.0


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures for snapshots.

    ``in_flight`` holds worker, unit and start (on the shell's clock) of each running unit; ``sent``
    counts these and the units prefetched behind them.
    """

    ready: int
    lane: int
    waiting: int
    sent: int
    succeeded: int
    buried: int
    retries: int
    workers: int
    starting: int
    idle: int
    target: int
    reserved_bytes: int
    reserved_handles: int
    suspended: tuple[str, ...]
    in_flight: tuple[tuple[int, Unit, float], ...]
