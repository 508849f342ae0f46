"""Dead letters tried again: in the run that is live, by another one in this process where the
console has one, or by one in the background."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import OutputGoneError, StateError
from geobatch_tui.ledger.lock import is_held, read_holder
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.host import hosted_retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from geobatch_tui.tui.host import HostedRun
    from geobatch_tui.tui.link import RunLink

LOG: Final = "detached.log"
_COMMAND_BYTES: Final = 32 * 1024  #: of names in one command; a longer line is refused
_PATIENCE: Final = 30.0
_PERIOD: Final = 0.05
_TAIL: Final = 2000


def rerun(
    link: RunLink,
    classes: Sequence[str],
    keys: Sequence[str],
    changes: Sequence[str] = (),
    start: Callable[[Sequence[str], Path], None] | None = None,
) -> str:
    """Try dead letters again, and say how. Blocks for seconds: call it from a thread.

    Args:
        link: the run.
        classes: only letters of these error classes; empty: of any.
        keys: only these chunks or items, by the ledger's names; empty: all.
        changes: ``KEY=VALUE`` of operational values; only where no run is live.
        start: starts ``geobatch`` in the background with these words; for tests.

    Raises:
        StateError: the console is read-only, the run refused, or none could be started.
    """
    if link.read_only:
        raise StateError("this console is read-only")
    if link.can_steer():
        if changes:
            raise StateError(
                "a live run takes no changes", hint="drain it first, then retry with changes"
            )
        said = [
            link.send("retry_dead", classes=list(classes), keys=list(part))
            for part in batches(keys)
        ]
        return said[-1] or "they are tried again in this run"
    if link.host is not None:
        return _here(link, hosted_retry(link.directory, classes, keys, changes))
    words = ["retry", str(link.directory.absolute()), "--json"]
    words += [f"--class={name}" for name in classes]
    words += [f"--chunk={key}" for key in keys]
    words += [f"--set={change}" for change in changes]
    (start or start_in_background)(words, link.store.state_root)
    return "a run in the background tries them again"


def _here(link: RunLink, again: HostedRun) -> str:
    """Start a run in this process, in the place of the one that ended."""
    again.start()
    again.wait_ready()
    if again.failed:
        again.result()
    link.host = again
    return "they are tried again"


def batches(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Names in parts that fit a command; one empty part where there are none."""
    part: list[str] = []
    size = 0
    for key in keys:
        length = len(json.dumps(key)) + 2
        if part and size + length > _COMMAND_BYTES:
            yield tuple(part)
            part, size = [], 0
        part.append(key)
        size += length
    yield tuple(part)


def start_in_background(words: Sequence[str], root: Path) -> None:
    """Start ``geobatch WORDS`` in a session of its own; returns once it holds the run, or has
    already ended well.

    Args:
        words: of the command line.
        root: the state directory, whose ``detached.log`` takes its output.

    Raises:
        StateError: it ended at once, with what it said.
        OutputGoneError: the state directory cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        log = os.open(root / LOG, flags, 0o600)
    except OSError as error:
        raise OutputGoneError(f"cannot write {safe(str(root / LOG))}: {error.strerror}") from error
    try:
        begin = os.fstat(log).st_size
        child = subprocess.Popen(  # noqa: S603 - this very program, and words of the same user
            [sys.executable, "-m", "geobatch_tui", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    except OSError as error:  # too many names for one command line
        raise StateError(f"cannot start geobatch: {error.strerror}") from error
    finally:
        os.close(log)
    code = _wait(child, root / "lock")
    # 12 and 15 say that there are dead letters again: the run was started and has ended.
    if code not in (None, 0, 12, 15):
        raise StateError(
            f"the run in the background ended with {code}: {_said(root / LOG, begin)}",
            hint=f"all that it said is in {safe(str(root / LOG))}",
        )


def _wait(child: subprocess.Popen[bytes], lock: Path) -> int | None:
    """The exit code of a child that ended; None once it holds the run, or is slow."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        code = child.poll()
        if code is not None:
            return code
        holder = read_holder(lock)
        if holder is not None and holder.pid == child.pid and is_held(lock):
            return None
        time.sleep(_PERIOD)
    return None


def _said(log: Path, begin: int) -> str:
    """The last sentence that a child wrote."""
    try:
        data = log.read_bytes()[begin:][-_TAIL:]
    except OSError:
        return ""
    lines = data.decode(errors="backslashreplace").strip().splitlines()
    return (
        safe(next((line for line in reversed(lines) if "error" in line), lines[-1]), 300)
        if (lines)
        else ""
    )
