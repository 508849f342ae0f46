"""Entries of a log: as their fields, as lines for people, and those about a chunk."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.place.regular_file import open_read
from geobatch_tui.observability.figures import duration
from geobatch_tui.observability.text import harmless, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.tui.kit.filters import Row

_LONG: Final = 1 << 20  #: bytes of a line that are looked at

FIELDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("level", "event", "message", "chunk", "item", "class", "stage"), "text"),
    **dict.fromkeys(("logger", "worker", "host"), "text"),
    "attempts": "number",
}
"""Fields that a filter can name."""

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
    """An entry in short: local ``HH:MM:SS`` or "", its level, and one harmless line. ``place`` is
    the chunk or item that it names, as it stands in the log, or ""."""

    time: str
    level: str
    text: str
    place: str = ""


def entry_of(line: bytes) -> Json:
    """Parse a line into its fields; one that is no JSON object becomes a message without a level,
    with surrogates for bytes that are no text."""
    try:
        found = json.loads(line[:_LONG])
        if isinstance(found, dict):
            return found
    except (ValueError, RecursionError):
        pass
    return {"message": line[:_LONG].decode("utf-8", "surrogateescape")}


def time_of(entry: Json) -> float | None:
    """Return the UNIX time of an entry; None: it has none."""
    try:
        return datetime.fromisoformat(str(entry["time"])).timestamp()
    except (ValueError, KeyError, OverflowError):
        return None


def said(entry: Json) -> str:
    """Return an entry as one harmless line, without its time and level."""
    event = str(entry.get("event") or "")
    words = [str(entry.get("message") or _EVENTS.get(event, event))]
    if isinstance(entry.get("duration_ms"), int | float):
        words.append(duration(entry["duration_ms"] / 1000, fine=True))
    place = entry.get("chunk") or entry.get("item")
    if place:
        words.insert(0, str(place))
    if event == "chunk.done":
        words += [
            f"{word} {entry[name]}"
            for word, name in (("by worker", "worker"), ("at attempt", "attempt"))
            if entry.get(name) not in (None, "")
        ]
    if entry.get("error_message") and str(entry["error_message"]) not in words[-1]:
        words.append(f"{entry.get('error_class') or 'error'}: {entry['error_message']}")
    return " ".join(harmless(word) for word in words)


def line_of(entry: Json) -> LogLine:
    """Return an entry in short."""
    t = time_of(entry)
    clock = "" if t is None else time.strftime("%H:%M:%S", time.localtime(t))
    place = str(entry.get("chunk") or entry.get("item") or "")
    return LogLine(clock, safe(str(entry.get("level", ""))), said(entry), place)


def parse(line: bytes) -> LogLine | None:
    """Parse a line of the log; None where it has no time, as half a line."""
    found = line_of(entry_of(line))
    return found if found.time else None


def row_of(entry: Json) -> Row:
    """Return the fields of an entry that a filter looks at."""
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


def lines_about(
    path: Path, names: Sequence[str], limit: int = 200, *, block: int = 4 << 20
) -> list[Json]:
    """The newest entries of a log about these chunks or items, oldest first; for a thread. Those
    about a chunk are not about its item.

    Args:
        path: the log.
        names: chunks or items, as they are in the log.
        limit: entries at most.
        block: bytes that are read at a time.
    """
    needles = [json.dumps(name).encode() for name in names if name]
    if not needles:
        return []
    found: list[Json] = []
    for text in _backwards(path, block):
        # Most of a long log is about others: it is not even cut into lines.
        if not any(needle in text for needle in needles):
            continue
        for line in reversed(text.split(b"\n")):
            if not any(needle in line for needle in needles):
                continue
            entry = entry_of(line)
            if (entry.get("chunk") or entry.get("item")) in names:
                found.append(entry)
                if len(found) >= limit:
                    return found[::-1]
    return found[::-1]


def _backwards(path: Path, block: int) -> Iterator[bytes]:
    """Yield blocks of whole lines of a file, the last one first."""
    try:
        with open_read(path) as file:
            end = file.seek(0, os.SEEK_END)
            partial = b""
            while end:
                begin = max(0, end - block)
                file.seek(begin)
                data = file.read(end - begin) + partial
                cut = data.find(b"\n") + 1 if begin else 0
                if begin and not cut:  # all of it is the middle of one line
                    partial, end = data, begin
                    continue
                yield data[cut:]
                partial, end = data[:cut], begin
    except OSError:
        return
