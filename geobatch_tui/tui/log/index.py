"""An index of a log file: the offset and level of each line, a million in a few megabytes.

Of every 32nd line the offset is kept, of every line its level in a byte; the text stays in the
file. A thread takes the file in, piece by piece; the screen reads the few lines that it shows.
"""

from __future__ import annotations

import os
import re
import threading
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.place.regular_file import open_read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STRIDE: Final = 32
_LONGEST: Final = 64 << 20  #: bytes without a line break, from which a file is no log

LEVELS: Final = ("debug", "info", "warning", "error")
ERROR: Final = LEVELS.index("error")
_RANKS: Final = {level[:1].encode(): rank for rank, level in enumerate(LEVELS)}
_LEVEL: Final = re.compile(rb'"level": ?"(.)')
#: Where our own log has it: ``{"time":"2026-11-24T12:53:01.123Z","level":"info"``.
_PREFIX: Final = b',"level":"'
_AT: Final = 34


@dataclass(slots=True)
class _Marks:
    """Offsets and levels of the lines of one file, up to ``end``."""

    inode: int = 0
    end: int = 0
    count: int = 0
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    levels: bytearray = field(default_factory=bytearray)


class LogIndex:
    """Lines of a log file that grows, is rotated or cut, or is not there yet.

    :meth:`advance` may be called from a thread while another reads.

    Args:
        path: of the file, which need not be there.
        block: bytes that are read at a time.

    Attributes:
        version: grows whenever the file turned out to be another one: line numbers are void.
        size: of the file in bytes when it was looked at last.
    """

    def __init__(self, path: Path, *, block: int = 4 << 20) -> None:
        self.path = path
        self._block = block
        self.version = 0
        self.size = 0
        self._marks = _Marks()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Number of whole lines that were read."""
        return self._marks.count

    @property
    def end(self) -> int:
        """Bytes of the file that were read."""
        return self._marks.end

    def level(self, line: int) -> int:
        """Return the level of a line, as an index into ``LEVELS``."""
        return self._marks.levels[line]

    def advance(self) -> bool:
        """Read one more block of the file; return whether there is more to read.

        A file that cannot be read is as one that does not grow.
        """
        with self._lock:
            try:
                with open_read(self.path) as file:
                    status = os.fstat(file.fileno())
                    marks = self._marks
                    if status.st_ino != marks.inode or status.st_size < marks.end:
                        if marks.inode:
                            self.version += 1
                        marks = self._marks = _Marks(inode=status.st_ino)
                    self.size = status.st_size
                    file.seek(marks.end)
                    data = file.read(self._block)
                    if len(data) == self._block and b"\n" not in data:
                        data += file.readline(_LONGEST)
                    return _take_in(marks, data, status.st_size)
            except OSError:
                return False

    def read(self, first: int, count: int) -> list[bytes]:
        """Read lines ``first`` to ``first + count`` without their breaks; fewer where there are
        fewer, or where the file was removed meanwhile."""
        marks = self._marks
        last = min(first + count, marks.count)
        if not 0 <= first < last:
            return []
        begin = marks.offsets[first // STRIDE]
        stop = -(-last // STRIDE)
        end = marks.offsets[stop] if stop < len(marks.offsets) else marks.end
        try:
            with open_read(self.path) as file:
                if os.fstat(file.fileno()).st_ino != marks.inode:
                    return []
                file.seek(begin)
                lines = file.read(end - begin).split(b"\n")
        except OSError:
            return []
        skip = first % STRIDE
        return lines[skip : skip + last - first]

    def next_at(self, line: int, rank: int, step: int) -> int | None:
        """Return the next line of at least this level after ``line``, or before it for a negative
        ``step``."""
        levels = self._marks.levels
        found = levels.find(rank, line + 1) if step > 0 else levels.rfind(rank, 0, max(line, 0))
        return None if found < 0 else found

    def graver(self, rank: int, start: int, stop: int) -> Iterator[int]:
        """Yield lines from ``start`` to before ``stop`` of at least this level."""
        levels = self._marks.levels
        return (line for line in range(start, min(stop, len(levels))) if levels[line] >= rank)


def _take_in(marks: _Marks, data: bytes, size: int) -> bool:
    """Index the whole lines of ``data``, which begins at ``marks.end``."""
    whole = data.rfind(b"\n") + 1
    if not whole:  # still being written, or no log at all
        return False
    begin, count, end = 0, marks.count, marks.end
    offsets, levels = marks.offsets, marks.levels
    for line in data[:whole].removesuffix(b"\n").split(b"\n"):
        if count % STRIDE == 0:
            offsets.append(end + begin)
        levels.append(_rank(line))
        begin += len(line) + 1
        count += 1
    marks.count, marks.end = count, end + whole
    return marks.end < size


def _rank(line: bytes) -> int:
    if line[_AT : _AT + len(_PREFIX)] == _PREFIX:
        start = _AT + len(_PREFIX)
        return _RANKS.get(line[start : start + 1], 1)
    found = _LEVEL.search(line, 0, 400)
    return _RANKS.get(found[1], 1) if found else 1
