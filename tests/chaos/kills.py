"""Experiments with SIGKILL: the engine at random moments and at named places, and its workers."""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING

import harness
from harness import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from chaos_jobs import Fixture

#: What a kill may cost at most: the chunks in flight (2 workers, 2 each) and one commit batch.
REDONE_PER_KILL = 64 + 4


def kill_engine(fixture: Fixture, kills: int, seed: int) -> Verdict:
    """SIGKILL the engine at random moments, start it again, and so on ``kills`` times.

    A run that gets to its end is compared with the uninterrupted one, and the chain goes on in an
    empty directory. Moments are uniform over the length of an uninterrupted run, so that start,
    planning, chunks, assembly and publication are all hit. After each kill: no process left, and
    nothing damaged under a final name.
    """
    rng = random.Random(seed)
    verdict = Verdict("kill -9 engine", seed)
    reference, length = fixture.reference()
    fixture.forget()
    done = laps = 0
    slowest, redone, lap_kills, most_redone = 0.0, 0, 0, 0.0
    while done < kills:
        engine = fixture.start()
        moment = rng.uniform(0.0, length)
        while engine.alive() and engine.seconds() < moment:
            time.sleep(0.002)
        if engine.alive():
            engine.kill()
            done, lap_kills = done + 1, lap_kills + 1
            slowest = max(slowest, _after_kill(fixture, verdict, reference, f"kill {done}"))
            continue
        _finished(fixture, verdict, engine.wait(), reference, f"lap {laps + 1}")
        again = _redone(fixture)
        if lap_kills:
            most_redone = max(most_redone, again / lap_kills)
        redone, laps, lap_kills = redone + again, laps + 1, 0
        fixture.forget()
    _finished(fixture, verdict, fixture.run(), reference, "last lap")
    redone += _redone(fixture)
    verdict.expect(
        redone <= kills * REDONE_PER_KILL, f"{redone} chunks were done again in {kills} kills"
    )
    verdict.figures = {
        "kills": done,
        "laps": laps + 1,
        "run s": round(length, 2),
        "redone": redone,
        "redone/kill": round(redone / max(1, done), 2),
        "most redone/kill in a lap": round(most_redone, 2),
        "slowest orphan s": round(slowest, 3),
    }
    return verdict


def _after_kill(fixture: Fixture, verdict: Verdict, reference: dict[str, str], when: str) -> float:
    seconds, left = harness.wait_for_no_orphans()
    verdict.expect(not left, f"{when}: alive {harness.ORPHAN_GRACE} s later: {left[:4]}")
    if fixture.out.exists():
        for name, digest in harness.published(fixture.out).items():
            verdict.expect(reference.get(name) == digest, f"{when}: {name} is not what it must be")
    return seconds


def _finished(
    fixture: Fixture,
    verdict: Verdict,
    ended: harness.Ended,
    reference: dict[str, str],
    when: str,
) -> None:
    if not verdict.expect(ended.code == 0, f"{when}: exit {ended.code}: {ended.stderr[-1500:]}"):
        return
    counts = ended.json["counts"]
    verdict.expect(counts["dead"] == 0, f"{when}: {counts['dead']} dead letters")
    verdict.expect(
        counts["done"] + counts["current"] == fixture.chunks == counts["total"],
        f"{when}: counts {counts} for {fixture.chunks} chunks",
    )
    verdict.same_tree(fixture.out, reference, when)
    verdict.clean(fixture.out, when)
    _, left = harness.wait_for_no_orphans()
    verdict.expect(not left, f"{when}: alive after the end: {left[:4]}")


def _redone(fixture: Fixture) -> int:
    """Chunks that were finished more than once in this directory, by its log."""
    return max(0, harness.count(harness.events(fixture.out), "chunk.done") - fixture.chunks)


def kill_workers(fixture: Fixture, kills: int, seed: int, gap: float = 0.12) -> Verdict:
    """SIGKILL a random worker ``kills`` times during one run; ``gap``: mean seconds between.

    The run must survive them all: same tree, no dead letter. It is a fault if it ended before all
    kills were dealt, as then less was proven than said.
    """
    rng = random.Random(seed)
    verdict = Verdict("kill -9 workers", seed)
    reference, length = fixture.reference()
    fixture.forget()
    engine = fixture.start()
    done = 0
    while engine.alive() and done < kills:
        time.sleep(rng.expovariate(1 / gap))
        workers = engine.workers()
        if workers and engine.alive():
            done += harness.kill(rng.choice(workers))
    ended = engine.wait(timeout=600)
    verdict.expect(done == kills, f"the run ended after {done} of {kills} kills")
    _finished(fixture, verdict, ended, reference, "end")
    lines = harness.events(fixture.out)
    verdict.figures = {
        "kills": done,
        "undisturbed s": round(length, 2),
        "run s": round(ended.seconds, 2),
        "worker.lost": harness.count(lines, "worker.lost"),
        "chunk.retry": harness.count(lines, "chunk.retry"),
        "dead": harness.count(lines, "chunk.dead"),
    }
    return verdict


FAILPOINT = re.compile(r"""\bfailpoint\(\s*["']([a-z_0-9]+)["']""")


def failpoints(package: Path) -> list[str]:
    """Names of all places in the package where a test can kill it."""
    found = {name for path in package.rglob("*.py") for name in FAILPOINT.findall(path.read_text())}
    return sorted(found)


def kill_at(fixture: Fixture, name: str, passage: int = 1) -> Verdict:
    """Die at the n-th passage of a named place, then resume."""
    verdict = Verdict(f"kill at {name}:{passage}")
    reference, _ = fixture.reference()
    fixture.forget()
    ended = fixture.run(env={"GEOBATCH_FAILPOINT": f"{name}:{passage}"})
    verdict.figures = {"died": ended.code == -9, "code": ended.code}
    verdict.expect(ended.code in (-9, 0), f"{name}: exit {ended.code}: {ended.stderr[-1500:]}")
    _after_kill(fixture, verdict, reference, name)
    _finished(fixture, verdict, fixture.run(), reference, f"resume after {name}")
    return verdict
