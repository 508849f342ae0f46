"""A trial: a few chunks of a plan, run in a scratch directory, that tell the cost of the whole.

Neither the state nor the outputs of the job's own directory are touched.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.protocol.messages import ItemPlan
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan import measured_memory
from geobatch_tui.orchestration.plan.groups import inputs_of, is_combined
from geobatch_tui.orchestration.plan.inputs import EVERY, prefix_of
from geobatch_tui.orchestration.plan.plan_report import WORKER_BYTES
from geobatch_tui.orchestration.plan.resources import Resources
from geobatch_tui.orchestration.run.options import Options, Sample
from geobatch_tui.orchestration.run.runner import execute
from geobatch_tui.orchestration.schedule.admission import Prediction
from geobatch_tui.orchestration.state.letters import chunk_label
from geobatch_tui.orchestration.state.session import state_of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.config.schema import Job
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.observability.snapshot import Snapshot
    from geobatch_tui.orchestration.plan.plan_report import ItemReason, PlanReport
    from geobatch_tui.orchestration.run.control import Control

CHUNKS: Final = 9
"""Chunks that a trial runs by default."""

WORKERS: Final = 2
"""Workers of a trial at most. The first chunk of each takes up to twenty times as long as the next
(measured), so with many workers there would be only first chunks."""

_NO_WORK: Final = frozenset({"current", "was_failed"})

Chosen = dict[str, list[int]]
"""Chunks by item key: their numbers in the item's grid."""


@dataclass(frozen=True, slots=True)
class TriedChunk:
    """A chunk that was tried. ``seconds`` and ``peak_bytes`` (of its worker) are None unless it
    was done; ``error`` is the class and the message of its failure."""

    item: str
    index: int
    label: str
    seconds: float | None
    peak_bytes: int | None
    bytes_out: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a trial.

    Attributes:
        chunks: tried chunks, in the order of the plan.
        todo: number of chunks that the plan has to do.
        workers: number of workers of the whole job.
        state: the final state of the trial's run: ``success`` and so on.
        exit_code: the exit code of that run.
    """

    chunks: Sequence[TriedChunk]
    todo: int
    workers: int
    state: str
    exit_code: int

    @property
    def seconds(self) -> float | None:
        """Mean of the finished chunks, without the slowest of each worker and as many of the
        quickest; None: none was finished."""
        done = sorted(chunk.seconds for chunk in self.chunks if chunk.seconds is not None)
        aside = min(WORKERS, max(0, len(done) - 1) // 2)
        return _mean(done[aside : len(done) - aside])

    @property
    def estimate_s(self) -> float | None:
        """Seconds for all chunks to do, without probes of sources and assembly of items."""
        mean = self.seconds
        return None if mean is None else self.todo * mean / max(1, min(self.workers, self.todo))

    @property
    def output_bytes(self) -> float | None:
        """Bytes of all chunks to do."""
        done = [float(chunk.bytes_out) for chunk in self.chunks if chunk.seconds is not None]
        mean = _mean(done)
        return None if mean is None else self.todo * mean

    @property
    def peak_bytes(self) -> int:
        """The largest resident size of a worker; 0: none was measured."""
        return max((chunk.peak_bytes or 0 for chunk in self.chunks), default=0)

    def to_json(self) -> dict[str, object]:
        """Return the object ``trial`` of ``plan --try N --json``."""
        return {
            "chunks": [asdict(chunk) for chunk in self.chunks],
            "todo": self.todo,
            "workers": self.workers,
            "state": self.state,
            "exit_code": self.exit_code,
            "seconds_per_chunk": self.seconds,
            "estimate_s": self.estimate_s,
            "output_bytes": self.output_bytes,
            "peak_bytes": self.peak_bytes,
        }

    @classmethod
    def from_json(cls, data: Json) -> Trial:
        chunks = tuple(TriedChunk(**chunk) for chunk in data["chunks"])
        return cls(chunks, data["todo"], data["workers"], data["state"], data["exit_code"])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def choose(report: PlanReport, count: int = CHUNKS) -> tuple[Chosen, int]:
    """Choose chunks at equal steps over all that a plan has to do, but for those that wait for a
    stage; return them by item, and the number of all that is to be done. Reads the ledger where the
    chunks of an item differ."""
    todo = 0
    sizes = []
    for entry in report.entries:
        numbers = _open(entry, report)
        todo += len(numbers)
        sizes.append(len(_tried_of(entry, numbers)))
    total = sum(sizes)
    count = min(count, total)
    ranks = [(2 * number + 1) * total // (2 * count) for number in range(count)]
    chosen: Chosen = {}
    start = 0
    for entry, size in zip(report.entries, sizes, strict=True):
        here = [rank - start for rank in ranks if start <= rank < start + size]
        if here:
            numbers = _tried_of(entry, _open(entry, report))
            chosen[entry.key] = [numbers[rank] for rank in here]
        start += size
    return chosen, todo


def _tried_of(entry: ItemReason, numbers: Sequence[int]) -> Sequence[int]:
    """Return those of ``numbers`` that can be tried: what is behind a stage needs all of it."""
    first = len(entry.grids[0])
    return numbers if first == entry.chunks else [one for one in numbers if one < first]


def _open(entry: ItemReason, report: PlanReport) -> Sequence[int]:
    """List the chunks of an item that are to be done, by their numbers."""
    if entry.refused:
        return ()
    if entry.item_id is None:
        return () if entry.reason in _NO_WORK else range(entry.chunks)
    reasons = enumerate(report.reasons_of(entry))
    return [index for index, (reason, _) in reasons if reason not in _NO_WORK]


async def run_trial(
    loaded: LoadedJob,
    chosen: Mapping[str, Sequence[int]],
    scratch: Path,
    *,
    open_chunks: int,
    observe: Callable[[Snapshot], None] | None = None,
    control: Control | None = None,
) -> Trial:
    """Run chunks of a job by the engine that runs it all, with outputs and state in ``scratch``.

    Args:
        loaded: the job.
        chosen: the chunks, as :func:`choose` gives them.
        scratch: an empty directory; the caller removes it.
        open_chunks: how many chunks the whole job has to do.
        observe: called four times a second with a snapshot, on the loop's thread.
        control: a handle through which the trial can be ended.

    Raises:
        PreflightError: the run would be refused.
    """
    job = loaded.job
    form, every = job.output.format, job.source.layer == EVERY
    inputs = [
        entry
        for entry in inputs_of(job)
        if entry.key in chosen
        or is_combined(job)
        or (every and any(key.startswith(prefix_of(entry.key, form)) for key in chosen))
    ]
    if not inputs:
        raise PreflightError("there is nothing to try", hint="plan the job first")
    out = scratch / "out"
    result = await execute(
        replace(loaded, job=_elsewhere(job, out)),
        Options(observe=observe, control=control, sample=Sample(inputs, chosen, WORKERS)),
    )
    with LedgerReader(state_of_run(out).ledger) as reader:
        tried = tuple(_read(reader, chosen))
        if times := _times_planned(reader, tried):
            measured_memory.keep(job, times)
    workers = Resources.of(job).workers
    return Trial(tried, open_chunks, workers, result.state, result.exit_code)


def _times_planned(reader: LedgerReader, tried: Sequence[TriedChunk]) -> float:
    """Return how many times the planned bytes chunks with functions of the user took at most, by
    the scheduler's measure; 0: there were too few to tell."""
    found = []
    for chunk in tried:
        row = reader.item_by_key(chunk.item) if chunk.peak_bytes else None
        plan = None if row is None else ItemPlan.from_json(row.plan)
        if plan is not None and plan.notes.get("unmeasured") and plan.chunk_bytes:
            beside = WORKER_BYTES + Prediction.ASIDE
            found.append(max((chunk.peak_bytes or 0) - beside, 0) / plan.chunk_bytes)
    if len(found) < min(Prediction.SHOWING, len(tried)):
        return 0.0
    return max(*found, Prediction.LEAST, 0.0) if found else 0.0


def _elsewhere(job: Job, out: Path) -> Job:
    """Redirect all output of a job below ``out``, and drop limits that few chunks would reach. Of a
    trial nobody is told."""
    return job.model_copy(
        update={
            "output": job.output.model_copy(update={"dir": str(out)}),
            "log": job.log.model_copy(update={"file": ""}),
            "notify": job.notify.model_copy(update={"on": ()}),
            "failures": job.failures.model_copy(update={"max_failures": None}),
        }
    )


def _read(reader: LedgerReader, chosen: Mapping[str, Sequence[int]]) -> Iterator[TriedChunk]:
    errors = {
        (letter["item"], letter["chunk"]): f"{letter['error_class']}: {letter['error_message']}"
        for letter in reader.dead_letters()
        if letter["feature"] is None
    }
    for key, numbers in chosen.items():
        row = reader.item_by_key(key)
        if row is not None:
            for index in numbers:
                yield _tried(reader, row, index, errors)


def _tried(
    reader: LedgerReader, row: ItemRow, index: int, errors: Mapping[tuple[str, str | None], str]
) -> TriedChunk:
    chunk_id, item, label = row.first_chunk + index, safe(row.key), safe(row.key)
    if row.plan:
        label = safe(chunk_label(row.key, ItemPlan.from_json(row.plan).grids, index))
    error = errors.get((item, label)) or errors.get((item, None), "")
    tried = TriedChunk(item, index, label, None, None, 0, safe(error, 300))
    if index >= row.n_chunks or reader.states(chunk_id, 1)[0] != ChunkState.DONE:
        return tried
    return replace(
        tried,
        seconds=round(reader.figures("seconds", chunk_id, 1)[0], 6),
        peak_bytes=int(reader.figures("rss_bytes", chunk_id, 1)[0]),
        bytes_out=int(reader.figures("bytes_out", chunk_id, 1)[0]),
    )
