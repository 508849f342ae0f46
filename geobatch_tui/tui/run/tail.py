"""The end of a run's log, as lines for a small panel."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.place.regular_file import open_read
from geobatch_tui.observability.figures import duration
from geobatch_tui.observability.text import harmless, safe

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json

_BACK: Final = 128 * 1024  #: bytes read of a log that was there before
_ONCE: Final = 1 << 20  #: bytes taken in by one poll
_KEPT: Final = 400


#: What events without a message are called on the screen.
_EVENTS: Final = {
    "chunk.start": "started",
    "chunk.done": "done",
    "chunk.retry": "will be tried again",
    "chunk.dead": "given up",
    "item.dead": "given up",
    "item.published": "published",
    "item.held": "held back: a chunk of it is dead",
    "run.unsuspend": "goes on",
    "worker.up": "worker started",
}


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log. ``t`` is UNIX time; ``text`` is one harmless line."""

    t: float
    level: str
    text: str


class LogTail:
    """Follows a log file that grows, is rotated, or is not there yet.

    Attributes:
        lines: the last lines, oldest first.
        version: grows with each change of ``lines``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: deque[LogLine] = deque(maxlen=_KEPT)
        self.version = 0
        self._at = -1
        self._inode = 0
        self._partial = b""

    def poll(self) -> None:
        """Read new lines. A log that cannot be read changes nothing."""
        try:
            with open_read(self.path) as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._at:
                    begin = max(0, status.st_size - _BACK) if self._at < 0 else 0
                    self._inode, self._at, self._partial = status.st_ino, begin, b""
                    file.seek(begin)
                    if begin:
                        self._at += len(file.readline())
                if status.st_size > self._at:
                    file.seek(self._at)
                    data = file.read(_ONCE)
                    self._at += len(data)
                    self._take(data)
        except OSError:
            return

    def _take(self, data: bytes) -> None:
        *whole, self._partial = (self._partial + data).split(b"\n")
        for line in whole[-_KEPT:]:
            parsed = parse(line)
            if parsed is not None:
                self.lines.append(parsed)
                self.version += 1


def parse(line: bytes) -> LogLine | None:
    """Parse a line of the log; None for one that is no JSON object."""
    try:
        entry = json.loads(line)
        t = datetime.fromisoformat(entry["time"]).timestamp()
        return LogLine(t, safe(str(entry.get("level", ""))), said(entry))
    except (ValueError, KeyError, TypeError):
        return None


def said(entry: Json) -> str:
    """Return an entry of the log as one harmless line."""
    words = [str(entry.get("message") or _EVENTS.get(str(entry.get("event"))) or entry["event"])]
    if isinstance(entry.get("duration_ms"), int | float):
        words.append(duration(entry["duration_ms"] / 1000, fine=True))
    place = entry.get("chunk") or entry.get("item")
    if place:
        words.insert(0, str(place))
    if entry.get("error_message") and str(entry["error_message"]) not in words[-1]:
        words.append(f"{entry.get('error_class') or 'error'}: {entry['error_message']}")
    return " ".join(harmless(word) for word in words)
