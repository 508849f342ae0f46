"""The end of a run's log, as lines for a small panel."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.place.regular_file import open_read
from geobatch_tui.tui.log.entry import parse

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.tui.log.entry import LogLine

_BACK: Final = 128 * 1024  #: bytes read of a log that was there before
_ONCE: Final = 1 << 20  #: bytes taken in by one poll
_KEPT: Final = 400


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
