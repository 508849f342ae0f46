"""The log of a run: JSON lines in ``.geobatch/log.jsonl``, and lines for the operator meanwhile.

The log is not the ledger: a line may be lost (a file that cannot be written, a kill within the last
50 ms), and no failure to write one ever stops a run; it is counted and said once. While a disk is
full, the newest lines wait for room: so the log of a run that paused for it says so.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Literal

from geobatch_tui.observability.lines import LEVELS, LineMaker, text_line
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_BATCH_SECONDS = 0.05
_BATCH_LINES = 512
#: Lines that wait while there is no room; fewer than make a batch, which is written at once.
_KEPT_LINES = 500
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NEWEST_LETTERS = 20
_FRAME = ("run.", "plan.")
_BEGIN = b'{"time":'


class Log:
    """Writes the lines of one run to its file, to one more file, and to a stream.

    Safe to use from several threads. Lines under ``warning`` wait up to 50 ms for company, so
    whoever emits calls :meth:`flush` now and then.

    Args:
        run_id: of every line.
        path: the run's own log; created with mode 0600 when the first line is written. Its
            directory must exist: a log never brings a vanished output directory back.
        extra_path: one more file for the same lines: new, or begun by a run.
        extra_follow: whether it may be named by a link.
        stream: called with each line, without its line break; an OSError from it (a closed
            pipe) ends the stream, not the run.
        stream_format: ``json`` or ``text``.
        level: least level of a line. What frames a run (``run.*``, ``plan.*``) is in its own log
            whatever its level.
        clock: seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913 - each one is a key of the job, or the caller's
        self,
        run_id: str,
        path: Path,
        *,
        extra_path: Path | None = None,
        extra_follow: bool = True,
        stream: Callable[[str], None] | None = None,
        stream_format: Literal["json", "text"] = "json",
        level: str = "info",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lines = LineMaker(run_id)
        self._clock = clock
        self._stream = stream
        self._text = stream_format == "text"
        self._least = LEVELS[level]
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        own = _Appender(path, self._complain, partial(_open_regular, flags=flags))
        self._files = [own]
        if extra_path:
            opener = partial(open_extra, follow=extra_follow)
            self._files.append(_Appender(extra_path, self._complain, opener))
        self._lock = threading.RLock()

    @property
    def lost(self) -> int:
        """Lines that could not be written to a file so far, with those that wait for room."""
        return sum(file.lost for file in self._files)

    def emit(
        self,
        event: str,
        *,
        level: str = "info",
        message: str = "",
        logger: str = "geobatch",
        **fields: object,
    ) -> None:
        """Write a line. ``fields`` have JSON-ready types; None where one does not apply."""
        rank = LEVELS[level]
        if rank < self._least and not (level == "info" and event.startswith(_FRAME)):
            return
        with self._lock:
            now = self._clock()
            line = self._lines.json_line(now, level, logger, event, message, fields)
            urgent = rank >= LEVELS["warning"]
            if rank < self._least:
                self._files[0].append(line, now, urgent=urgent)
                return
            for file in self._files:
                file.append(line, now, urgent=urgent)
            if self._stream is not None:
                shown = text_line(now, level, message, event, fields) if self._text else line
                self._say(shown)

    def run_start(
        self, versions: Mapping[str, str], config: Mapping[str, object], *, sandbox: str = ""
    ) -> None:
        """Write the first line: versions by library, ``LoadedJob.effective_with_origins()``, and
        what confines the workers, or why nothing does."""
        self.emit(
            "run.start",
            message="run started",
            versions=dict(versions),
            config=dict(config),
            sandbox=sandbox,
        )
        self.flush()

    def run_exit(
        self,
        code: int,
        reason: str,
        counts: Mapping[str, int],
        dead_letters: Sequence[Mapping[str, object]] = (),
        *,
        state: str = "",
    ) -> None:
        """Write the last line: how it ended in the word that console and ``status`` have for it,
        exit code, reason, counts by state, the first 20 dead letters."""
        # "complete" says why it ended, and would be read as how.
        self.flush()  # what waited for room is not lost if there is some
        said = [word for word in (state, "" if reason == "complete" and state else reason) if word]
        self.emit(
            "run.exit",
            level="info" if code == 0 else "warning",
            message=f"run ended: {', '.join(dict.fromkeys(said))} (exit code {code})",
            code=code,
            reason=reason,
            counts=dict(counts),
            dead_letters=[dict(letter) for letter in dead_letters[:_NEWEST_LETTERS]],
            lost_lines=self.lost or None,
        )
        self.flush()

    def flush(self) -> None:
        """Write the lines that wait."""
        with self._lock:
            now = self._clock()
            for file in self._files:
                file.flush(now)

    def reopen(self) -> None:
        """Open the files anew after they were rotated (SIGUSR1)."""
        self.close()

    def close(self) -> None:
        """Write the lines that wait and close the files; a later line opens them again."""
        with self._lock:
            self.flush()
            for file in self._files:
                file.close()

    def _say(self, line: str) -> None:
        try:
            if self._stream is not None:
                self._stream(line)
        except (OSError, ValueError):  # a closed pipe or file: nobody reads any more
            self._stream = None

    def _complain(self, path: Path, error: OSError) -> None:
        """Say once, where the operator looks, that lines are being lost, or wait."""
        what = "lines are lost, not work"
        if error.errno in _NO_ROOM:
            what = f"its last {_KEPT_LINES} lines wait for room"
        text = f"cannot write the log {safe(str(path))}: {error.strerror}; {what}"
        now, fields = self._clock(), {"error_class": type(error).__name__}
        if self._text:
            self._say(text_line(now, "warning", text, "log.lost", {}))
        else:
            self._say(
                self._lines.json_line(now, "warning", "geobatch.log", "log.lost", text, fields)
            )


def open_extra(path: Path, *, follow: bool, create: bool = True) -> int:
    """Open one more file for log lines, and return its descriptor.

    Lines hold names that strangers chose. So they go into no other file: a shell's start-up file,
    for one, would run them. It may be a link if ``follow``.

    Raises:
        OSError: it is no regular file, holds something else, cannot be opened, or belongs to
            another user and may be no link.
    """
    flags = (os.O_CREAT if create else 0) | (0 if follow else os.O_NOFOLLOW)
    fd = _open_regular(path, os.O_RDWR | os.O_APPEND | flags)
    if not follow and os.fstat(fd).st_uid != os.geteuid():
        os.close(fd)
        raise OSError(errno.EPERM, "it belongs to another user", str(path))
    if _BEGIN.startswith(os.pread(fd, len(_BEGIN), 0)):
        return fd
    os.close(fd)
    raise OSError(errno.EEXIST, "it holds something else than log lines", str(path))


def _open_regular(path: Path, flags: int) -> int:
    # Without O_NONBLOCK the opening of a pipe waits for a reader.
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


class _Appender:
    """A file of lines: opened late, written in whole lines, never a reason to stop."""

    def __init__(
        self,
        path: Path,
        complain: Callable[[Path, OSError], None],
        opener: Callable[[Path], int],
    ) -> None:
        self.path = path
        self._dropped = 0
        self._complain = complain
        self._open = opener
        self._fd = -1
        self._waiting: list[str] = []
        self._written_at = -1.0
        self._torn = False
        self._failing = False

    @property
    def lost(self) -> int:
        """Lines that are not in the file, and will not be if nothing changes."""
        return self._dropped + (len(self._waiting) if self._failing else 0)

    def append(self, line: str, now: float, *, urgent: bool) -> None:
        self._waiting.append(line)
        due = not 0 <= now - self._written_at < _BATCH_SECONDS
        if urgent or due or len(self._waiting) >= _BATCH_LINES:
            self.flush(now)

    def flush(self, now: float) -> None:
        if not self._waiting:
            return
        self._written_at = now
        try:
            self._write()
            self._failing = False
        except OSError as error:
            over = len(self._waiting) - (_KEPT_LINES if error.errno in _NO_ROOM else 0)
            self._dropped += max(over, 0)
            del self._waiting[: max(over, 0)]
            if not self._failing:
                self._failing = True
                self._complain(self.path, error)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self) -> None:
        """Write the lines that wait; those that are whole in the file wait no more."""
        if self._fd < 0:
            self._fd = self._open(self.path)
        # What broke off is ended first: a reader skips it, and finds the line again behind it.
        head = b"\n" if self._torn else b""
        data, done = head + "".join(f"{line}\n" for line in self._waiting).encode(), 0
        try:
            while done < len(data):
                done += os.write(self._fd, memoryview(data)[done:])
        finally:
            if done:
                self._torn = data[done - 1 : done] != b"\n"
                del self._waiting[: data.count(b"\n", len(head), done)]
