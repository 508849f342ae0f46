"""The report of a plan: totals, reasons, warnings; and the refusals that need totals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import DiskFullError, PreflightError, Reaction
from geobatch_tui.execution.protocol.messages import Failure
from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.machine import free_disk
from geobatch_tui.orchestration.plan.remote.traffic_forecast import TrafficForecast
from geobatch_tui.orchestration.state.letters import chunk_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan, Json
    from geobatch_tui.ledger.schema.updates import ChunkRow
    from geobatch_tui.orchestration.plan.recipe import Decision

MAX_WARNINGS = 100
"""Warnings kept word for word; the others are counted."""

WORKER_BYTES = 160 * 1024 * 1024
"""Resident bytes of a worker before its first chunk: interpreter, numpy, GDAL (measured)."""

LEAST_RATIO = 20
"""A compressed output is assumed to be no smaller than its raw size by this factor."""

NO_ROOM = "free some space, choose another output.dir or a coarser grid"
"""The hint for an output that cannot fit on the disk."""

PLACES = 200
"""Items whose exact place on the earth is kept; the others have bounds."""


@dataclass(frozen=True, slots=True)
class ItemReason:
    """The reason why an item's chunks run or not. ``grids`` are those of its stages and, last, of
    its output. ``item_id`` is set where the chunks differ: they
    are then read from the ledger. ``bounds`` are west, south, east, north in degrees, if known;
    ``refused``: by the probe."""

    key: str
    grids: tuple[ChunkGrid, ...]
    reason: str
    detail: str
    item_id: int | None = None
    bounds: tuple[float, float, float, float] | None = None
    refused: bool = False

    @property
    def chunks(self) -> int:
        """The number of chunks, those of stages too."""
        return sum(map(len, self.grids))


def most_bytes(output_dir: Path, *, compressed: bool) -> int:
    """Return the raw bytes of an output that may fit on the disk at the best ratio assumed."""
    return free_disk(_existing(output_dir)) * (LEAST_RATIO if compressed else 1)


def _peak_of(plan: ItemPlan) -> int:
    return max(plan.chunk_bytes, *(stage.chunk_bytes for stage in plan.stages), 0)


def _existing(output_dir: Path | str) -> Path:
    directory = Path(output_dir)
    while not directory.exists():
        directory = directory.parent
    return directory


def _mib(size: int) -> str:
    return f"{max(size, 0) / 2**20:.0f} MiB"


@dataclass(slots=True)
class PlanReport:
    """The plan of a job, as ``geobatch plan`` shows it. Grows by :meth:`add`.

    ``chunks`` and ``reasons`` count chunks; ``changed``, by the key of a value, chunks that are
    stale because the value changed; ``refused`` items have one chunk each. Byte figures:
    ``peak_memory_bytes`` for all workers together, ``output_bytes`` an upper estimate of the bytes
    still to be written, ``stage_bytes`` of the stages of the item that has most (they go when it is
    published), ``free_bytes`` on the output's filesystem; ``budget`` of all workers, 0:
    not known. ``url``: where outputs go that do not stay on the disk. ``sandbox``: the confinement
    of the workers, or why there is none; ``cluster``: where they run, if not here; ``traffic``:
    what is asked of stores for the sources. With ``keeps``
    there is an entry for each item, which :meth:`explain` needs and a run does not.
    """

    workers: int
    output_dir: str
    url: str = ""
    items: int = 0
    chunks: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    peak_memory_bytes: int = 0
    output_bytes: int = 0
    stage_bytes: int = 0
    free_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    notes: list[dict[str, object]] = field(default_factory=list)
    gdal_commands: list[str] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    entries: list[ItemReason] = field(default_factory=list)
    keeps: bool = True
    sandbox: str = ""
    cluster: Json = field(default_factory=dict)
    places: dict[str, Json] = field(default_factory=dict)
    budget: int = 0
    traffic: TrafficForecast = field(default_factory=TrafficForecast)
    chunk_rows: Callable[[int], Iterable[ChunkRow]] | None = None
    _more_warnings: int = 0
    _chunk_peak: int = 0

    def add(self, decision: Decision) -> None:
        plan = decision.item_plan
        unfinished, chunks = decision.unfinished_id, plan.chunks
        self.items += 1
        self.chunks += chunks
        entry = ItemReason(
            decision.key,
            plan.grids,
            decision.reason,
            decision.detail,
            unfinished,
            plan.bounds_lonlat,
            decision.failure is not None,
        )
        self.traffic.add(decision)
        if self.keeps:
            self.entries.append(entry)
        if self.keeps and len(self.places) < PLACES and (place := plan.notes.get("lonlat")):
            self.places[decision.key] = place
        self.changed.update(dict.fromkeys(decision.changed, chunks))
        if unfinished is None:
            self.reasons[decision.reason] += chunks
        else:
            reasons = Counter(reason for reason, _ in self.reasons_of(entry))
            self.reasons.update(reasons)
            # Bytes of done chunks are on the disk; a complete item has its output to publish.
            left = max(chunks - reasons["current"], 1)
            self._add_bytes(plan, plan.output_bytes * left // chunks)
        if decision.failure is not None:
            self.refused.append(
                {
                    "item": safe(decision.key),
                    "error_class": decision.failure.error_class,
                    "error_message": safe(decision.failure.message),
                }
            )
        if decision.replaces:
            self.foreign.append(decision.key)
        if decision.plan is not None:
            self._add_plan(decision.key, decision.plan)

    def _add_plan(self, key: str, plan: ItemPlan) -> None:
        self._add_bytes(plan, plan.output_bytes)
        room, peak = self.budget - WORKER_BYTES, _peak_of(plan)
        if self.budget > 0 and peak > room:
            self.warn(
                f"{safe(key)}: a chunk may need {_mib(peak)}, more than the "
                f"{_mib(room)} that engine.memory_budget leaves for it: its worker may be "
                "ended again and again"
            )
        notes = {name: note for name, note in plan.notes.items() if name != "lonlat"}
        if notes:
            self.notes.append({"item": safe(key), **notes})
        for warning in plan.warnings:
            self.warn(f"{safe(key)}: {warning}")

    def warn(self, text: str) -> None:
        """Keep a warning; beyond a limit, count it."""
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(text)
        else:
            self._more_warnings += 1

    def _add_bytes(self, plan: ItemPlan, output: int) -> None:
        """Count the memory of a chunk of an item, its stages, and the output that is still to be
        written."""
        self._chunk_peak = max(self._chunk_peak, _peak_of(plan))
        self.stage_bytes = max(self.stage_bytes, sum(stage.size for stage in plan.stages))
        self.peak_memory_bytes = self.workers * (self._chunk_peak + WORKER_BYTES)
        self.output_bytes += output

    def check_disk(self, *, compressed: bool) -> None:
        """Compare the output with the free disk. Raises PreflightError where it cannot fit even at
        the best ratio assumed."""
        self.free_bytes = free_disk(_existing(self.output_dir))
        lacking = [each for each in self.refused if each["error_class"] == DiskFullError.__name__]
        if lacking and len(lacking) == self.items:
            raise PreflightError(lacking[0]["error_message"], hint=NO_ROOM)
        output = (
            0 if self.url else self.output_bytes
        )  # outputs of a store leave the disk one by one
        least = output // (LEAST_RATIO if compressed else 1) + self.stage_bytes
        if least > self.free_bytes:
            stages = f" and {self.stage_bytes:,} for stages" if self.stage_bytes else ""
            raise PreflightError(
                f"the output needs at least {least - self.stage_bytes:,} bytes{stages}, "
                f"{safe(self.output_dir)} has "
                f"{self.free_bytes:,} free",
                hint=NO_ROOM,
            )
        most = output + self.stage_bytes
        if most > self.free_bytes:
            self.warn(f"the output may need up to {most:,} bytes, {self.free_bytes:,} are free")

    def check_existing(self, policy: str) -> None:
        """Refuse to replace files that ``output.if_exists`` protects."""
        if policy != "overwrite" and self.foreign:
            shown = ", ".join(safe(key) for key in self.foreign[:10])
            hint = 'set output.if_exists = "overwrite", or use another output.dir'
            if policy == "fail":
                hint += '; "skip" takes up outputs of this job that are right'
            raise PreflightError(
                f"{len(self.foreign)} files are in the way in "
                f"{safe(self.url or self.output_dir)}: {shown}",
                hint=hint,
            )

    def explain(self) -> Iterator[tuple[str, str, str]]:
        """Yield (chunk key, reason, detail) of every chunk, in order."""
        for entry in self.entries:
            for index, (reason, detail) in enumerate(self.reasons_of(entry)):
                yield safe(chunk_label(entry.key, entry.grids, index)), reason, detail

    def reasons_of(self, entry: ItemReason) -> Iterator[tuple[str, str]]:
        """Yield (reason, detail) of the chunks of one item, in order; reads the ledger where they
        differ."""
        if entry.item_id is None or self.chunk_rows is None:
            yield from repeat((entry.reason, entry.detail), entry.chunks)
            return
        for row in self.chunk_rows(entry.item_id):
            yield _reason_of(row, entry)

    def to_json(self) -> dict[str, object]:
        """Return the shape of ``plan --json``."""
        warnings = list(self.warnings)
        if self._more_warnings:
            warnings.append(f"and {self._more_warnings} more warnings")
        return {
            "items": self.items,
            "chunks": self.chunks,
            "reasons": dict(self.reasons),
            "changed": dict(self.changed),
            "peak_memory_bytes": self.peak_memory_bytes,
            "output_bytes": self.output_bytes,
            "stage_bytes": self.stage_bytes,
            "free_bytes": self.free_bytes,
            "warnings": warnings,
            "refused": self.refused,
            "notes": self.notes,
            "output_dir": safe(self.url or self.output_dir),
            "sandbox": self.sandbox,
            **({"cluster": self.cluster} if self.cluster else {}),
            **({"stores": self.traffic.to_json()} if self.traffic.objects else {}),
        }


def _reason_of(row: ChunkRow, entry: ItemReason) -> tuple[str, str]:
    """Return the reason of a chunk of an item that an earlier run left unfinished."""
    if row.state is ChunkState.DONE:
        return "current", ""
    untried = entry.reason == "was_failed" and row.attempts == 0
    if row.state is ChunkState.DEAD or untried:
        return "was_failed", entry.detail
    if row.attempts or row.strikes or row.state is ChunkState.RUNNING:
        return "was_interrupted", ""
    return "new", ""


def too_large(plan: ItemPlan) -> Failure:
    """Return why an item is refused whose output cannot fit on the disk."""
    message = (
        f"an output of {plan.grid.width}x{plan.grid.height} units, up to {plan.output_bytes:,} "
        "bytes, cannot fit on the disk even if it is compressed well"
    )
    return Failure(DiskFullError.__name__, Reaction.PERMANENT, message, stage="plan", hint=NO_ROOM)
