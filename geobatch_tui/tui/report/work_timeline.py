"""What a run did when, in a bounded number of bins: chunks from the ledger, events from the log."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.place.regular_file import open_read
from geobatch_tui.tui.log.entry import entry_of, time_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

BINS: Final = 360
"""Bins of the throughput; a run of less than so many seconds has a bin for each second."""
WORKERS: Final = 48
"""Workers that are shown, the first ones."""
_CELLS: Final = 9600  #: workers times bins
_FINEST: Final = 0.05  #: seconds of a bin of a lane
_SHARES: Final = 5

#: Events of the log, and what they are called.
_EVENTS: Final = {
    "chunk.dead": "given up",
    "item.dead": "given up",
    "chunk.retry": "tried again",
    "worker.lost": "worker lost",
    "run.command": "command",
    "run.drain": "command",
}
#: Most lines of a log: they are not even parsed.
_USUAL: Final = b'"event":"chunk.done"'


@dataclass(frozen=True, slots=True)
class Span:
    """A time of a run in seconds since its begin, of which ``share`` fifths are meant."""

    begin: float
    end: float
    share: int = _SHARES

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of a time line."""

    name: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """The time of a run: UNIX time of its begin, and seconds."""

    t0: float
    seconds: float

    @property
    def step(self) -> float:
        """Seconds of a bin of the throughput."""
        return max(1.0, self.seconds / BINS)

    @property
    def fine(self) -> float:
        """Seconds of a bin of a lane."""
        return max(_FINEST, self.seconds / BINS)

    def inside(self, t: float) -> float:
        """Return a UNIX time as seconds of the run."""
        return min(max(0.0, t - self.t0), self.seconds)


@dataclass(frozen=True, slots=True)
class ChunkTimes:
    """Columns of a run's chunks: UNIX time of their end, 0 if they are not done; seconds that they
    took; and the number of their worker."""

    ended: Sequence[float]
    seconds: Sequence[float]
    worker: Sequence[float]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run in time.

    Attributes:
        done: chunks that were done in each bin; none if no time is known.
        workers: a lane each, of the first ones; ``hidden`` are not shown.
        events: lanes of what happened.
        stall: the longest time between two chunks.
    """

    period: Period
    done: tuple[int, ...] = ()
    workers: tuple[Lane, ...] = ()
    hidden: int = 0
    events: tuple[Lane, ...] = ()
    stall: Span | None = None


def timeline_of(period: Period, times: ChunkTimes, log: Path, run_id: str) -> Timeline:
    """Put together what chunks and the log tell of a run. Chunks of earlier runs are left out."""
    rows = [
        (period.inside(ended), seconds, int(worker))
        for ended, seconds, worker in zip(times.ended, times.seconds, times.worker, strict=True)
        if ended >= period.t0
    ]
    events = tuple(_lanes_of(log, run_id, period))
    if not rows:
        return Timeline(period, events=events)
    done = [0] * (int(period.seconds / period.step) + 1)
    for at, _, _ in rows:
        done[int(at / period.step)] += 1
    busy = _busy(rows, period)
    shown = sorted(busy)[:WORKERS]
    merge = max(1, -(-len(shown) * BINS // _CELLS))
    workers = (Lane(f"{n}", tuple(_spans(busy[n], period.fine, merge))) for n in shown)
    return Timeline(
        period, tuple(done), tuple(workers), len(busy) - len(shown), events, _stall(rows)
    )


def _stall(rows: Sequence[tuple[float, float, int]]) -> Span | None:
    ends = sorted(at for at, _, _ in rows)
    gaps = (Span(first, second) for first, second in pairwise(ends))
    return max(gaps, key=lambda gap: gap.seconds, default=None)


def _busy(
    rows: Sequence[tuple[float, float, int]], period: Period
) -> dict[int, defaultdict[int, float]]:
    """Return seconds of work by worker and bin."""
    fine = period.fine
    busy: dict[int, defaultdict[int, float]] = {}
    for at, seconds, worker in rows:
        row = busy.setdefault(worker, defaultdict(float))
        begin = max(0.0, at - seconds)
        first, last = int(begin / fine), int(at / fine)
        if first == last:
            row[first] += at - begin
            continue
        row[first] += (first + 1) * fine - begin
        for index in range(first + 1, last):
            row[index] += fine
        row[last] += at - last * fine
    return busy


def _spans(row: Mapping[int, float], fine: float, merge: int = 1) -> Iterator[Span]:
    """Yield spans of equal shares of work, ``merge`` bins as one."""
    bins: defaultdict[int, float] = defaultdict(float)
    for index, seconds in row.items():
        bins[index // merge] += seconds
    wide = fine * merge
    shares = [(n, min(_SHARES, -int(-bins[n] * _SHARES // wide))) for n in sorted(bins)]
    # Neighbours of one share differ from their rank by the same number.
    keyed = [(share, n - rank, n) for rank, (n, share) in enumerate(shares) if share]
    for (share, _), members in groupby(keyed, key=lambda each: each[:2]):
        numbers = [n for *_, n in members]
        yield Span(numbers[0] * wide, (numbers[-1] + 1) * wide, share)


def _lanes_of(log: Path, run_id: str, period: Period) -> Iterator[Lane]:
    """Yield lanes of what the log of a run tells; a log that is not there tells nothing."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    turns: list[tuple[float, bool]] = []
    for at, event in _events(log, run_id, period):
        if event in _EVENTS:
            found[_EVENTS[event]].add(int(at / period.fine))
        elif event in {"run.suspend", "run.unsuspend"}:
            turns.append((at, event == "run.suspend"))
    for name in dict.fromkeys(_EVENTS.values()):
        if found[name]:
            yield Lane(name, tuple(_spans(dict.fromkeys(found[name], period.fine), period.fine)))
    if held := [*_held(turns, period)]:
        yield Lane("held up", tuple(held[:BINS]))


def _held(turns: Sequence[tuple[float, bool]], period: Period) -> Iterator[Span]:
    """Yield the times in which nothing new was started."""
    since: float | None = None
    for at, held in (*turns, (period.seconds, False)):
        if held and since is None:
            since = at
        elif not held and since is not None:
            yield Span(since, at)
            since = None


def _events(log: Path, run_id: str, period: Period) -> Iterator[tuple[float, str]]:
    needle = json.dumps(run_id).encode()
    try:
        with open_read(log) as file:
            for line in file:
                if needle in line and _USUAL not in line:
                    entry = entry_of(line)
                    t = time_of(entry)
                    if t is not None:
                        yield period.inside(t), str(entry.get("event") or "")
    except OSError:
        return
