"""What each worker did over time, from the figures of chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.model import WorkerRow
    from geobatch_tui.tui.units.unit_figures import UnitFigures

STAGES: Final = ("reading", "computing", "writing")
_MOST: Final = 100_000  #: chunks; of more the newest are shown
_IDLE: Final = 0.02  #: of a cell's time; below, the worker is taken to be idle


@dataclass(frozen=True, slots=True)
class Lane:
    """A worker's time in equal steps: seconds in each stage of ``STAGES``, a tuple a step."""

    worker: int
    steps: Sequence[tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of all workers from ``start`` to ``end`` (UNIX times)."""

    start: float = 0.0
    end: float = 0.0
    lanes: Sequence[Lane] = ()

    def step_of(self, t: float, steps: int) -> int:
        """Return the step that a time lies in; beyond the ends the first or the last."""
        span = self.end - self.start
        return max(0, min(steps - 1, int((t - self.start) / span * steps))) if span > 0 else 0


def lanes_of(
    units: UnitFigures, since: float, now: float, steps: int, working: Sequence[WorkerRow] = ()
) -> Lanes:
    """Add up what workers did in ``steps`` equal steps.

    Args:
        units: figures of all chunks.
        since: UNIX time; what was done before is left out.
        now: the end, where chunks are still being worked on; else the last of them is.
        steps: how many.
        working: what workers are at now: its stage is not known, so it counts as computing.
    """
    ended, seconds = units.column("ended"), units.column("seconds")
    chosen = [position for position, t in enumerate(ended) if t > since]
    if len(chosen) > _MOST:
        chosen = sorted(chosen, key=ended.__getitem__)[-_MOST:]
    busy = [row for row in working if row.label]
    if not chosen and not busy:
        return Lanes()
    starts = [ended[position] - seconds[position] for position in chosen]
    starts += [now - row.seconds for row in busy]
    start = max(since, min(starts))
    end = now if busy else max(ended[position] for position in chosen)
    width = max(end - start, 1e-3) / steps
    found: dict[int, list[list[float]]] = {}
    reading, writing = units.column("reading"), units.column("writing")
    for position in chosen:
        worker = int(units.value("worker", position))
        cells = found.setdefault(worker, [[0.0, 0.0, 0.0] for _ in range(steps)])
        total, read, write = seconds[position], reading[position], writing[position]
        begin = (ended[position] - total - start) / width
        # A chunk reads, then computes, then writes; nobody notes how the three took turns.
        bounds = (0.0, read, max(read, total - write), total)
        for stage in range(3):
            _fill(cells, stage, begin + bounds[stage] / width, begin + bounds[stage + 1] / width)
    for row in busy:
        cells = found.setdefault(row.number, [[0.0, 0.0, 0.0] for _ in range(steps)])
        _fill(cells, 1, steps - row.seconds / width, steps)
    lanes = [
        Lane(worker, [(cell[0], cell[1], cell[2]) for cell in found[worker]])
        for worker in sorted(found)
    ]
    return Lanes(start, end, lanes)


def _fill(cells: list[list[float]], stage: int, begin: float, end: float) -> None:
    """Add the time from ``begin`` to ``end``, in steps, to the cells that it lies in."""
    begin = max(begin, 0.0)
    for index in range(int(begin), min(int(end) + 1, len(cells))):
        cells[index][stage] += max(0.0, min(end, index + 1) - max(begin, index))


def look_of(step: tuple[float, float, float]) -> tuple[int, float] | None:
    """Return the stage that a step was spent in most (its number), and the share of the step that
    was spent in any; None: the worker was idle."""
    busy = sum(step)
    if busy < _IDLE:
        return None
    return max(range(3), key=step.__getitem__), min(1.0, busy)
