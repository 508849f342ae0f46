"""Rows of the database as values."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from geobatch_tui.errors import LedgerCorruptError
from geobatch_tui.ledger.schema.updates import ChunkRow, ChunkState, ItemRow, ItemState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from sqlite3 import Connection

    from geobatch_tui.execution.protocol.messages import Json

#: A row as SQLite gives it.
type Row = tuple[Any, ...]

_PAGE: Final = 512

#: Conditions on states. SQLite uses a partial index only for a query that repeats the condition of
#: the index (chunk_open, chunk_busy, item_open in schema.sql), with the states in its text.
OPEN_CHUNK: Final = (
    f"state IN ({ChunkState.PENDING}, {ChunkState.RUNNING}, {ChunkState.RETRY_WAIT})"
)
BUSY_CHUNK: Final = f"state IN ({ChunkState.RUNNING}, {ChunkState.RETRY_WAIT})"
#: No item has state 1 any more, but the index names it.
OPEN_ITEM: Final = f"state IN ({ItemState.PLANNED}, 1, {ItemState.HELD})"
#: Inputs of orphans are no part of the job any more: nothing of theirs is counted or listed.
NO_ORPHAN: Final = f"item.state <> {ItemState.ORPHAN}"

_ITEM: Final = """
SELECT i.item_id, key, source, src_size, src_mtime_ns, src_digest, params_digest, code_digest,
    fingerprint, doc.body, plan, out_path, first_chunk, n_chunks, state, n_done, n_dead, out_size,
    out_mtime_ns, out_digest, reason, facts
FROM item AS i LEFT JOIN item_count USING (item_id) LEFT JOIN doc ON doc_id = params_doc WHERE """

CHUNK_COLUMNS: Final = """
c.chunk_id, c.item_id, c.state, c.attempts, c.crashes, c.strikes, c.not_before, spool.name,
c.spool_offset, c.spool_length, c.crc32"""


def item_of(row: Row) -> ItemRow:
    """Make an item of a row of ``_ITEM``."""
    values = list(row)
    for column in (9, 10, 21):
        values[column] = document(values[column])
    values[14] = state_of(values[14])
    return ItemRow(*values)


def state_of(value: int) -> ItemState:
    """Read the state of an item. Raises LedgerCorruptError if it is none."""
    try:
        return ItemState(value)
    except ValueError as error:
        raise LedgerCorruptError(f"the ledger is damaged: {error}") from error


def document(text: object) -> Json:
    """Parse a JSON object of the database.

    Raises:
        LedgerCorruptError: it is no object: a byte was changed where SQLite can't notice it.
    """
    try:
        value = json.loads(str(text))
        if isinstance(value, dict):
            return value
    except ValueError as error:
        raise LedgerCorruptError(f"the ledger is damaged: {error}") from error
    raise LedgerCorruptError("the ledger is damaged: a document in it is no object")


def chunk_of(row: Row) -> ChunkRow:
    """Make a chunk of a row of ``CHUNK_COLUMNS``."""
    try:
        state = ChunkState(row[2])
    except ValueError as error:
        raise LedgerCorruptError(f"the ledger is damaged: {error}") from error
    if row[7] is None:
        raise LedgerCorruptError(f"the ledger is damaged: chunk {row[0]} has an unknown spool")
    return ChunkRow(row[0], row[1], state, *row[3:])


def read_item(connection: Connection, condition: str, value: object) -> ItemRow | None:
    """Read the item for which ``condition``, which has one parameter, holds."""
    row = connection.execute(_ITEM + condition, (value,)).fetchone()
    return None if row is None else item_of(row)


def read_items(connection: Connection, ids: Collection[int]) -> list[ItemRow]:
    """Read the items of these ids, in order."""
    rows = connection.execute(
        _ITEM + "i.item_id IN (SELECT value FROM json_each(?)) ORDER BY i.item_id",
        (json.dumps(sorted(ids)),),
    ).fetchall()
    return [item_of(row) for row in rows]


def page_items(connection: Connection, after: int, limit: int) -> list[ItemRow]:
    """Read up to ``limit`` items with ids above ``after``, in order."""
    rows = connection.execute(
        _ITEM + "i.item_id > ? ORDER BY i.item_id LIMIT ?", (after, limit)
    ).fetchall()
    return [item_of(row) for row in rows]


def iter_items(
    connection: Connection, after: int = 0, limit: int | None = None
) -> Iterator[ItemRow]:
    """Read items with ids above ``after``; no statement stays open between pages."""
    left = limit
    while left is None or left > 0:
        page = page_items(connection, after, _PAGE if left is None else min(_PAGE, left))
        if not page:
            return
        yield from page
        after = page[-1].item_id
        left = None if left is None else left - len(page)


def page_chunks(
    connection: Connection, condition: str, values: tuple[object, ...], limit: int = _PAGE
) -> list[ChunkRow]:
    """Read up to ``limit`` chunks for which ``condition`` holds, in order of ids."""
    rows = connection.execute(
        f"SELECT {CHUNK_COLUMNS} FROM chunk AS c LEFT JOIN spool USING (spool_id)"
        f" WHERE {condition} ORDER BY c.chunk_id LIMIT {limit}",
        values,
    ).fetchall()
    return [chunk_of(row) for row in rows]
