"""The time to the end of a run as a range, from what chunks of each kind took; without a clock.

Chunks are weighed by what their kind takes (a small tile, a part of a large raster, a stage), and
what workers do is counted in seconds of theirs. One chunk of 50 s, a pause or a cold start then
changes little of what is told, where a rate of chunks would have halved.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

type Kind = tuple[int, int]
"""A kind of chunk: the number of its stage, and its size as a power of two."""

_ENOUGH: Final = 2  #: chunks; with fewer, no time is told
_TOO_SOON: Final = 1.0  #: seconds of work
_KEPT: Final = 400  #: durations of a kind
_SAMPLES: Final = 1200
_BLOCKS: Final = 8
#: A duration counts up to so many times what 97 of 100 take: outliers do not come back as often.
_USUAL, _OUTLIER = 0.97, 2.0
#: Standard errors in half a range that is to hold the truth four times of five; and what is never
#: known better than this.
_SPREAD: Final = 2.0
_LEAST_SPREAD: Final = 0.07
_STUCK: Final = 3.0  #: times a usual chunk: one that runs for longer is not one of those
#: Kinds that were not measured yet: how what they take grows with their size, and how wrong it is.
_GROWTH: Final = 0.75
_GUESS: Final = (0.5, 1.0, 2.0)
#: Bytes a second at which outputs are put together, before any was: most, usual, least.
FINISHING: Final = (600e6, 150e6, 30e6)
_MEASURED: Final = (0.75, 1.0, 1.4)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds to the end: the truth is between ``low`` and ``high`` four times of five."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Ahead:
    """The work that is left.

    Attributes:
        chunks: those that run included.
        running: seconds that each of them has run.
        workers: that take chunks.
        items: not published, nor given up.
        finishing: seconds that each output under way has been put together.
    """

    chunks: int
    running: Sequence[float] = ()
    workers: int = 1
    items: int = 0
    finishing: Sequence[float] = ()


@dataclass(slots=True)
class _Seen:
    """Durations of a kind in their order, how many there were, and how many are expected yet."""

    left: int = 0
    count: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def latest(self) -> list[float]:
        """Return the newer half: what a start took says nothing of the end."""
        kept = len(self.recent)
        wanted = min(kept, max(_BLOCKS, self.count // 2))
        return list(islice(self.recent, kept - wanted, kept))


class TimeLeft:
    """Learns what chunks and outputs take. All times are seconds of work, pauses left out."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, _Seen] = {}
        self._chunks = 0
        self._bytes = 0
        self._busy = 0.0
        self._samples: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)]
        self._to_finish: list[int] = [0, 0]  # items, and the chunks in them
        self._finished = [0.0, 0.0]  # bytes, and seconds that they took

    def expect(self, sizes: Mapping[Kind, int], *, assembled: int = 0) -> None:
        """Expect chunks of an item by kind; it has so many in all if it is put together of them."""
        for kind, count in sizes.items():
            self._kinds.setdefault(kind, _Seen()).left += count
        if assembled:
            self._to_finish[0] += 1
            self._to_finish[1] += assembled

    def add(self, kind: Kind, seconds: float, bytes_out: int) -> None:
        """Count a finished chunk."""
        seen = self._kinds.setdefault(kind, _Seen())
        seen.left = max(0, seen.left - 1)
        seen.count += 1
        seen.recent.append(seconds)
        self._chunks += 1
        self._bytes += bytes_out
        self._busy += seconds

    def finished(self, chunks: int, size: int, seconds: float) -> None:
        """Count an item of so many chunks whose output of ``size`` bytes was put together."""
        self._to_finish[0] -= 1
        self._to_finish[1] -= chunks
        self._finished[0] += size
        self._finished[1] += seconds
        self._busy += seconds

    def durations(self) -> list[float]:
        """Return what recent chunks of all kinds took."""
        return [seconds for seen in self._kinds.values() for seconds in seen.recent]

    def look(self, work: float, ahead: Ahead) -> None:
        """Note what the workers have done up to ``work``; about once a second is enough."""
        last, _, capacity = self._samples[-1]
        if work - last < 1.0:
            return
        busy = self._busy + sum(ahead.running) + sum(ahead.finishing)
        self._samples.append((work, busy, capacity + (work - last) * max(1, ahead.workers)))
        if len(self._samples) > _SAMPLES:
            del self._samples[1::2]

    def at(self, work: float, ahead: Ahead) -> Estimate | None:
        """Return the time that is left after ``work`` seconds; None while nothing is known."""
        self.look(work, ahead)
        share = self._share_finishing(ahead)
        if not ahead.chunks and not share:
            return Estimate(0.0, 0.0, 0.0)
        if self._chunks < _ENOUGH or work < _TOO_SOON:
            return None
        chunks = self._chunks_left(ahead)
        finishing = self._finishing_left(ahead, share)
        workers = max(1, ahead.workers)
        busy = workers * self._efficiency(work)
        last = [whole / max(1, self._to_finish[0]) for whole in finishing]
        usual = chunks[1] / ahead.chunks if ahead.chunks else 0.0
        # In the end workers stand idle while the last chunks run, and one output is put together.
        tail = usual * (1 - 1 / workers) / 2
        stuck = max((_residual(run, usual) for run in ahead.running), default=0.0)
        low, middle, high = (
            max(each / busy + (whole - alone) / workers + tail, stuck) + alone
            for each, whole, alone in zip(chunks, finishing, last, strict=True)
        )
        return Estimate(low, middle, max(high, middle))

    def _efficiency(self, work: float) -> float:
        """Return the share of the workers' time in which they worked, since half of the time."""
        first = bisect_left(self._samples, (work / 2, 0.0, 0.0))
        _, busy, capacity = self._samples[min(first, max(0, len(self._samples) - 2))]
        _, now_busy, now_capacity = self._samples[-1]
        if now_capacity <= capacity:
            return 1.0
        return min(1.0, max(0.05, (now_busy - busy) / (now_capacity - capacity)))

    def _chunks_left(self, ahead: Ahead) -> tuple[float, float, float]:
        """Return the workers' seconds for the chunks that are left: least, usual, most."""
        expected = sum(seen.left for seen in self._kinds.values())
        waiting = max(0, ahead.chunks - len(ahead.running))
        kinds = {kind: seen for kind, seen in self._kinds.items() if seen.left}
        if not expected:  # chunks that came back: of the kinds that were done
            kinds = {kind: seen for kind, seen in self._kinds.items() if seen.count}
            expected = sum(seen.count for seen in kinds.values())
        sums = [0.0, 0.0, 0.0]
        for kind, seen in kinds.items():
            part = (seen.left or seen.count) / max(1, expected)
            for at, cost in enumerate(self._cost(kind, seen, waiting * part)):
                sums[at] += part * cost
        under_way = sum(_residual(run, sums[1]) for run in ahead.running)
        # One that runs for many times as long as others may well be half-way.
        longest = sum(
            max(_residual(run, sums[1]), run * (run > _STUCK * sums[1])) for run in ahead.running
        )
        low, usual = waiting * sums[0] + under_way, waiting * sums[1] + under_way
        return low, usual, waiting * sums[2] + longest

    def _cost(self, kind: Kind, seen: _Seen, left: float) -> tuple[float, float, float]:
        """Return the seconds that a chunk of a kind takes on the average: least, usual, most."""
        if not seen.count:
            return self._guess(kind)
        latest = seen.latest()
        ranked = sorted(latest)
        cap = _OUTLIER * ranked[math.floor(_USUAL * (len(ranked) - 1))]
        capped = [min(seconds, cap) for seconds in latest]
        usual = _mean(capped)
        if not usual:
            return 0.0, 0.0, 0.0
        length = max(1, len(capped) // _BLOCKS)
        means = [_mean(capped[at : at + length]) for at in range(0, len(capped), length)]
        deviation = math.sqrt(_mean([(mean - usual) ** 2 for mean in means]))
        error = deviation * math.sqrt(1 / len(means) + length / max(1.0, left))
        spread = max(_LEAST_SPREAD, _SPREAD * error / usual)
        if len(means) < _BLOCKS:
            spread += 1 / len(means)
        # What came last may be where it goes: a start that was cold, a disk that gets slower.
        last = _mean(means[-2:])
        low, high = min(usual / (1 + spread), last), max(usual * (1 + spread), last)
        return low, usual, max(high, _mean(latest))

    def _guess(self, kind: Kind) -> tuple[float, float, float]:
        """Return the same for a kind of which no chunk was finished, by the nearest that was."""
        measured = [other for other, seen in self._kinds.items() if seen.count]
        nearest = min(
            measured, key=lambda other: (other[0] != kind[0], abs(other[1] - kind[1])), default=kind
        )
        usual = _mean(self._kinds[nearest].recent or (0.0,))
        usual *= 2.0 ** (_GROWTH * (kind[1] - nearest[1]))
        low, middle, high = (usual * factor for factor in _GUESS)
        return low, middle, high

    def _share_finishing(self, ahead: Ahead) -> float:
        """Return the share of the items that are to be put together which are still open."""
        expected = self._to_finish[0]
        return min(1.0, ahead.items / expected) if expected > 0 else 0.0

    def _finishing_left(self, ahead: Ahead, share: float) -> tuple[float, float, float]:
        """Return the workers' seconds for the outputs that are not put together yet."""
        size = self._bytes / max(1, self._chunks) * max(0, self._to_finish[1]) * share
        done, seconds = self._finished
        if done and seconds:
            whole = [size * seconds / done * factor for factor in _MEASURED]
        else:
            whole = [size / rate for rate in FINISHING]
        low, middle, high = (max(0.1 * each, each - sum(ahead.finishing)) for each in whole)
        return low, middle, high


def kind_of(stage: int, size: int) -> Kind:
    """Return the kind of a chunk of so many pixels or features, in a stage of the item."""
    return stage, max(1, size).bit_length()


def _mean(values: Collection[float]) -> float:
    return sum(values) / len(values)


def _residual(run: float, usual: float) -> float:
    """Return the seconds that a chunk is likely to run yet. One that runs for long goes on so."""
    return usual - run if run < 0.8 * usual else max(0.2 * usual, 0.25 * run)
