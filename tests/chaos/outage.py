"""Experiments with a store that is away for a while in mid-run."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import chaos_jobs
import harness
from harness import Verdict
from object_server import served

if TYPE_CHECKING:
    from pathlib import Path

    from chaos_jobs import Fixture
    from object_server import Objects

#: Seconds that an answer of the store takes.
LATENCY = 0.03
#: Seconds over which the load of the store is taken, and how many times that of before it may be.
WINDOW, MOST = 1.0, 1.5
#: Requests of one small object, about; the first three of them are of the plan.
EACH = 5


def endpoint_away(
    directory: Path, seconds: float, *, sources: int, workers: int, how: str, at: float
) -> Verdict:
    """Read ``sources`` small rasters from a store that is away for some ``seconds`` in the middle
    of the run, once the share ``at`` of all requests came: its port is closed (``how`` "gone"), or
    it answers "503".

    The run goes on by itself, and publishes the bytes of a run on local files. No attempt is
    counted, nothing becomes a dead letter. The store is asked seldom meanwhile, and when it is back
    it gets at most 1.5 times the load of before.
    """
    verdict = Verdict(f"endpoint away ({how})")
    fixture = chaos_jobs.raster(
        directory, columns=2, rows=1, sources=sources, side=150, retry={"max_attempts": 1}
    )
    reference = fixture.reference().tree
    data = {path.name: path.read_bytes() for path in directory.glob("source-*.tif")}
    with served(**data) as objects:
        objects.latency = LATENCY
        listed = directory / "urls.txt"
        listed.write_text("\n".join(map(objects.url, sorted(data))))
        fixture.write(source={"inputs": [f"@{listed}"]}, engine={"max_workers": workers})
        fixture.forget()
        engine = fixture.start()
        left, back = _leave(objects, seconds, how, after=int(at * sources * EACH))
        ended = engine.wait(timeout=seconds + 300)
    verdict.expect(ended.code == 0, f"exit {ended.code}: {ended.stderr[-2000:]}")
    verdict.same_tree(fixture.out, reference, "with the store back")
    verdict.clean(fixture.out, "with the store back")
    _judge_log(verdict, fixture)
    _judge_load(verdict, objects, left, back)
    verdict.figures["seconds away"] = round(back - left, 1)
    shutil.rmtree(fixture.out)
    return verdict


def _leave(objects: Objects, seconds: float, how: str, after: int) -> tuple[float, float]:
    """Have a store be away once it had so many requests; return when it left, and was back."""
    until = time.monotonic() + 120
    while len(objects.times) < after and time.monotonic() < until:
        time.sleep(0.01)
    left = time.monotonic()
    if how == "gone":
        objects.go()
    else:
        objects.fault = lambda method, path, number: how
    time.sleep(seconds)
    back = time.monotonic()
    objects.fault = lambda method, path, number: ""
    if how == "gone":
        objects.come()
    return left, back


def _judge_log(verdict: Verdict, fixture: Fixture) -> None:
    lines = harness.events(fixture.out)
    attempts = [line["attempt"] for line in lines if line.get("event") == "chunk.done"]
    verdict.expect(set(attempts) == {1}, f"attempts counted: {max(attempts, default=0)}")
    verdict.expect(not harness.count(lines, "chunk.retry"), "chunks were tried again")
    letters = harness.dead_letters(fixture.out)
    verdict.expect(not letters, f"{len(letters)} dead letters: {letters[:2]}")
    told = sum("is away, or asks to slow down" in str(line.get("message")) for line in lines)
    verdict.expect(told >= 1, "the log does not say that the store was away")


def _judge_load(verdict: Verdict, objects: Objects, left: float, back: float) -> None:
    times = sorted(objects.times)
    before = busiest([one for one in times if one <= left])
    during = [one for one in times if left + WINDOW < one <= back]
    after = busiest([one for one in times if one > back])
    verdict.expect(after <= MOST * before, f"{after} requests in {WINDOW} s, before {before}")
    first = next((one for one in times if one > back), back)
    verdict.figures |= {
        "requests": len(times),
        "most in a second before": before,
        "asked while away": len(during),
        "most in a second after": after,
        "seconds to the first request": round(first - back, 1),
    }


def busiest(times: list[float]) -> int:
    """The most requests in any stretch of ``WINDOW`` seconds."""
    most = first = 0
    for last, moment in enumerate(times):
        while times[first] < moment - WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most
