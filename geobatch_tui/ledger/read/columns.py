"""Columns of many chunks, outlines of items and letters: what a picture of a whole run needs."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from geobatch_tui.errors import LedgerCorruptError
from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.ledger.schema.database import open_reader, scalar, translated
from geobatch_tui.ledger.schema.rows import BUSY_CHUNK, NO_ORPHAN, Row, document
from geobatch_tui.ledger.schema.updates import ItemState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json

_SPAN: Final = 65_536
_PAGE: Final = 512
_MESSAGE: Final = 300  #: characters of the message of a death

#: SQL of each figure of a chunk. ``worker`` numbers the process that computed it, and ``node`` the
#: node of a cluster, by the name of its spool. ``reading`` and ``writing`` are seconds, ``ended``
#: is UNIX time.
FIGURES: Final[Mapping[str, str]] = {
    "seconds": "micros / 1e6",
    "attempts": "attempts",
    "rss_bytes": "rss_kib * 1024.0",
    "nodata": "nodata",
    "node": "coalesce((SELECT CAST(substr(name, instr(name, '-n') + 2) AS INTEGER) FROM spool"
    " WHERE spool.spool_id = chunk.spool_id AND name GLOB '*-n[0-9]*'), 0)",
    "bytes_out": "bytes_out",
    "undefined": "undefined",
    "reading": "read_micros / 1e6",
    "writing": "write_micros / 1e6",
    "worker": "worker",
    "ended": "ended",
}
#: Since which schema the ledger knows it; a reader migrates none.
_SINCE: Final = {
    "undefined": 4,
    **dict.fromkeys(("reading", "writing", "worker", "ended"), 6),
    "host": 7,
}

_OUTLINE: Final = """
SELECT item_id, state, first_chunk, n_chunks, key,
    plan ->> '$.grid.width', plan ->> '$.grid.height',
    plan ->> '$.grid.chunk_width', plan ->> '$.grid.chunk_height',
    plan -> '$.bounds_lonlat', plan -> '$.stages'
    FROM item WHERE item_id > ? ORDER BY item_id LIMIT ?"""

_LETTERS: Final = f"""
SELECT t, dead.item_id, chunk_id, {{feature}}, error_class,
    substr(record ->> '$.error_message', 1, ?2), coalesce(record ->> '$.chunk', record ->> '$.item')
    FROM dead JOIN item USING (item_id) WHERE t <= ?1 AND {NO_ORPHAN}
    ORDER BY dead_id DESC LIMIT ?3"""

_FATES: Final = """
SELECT e.kind, e.t, e.item_id, e.chunk_id, -1, e.data ->> '$.error_class',
    coalesce((SELECT substr(message, 1, ?2) FROM attempt AS a
        WHERE a.chunk_id = e.chunk_id AND a.t = e.t), ''), ''
    FROM event AS e WHERE e.t <= ?1 AND (e.kind IN ('dead', 'planned', 'adopted', 'published')
        OR (e.kind = 'done' AND e.chunk_id IN (SELECT chunk_id FROM event WHERE kind = 'dead')))
    ORDER BY e.seq"""


@dataclass(frozen=True, slots=True)
class ItemOutline:
    """An item without its documents. The grid is 0 where the item was never planned; ``bounds``
    are west, south, east, north in degrees, or None. ``stages``: grids of the chunks that come
    before those of the output."""

    item_id: int
    state: ItemState
    first_chunk: int
    n_chunks: int
    key: str
    width: int
    height: int
    chunk_width: int
    chunk_height: int
    bounds: tuple[float, float, float, float] | None
    stages: tuple[ChunkGrid, ...] = ()


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter; ``chunk_id`` is None where the whole item was given up. ``t`` is UNIX time.
    ``feature``: the number in the item of the one feature that it is of, or -1."""

    dead_id: int
    item_id: int
    chunk_id: int | None
    t: float
    attempts: int
    crashes: int
    error_class: str
    record: Json
    feature: int = -1


class Death(NamedTuple):
    """A chunk, an item (``chunk_id`` None) or one ``feature`` of a chunk that was given up, at a
    UNIX time. ``name``: of the chunk or item, empty where its letter is gone; ``message`` may be
    cut, and is empty where nothing is kept of it."""

    t: float
    item_id: int
    chunk_id: int | None
    feature: int
    error_class: str
    message: str
    name: str

    @property
    def unit(self) -> tuple[int, int | None, int]:
        """What was given up: item, chunk and feature."""
        return self[1:4]


class ColumnReader:
    """Opens a ledger to read it, and reads many rows at once. See ``LedgerReader``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_reader(path)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def outlines(self, after: int = 0, limit: int = _PAGE) -> list[ItemOutline]:
        """Read up to ``limit`` items with ids above ``after``, in order, without documents."""
        try:
            return [_outline(row) for row in self._rows(_OUTLINE, (after, limit))]
        except ValueError as error:
            raise LedgerCorruptError(f"the ledger is damaged: {error}") from error

    def states(self, first: int, count: int) -> bytearray:
        """Read the states of ``count`` chunks from id ``first``, a byte each; 0 for no chunk."""
        column = bytearray(count)
        for start, end, rows in self._spans("state", first, count):
            if len(rows) == end - start:
                column[start - first : end - first] = bytes(state for _, state in rows)
            else:
                for chunk_id, state in rows:
                    column[chunk_id - first] = state
        return column

    def figures(self, name: str, first: int, count: int) -> array[float]:
        """Read a figure of ``FIGURES`` for ``count`` chunks from id ``first``; 0 for no chunk."""
        return self.table((name,), first, count)[0]

    def table(self, names: Sequence[str], first: int, count: int) -> list[array[float]]:
        """Read several figures at once, a column each; see :meth:`figures`."""
        columns = [_column(name, count) for name in names]
        for start, end, rows in self._spans(self._sql(names), first, count):
            if len(rows) == end - start:
                _, *parts = zip(*rows, strict=True)
                for column, values in zip(columns, parts, strict=True):
                    column[start - first : end - first] = array(column.typecode, values)
                continue
            for chunk_id, *figures in rows:
                for column, value in zip(columns, figures, strict=True):
                    column[chunk_id - first] = value
        return columns

    def table_of(self, names: Sequence[str], ids: Sequence[int]) -> dict[int, tuple[float, ...]]:
        """Read several figures of single chunks, by id; unknown ids are left out."""
        rows = self._rows(
            f"SELECT chunk_id, {self._sql(names)} FROM chunk"
            " WHERE chunk_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        )
        return {row[0]: tuple(row[1:]) for row in rows}

    def _sql(self, names: Sequence[str]) -> str:
        """Return the columns of figures; 0 for those that an older ledger does not have."""
        version = int(self._scalar("PRAGMA user_version"))
        known = (FIGURES[name] if _SINCE.get(name, 0) <= version else "0" for name in names)
        return ", ".join(known)

    def _columns(self, record: type) -> str:
        """List the columns that a table has for a record; empty texts in place of those that an
        older ledger does not have."""
        version = int(self._scalar("PRAGMA user_version"))
        names = (field.name for field in fields(record))
        return ", ".join(name if _SINCE.get(name, 0) <= version else "''" for name in names)

    def _spans(self, column: str, first: int, count: int) -> Iterator[tuple[int, int, list[Row]]]:
        """Read ids and a column of chunks, some at a time: first id, end, and rows of each."""
        sql = f"SELECT chunk_id, {column} FROM chunk WHERE chunk_id >= ? AND chunk_id < ?"
        for start in range(first, first + count, _SPAN):
            end = min(start + _SPAN, first + count)
            yield start, end, self._rows(sql, (start, end))

    def states_of(self, ids: Sequence[int]) -> dict[int, int]:
        """Read the states of chunks, by id; unknown ids are left out."""
        return dict(
            self._rows(
                "SELECT chunk_id, state FROM chunk"
                " WHERE chunk_id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(ids)),),
            )
        )

    def attempts_since(self, t: float) -> list[tuple[int, float]]:
        """Read chunk and UNIX time of each failed attempt from ``t`` on."""
        sql = "SELECT chunk_id, t FROM attempt WHERE t >= ? ORDER BY attempt_id"
        return [(chunk_id, at) for chunk_id, at in self._rows(sql, (t,))]

    def busy(self) -> dict[int, int]:
        """Read the states of the chunks that are running or wait for a retry, by id."""
        return dict(self._rows(f"SELECT chunk_id, state FROM chunk WHERE {BUSY_CHUNK}"))

    def letters(self, after: int = 0, limit: int = _PAGE) -> list[Letter]:
        """Read up to ``limit`` dead letters with ids above ``after``, oldest first."""
        # A ledger of schema 1, which a reader does not migrate, has no letters of features.
        feature = "feature" if int(self._scalar("PRAGMA user_version")) > 1 else "-1"
        rows = self._rows(
            "SELECT dead_id, dead.item_id, chunk_id, t, attempts, crashes, error_class, record,"
            f" {feature}"
            f" FROM dead JOIN item USING (item_id) WHERE dead_id > ? AND {NO_ORPHAN}"
            " ORDER BY dead_id LIMIT ?",
            (after, limit),
        )
        return [
            Letter(dead_id, item_id, chunk_id, t, attempts, crashes, name, document(text), of)
            for dead_id, item_id, chunk_id, t, attempts, crashes, name, text, of in rows
        ]

    def all_letters(self, after: int = 0) -> Iterator[Letter]:
        """Read the dead letters with ids above ``after``, oldest first, a page at a time."""
        while page := self.letters(after):
            yield from page
            after = page[-1].dead_id

    def deaths(self, until: float, limit: int, *, letters_only: bool) -> list[Death]:
        """Read what was dead at a UNIX time, the newest first and so many at most, as far as the
        ledger holds it: letters that are there still and, unless ``letters_only``, what the ring of
        events tells of letters that are there no more. Messages are cut."""
        feature = "feature" if int(self._scalar("PRAGMA user_version")) > 1 else "-1"
        rows = self._rows(_LETTERS.format(feature=feature), (until, _MESSAGE, limit))
        letters = [Death(*row) for row in rows]
        if letters_only:
            return letters
        known = {letter.unit for letter in letters}
        gone = [death for death in self._fates(until) if death.unit not in known]
        return sorted((*letters, *gone), key=lambda death: -death.t)[:limit]

    def _fates(self, until: float) -> Iterator[Death]:
        """Yield what the ring of events leaves dead at a UNIX time."""
        dead: dict[int, dict[int | None, Death]] = {}
        for kind, *row in self._rows(_FATES, (until, _MESSAGE)):
            death = Death(*row)
            if kind == "dead":
                dead.setdefault(death.item_id, {})[death.chunk_id] = death
            elif kind == "done":
                dead.get(death.item_id, {}).pop(death.chunk_id, None)
            elif kind == "published":  # perhaps without some chunks
                dead.get(death.item_id, {}).pop(None, None)
            else:
                dead.pop(death.item_id, None)
        for chunks in dead.values():
            yield from chunks.values()

    def has_lost_events(self) -> bool:
        """Whether events have fallen out of the ring."""
        return bool(self._scalar("SELECT ifnull(min(seq), 1) > 1 FROM event"))

    def totals_over_time(self) -> list[tuple[float, float]]:
        """Read how many chunks a run had finished at each of its notes, with their UNIX times, of
        all runs that the ring of events still holds, in order. Notes of older engines have none."""
        sql = (
            "SELECT t, json_extract(data, '$.totals[0]') FROM event WHERE kind = 'progress'"
            " AND json_type(data, '$.totals[0]') IN ('integer', 'real') ORDER BY seq"
        )
        return [(float(t), float(total)) for t, total in self._rows(sql)]

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[Row]:
        with translated(self.path):
            return self._connection.execute(sql, values).fetchall()

    def _scalar(self, sql: str, values: tuple[object, ...] = ()) -> Any:
        with translated(self.path):
            return scalar(self._connection, sql, values)


def _column(name: str, count: int) -> array[float]:
    """Make a column of zeros; times need all their digits."""
    return array("d", bytes(8 * count)) if name == "ended" else array("f", bytes(4 * count))


def _outline(row: Row) -> ItemOutline:
    values = list(row)
    values[1] = ItemState(values[1])
    values[5:9] = (int(value or 0) for value in values[5:9])
    values[9] = _bounds(values[9])
    stages = json.loads(values[10]) if values[10] else ()
    values[10] = tuple(ChunkGrid(**stage["grid"]) for stage in stages)
    return ItemOutline(*values)


def _bounds(text: str | None) -> tuple[float, float, float, float] | None:
    values = json.loads(text) if text else None
    if not values:
        return None
    west, south, east, north = (float(value) for value in values)
    return west, south, east, north
