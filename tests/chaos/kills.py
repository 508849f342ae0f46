"""Experiments with SIGKILL: the engine at random moments and at named places, and its workers."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import harness
from harness import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from chaos_jobs import Fixture

#: Chunks that a kill may cost at most: those in flight (2 workers, 2 each) and one commit batch.
WASTE = 64 + 4


def kill_engine(fixture: Fixture, kills: int, seed: int) -> Verdict:
    """SIGKILL the engine at random moments, start it again, and so on ``kills`` times.

    A run that gets to its end is compared with the uninterrupted one, and the chain goes on in an
    empty directory. Moments are uniform over the length of an uninterrupted run, so that start,
    planning, chunks, assembly and publication are all hit; the shortest one counts, as the first
    may have been slowed down. After each kill: no process left, and nothing damaged under a final
    name.
    """
    rng = random.Random(seed)
    verdict = Verdict("kill -9 engine", seed)
    reference, length = fixture.reference().tree, fixture.reference().seconds
    fixture.forget()
    done = laps = wasted = worst = last = 0
    phases = Phases()
    slowest, undisturbed = 0.0, True
    while done < kills:
        engine = fixture.start()
        moment = rng.uniform(0.0, length)
        while engine.alive() and engine.seconds() < moment:
            time.sleep(0.002)
        if engine.alive():
            engine.kill()
            done, undisturbed = done + 1, False
            phases.killed(fixture)
            slowest = max(slowest, _after_kill(fixture, verdict, reference, f"kill {done}"))
            epoch, waste = waste_of(fixture)
            # One that was killed before its run began has wasted nothing more.
            wasted, worst = wasted + (waste if epoch != last else 0), max(worst, waste)
            last = epoch
            continue
        laps, last = laps + 1, 0
        ended = engine.wait()
        _finished(fixture, verdict, ended, reference, f"lap {laps}")
        if undisturbed:
            length = min(length, ended.seconds)
        fixture.forget()
        undisturbed = True
    _finished(fixture, verdict, fixture.run_here(), reference, "last lap")
    verdict.expect(worst <= WASTE, f"a kill cost {worst} chunks")
    verdict.figures = {
        "kills": done,
        "laps": laps + 1,
        "run s": round(length, 2),
        "chunks redone": wasted,
        "most by one kill": worst,
        "slowest orphan s": round(slowest, 3),
        **(phases.figures() if fixture.staged else {}),
    }
    return verdict


@dataclass
class Phases:
    """Counts the kills by what the engine was at, and the chunks that were in hand then."""

    before: int = 0
    stage: int = 0
    behind: int = 0
    in_hand: int = 0

    def killed(self, fixture: Fixture) -> None:
        """Look at what a killed engine had recorded."""
        done, running = _chunks_of(fixture)
        self.in_hand += running
        if not done:
            self.before += 1
        elif done < fixture.staged:
            self.stage += 1
        else:
            self.behind += 1

    def figures(self) -> dict[str, int]:
        """What the table has of it."""
        return {
            "kills before chunks": self.before,
            "in the stage": self.stage,
            "behind it": self.behind,
            "chunks in hand": self.in_hand,
        }


def _chunks_of(fixture: Fixture) -> tuple[int, int]:
    """How many chunks are done, and how many were being computed when the engine died."""
    ledger = fixture.out / harness.STATE / "ledger.db"
    if not ledger.exists():
        return 0, 0
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        try:
            done, running = database.execute("SELECT n_done, n_running FROM tally").fetchone()
        except sqlite3.Error:
            return 0, 0
    return int(done), int(running)


def waste_of(fixture: Fixture) -> tuple[int, int]:
    """The epoch of the last run, and how many chunks it finished and did not get to record:
    segments in its spools, found by the mark at their end, that the ledger does not know."""
    ledger = fixture.out / harness.STATE / "ledger.db"
    if not ledger.exists():
        return 0, 0
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        try:
            epoch = database.execute("SELECT coalesce(max(epoch), 0) FROM run").fetchone()[0]
            known = database.execute(
                "SELECT count(*) FROM chunk JOIN spool AS s USING (spool_id)"
                " WHERE spool_length > 0 AND s.name GLOB ? || '-*'",
                (str(epoch),),
            ).fetchone()[0]
        except sqlite3.Error:
            return 0, 0
    spools = (fixture.out / harness.STATE / "work").rglob(f"{epoch}-*.spool")
    there = sum(path.read_bytes().count(fixture.magic) for path in spools)
    return epoch, max(0, there - known)


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


def kill_workers(fixture: Fixture, kills: int, seed: int, gap: float = 0.12) -> Verdict:
    """SIGKILL a random worker ``kills`` times during one run; ``gap``: mean seconds between.

    The run must survive them all: same tree, no dead letter. It is a fault if it ended before all
    kills were dealt, or if most hit workers that were only starting, as then less was proven than
    said. So each waits for another chunk to be done since the last.
    """
    rng = random.Random(seed)
    verdict = Verdict("kill -9 workers", seed)
    reference, length = fixture.reference().tree, fixture.reference().seconds
    fixture.forget()
    engine = fixture.start()
    done = seen = 0
    while engine.alive() and done < kills:
        time.sleep(rng.expovariate(1 / gap))
        chunks = harness.count(harness.events(fixture.out), "chunk.done")
        workers = engine.workers()
        if chunks > seen and workers and engine.alive():
            done += harness.kill(rng.choice(workers))
            seen = chunks
    ended = engine.wait(timeout=600)
    verdict.expect(done == kills, f"the run ended after {done} of {kills} kills")
    _finished(fixture, verdict, ended, reference, "end")
    lines = harness.events(fixture.out)
    lost = harness.count(lines, "worker.lost")
    verdict.expect(lost * 4 >= done, f"of {done} workers that were killed, {lost} had started")
    verdict.figures = {
        "kills": done,
        "undisturbed s": round(length, 2),
        "run s": round(ended.seconds, 2),
        "worker.lost": lost,
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
    reference = fixture.reference().tree
    fixture.forget()
    ended = fixture.run(env={"GEOBATCH_FAILPOINT": f"{name}:{passage}"})
    verdict.figures = {"died": ended.code == -9, "code": ended.code}
    verdict.expect(ended.code in (-9, 0), f"{name}: exit {ended.code}: {ended.stderr[-1500:]}")
    _after_kill(fixture, verdict, reference, name)
    _finished(fixture, verdict, fixture.run(), reference, f"resume after {name}")
    return verdict


def kill_at_each(fixture: Fixture, names: list[str]) -> Verdict:
    """Die at the first passage of each named place in turn, each run going on where the last one
    died, so that a job needs an item for each place that has to do with publishing. One that gets
    to its end without passing its place is done again from nothing. All places are in the engine:
    but for the run that all are compared with, threads compute."""
    verdict = Verdict("kill at each place")
    reference = fixture.reference().tree
    fixture.forget()
    laps = 0
    for name in sorted(names, key=lambda name: name.endswith("archive")):  # the end of a run last
        there = {"GEOBATCH_FAILPOINT": f"{name}:1"}
        ended = fixture.run(env=there, threads=True)
        if ended.code == 0:
            laps += 1
            _finished(fixture, verdict, ended, reference, f"lap {laps}, to {name}")
            fixture.forget()
            ended = fixture.run(env=there, threads=True)
        verdict.expect(ended.code == -9, f"{name}: exit {ended.code}: {ended.stderr[-1500:]}")
        _after_kill(fixture, verdict, reference, name)
    _finished(fixture, verdict, fixture.run_here(), reference, "last lap")
    verdict.figures = {"places": len(names), "laps": laps + 1}
    return verdict


def kill_while_planning(fixture: Fixture, moments: list[int]) -> Verdict:
    """SIGKILL the engine while its plan has workers look at parts: each time as soon as so many of
    ``moments`` are kept. No part that was kept is looked at again, and what comes out is the tree
    of a run that was left alone."""
    verdict = Verdict("kill -9 engine in its plan")
    reference = fixture.reference().tree
    fixture.forget()
    kept: dict[str, bytes] = {}
    for moment in moments:
        engine = fixture.start()
        while engine.alive() and len(parts_of(fixture)) < moment:
            time.sleep(0.002)
        verdict.expect(engine.alive(), f"it ended before it kept {moment} parts")
        engine.kill()
        found = parts_of(fixture)
        verdict.expect(not sum(_chunks_of(fixture)), f"{moment} parts: chunks had begun")
        verdict.expect(kept.items() <= found.items(), f"{moment} parts: some were made again")
        kept = found
        _after_kill(fixture, verdict, reference, f"{moment} parts")
    _finished(fixture, verdict, fixture.run(), reference, "end")
    found = parts_of(fixture)
    verdict.expect(kept.items() <= found.items(), "end: parts were made again")
    verdict.expect(len(kept) < len(found), "all parts were kept before the last kill")
    verdict.figures = {"kills": len(moments), "kept": len(kept), "parts": len(found)}
    return verdict


def parts_of(fixture: Fixture) -> dict[str, bytes]:
    """What is kept of the parts that a plan looked at, by their names: with the times that files
    had, or the seconds that a look took, so that two looks at one part differ."""
    ledger = fixture.out / harness.STATE / "ledger.db"
    if not ledger.exists():
        return {}
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        try:
            return dict(database.execute("SELECT name, body FROM part"))
        except sqlite3.Error:
            return {}
