"""Reads a ledger from anywhere: of a live, a finished or a crashed run, in any process."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict

from geobatch_tui.errors import LedgerCorruptError, StateError
from geobatch_tui.execution.protocol.messages import Segment
from geobatch_tui.ledger.read.audit import audit
from geobatch_tui.ledger.read.columns import ColumnReader
from geobatch_tui.ledger.schema.database import translated
from geobatch_tui.ledger.schema.rows import (
    ITEM,
    NO_ORPHAN,
    OPEN_CHUNK,
    OPEN_ITEM,
    UPLOADS,
    Row,
    document,
    item_of,
    iter_items,
    path_text,
    state_of,
)
from geobatch_tui.ledger.schema.updates import ChunkRow, ChunkState, ItemRow, ItemState, UploadBegun

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from geobatch_tui.execution.protocol.messages import Json


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run. ``state`` is ``running`` until it ends, and ``crashed`` if a later run found it so.
    ``t0``, ``t1`` are UNIX times, ``host`` is that of the engine. The counts are of this run alone:
    chunks ``n_done``, ``n_dead``; failed attempts ``n_retry``; ``seconds`` of work in workers."""

    epoch: int
    run_id: str
    state: str
    t0: float
    t1: float | None
    exit_code: int | None
    reason: str
    job: Json
    versions: Json
    n_done: int
    n_dead: int
    n_retry: int
    units: int
    bytes_in: int
    bytes_out: int
    seconds: float
    host: str = ""

    @property
    def totals(self) -> tuple[int, int, int, int]:
        """Chunks, units, bytes in and bytes out, in the order of ``rates.NAMES``."""
        return self.n_done, self.units, self.bytes_in, self.bytes_out


class Counts(TypedDict):
    """Chunks by state, over the whole output directory without orphans."""

    total: int
    pending: int
    running: int
    retry: int
    done: int
    dead: int


class ItemCounts(TypedDict):
    """Items by state; ``total`` is without orphans."""

    total: int
    planned: int
    held: int
    published: int
    dead: int
    orphan: int


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A failed attempt at a chunk. ``t`` is UNIX time; ``attempts``, ``crashes`` and ``strikes``
    are the counts after it; ``host`` is that of the node of a cluster, else empty."""

    chunk_id: int
    epoch: int
    t: float
    attempts: int
    crashes: int
    strikes: int
    error_class: str
    message: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something that happened. ``seq`` grows by one; old events fall out of the ring."""

    seq: int
    t: float
    kind: str
    item_id: int | None
    chunk_id: int | None
    data: Json


_PAGE: Final = 512

_CHUNK: Final = """
SELECT c.chunk_id, c.item_id, c.state, c.attempts, c.crashes, c.strikes, c.not_before, spool.name,
    c.spool_offset, c.spool_length, c.crc32 FROM chunk AS c LEFT JOIN spool USING (spool_id)"""

_COUNTS: Final = """
SELECT n_total, n_total - n_running - n_retry - n_done - n_dead, n_running, n_retry, n_done, n_dead
    FROM tally"""

_COMPLETE: Final = f"""
SELECT i.item_id FROM item AS i JOIN item_count AS c USING (item_id)
    WHERE {OPEN_ITEM} AND state <> {ItemState.HELD} AND i.item_id > ?1
    AND c.n_done + iif(?2, c.n_dead, 0) = i.n_chunks
    ORDER BY i.item_id LIMIT ?3"""

_RECORDS: Final = f"""
SELECT dead_id, record FROM dead WHERE dead_id > ?1 AND (?2 IS NULL OR error_class = ?2)
    AND (SELECT state FROM item WHERE item_id = dead.item_id) <> {ItemState.ORPHAN}
    ORDER BY dead_id LIMIT ?3"""

_NAMES: Final = """
SELECT item_id, key, state FROM item WHERE item_id > ? ORDER BY item_id LIMIT 4096"""


class LedgerReader(ColumnReader):
    """Reads a ledger, and cannot change it.

    Each call reads one consistent state and leaves no statement open, so that the writer never
    waits. One thread at a time.

    Raises:
        LedgerTooNewError, LedgerCorruptError: a newer geobatch wrote it; it is damaged.
        StateError: there is no ledger, or it can't be read. Any method may raise these.
    """

    # --- the run --------------------------------------------------------------------------------

    def run(self) -> RunRow | None:
        """Read the newest run; None before the first."""
        return next(iter(self.runs(1)), None)

    def runs(self, limit: int = -1) -> list[RunRow]:
        """Read every run, or so many, newest first."""
        sql = f"SELECT {self._columns(RunRow)} FROM run ORDER BY epoch DESC LIMIT ?"
        return [_run_of(row) for row in self._rows(sql, (limit,))]

    def counts(self) -> Counts:
        """Read the number of chunks by state: one row, nothing is counted."""
        total, pending, running, retry, done, dead = self._rows(_COUNTS)[0]
        return Counts(
            total=total, pending=pending, running=running, retry=retry, done=done, dead=dead
        )

    def item_counts(self) -> ItemCounts:
        """Read the number of items by state: six rows, nothing is counted."""
        n: dict[int, int] = dict(self._rows("SELECT state, n FROM item_tally"))
        return ItemCounts(
            total=sum(n.values()) - n[ItemState.ORPHAN],
            planned=n[ItemState.PLANNED],
            held=n[ItemState.HELD],
            published=n[ItemState.PUBLISHED],
            dead=n[ItemState.DEAD],
            orphan=n[ItemState.ORPHAN],
        )

    def quarantined_features(self) -> int:
        """Sum the features that published items had to leave out, by their receipts' facts."""
        return int(
            self._scalar(
                "SELECT coalesce(sum(facts ->> '$.features_quarantined'), 0) FROM item"
                f" WHERE state = {ItemState.PUBLISHED}"
            )
        )

    def undefined_pixels(self) -> int:
        """Sum the pixels with a result that is no number over the published items, as
        :meth:`quarantined_features` does features."""
        return int(
            self._scalar(
                "SELECT coalesce(sum(facts ->> '$.undefined_pixels'), 0) FROM item"
                f" WHERE state = {ItemState.PUBLISHED}"
            )
        )

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed."""
        return int(self._scalar("PRAGMA data_version"))

    # --- items and chunks -----------------------------------------------------------------------

    def items(self, after: int = 0, limit: int | None = None) -> Iterator[ItemRow]:
        """Read items with ids above ``after``, in order, a page at a time."""
        with translated(self.path):
            yield from iter_items(self._connection, after, limit)

    def names(self) -> Iterator[tuple[int, str, ItemState]]:
        """Read id, output name and state of every item, in order, a page at a time."""
        after = 0
        while page := self._rows(_NAMES, (after,)):
            yield from ((item_id, key, state_of(state)) for item_id, key, state in page)
            after = page[-1][0]

    def item(self, item_id: int) -> ItemRow | None:
        found = self._items("i.item_id = ?", item_id)
        return found[0] if found else None

    def items_of(self, ids: Collection[int]) -> list[ItemRow]:
        """Read the items of these ids, in order; unknown ids are left out."""
        condition = "i.item_id IN (SELECT value FROM json_each(?)) ORDER BY i.item_id"
        return self._items(condition, json.dumps(sorted(ids)))

    def item_by_key(self, key: str) -> ItemRow | None:
        found = self._items("key = CAST(? AS TEXT)", path_text(key))
        return found[0] if found else None

    def part(self, name: str) -> bytes | None:
        """Return what is kept of a part of a large source."""
        if self._scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'part'"):
            sql = "SELECT body FROM part WHERE name = CAST(? AS TEXT)"
            for (body,) in self._rows(sql, (path_text(name),)):
                return bytes(body)
        return None  # a ledger of an earlier version has none

    def uploads(self) -> list[UploadBegun]:
        """Return what was begun to be sent to a store, and was not published since."""
        return [UploadBegun(*row) for row in self._rows(UPLOADS, ())]

    def items_named(self, prefix: str) -> list[ItemRow]:
        """Read the items whose output names begin with ``prefix``."""
        low = path_text(prefix)
        condition = "key >= CAST(? AS TEXT) AND key < CAST(? AS TEXT) ORDER BY i.item_id"
        return self._items(condition, low, low[:-1] + bytes([low[-1] + 1]))

    def open_chunks(self, after_id: int = 0, limit: int = _PAGE) -> list[ChunkRow]:
        """Read chunks of planned items that are pending or wait for a retry, in order of ids."""
        condition = (
            f"{OPEN_CHUNK} AND state <> {ChunkState.RUNNING} AND c.chunk_id > ?"
            f" AND (SELECT state FROM item WHERE item_id = c.item_id) = {ItemState.PLANNED}"
        )
        return self._chunks(condition, (after_id,), limit)

    def chunk(self, chunk_id: int) -> ChunkRow | None:
        page = self._chunks("c.chunk_id = ?", (chunk_id,), 1)
        return page[0] if page else None

    def chunks(self, item_id: int) -> Iterator[ChunkRow]:
        """Read the chunks of an item, in order, a page at a time. Raises StateError if there is no
        such item."""
        return self._span(item_id, "TRUE")

    def segments(self, item_id: int) -> Iterator[Segment]:
        """Read where the bytes of the item's done chunks lie, in order. Raises StateError if there
        is no such item."""
        first = self._bounds(item_id)[0]
        for row in self._span(item_id, f"state = {ChunkState.DONE}"):
            index = row.chunk_id - first
            yield Segment(index, row.spool, row.offset, row.length, row.crc32)

    def open_items_complete(self, *, holes: bool = False) -> Iterator[ItemRow]:
        """Read the planned items of which every chunk is done, or dead where ``holes`` are filled:
        they wait for assembly."""
        after = 0
        while ids := [row[0] for row in self._rows(_COMPLETE, (after, holes, _PAGE))]:
            yield from filter(None, map(self.item, ids))
            after = ids[-1]

    def seconds(self, row: ItemRow) -> float:
        """Sum the seconds that workers took for the chunks of an item."""
        return float(
            self._scalar(
                "SELECT ifnull(sum(micros), 0) / 1e6 FROM chunk"
                " WHERE chunk_id >= ? AND chunk_id < ?",
                (row.first_chunk, row.first_chunk + row.n_chunks),
            )
        )

    # --- what went wrong, what happened ---------------------------------------------------------

    def dead_letters(self, error_class: str | None = None) -> Iterator[Json]:
        """Read the records of dead letters (of one class, or all), oldest first."""
        after = 0
        while rows := self._rows(_RECORDS, (after, error_class, _PAGE)):
            yield from (document(row[1]) for row in rows)
            after = rows[-1][0]

    def newest_letter(self) -> tuple[int, float]:
        """Read id and time of the newest dead letter; zeros without one."""
        rows = self._rows(
            f"SELECT dead_id, t FROM dead JOIN item USING (item_id) WHERE {NO_ORPHAN}"
            " ORDER BY dead_id DESC LIMIT 1"
        )
        return (rows[0][0], rows[0][1]) if rows else (0, 0.0)

    def dead_by_class(self) -> dict[str, int]:
        """Count the dead letters of each class, most first."""
        return dict(
            self._rows(
                "SELECT error_class, count(*) AS n FROM dead JOIN item USING (item_id)"
                f" WHERE {NO_ORPHAN} GROUP BY 1 ORDER BY n DESC, 1"
            )
        )

    def attempts(self, chunk_id: int) -> list[AttemptRow]:
        """Read the failed attempts at a chunk, oldest first."""
        columns = self._columns(AttemptRow)
        sql = f"SELECT {columns} FROM attempt WHERE chunk_id = ? ORDER BY attempt_id"
        return [AttemptRow(*row) for row in self._rows(sql, (chunk_id,))]

    def events(self, after_seq: int = 0, limit: int = _PAGE) -> list[EventRow]:
        """Read the events above ``after_seq`` that the ring still holds, in order."""
        rows = self._rows(
            f"SELECT {self._columns(EventRow)} FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
            (after_seq, limit),
        )
        return [
            EventRow(seq, t, kind, item, chunk, document(data or "{}"))
            for seq, t, kind, item, chunk, data in rows
        ]

    def last_seq(self) -> int:
        """Return the number of the newest event; 0 without one."""
        return int(self._scalar("SELECT ifnull(max(seq), 0) FROM event"))

    def last_sign(self) -> float:
        """Return the UNIX time of the newest event or note; 0.0 without one."""
        newest = "SELECT ifnull(max(t), 0.0) FROM note"
        event = "SELECT t FROM event ORDER BY seq DESC LIMIT 1"
        return float(self._scalar(f"SELECT max(({newest}), ifnull(({event}), 0.0))"))

    def last_event(self, kind: str) -> Json | None:
        """Read the data of the newest ``Noted`` of this kind in the newest run, if it has one, even
        when the ring has lost the event."""
        sql = "SELECT data FROM note WHERE kind = ? AND epoch = (SELECT max(epoch) FROM run)"
        rows = self._rows(sql, (kind,))
        return document(rows[0][0]) if rows else None

    def audit(self) -> list[str]:
        """Check every invariant, and return a sentence for each that is broken."""
        with translated(self.path):
            return audit(self._connection)

    # --- within ---------------------------------------------------------------------------------

    def _items(self, condition: str, *values: object) -> list[ItemRow]:
        return [item_of(row) for row in self._rows(ITEM + condition, values)]

    def _bounds(self, item_id: int) -> tuple[int, int]:
        rows = self._rows("SELECT first_chunk, n_chunks FROM item WHERE item_id = ?", (item_id,))
        if not rows:
            raise StateError(f"the ledger knows no item {item_id}")
        first, count = rows[0]
        return first, first + count

    def _span(self, item_id: int, condition: str) -> Iterator[ChunkRow]:
        after, end = self._bounds(item_id)
        condition = f"c.chunk_id >= ? AND c.chunk_id < ? AND {condition}"
        while page := self._chunks(condition, (after, end)):
            yield from page
            after = page[-1].chunk_id + 1

    def _chunks(
        self, condition: str, values: tuple[object, ...], limit: int = _PAGE
    ) -> list[ChunkRow]:
        sql = f"{_CHUNK} WHERE {condition} ORDER BY c.chunk_id LIMIT {limit}"
        return [_chunk_of(row) for row in self._rows(sql, values)]


def _chunk_of(row: Row) -> ChunkRow:
    try:
        state = ChunkState(row[2])
    except ValueError as error:
        raise LedgerCorruptError(f"the ledger is damaged: {error}") from error
    if row[7] is None:
        raise LedgerCorruptError(f"the ledger is damaged: chunk {row[0]} has an unknown spool")
    return ChunkRow(row[0], row[1], state, *row[3:])


def _run_of(row: Row) -> RunRow:
    values = list(row)
    values[7], values[8] = document(values[7]), document(values[8])
    return RunRow(*values)
