"""The dossier of a dead letter: its record, item, attempts, log lines and files."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from geobatch_tui.execution.sources import source_files
from geobatch_tui.ledger.place.owner import is_ours
from geobatch_tui.observability.text import harmless, harmless_lines, proper, safe
from geobatch_tui.tui.kit.fixed_width import clock
from geobatch_tui.tui.log.entry import lines_about, time_of
from geobatch_tui.tui.run.tail import said

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.columns import Letter
    from geobatch_tui.ledger.read.reader import AttemptRow, LedgerReader
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.tui.run.store import RunStore

LOG_LINES: Final = 200


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line of the log about the chunk; ``text`` is harmless."""

    time: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file and its state; ``alarm``: the state is not as planned."""

    role: str
    path: str
    state: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Dossier:
    """A dead letter with its item, attempts, log and files.

    Attributes:
        record: the letter's record, raw: texts must pass :func:`letters.shown`.
        command: what reproduces the failure, fit to be pasted into a shell.
        neighbours: states of the chunks around it, 5 rows of 5; None outside of the grid.
    """

    letter: Letter
    item: ItemRow | None
    attempts: Sequence[AttemptRow] = ()
    log: Sequence[LogEntry] = ()
    files: Sequence[FileFact] = ()
    neighbours: Sequence[Sequence[int | None]] = ()
    command: str = ""
    op: str = ""
    job: Json = field(default_factory=dict)

    @property
    def record(self) -> Json:
        return self.letter.record

    @property
    def key(self) -> str:
        """The name of the chunk or item in the ledger."""
        return str(self.record.get("chunk") or self.record.get("item") or "")

    def text(self, name: str) -> str:
        """Return a field of the record, harmless, on one line; empty where it has none."""
        value = self.record.get(name)
        return "" if value is None else harmless(str(value))

    def traceback(self) -> str:
        """The traceback, harmless."""
        return harmless_lines(str(self.record.get("traceback") or "")).rstrip()


def gather(store: RunStore, dead_id: int) -> Dossier | None:
    """Read all about a letter; None if it is a dead letter no more. For a thread: the log may be
    long, and the files may lie far away.

    Raises:
        StateError: the ledger cannot be read.
    """
    trusted = is_ours(store.state_root)

    def read(reader: LedgerReader) -> Dossier | None:
        letters = reader.letters(dead_id - 1, 1)
        if not letters or letters[0].dead_id != dead_id:
            return None
        letter = letters[0]
        run = reader.run()
        job = {} if run is None else run.job.get("job", {})
        attempts = [] if letter.chunk_id is None else reader.attempts(letter.chunk_id)
        return Dossier(
            letter,
            reader.item(letter.item_id),
            attempts,
            command=proper(str(letter.record.get("reproduce") or "")) if trusted else "",
            op=str(job.get("op", {}).get("name", "")),
            job=job,
        )

    found = store.reading(read)
    if found is None:
        return None
    names = _names(found)
    return Dossier(
        found.letter,
        found.item,
        found.attempts,
        [_entry(entry) for entry in lines_about(store.log_path, names, LOG_LINES)],
        list(_files(found, store.directory.absolute())),
        around(store, found.letter.item_id, found.letter.chunk_id),
        found.command,
        found.op,
        found.job,
    )


def _names(found: Dossier) -> list[str]:
    """Return the names of chunk and item that the log may hold: as they are, where those of the
    record had to be made harmless."""
    names = [str(found.record.get(name) or "") for name in ("chunk", "item")]
    if found.item is not None and names[1] != found.item.key:
        place = names[0].rpartition("@")[2]
        names += [f"{found.item.key}@{place}" if names[0] else "", found.item.key]
    return names


def _entry(entry: Json) -> LogEntry:
    t = time_of(entry)
    return LogEntry(
        "" if t is None else clock(t),
        safe(str(entry.get("level", ""))),
        said({"event": "", **entry}),
    )


# --- files ---------------------------------------------------------------------------------------


def _files(found: Dossier, directory: Path) -> list[FileFact]:
    item = found.item
    if item is None:
        return []
    facts = [_source(item.source, item)] if item.source else []
    return [*facts, _output(str(directory / item.key))] if item.out_path else facts


def changed_sources(reader: LedgerReader, items: Iterable[int]) -> set[int]:
    """Return the ids of items whose source changed since it was planned. Blocks: for a thread."""
    found = set()
    for item_id in items:
        item = reader.item(item_id)
        if item is None or not item.plan:
            continue
        try:
            status = source_files.status(item.source)
        except OSError:
            continue
        if status != (item.src_size, item.src_mtime_ns):
            found.add(item_id)
    return found


def _source(path: str, item: ItemRow) -> FileFact:
    try:
        size, mtime_ns = source_files.status(path)
    except OSError as error:
        return FileFact("source", harmless(path), error.strerror or str(error), alarm=True)
    state = f"{size:,} bytes, {_day(mtime_ns / 1e9)}"
    if not item.plan:
        return FileFact("source", harmless(path), state)
    if (size, mtime_ns) != (item.src_size, item.src_mtime_ns):
        return FileFact(
            "source", harmless(path), f"{state}: changed since the run was planned", alarm=True
        )
    return FileFact("source", harmless(path), f"{state}: as planned")


def _output(path: str) -> FileFact:
    try:
        status = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return FileFact("output", harmless(path), "not published")
    except OSError as error:
        return FileFact("output", harmless(path), error.strerror or str(error), alarm=True)
    return FileFact("output", harmless(path), f"{status.st_size:,} bytes, {_day(status.st_mtime)}")


def _day(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t))


# --- neighbours ----------------------------------------------------------------------------------


def around(store: RunStore, item_id: int, chunk_id: int | None) -> list[list[int | None]]:
    """Return the states of the 5 x 5 chunks round a chunk; empty for an item without a grid."""
    item = store.item(item_id)
    if item is None or chunk_id is None or item.n < 2:
        return []
    row, col = divmod(chunk_id - item.first_chunk, item.columns)
    states = store.states
    return [
        [
            states[item.first + r * item.columns + c]
            if 0 <= r < item.rows and 0 <= c < item.columns
            else None
            for c in range(col - 2, col + 3)
        ]
        for r in range(row - 2, row + 3)
    ]
