"""A run in the background: in a session of its own, without terminal, its streams in a file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from geobatch_tui.errors import OutputGoneError, StateError
from geobatch_tui.ledger.place.lock import live_holder
from geobatch_tui.ledger.place.regular_file import open_fd, open_read
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOG: Final = "detached.log"
_PATIENCE: Final = 60.0  #: seconds that a run has to take its lock
_PERIOD: Final = 0.05
_LOOK: Final = 1 << 18  #: bytes of its output that are read


def lead_streams_to_log(root: Path) -> None:
    """Lead the streams of this process away from its terminal, into ``detached.log``; nowhere, if
    that cannot be written."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        log = open_fd(root / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError:
        log = os.dup(null)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a terminal that is gone
            stream.flush()
    for fd, number in ((null, 0), (log, 1), (log, 2)):
        os.dup2(fd, number)
    os.close(null)
    os.close(log)


@dataclass(frozen=True, slots=True)
class Background:
    """A started process ``geobatch WORDS``.

    Attributes:
        process: the child; it outlives this process.
        root: the state directory; the child writes to ``detached.log`` in it.
        begin: offset of the child's first word in that file.
    """

    process: subprocess.Popen[bytes]
    root: Path
    begin: int

    @classmethod
    def start(cls, words: Sequence[str], root: Path) -> Self:
        """Start a command, and return at once. Raises OutputGoneError where the state directory
        cannot be written, StateError where the words are too many for one command line."""
        path = root / LOG
        try:
            log = open_fd(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            raise OutputGoneError(f"cannot write {safe(str(path))}: {error.strerror}") from error
        try:
            begin = os.fstat(log).st_size
            child = subprocess.Popen(  # noqa: S603 - this very program, and words of the same user
                [sys.executable, "-P", "-m", "geobatch_tui", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            raise StateError(f"cannot start geobatch: {error.strerror}") from error
        finally:
            os.close(log)
        return cls(child, root, begin)

    def wait(self, grace: float = 0.0) -> int | None:
        """Wait until the run lives, which is when it holds its lock, and return None; or return the
        exit code of a run that ended before. ``grace``: seconds to wait more, up to the end of the
        plan, which may still refuse the run."""
        until, held = time.monotonic() + _PATIENCE, False
        while time.monotonic() < until:
            code = self.process.poll()
            if code is not None:
                return code
            if held and b'"plan.done"' in self.said():
                return None
            if not held and self._holds():
                held, until = True, time.monotonic() + grace
            time.sleep(_PERIOD)
        return None

    def _holds(self) -> bool:
        holder = live_holder(self.root / "lock")
        return holder is not None and holder.pid == self.process.pid

    def said(self) -> bytes:
        """Read the beginning of its output."""
        return self._read(self.begin)

    def last_words(self, lines: int) -> list[str]:
        """Read the last lines of its output, safe to show."""
        try:
            size = (self.root / LOG).stat().st_size
        except OSError:
            return []
        text = self._read(max(self.begin, size - _LOOK)).decode(errors="backslashreplace")
        return [safe(line) for line in text.strip().splitlines()[-lines:]]

    def _read(self, start: int) -> bytes:
        try:
            with open_read(self.root / LOG) as file:
                file.seek(start)
                return file.read(_LOOK)
        except OSError:
            return b""
