"""The dossier of a dead letter: its record, item, attempts, log lines and files."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.stores.object_url import is_url
from geobatch_tui.ledger.place.owner import is_ours
from geobatch_tui.observability.text import harmless, harmless_lines, proper
from geobatch_tui.tui.log.entry import line_of, lines_about

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.columns import Letter
    from geobatch_tui.ledger.read.reader import AttemptRow, LedgerReader
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.tui.log.entry import LogLine
    from geobatch_tui.tui.run.store import RunStore


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
        record: the letter's record, raw: texts must pass :func:`harmless`.
        command: what reproduces the failure, fit to be pasted into a shell.
        neighbours: states of the chunks around it, 5 rows of 5; None outside of the grid.
        trusted: whether the run's files belong to this user.
    """

    letter: Letter
    item: ItemRow | None
    attempts: Sequence[AttemptRow] = ()
    log: Sequence[LogLine] = ()
    files: Sequence[FileFact] = ()
    neighbours: Sequence[Sequence[int | None]] = ()
    command: str = ""
    op: str = ""
    job: Json = field(default_factory=dict)
    trusted: bool = False

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
    long, and the files may lie far away. Raises StateError where the ledger cannot be read."""
    trusted = is_ours(store.state_root)

    def read(reader: LedgerReader) -> Dossier | None:
        letter = next(iter(reader.letters(dead_id - 1, 1)), None)
        if letter is None or letter.dead_id != dead_id:
            return None
        run = reader.run()
        job = {} if run is None else run.job.get("job", {})
        return Dossier(
            letter,
            reader.item(letter.item_id),
            () if letter.chunk_id is None else reader.attempts(letter.chunk_id),
            command=proper(str(letter.record.get("reproduce") or "")) if trusted else "",
            op=str(job.get("op", {}).get("name", "")),
            job=job,
            trusted=trusted,
        )

    found = store.reading(read)
    if found is None:
        return None
    about = lines_about(store.log_path, _names(found))
    return replace(
        found,
        log=[line_of(entry) for entry in about],
        files=files_of(found, store.directory.absolute()),
        neighbours=around(store, found.letter.item_id, found.letter.chunk_id),
    )


def _names(found: Dossier) -> list[str]:
    """Return the names of chunk and item that the log may hold: as they are, where those of the
    record had to be made harmless."""
    names = [str(found.record.get(name) or "") for name in ("chunk", "item")]
    if found.item is not None and names[1] != found.item.key:
        place = names[0].rpartition("@")[2]
        names += [f"{found.item.key}@{place}" if names[0] else "", found.item.key]
    return names


def files_of(found: Dossier, directory: Path) -> list[FileFact]:
    """Look at the source and the output of a letter. Blocks: for a thread."""
    item = found.item
    if item is None:
        return []
    facts = []
    if item.source:
        facts.append(FileFact("source", harmless(item.source), *_source(item)))
    if item.out_path:
        path = directory / item.key
        facts.append(FileFact("output", harmless(str(path)), *_output(path)))
    return facts


def changed_sources(reader: LedgerReader, items: Iterable[int]) -> set[int]:
    """Return the ids of items whose source changed since it was planned. Blocks: for a thread."""
    found = set()
    for item_id in items:
        item = reader.item(item_id)
        if item is None or not (item.plan or item.src_mtime_ns) or is_url(item.source):
            continue
        try:
            status = source_files.status(item.source)
        except OSError:
            continue
        if status != (item.src_size, item.src_mtime_ns):
            found.add(item_id)
    return found


def _source(item: ItemRow) -> tuple[str, bool]:
    """Return the state of a source, and whether it is not as planned."""
    if is_url(item.source):  # a console asks no store
        planned = _size_and_time(item.src_size, item.src_mtime_ns / 1e9)
        return f"{planned}, when it was planned", False
    try:
        size, mtime_ns = source_files.status(item.source)
    except OSError as error:
        return error.strerror or str(error), True
    state = _size_and_time(size, mtime_ns / 1e9)
    if not item.plan:
        return state, False
    if (size, mtime_ns) != (item.src_size, item.src_mtime_ns):
        return f"{state}: changed since the run was planned", True
    return f"{state}: as planned", False


def _output(path: Path) -> tuple[str, bool]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return "not published", False
    except OSError as error:
        return error.strerror or str(error), True
    return _size_and_time(status.st_size, status.st_mtime), False


def _size_and_time(size: int, t: float) -> str:
    return f"{size:,} bytes, {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(t))}"


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
