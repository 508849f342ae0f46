"""Starts a run in the background: its own session, no terminal, its streams in a file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.cli import figures, streams
from geobatch_tui.errors import ExitCode, OutputGoneError

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG = "detached.log"
_PERIOD = 0.05
_PATIENCE = 60.0
_GRACE = 3.0
_LOOK = 1 << 18
_TAIL = 20


def run_detached(words: Sequence[str], directory: Path) -> int:
    """Start ``geobatch WORDS`` in the background and wait until it holds the lock, or ended.

    Prints ``directory`` to stdout once the run lives, or has already ended well.

    Returns:
        0 if the run lives, else the exit code that it ended with.

    Raises:
        OutputGoneError: the output directory cannot be made or written.
    """
    state = directory / ".geobatch"
    made = _missing(state)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = (state / LOG).open("ab")
    except OSError as error:
        raise OutputGoneError(
            f"cannot write to {streams.harmless(str(directory))}: {error.strerror}"
        ) from error
    with log:
        begin = log.tell()
        child = subprocess.Popen(  # noqa: S603 - this very program, and words of the same user
            [sys.executable, "-m", "geobatch_tui", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    code = _wait(child, state / LOG, begin)
    if code is not None and code != 0:
        _tell_end(state / LOG, begin, code)
        if code == ExitCode.USAGE:  # refused: nothing may be left behind
            _remove(state / LOG, made)
        return code
    streams.write(str(directory))
    streams.say(f"follow it:  {figures.words('geobatch watch', directory)}")
    streams.say(f"stop it:    kill -INT {child.pid}" if code is None else "it has ended already")
    return 0


def _missing(path: Path) -> list[Path]:
    """Those of a directory and its parents that do not exist, innermost first."""
    return [place for place in (path, *path.parents) if not place.exists()]


def _wait(child: subprocess.Popen[bytes], log: Path, begin: int) -> int | None:
    """Exit code of a child that ended, or None once its run lives.

    A run lives when it holds its lock; for a short while more, until its plan is made, it may
    still be refused, which is better told at once.
    """
    from geobatch_tui.ledger.lock import is_held, read_holder

    lock = log.with_name("lock")
    until, held = time.monotonic() + _PATIENCE, False
    while time.monotonic() < until:
        code = child.poll()
        if code is not None:
            return code
        if not held:
            holder = read_holder(lock)
            held = holder is not None and holder.pid == child.pid and is_held(lock)
            until = time.monotonic() + _GRACE if held else until
        elif b'"plan.done"' in _said(log, begin):
            return None
        time.sleep(_PERIOD)
    return None


def _said(log: Path, begin: int) -> bytes:
    """What the child has written so far, up to a limit."""
    with log.open("rb") as file:
        file.seek(begin)
        return file.read(_LOOK)


def _tell_end(log: Path, begin: int, code: int) -> None:
    streams.say(f"geobatch: error: the detached run ended with {code}; its last lines:")
    lines = _said(log, begin).decode(errors="backslashreplace").splitlines()
    for line in lines[-_TAIL:]:
        streams.say(f"  {streams.harmless(line)}")


def _remove(log: Path, made: Sequence[Path]) -> None:
    """Take away what this command made; directories only while they are empty."""
    log.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for directory in made:
            directory.rmdir()
