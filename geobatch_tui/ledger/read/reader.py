"""Reads a ledger from anywhere: of a live, a finished or a crashed run, in any process."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.read import columns
from geobatch_tui.ledger.read.audit import audit
from geobatch_tui.ledger.schema.database import open_reader, scalar, translated
from geobatch_tui.ledger.schema.rows import (
    BUSY_CHUNK,
    NO_ORPHAN,
    OPEN_CHUNK,
    OPEN_ITEM,
    Row,
    document,
    iter_items,
    page_chunks,
    read_item,
    read_items,
    state_of,
)
from geobatch_tui.ledger.schema.statements import path_text
from geobatch_tui.ledger.schema.updates import ChunkRow, ChunkState, ItemRow, ItemState
from geobatch_tui.ledger.schema.views import (
    AttemptRow,
    Counts,
    EventRow,
    ItemCounts,
    RunRow,
    SegmentRow,
)

if TYPE_CHECKING:
    from array import array
    from collections.abc import Collection, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json

_PAGE: Final = 512

_RUN: Final = """
SELECT epoch, run_id, state, t0, t1, exit_code, reason, job, versions, n_done, n_dead, n_retry,
    units, bytes_in, bytes_out, seconds FROM run ORDER BY epoch DESC"""

_COUNTS: Final = """
SELECT n_total, n_total - n_running - n_retry - n_done - n_dead, n_running, n_retry, n_done, n_dead
    FROM tally"""

_COMPLETE: Final = f"""
SELECT i.item_id FROM item AS i JOIN item_count AS c USING (item_id)
    WHERE {OPEN_ITEM} AND state <> {ItemState.HELD} AND i.item_id > ?1
    AND c.n_done + iif(?2, c.n_dead, 0) = i.n_chunks
    ORDER BY i.item_id LIMIT ?3"""

_NAMES: Final = """
SELECT item_id, key, state FROM item WHERE item_id > ? ORDER BY item_id LIMIT 4096"""


class LedgerReader:
    """Reads a ledger, and cannot change it.

    Each call reads one consistent state and leaves no statement open, so that the writer never
    waits. One thread at a time.

    Args:
        path: ``StateDir.ledger``.

    Raises:
        LedgerTooNewError, LedgerCorruptError: a newer geobatch wrote it; it is damaged.
        StateError: there is no ledger, or it can't be read. Any method may raise these.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_reader(path)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the run --------------------------------------------------------------------------------

    def run(self) -> RunRow | None:
        """Read the newest run; None before the first."""
        rows = self._rows(_RUN + " LIMIT 1")
        return _run_of(rows[0]) if rows else None

    def runs(self) -> list[RunRow]:
        """Read every run, newest first."""
        return [_run_of(row) for row in self._rows(_RUN)]

    def counts(self) -> Counts:
        """Read the number of chunks by state: one row, nothing is counted."""
        total, pending, running, retry, done, dead = self._rows(_COUNTS)[0]
        return Counts(
            total=total,
            pending=pending,
            running=running,
            retry=retry,
            done=done,
            dead=dead,
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

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed."""
        return int(self._scalar("PRAGMA data_version"))

    # --- items and chunks -----------------------------------------------------------------------

    def items(self, after: int = 0, limit: int | None = None) -> Iterator[ItemRow]:
        """Read items with ids above ``after``, in order, a page at a time."""
        with self._translated():
            yield from iter_items(self._connection, after, limit)

    def names(self) -> Iterator[tuple[int, str, ItemState]]:
        """Read id, output name and state of every item, in order, a page at a time."""
        after = 0
        while page := self._rows(_NAMES, (after,)):
            yield from ((item_id, key, state_of(state)) for item_id, key, state in page)
            after = page[-1][0]

    def item(self, item_id: int) -> ItemRow | None:
        """Read the item of this id."""
        with self._translated():
            return read_item(self._connection, "i.item_id = ?", item_id)

    def items_of(self, ids: Collection[int]) -> list[ItemRow]:
        """Read the items of these ids, in order; unknown ids are left out."""
        with self._translated():
            return read_items(self._connection, ids)

    def item_by_key(self, key: str) -> ItemRow | None:
        """Read the item of this output name."""
        with self._translated():
            return read_item(self._connection, "key = CAST(? AS TEXT)", path_text(key))

    def items_named(self, prefix: str) -> list[ItemRow]:
        """Read the items whose output names begin with ``prefix``."""
        low = path_text(prefix)
        with self._translated():
            ids = self._rows(
                "SELECT item_id FROM item WHERE key >= CAST(?1 AS TEXT) AND key < CAST(?2 AS TEXT)",
                (low, low[:-1] + bytes([low[-1] + 1])),
            )
            return read_items(self._connection, [item_id for (item_id,) in ids])

    def open_chunks(self, after_id: int = 0, limit: int = _PAGE) -> list[ChunkRow]:
        """Read chunks of planned items that are pending or wait for a retry, in order of ids."""
        condition = (
            f"{OPEN_CHUNK} AND state <> {ChunkState.RUNNING} AND c.chunk_id > ?"
            f" AND (SELECT state FROM item WHERE item_id = c.item_id) = {ItemState.PLANNED}"
        )
        with self._translated():
            return page_chunks(self._connection, condition, (after_id,), limit)

    def chunk(self, chunk_id: int) -> ChunkRow | None:
        """Read the chunk of this id."""
        with self._translated():
            page = page_chunks(self._connection, "c.chunk_id = ?", (chunk_id,), 1)
        return page[0] if page else None

    def chunks(self, item_id: int) -> Iterator[ChunkRow]:
        """Read the chunks of an item, in order, a page at a time.

        Raises:
            StateError: there is no such item.
        """
        return self._span(item_id, "TRUE")

    def segments(self, item_id: int) -> Iterator[SegmentRow]:
        """Read where the bytes of the item's done chunks lie, in order.

        Raises:
            StateError: there is no such item.
        """
        first = self._bounds(item_id)[0]
        for row in self._span(item_id, f"state = {ChunkState.DONE}"):
            index = row.chunk_id - first
            yield SegmentRow(index, row.spool, row.offset, row.length, row.crc32)

    def open_items_complete(self, *, holes: bool = False) -> Iterator[ItemRow]:
        """Read the planned items of which every chunk is done: they wait for assembly.

        Args:
            holes: count dead chunks as done (``on_dead_chunk = fill``).
        """
        after = 0
        while True:
            ids = [row[0] for row in self._rows(_COMPLETE, (after, holes, _PAGE))]
            if not ids:
                return
            for item_id in ids:
                item = self.item(item_id)
                if item is not None:
                    yield item
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

    # --- a whole run at once --------------------------------------------------------------------

    def outlines(self, after: int = 0, limit: int = _PAGE) -> list[columns.ItemOutline]:
        """Read up to ``limit`` items with ids above ``after``, in order, without documents."""
        with self._translated():
            return columns.outlines(self._connection, after, limit)

    def states(self, first: int, count: int) -> bytearray:
        """Read the states of ``count`` chunks from id ``first``, a byte each."""
        with self._translated():
            return columns.states(self._connection, first, count)

    def states_of(self, ids: Sequence[int]) -> dict[int, int]:
        """Read the states of chunks, by id."""
        with self._translated():
            return columns.states_of(self._connection, ids)

    def busy(self) -> dict[int, int]:
        """Read the states of the chunks that are running or wait for a retry, by id."""
        return dict(self._rows(f"SELECT chunk_id, state FROM chunk WHERE {BUSY_CHUNK}"))

    def figures(self, name: str, first: int, count: int) -> array[float]:
        """Read a figure of ``columns.FIGURES`` for ``count`` chunks from id ``first``."""
        with self._translated():
            return columns.figures(self._connection, name, first, count)

    # --- what went wrong, what happened ---------------------------------------------------------

    def dead_letters(self, error_class: str | None = None) -> Iterator[Json]:
        """Read the records of dead letters (of one class, or all), oldest first."""
        after = 0
        while True:
            rows = self._rows(
                "SELECT dead_id, record FROM dead WHERE dead_id > ?1"
                " AND (?2 IS NULL OR error_class = ?2)"
                " AND (SELECT state FROM item WHERE item_id = dead.item_id)"
                f" <> {ItemState.ORPHAN}"
                " ORDER BY dead_id LIMIT ?3",
                (after, error_class, _PAGE),
            )
            if not rows:
                return
            yield from (document(row[1]) for row in rows)
            after = rows[-1][0]

    def letters(self, after: int = 0, limit: int = _PAGE) -> list[columns.Letter]:
        """Read up to ``limit`` dead letters with ids above ``after``, oldest first."""
        with self._translated():
            return columns.letters(self._connection, after, limit)

    def all_letters(self, after: int = 0) -> Iterator[columns.Letter]:
        """Read the dead letters with ids above ``after``, oldest first, a page at a time."""
        while page := self.letters(after):
            yield from page
            after = page[-1].dead_id

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
        rows = self._rows(
            "SELECT chunk_id, epoch, t, attempts, crashes, strikes, error_class, message"
            " FROM attempt WHERE chunk_id = ? ORDER BY attempt_id",
            (chunk_id,),
        )
        return [AttemptRow(*row) for row in rows]

    def events(self, after_seq: int = 0, limit: int = _PAGE) -> list[EventRow]:
        """Read the events above ``after_seq`` that the ring still holds, in order."""
        rows = self._rows(
            "SELECT seq, t, kind, item_id, chunk_id, data FROM event WHERE seq > ?"
            " ORDER BY seq LIMIT ?",
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
        """Read the data of the newest ``Noted`` of this kind in the newest run, if it has one.

        It is kept even when the ring has lost the event.
        """
        rows = self._rows(
            "SELECT data FROM note WHERE kind = ? AND epoch = (SELECT max(epoch) FROM run)",
            (kind,),
        )
        return document(rows[0][0]) if rows else None

    def audit(self) -> list[str]:
        """Check every invariant, and return a sentence for each that is broken."""
        with self._translated():
            return audit(self._connection)

    # --- within ---------------------------------------------------------------------------------

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self.path)

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[Row]:
        with self._translated():
            return self._connection.execute(sql, values).fetchall()

    def _scalar(self, sql: str, values: tuple[object, ...] = ()) -> Any:
        with self._translated():
            return scalar(self._connection, sql, values)

    def _bounds(self, item_id: int) -> tuple[int, int]:
        rows = self._rows("SELECT first_chunk, n_chunks FROM item WHERE item_id = ?", (item_id,))
        if not rows:
            raise StateError(f"the ledger knows no item {item_id}")
        first, count = rows[0]
        return first, first + count

    def _span(self, item_id: int, condition: str) -> Iterator[ChunkRow]:
        after, end = self._bounds(item_id)
        while True:
            with self._translated():
                page = page_chunks(
                    self._connection,
                    f"c.chunk_id >= ? AND c.chunk_id < ? AND {condition}",
                    (after, end),
                )
            if not page:
                return
            yield from page
            after = page[-1].chunk_id + 1


def _run_of(row: Row) -> RunRow:
    values = list(row)
    values[7], values[8] = document(values[7]), document(values[8])
    return RunRow(*values)
