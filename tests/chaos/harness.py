"""Runs geobatch as a process of its own, does harm to it, and looks at what is left.

The oracle is outside of the program: :func:`tree_hash` of an uninterrupted run, the ledger's own
audit, and the process table. Used by the tests beside it and by ``benchmarks/chaos.py``.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import IO

STATE = ".geobatch"
TEST_OPS = "geobatch_tui.testing.ops:FAULTY,geobatch_tui.testing.ops:NOOP"
#: Seconds after the death of an engine within which its workers must be gone.
ORPHAN_GRACE = 1.0
PR_SET_CHILD_SUBREAPER = 36


# --- starting and ending -----------------------------------------------------------------------


def adopt_orphans(*, on: bool = True) -> None:
    """Make this process the parent of whatever an engine leaves behind, so that it is seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def environment(**more: str) -> dict[str, str]:
    """The environment of a run: this one, without settings of geobatch, with the test operations."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GEOBATCH_", "BATCH_"))}
    return {**kept, "GEOBATCH_OPS": TEST_OPS, **more}


def command(*words: str) -> list[str]:
    """The command line of this interpreter's geobatch."""
    return [sys.executable, "-m", "geobatch_tui", *words]


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended: its exit code (negative: the signal), what it wrote, wall seconds."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def own_interpreter(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    session: bool = False,
    file_size: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start one command as users do, with nothing on stdin; ``file_size``: the most bytes that any
    file may have."""

    def limit() -> None:
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))

    return subprocess.Popen(
        command(*words),
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=session,
        preexec_fn=limit,  # noqa: PLW1509 - the harness has one thread
    )


#: Starts a command. Tests take what starts it in less time; see ``conftest.py``.
begin: Callable[..., subprocess.Popen[bytes]] = own_interpreter


def call(*words: str, env: Mapping[str, str] | None = None, timeout: float = 300) -> Ended:
    """Run one command to its end."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = begin(words, env=environment(**(env or {})), stdout=out, stderr=err)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        seconds, texts = time.monotonic() - began, []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="surrogateescape"))
    return Ended(code, texts[0], texts[1], seconds)


@dataclass(slots=True)
class Engine:
    """A running ``geobatch run``; its outputs go to files, so that no pipe can block it."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path
    began: float

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        if self.alive():
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end of the engine itself."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def wait(self, timeout: float = 300) -> Ended:
        """Wait for the end; raises TimeoutExpired after killing it."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        text = [p.read_text(errors="surrogateescape") for p in (self.stdout, self.stderr)]
        return Ended(code, text[0], text[1], self.seconds())

    def workers(self) -> list[int]:
        """Ids of the processes that run tasks: children of the fork server, or spawned ones."""
        found = []
        for process in descendants(self.process.pid):
            try:
                line = " ".join(process.cmdline())
                parent = process.ppid()
            except psutil.Error:
                continue
            spawned = "spawn_main" in line
            server = "forkserver" in line or "forked_command" in line
            if spawned or (server and parent != self.process.pid):
                found.append(process.pid)
        return found


_count = iter(range(10**9))
#: Processes that ``subprocess`` waits for itself.
_started: set[int] = set()
#: Processes that start others for this one.
helpers: Callable[[], set[int]] = set


def start(
    *words: str,
    scratch: Path,
    env: Mapping[str, str] | None = None,
    file_size: int | None = None,
) -> Engine:
    """Start one command in a session of its own; its output goes into ``scratch``."""
    number = next(_count)
    stdout, stderr = scratch / f"{number}.out", scratch / f"{number}.err"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        full = environment(**(env or {}))
        streams = {"stdout": out, "stderr": err}
        process = begin(words, env=full, session=True, file_size=file_size, **streams)
    _started.add(process.pid)
    return Engine(process, stdout, stderr, time.monotonic())


# --- the process table -------------------------------------------------------------------------


def descendants(pid: int) -> list[psutil.Process]:
    """Living descendants of a process; zombies do not count."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if _lives(child)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> bool:
    """SIGKILL one process; False if it was gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _own_servers() -> set[int]:
    """The fork server and the resource tracker of this very process, if an earlier test in it
    used workers, and what descends from them."""
    pids = {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}
    own = {pid for pid in pids if pid is not None}
    return own | {child.pid for pid in own for child in descendants(pid)}


def orphans(expected: Sequence[int] = ()) -> list[psutil.Process]:
    """Living processes below this one, but for those that it started itself and expects."""
    keep = {*expected, *_own_servers(), *helpers()}
    return [child for child in descendants(os.getpid()) if child.pid not in keep]


def wait_for_no_orphans(expected: Sequence[int] = ()) -> tuple[float, list[str]]:
    """Seconds until all orphans were gone, and command lines of those left after the grace.

    Those left are killed, so that one failure does not spoil what follows.
    """
    began = time.monotonic()
    while (left := orphans(expected)) and time.monotonic() - began < ORPHAN_GRACE:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    names = []
    for process in left:
        try:
            names.append(f"{process.pid} {' '.join(process.cmdline())}")
            process.kill()
        except psutil.NoSuchProcess:
            continue
    reap(expected)
    return seconds, names


def reap(expected: Sequence[int] = ()) -> None:
    """Collect adopted zombies; those of ``subprocess`` are left to it."""
    for child in psutil.Process().children():
        if child.pid in _started or child.pid in expected:
            continue
        try:
            if child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue


# --- what is left on disk ----------------------------------------------------------------------


def files(out: Path) -> Iterator[Path]:
    """Everything in an output directory but the run's state, sorted."""
    for path in sorted(out.rglob("*")):
        if path.is_file() and STATE not in path.relative_to(out).parts:
            yield path


def tree_hash(out: Path) -> dict[str, str]:
    """SHA-256 of each output by its name relative to ``out``; the state is left out."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files(out)
    }


def published(out: Path) -> dict[str, str]:
    """The outputs under final names: :func:`tree_hash` without parts."""
    return {name: digest for name, digest in tree_hash(out).items() if not is_part(name)}


def is_part(name: str) -> bool:
    """Whether a file is not published yet."""
    return Path(name).name.startswith(".") and name.endswith(".part")


def parts(out: Path) -> list[str]:
    """Part files, spools and stages that a finished run must not leave."""
    left = [str(path.relative_to(out)) for path in files(out) if is_part(path.name)]
    state = out / STATE
    work = [*state.rglob("*.spool"), *state.rglob("stage-*.tif")]
    return left + [str(path.relative_to(out)) for path in work]


def events(out: Path) -> list[dict[str, Any]]:
    """The lines of ``log.jsonl``; a last line torn by a kill is left out."""
    path = out / STATE / "log.jsonl"
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    parsed = []
    for number, line in enumerate(lines):
        try:
            parsed.append(json.loads(line))
        except ValueError:
            # A torn line is one that a kill cut: what follows it on the same line is lost with it.
            if line and number not in (len(lines) - 1, len(lines) - 2):
                parsed.append({"event": "torn", "raw": line.decode(errors="replace")})
    return parsed


def count(lines: Sequence[Mapping[str, Any]], event: str) -> int:
    """How many lines tell of ``event``."""
    return sum(1 for line in lines if line.get("event") == event)


def audit(out: Path) -> list[str]:
    """Violated invariants, as the ledger's own audit finds them."""
    from geobatch_tui.ledger.place.state_directory import StateDir
    from geobatch_tui.ledger.read.reader import LedgerReader

    reader = LedgerReader(StateDir.open(out, create=False).ledger)
    try:
        return list(reader.audit())
    finally:
        reader.close()


def dead_letters(out: Path) -> list[dict[str, Any]]:
    """The dead letters as the command line gives them."""
    ended = call("dead-letters", str(out), "--json")
    if ended.code != 0:
        raise AssertionError(f"dead-letters ended with {ended.code}: {ended.stderr}")
    letters: list[dict[str, Any]] = ended.json
    return letters


@dataclass(slots=True)
class Verdict:
    """What an experiment found. ``faults`` is empty if it passed; ``figures`` go into tables."""

    name: str
    seed: int = 0
    faults: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def expect(self, holds: object, fault: str) -> bool:
        """Note a fault unless ``holds``; returns whether it holds."""
        if not holds:
            self.faults.append(fault)
        return bool(holds)

    def same_tree(self, out: Path, reference: Mapping[str, str], when: str) -> None:
        """The tree is that of the uninterrupted run, with nothing more."""
        found = tree_hash(out)
        if found != reference:
            names = sorted(n for n in {*found, *reference} if found.get(n) != reference.get(n))
            self.faults.append(f"{when}: the tree differs in {', '.join(names[:10])}")

    def clean(self, out: Path, when: str) -> None:
        """No part, no violated invariant."""
        self.expect(not parts(out), f"{when}: left behind {parts(out)[:5]}")
        if (out / STATE).exists():
            found = audit(out)
            self.expect(not found, f"{when}: audit: {found[:5]}")
