"""Experiments with the state of a run: two engines, signals, a lost ledger, damaged outputs,
changed parameters."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import harness
from harness import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from chaos_jobs import Fixture


def wait_for(out: Path, event: str, times: int = 1, limit: float = 60) -> bool:
    """Whether the log told of ``event`` so often within ``limit`` seconds."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if harness.count(harness.events(out), event) >= times:
            return True
        time.sleep(0.01)
    return False


def two_engines(fixture: Fixture) -> Verdict:
    """A second engine on the same directory ends with 13 at once and names the first, which stands
    still meanwhile: else it may have ended before the second looks."""
    verdict = Verdict("two engines")
    reference = fixture.reference().tree
    fixture.forget()
    first = fixture.start()
    verdict.expect(wait_for(fixture.out, "chunk.done"), "the first engine did not start")
    first.signal(signal.SIGSTOP)
    verdict.expect(first.alive(), "the first had ended before the second came: nothing was proven")
    second = fixture.run()
    first.signal(signal.SIGCONT)
    verdict.expect(second.code == 13, f"the second ended with {second.code}")
    verdict.expect(
        str(first.process.pid) in second.stderr, f"the holder is not named: {second.stderr[-500:]}"
    )
    ended = first.wait()
    verdict.expect(ended.code == 0, f"the first ended with {ended.code}")
    verdict.same_tree(fixture.out, reference, "end")
    verdict.figures = {"second s": round(second.seconds, 2), "code": second.code}
    return verdict


#: (name, signals with the seconds between them, exit code)
SIGNALS: list[tuple[str, list[int], float, int]] = [
    ("INT", [signal.SIGINT], 0.0, 130),
    ("INT INT", [signal.SIGINT, signal.SIGINT], 0.05, 130),
    ("INT INT INT", [signal.SIGINT] * 3, 0.05, 130),
    ("TERM", [signal.SIGTERM], 0.0, 143),
    ("TERM TERM", [signal.SIGTERM, signal.SIGTERM], 0.05, 143),
]


def stop_by_signal(
    fixture: Fixture, numbers: list[int], gap: float, code: int, after: float | None = None
) -> Verdict:
    """Signals in the midst of a run (``after`` seconds, or once the first chunks are done): the
    documented code, no orphan, last log line ``run.exit``, and the same tree after a resume."""
    verdict = Verdict("signals")
    reference = fixture.reference().tree
    fixture.forget()
    engine = fixture.start()
    if after is None:
        verdict.expect(wait_for(fixture.out, "chunk.done", 3), "the run did not start")
    else:
        time.sleep(after)
    began = time.monotonic()
    for number in numbers:
        engine.signal(number)
        time.sleep(gap)
    ended = engine.wait(timeout=60)
    goodbye = time.monotonic() - began
    verdict.expect(ended.code == code, f"exit {ended.code}, not {code}: {ended.stderr[-1500:]}")
    _, left = harness.wait_for_no_orphans()
    verdict.expect(not left, f"alive {harness.ORPHAN_GRACE} s later: {left[:4]}")
    if len(numbers) < 3 and fixture.out.exists():
        lines = harness.events(fixture.out)
        verdict.expect(
            not lines or lines[-1].get("event") == "run.exit", "the last log line is no run.exit"
        )
    resumed = fixture.run_here()
    verdict.expect(resumed.code == 0, f"resume: {resumed.code}: {resumed.stderr[-1500:]}")
    verdict.same_tree(fixture.out, reference, "resumed")
    verdict.clean(fixture.out, "resumed")
    counts = resumed.json["counts"] if resumed.code == 0 else {}
    verdict.figures = {
        "signals": " ".join(signal.Signals(number).name for number in numbers),
        "code": ended.code,
        "goodbye s": round(goodbye, 2),
        "done before": counts.get("current"),
    }
    return verdict


def finish(fixture: Fixture, verdict: Verdict) -> None:
    """Run the job, unless an experiment before has done so and left it whole."""
    if not fixture.out.exists():
        first = fixture.run()
        verdict.expect(first.code == 0, f"first run: {first.code}: {first.stderr[-1500:]}")


def lose_ledger(fixture: Fixture) -> Verdict:
    """Delete the ledger of a finished run: ``repair`` rebuilds it, and nothing intact is redone."""
    verdict = Verdict("ledger deleted")
    finish(fixture, verdict)
    tree = harness.tree_hash(fixture.out)
    for path in (fixture.out / harness.STATE).glob("ledger.db*"):
        path.unlink()
    repaired = harness.call("repair", str(fixture.out), "--json")
    verdict.expect(repaired.code == 0, f"repair: {repaired.code}: {repaired.stderr[-1500:]}")
    verdict.expect(not harness.audit(fixture.out), "audit after repair")
    again = fixture.run()
    verdict.expect(again.code == 0, f"run after repair: {again.code}")
    counts = again.json["counts"] if again.code == 0 else {}
    verdict.expect(counts.get("done") == 0, f"{counts.get('done')} intact chunks were redone")
    verdict.expect(harness.tree_hash(fixture.out) == tree, "the tree changed")
    verdict.figures = {"redone": counts.get("done"), "current": counts.get("current")}
    return verdict


def damage_ledger(fixture: Fixture, seed: int) -> Verdict:
    """Flip bytes in the ledger: the next run says so and ends with 17, or it is unharmed; after
    ``repair`` nothing intact is redone."""
    verdict = Verdict("ledger damaged", seed)
    finish(fixture, verdict)
    tree = harness.tree_hash(fixture.out)
    ledger = fixture.out / harness.STATE / "ledger.db"
    content = bytearray(ledger.read_bytes())
    rng = random.Random(seed)
    for _ in range(100):
        content[rng.randrange(len(content))] ^= 0xFF
    ledger.write_bytes(content)
    run = fixture.run()
    verdict.expect(run.code in {0, 17}, f"run on it: {run.code}: {run.stderr[-1500:]}")
    verdict.expect(harness.tree_hash(fixture.out) == tree, "the tree changed")
    repaired = harness.call("repair", str(fixture.out), "--json")
    verdict.expect(repaired.code == 0, f"repair: {repaired.code}: {repaired.stderr[-1500:]}")
    again = fixture.run()
    verdict.expect(again.code == 0, f"run after repair: {again.code}: {again.stderr[-1500:]}")
    counts = again.json["counts"] if again.code == 0 else {}
    verdict.expect(counts.get("done") == 0, f"{counts.get('done')} intact chunks were redone")
    verdict.figures = {"code": run.code, "redone": counts.get("done")}
    return verdict


def flip_a_bit(path: Path, rng: random.Random) -> int:
    """Invert one bit in the second half of a file (where pixels are); returns its offset."""
    content = bytearray(path.read_bytes())
    offset = rng.randrange(len(content) // 2, len(content))
    content[offset] ^= 1 << rng.randrange(8)
    stat = path.stat()
    path.write_bytes(content)
    # Size and times stay: only the content tells.
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return offset


def damage_output(fixture: Fixture, seed: int) -> Verdict:
    """Flip one bit in one of several outputs: ``verify`` ends with 14 and names exactly that one;
    the next run redoes exactly it."""
    rng = random.Random(seed)
    verdict = Verdict("output damaged", seed)
    finish(fixture, verdict)
    tree = harness.tree_hash(fixture.out)
    sound = harness.call("verify", str(fixture.out), "--json")
    verdict.expect(sound.code == 0, f"verify of a sound tree: {sound.code} {sound.stderr[-500:]}")
    name = rng.choice(sorted(tree))
    flip_a_bit(fixture.out / name, rng)
    damaged = harness.call("verify", str(fixture.out), "--json")
    verdict.expect(damaged.code == 14, f"verify: exit {damaged.code}: {damaged.stderr[-500:]}")
    named = [str(path).rsplit("/", 1)[-1] for path in damaged.json["damaged"]]
    verdict.expect(named == [name], f"verify names {named}, damaged is {name}")
    again = fixture.run_here()
    verdict.expect(again.code == 0, f"run after damage: {again.code}: {again.stderr[-1500:]}")
    counts = again.json["counts"] if again.code == 0 else {}
    share = fixture.chunks // len(tree)
    verdict.expect(counts.get("done") == share, f"{counts.get('done')} redone, not {share}")
    verdict.same_tree(fixture.out, tree, "after the repair by run")
    verdict.figures = {"checked": sound.json["checked"], "redone": counts.get("done")}
    return verdict


#: (what is changed, tables laid over the job, reason of every chunk afterwards)
CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("nothing", {}, "current"),
    ("workers", {"engine": {"max_workers": 1}}, "current"),
    ("chunk size", {"engine": {"chunk_cols": 256, "chunk_rows": 256}}, "current"),
    ("retry", {"retry": {"max_attempts": 2}}, "current"),
    ("resampling", {"op": {"resampling": "nearest"}}, "param_changed"),
    ("codec", {"output": {"creation": {"compress": "zstd", "blocksize": 128}}}, "param_changed"),
]


def change(fixture: Fixture, what: str, tables: dict[str, Any], reason: str) -> Verdict:
    """Change the job file of a finished run: ``plan`` gives every chunk the right reason. The job
    file is as it was afterwards."""
    verdict = Verdict(f"change {what}")
    finish(fixture, verdict)
    before = fixture.tables
    fixture.write(**tables)
    reasons = fixture.plan()["reasons"]
    fixture.tables = before
    fixture.write()
    verdict.expect(set(reasons) == {reason}, f"{what}: reasons {reasons}, expected {reason}")
    verdict.figures = {"change": what, "reasons": str(reasons)}
    return verdict


def touch_source(fixture: Fixture) -> Verdict:
    """A new mtime on the same bytes makes nothing stale; one changed byte makes that item so. The
    source is as it was afterwards.

    The source must be under 128 KiB: of a larger one only head and tail are hashed, so its new
    mtime counts as a change.
    """
    verdict = Verdict("source touched, source changed")
    finish(fixture, verdict)
    source = fixture.directory / "source-0.tif"
    os.utime(source)
    reasons = fixture.plan()["reasons"]
    verdict.expect(set(reasons) == {"current"}, f"touched: {reasons}")
    sound = source.read_bytes()
    source.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    changed = fixture.plan()["reasons"]
    source.write_bytes(sound)
    verdict.expect("source_changed" in changed, f"changed: {changed}")
    verdict.figures = {"touched": str(reasons), "changed": str(changed)}
    return verdict
