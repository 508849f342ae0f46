"""Where the lines of a log file begin and how grave they are: a million lines in a few megabytes.

Of every 32nd line the offset is kept, of every line its level in a byte; the text stays in the
file. A thread takes the file in and looks for what matches, piece by piece; the screen reads the
few lines that it shows.
"""

from __future__ import annotations

import json
import os
import re
import threading
from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from geobatch_tui.tui.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from geobatch_tui.tui.filters import Row

STRIDE: Final = 32
_BLOCK: Final = 4 << 20
_SCAN: Final = 4096  #: lines that are searched at once
_LONG: Final = 1 << 20  #: bytes of a line that are looked at
_LONGEST: Final = 64 << 20  #: bytes without a line break, from which a file is no log

LEVELS: Final = ("debug", "info", "warning", "error")
ERROR: Final = LEVELS.index("error")
_RANKS: Final = {level[:1].encode(): rank for rank, level in enumerate(LEVELS)}
_LEVEL: Final = re.compile(rb'"level": ?"(.)')
#: Where our own log has it: ``{"time":"2026-11-24T12:53:01.123Z","level":"info"``.
_PREFIX: Final = b',"level":"'
_AT: Final = 34

FIELDS: Final[Mapping[str, str]] = {
    "level": "text",
    "event": "text",
    "message": "text",
    "chunk": "text",
    "item": "text",
    "class": "text",
    "stage": "text",
    "logger": "text",
    "worker": "text",
    "attempts": "number",
}
"""Fields that a filter can name."""


@dataclass(slots=True)
class _Marks:
    """What is known of one file, up to ``end``."""

    inode: int = 0
    end: int = 0
    count: int = 0
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    levels: bytearray = field(default_factory=bytearray)


class LogIndex:
    """Lines of a log file that grows, is rotated or cut, or is not there yet.

    :meth:`advance` may be called from a thread while another reads.

    Attributes:
        version: grows whenever the file turned out to be another one: line numbers are void.
        size: of the file in bytes when it was looked at last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = 0
        self.size = 0
        self._marks = _Marks()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Whole lines that are known."""
        return self._marks.count

    @property
    def end(self) -> int:
        """Bytes of the file that were taken in."""
        return self._marks.end

    def level(self, line: int) -> int:
        """Index in ``LEVELS`` of a line."""
        return self._marks.levels[line]

    def advance(self) -> bool:
        """Take in one more piece of the file. Whether there is more to take in.

        A file that cannot be read is as one that does not grow.
        """
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    status = os.fstat(file.fileno())
                    marks = self._marks
                    if status.st_ino != marks.inode or status.st_size < marks.end:
                        if marks.inode:
                            self.version += 1
                        marks = self._marks = _Marks(inode=status.st_ino)
                    self.size = status.st_size
                    file.seek(marks.end)
                    data = file.read(_BLOCK)
                    if len(data) == _BLOCK and b"\n" not in data:
                        data += file.readline(_LONGEST)
                    return _take_in(marks, data, status.st_size)
            except OSError:
                return False

    def read(self, first: int, count: int) -> list[bytes]:
        """Lines ``first`` to ``first + count`` without their breaks; fewer where there are fewer,
        or where the file was taken away meanwhile."""
        marks = self._marks
        last = min(first + count, marks.count)
        if not 0 <= first < last:
            return []
        begin = marks.offsets[first // STRIDE]
        stop = -(-last // STRIDE)
        end = marks.offsets[stop] if stop < len(marks.offsets) else marks.end
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_ino != marks.inode:
                    return []
                file.seek(begin)
                lines = file.read(end - begin).split(b"\n")
        except OSError:
            return []
        skip = first % STRIDE
        return lines[skip : skip + last - first]

    def next_at(self, line: int, rank: int, step: int) -> int | None:
        """The nearest line of this level behind ``line``, or before it for a negative ``step``."""
        levels = self._marks.levels
        found = levels.find(rank, line + 1) if step > 0 else levels.rfind(rank, 0, max(line, 0))
        return None if found < 0 else found

    def graver(self, rank: int, start: int, stop: int) -> Iterator[int]:
        """Lines from ``start`` to before ``stop`` that are at least of this level."""
        levels = self._marks.levels
        return (line for line in range(start, min(stop, len(levels))) if levels[line] >= rank)


def _take_in(marks: _Marks, data: bytes, size: int) -> bool:
    """Take in whole lines of ``data``, which begins at ``marks.end``."""
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


# --- entries -------------------------------------------------------------------------------------


def entry_of(line: bytes) -> dict[str, Any]:
    """A line as its fields; one that is no JSON object as a message without a level, in which bytes
    that are no text are surrogates."""
    try:
        found = json.loads(line[:_LONG])
        if isinstance(found, dict):
            return found
    except (ValueError, RecursionError):
        pass
    return {"message": line[:_LONG].decode("utf-8", "surrogateescape")}


def time_of(entry: Mapping[str, Any]) -> float | None:
    """UNIX time of an entry."""
    try:
        return datetime.fromisoformat(str(entry["time"])).timestamp()
    except (ValueError, KeyError, OverflowError):
        return None


def row_of(entry: Mapping[str, Any]) -> Row:
    """The fields of an entry that a filter looks at."""
    row: dict[str, str | float] = {
        name: str(entry[name])
        for name in ("level", "event", "message", "chunk", "item", "stage", "logger", "worker")
        if entry.get(name) not in (None, "")
    }
    for name, key in (("class", "error_class"), ("error", "error_message"), ("text", "reason")):
        if entry.get(key):
            row[name] = str(entry[key])
    if isinstance(entry.get("attempt"), int | float):
        row["attempts"] = float(entry["attempt"])
    if "item" not in row and "chunk" in row:
        row["item"] = str(row["chunk"]).rpartition("@")[0]
    return row


# --- what is shown -------------------------------------------------------------------------------


class LogSelection:
    """The lines of an index that pass a filter and are grave enough.

    Args:
        index: the log.
        chosen: which lines.
        rank: least level, as an index in ``LEVELS``.
    """

    def __init__(self, index: LogIndex, chosen: Filter | None = None, rank: int = 0) -> None:
        self.index = index
        self.chosen = chosen or Filter()
        self.rank = rank
        self.version = index.version
        self._seen = 0
        self._lines: array[int] = array("I")

    @property
    def all(self) -> bool:
        """Whether every line is shown, so that nothing needs to be kept."""
        return not self.chosen and self.rank == 0

    @property
    def count(self) -> int:
        """Lines that are shown, as far as they were looked at."""
        return self.index.count if self.all else len(self._lines)

    @property
    def searched(self) -> int:
        """Lines of the log that were looked at."""
        return self.index.count if self.all else self._seen

    def advance(self) -> bool:
        """Look at some more lines; whether there are more to look at."""
        if self.all or self.version != self.index.version:
            return False
        stop = min(self._seen + _SCAN, self.index.count)
        candidates = self.index.graver(self.rank, self._seen, stop)
        if self.chosen:
            lines = self.index.read(self._seen, stop - self._seen)
            candidates = (
                line
                for line in candidates
                if line - self._seen < len(lines) and self._passes(lines[line - self._seen])
            )
        self._lines.extend(candidates)
        self._seen = stop
        return stop < self.index.count

    def line(self, position: int) -> int:
        """The number in the log of the line at ``position`` of what is shown."""
        return position if self.all else self._lines[position]

    def position(self, line: int) -> int:
        """Where a line of the log stands, or the next one that is shown."""
        return line if self.all else bisect_left(self._lines, line)

    def read(self, first: int, count: int) -> list[bytes]:
        """Lines at these positions."""
        if self.all:
            return self.index.read(first, count)
        found: list[bytes] = []
        numbers = self._lines[first : first + count]
        for begin, stop in _stretches(numbers):
            lines = self.index.read(numbers[begin], numbers[stop - 1] - numbers[begin] + 1)
            found += [lines[number - numbers[begin]] for number in numbers[begin:stop] if lines]
        return found

    def jump(self, position: int, rank: int, step: int) -> int | None:
        """The nearest position of a line of this level, behind ``position`` or before it."""
        if not self.count:
            return None
        line = self.line(position) if position < self.count else self.index.count
        while (found := self.index.next_at(line, rank, step)) is not None:
            at = self.position(found)
            if at < self.count and self.line(at) == found:
                return at
            line = found
        return None

    def _passes(self, line: bytes) -> bool:
        lower: bytes | None = None
        for term in self.chosen.terms:
            if term.number is not None or term.negated or not _is_plain(term.value):
                continue
            # A line without the word's bytes need not be parsed.
            lower = lower if lower is not None else line.lower()
            if term.value.encode() not in lower:
                return False
        return self.chosen.matches(row_of(entry_of(line)))


def _is_plain(word: str) -> bool:
    """Whether JSON in ASCII writes a word as it is."""
    return word.isascii() and word.isprintable() and not set(word) & set('"\\')


def _stretches(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of positions whose lines lie near one another, so that one read gets them."""
    begin = 0
    for position in range(1, len(numbers) + 1):
        if position == len(numbers) or numbers[position] - numbers[position - 1] > STRIDE:
            yield begin, position
            begin = position


def lines_about(path: Path, names: Sequence[str], limit: int = 200) -> list[dict[str, Any]]:
    """The newest entries of a log about these chunks or items, oldest first; for a thread. Those
    about a chunk are not about its item.

    Args:
        path: the log.
        names: chunks or items, as they are in the log.
        limit: entries at most.
    """
    needles = [json.dumps(name).encode() for name in names if name]
    if not needles:
        return []
    found: list[dict[str, Any]] = []
    for block in _backwards(path):
        # Most of a long log is about others: it is not even cut into lines.
        if not any(needle in block for needle in needles):
            continue
        for line in reversed(block.split(b"\n")):
            if not any(needle in line for needle in needles):
                continue
            entry = entry_of(line)
            if (entry.get("chunk") or entry.get("item")) in names:
                found.append(entry)
                if len(found) >= limit:
                    return found[::-1]
    return found[::-1]


def _backwards(path: Path) -> Iterator[bytes]:
    """Blocks of whole lines of a file, the last one first."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            rest = b""
            while end:
                begin = max(0, end - _BLOCK)
                file.seek(begin)
                data = file.read(end - begin) + rest
                cut = data.find(b"\n") + 1 if begin else 0
                if begin and not cut:  # all of it is the middle of one line
                    rest, end = data, begin
                    continue
                yield data[cut:]
                rest, end = data[:cut], begin
    except OSError:
        return
