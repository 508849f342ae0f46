"""Synthetic long jobs with a clock of their own, and what was told of their end on the way."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass

from geobatch_tui.observability.time_left import Ahead, TimeLeft, kind_of
from geobatch_tui.observability.working_time import WorkingTime

KIND = kind_of(0, 1 << 20)
SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Job:
    """Chunks that take ``seconds(n, t)``; ``pause``: when the operator holds the run, how long."""

    chunks: int
    workers: int
    seconds: object
    pause: tuple[float, float] = (0.0, 0.0)


def long_jobs(seed):
    """Three jobs of 5 to 15 minutes: one chunk of 50 s, a pause of 30 s, a cold start."""
    rng = random.Random(seed)
    usual, workers, length = rng.uniform(0.3, 1.5), rng.choice([2, 4, 8]), rng.uniform(300, 900)
    sigma, drift, period = rng.choice([0.1, 0.3, 0.6]), rng.choice([0, 0.1]), rng.uniform(60, 400)
    chunks = int(length * workers / usual)

    def plain(_, t):
        wave = 1 + drift * math.sin(t / period)
        return usual * rng.lognormvariate(-sigma * sigma / 2, sigma) * wave

    slow = rng.randrange(chunks // 8, chunks // 2)
    yield "slow", Job(chunks, workers, lambda n, t: 50.0 if n == slow else plain(n, t))
    yield "pause", Job(chunks, workers, plain, (rng.uniform(0.05, 0.2) * length, 30.0))
    yield "cold", Job(chunks, workers, lambda n, t: plain(n, t) * (1 + 5 * math.exp(-t / 15)))


def played(job):
    """Return the ends, lengths and begins of all chunks, in the order of their ends."""
    free = [0.0] * job.workers
    begin, length = job.pause
    found = []
    for number in range(job.chunks):
        t = heapq.heappop(free)
        t = begin + length if begin <= t < begin + length else t
        seconds = job.seconds(number, t)
        found.append((t + seconds, seconds, t))
        heapq.heappush(free, t + seconds + 0.002)
    return sorted(found)


def told(job):
    """Replay a job second by second; yield the estimate and the truth at each of ``SHARES``."""
    chunks = played(job)
    end, (begin, length) = chunks[-1][0], job.pause
    work, left = WorkingTime(), TimeLeft()
    work.begin(0.0)
    left.expect({KIND: job.chunks})
    shares, done, t = list(SHARES), 0, 0.0
    while shares:
        t += 1.0
        work.hold(t, held=begin <= t < begin + length)
        while chunks[done][0] <= t:
            left.add(KIND, chunks[done][1], 0)
            done += 1
        running = [t - at for *_, at in chunks[done : done + 2 * job.workers] if at <= t]
        estimate = left.at(work.at(t), Ahead(job.chunks - done, running, job.workers))
        if t >= shares[0] * end:
            yield shares.pop(0), estimate, end - t
