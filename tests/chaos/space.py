"""Experiments with too little room: a limit on file sizes, and a disk that fills up."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import harness
from harness import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos_jobs import Fixture
    from harness import Engine

#: Exit codes that a run may end with when it could not write.
HONEST = {12, 17}
#: Seconds that a run waits for space in these experiments.
WAIT = {"space_wait": "1s"}


def limit_file_size(fixture: Fixture, points: int) -> Verdict:
    """Run one job under RLIMIT_FSIZE at ``points`` sizes from 1 to 99.9 % of its output.

    Whatever the limit does (a pause and its end, a dead letter), no file that differs from that of
    an unlimited run may stand under a final name, and a run without the limit must then finish
    the work.
    """
    verdict = Verdict("RLIMIT_FSIZE")
    fixture.write(engine=WAIT)
    reference = fixture.reference().tree
    size = fixture.reference().largest
    codes: list[int] = []
    for point in range(points):
        share = 0.01 + (0.999 - 0.01) * point / max(1, points - 1)
        limit = int(size * share)
        fixture.forget()
        engine = fixture.start(file_size=limit)
        when = f"limit {share:.1%} of {size}"
        try:
            ended = engine.wait(timeout=60)
        except subprocess.TimeoutExpired:
            verdict.expect(False, f"{when}: hangs")
            continue
        codes.append(ended.code)
        verdict.expect(ended.code in HONEST, f"{when}: exit {ended.code}: {ended.stderr[-800:]}")
        _nothing_damaged(fixture, verdict, reference, when)
        resumed = fixture.run_here(retry_dead=True)
        verdict.expect(
            resumed.code == 0, f"{when}: resume ended {resumed.code}: {resumed.stderr[-1500:]}"
        )
        verdict.same_tree(fixture.out, reference, f"{when}: resumed")
        verdict.clean(fixture.out, f"{when}: resumed")
    verdict.figures = {
        "points": points,
        "output bytes": size,
        "exit codes": ", ".join(f"{c}: {codes.count(c)}" for c in sorted(set(codes))),
    }
    return verdict


def _nothing_damaged(
    fixture: Fixture, verdict: Verdict, reference: dict[str, str], when: str
) -> None:
    for name, digest in harness.published(fixture.out).items():
        verdict.expect(reference.get(name) == digest, f"{when}: damaged under a final name: {name}")


# --- a full disk -------------------------------------------------------------------------------


def may_mount() -> bool:
    """Whether this process may mount a tmpfs."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def tmpfs(path: Path, megabytes: int) -> Iterator[Path]:
    """A filesystem of that size at ``path``; gone at the end."""
    path.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    subprocess.run(["mount", *options], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(directory: Path, leave: int) -> Path:
    """Take up all but ``leave`` bytes of the filesystem of ``directory``. A run that writes there
    may take what was free a moment ago; then the rest is asked for again."""
    ballast = directory / "ballast"
    with ballast.open("wb") as file:
        while True:
            free = shutil.disk_usage(directory).free
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, free - leave))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
            else:
                return ballast


def fill_disk(fixture: Fixture, *, megabytes: int = 64, leave: int = 10_000_000) -> Verdict:
    """Run on a tmpfs that fills up in the midst of the run, and make room 1 s after it paused.

    The run must pause without charging an attempt, go on by itself, and give the usual tree.
    """
    verdict = Verdict("disk full, then room")
    reference = fixture.reference().tree
    with tmpfs(fixture.directory / "disk", megabytes) as disk:
        fixture.out = disk / "out"
        fixture.write(output={"dir": str(fixture.out)})
        engine = fixture.start()
        while engine.alive() and not harness.count(harness.events(fixture.out), "chunk.done"):
            time.sleep(0.01)
        ballast = fill(disk, leave)
        paused = _wait_for_pause(engine, fixture.out)
        verdict.expect(paused, "the run did not pause")
        time.sleep(1)
        verdict.expect(engine.alive(), "the run ended while it should have waited")
        ballast.unlink()
        ended = engine.wait(timeout=120)
        verdict.expect(ended.code == 0, f"exit {ended.code}: {ended.stderr[-1500:]}")
        verdict.same_tree(fixture.out, reference, "after the pause")
        verdict.clean(fixture.out, "after the pause")
        lines = harness.events(fixture.out)
        verdict.expect(harness.count(lines, "run.suspend"), "the log tells of no pause")
        charged = [e for e in lines if e.get("event") == "chunk.done" and e.get("attempt", 1) > 1]
        verdict.expect(not charged, f"{len(charged)} chunks were charged an attempt")
        verdict.figures = {
            "pauses": harness.count(lines, "run.suspend"),
            "dead": harness.count(lines, "chunk.dead"),
            "code": ended.code,
            "run s": round(ended.seconds, 1),
        }
    return verdict


def _wait_for_pause(engine: Engine, out: Path, limit: float = 60) -> bool:
    """Wait until the log tells of a pause, or has no room to: then it will later."""
    began = time.monotonic()
    while engine.alive() and time.monotonic() - began < limit:
        if harness.count(harness.events(out), "run.suspend") or not _has_room(out):
            return True
        time.sleep(0.02)
    return False


def _has_room(out: Path) -> bool:
    return shutil.disk_usage(out).free > 0


def fill_disk_for_good(
    fixture: Fixture, *, megabytes: int = 64, leave: int = 10_000_000
) -> Verdict:
    """As :func:`fill_disk`, but nobody makes room: the run ends with 17 past its pause limit, and
    resumes when there is room."""
    verdict = Verdict("disk full for good")
    reference = fixture.reference().tree
    with tmpfs(fixture.directory / "disk2", megabytes) as disk:
        fixture.out = disk / "out"
        fixture.write(output={"dir": str(fixture.out)}, engine=WAIT)
        engine = fixture.start()
        while engine.alive() and not harness.count(harness.events(fixture.out), "chunk.done"):
            time.sleep(0.01)
        ballast = fill(disk, leave)
        verdict.expect(_wait_for_pause(engine, fixture.out), "the run did not pause")
        ended = engine.wait(timeout=60)
        verdict.expect(ended.code == 17, f"exit {ended.code}: {ended.stderr[-1500:]}")
        _nothing_damaged(fixture, verdict, reference, "disk full")
        lines = harness.events(fixture.out)
        told = bool(lines) and lines[-1].get("event") == "run.exit"
        verdict.expect(told or not _has_room(fixture.out), "no run.exit in the log")
        ballast.unlink()
        resumed = fixture.run_here()
        verdict.expect(resumed.code == 0, f"resume: {resumed.code}: {resumed.stderr[-1500:]}")
        verdict.same_tree(fixture.out, reference, "resumed")
        counts = resumed.json["counts"] if resumed.code == 0 else {}
        verdict.figures = {
            "code": ended.code,
            "run s": round(ended.seconds, 1),
            "done before": counts.get("current"),
        }
    return verdict
