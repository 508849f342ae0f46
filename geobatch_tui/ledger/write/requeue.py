"""Dead letters get another chance, or a note that an operator knows of them."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.schema.rows import NO_ORPHAN
from geobatch_tui.ledger.schema.updates import ChunkState, ItemState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

NOTE_LENGTH: Final = 500

_FRESH = f"state = {ChunkState.PENDING}, attempts = 0, crashes = 0, strikes = 0, not_before = 0"
_NO_SPOOL = "spool_id = 0, spool_offset = 0, spool_length = 0, crc32 = 0"
_LETTERS = "SELECT dead_id FROM temp.chosen"
_ITEMS = "SELECT item_id FROM dead WHERE dead_id IN (SELECT dead_id FROM temp.chosen)"


def requeue(
    connection: Connection, classes: Sequence[str] | None, chunk_keys: Sequence[str] | None
) -> int:
    """See ``Ledger.requeue_dead``; the caller has begun a transaction."""
    execute = connection.execute
    execute("CREATE TEMP TABLE IF NOT EXISTS chosen (dead_id INTEGER PRIMARY KEY)")
    execute("DELETE FROM temp.chosen")
    execute(
        "INSERT INTO temp.chosen SELECT dead_id FROM dead JOIN item USING (item_id)"
        f" WHERE {NO_ORPHAN}"
        " AND (?1 IS NULL OR error_class IN (SELECT value FROM json_each(?1)))"
        " AND (?2 IS NULL OR coalesce(record ->> '$.chunk', record ->> '$.item')"
        "      IN (SELECT value FROM json_each(?2)))",
        (_listed(classes), _listed(chunk_keys)),
    )
    # Where the item itself is a dead letter, its chunks can't go on without it.
    execute(
        f"INSERT OR IGNORE INTO temp.chosen SELECT dead_id FROM dead"
        f" WHERE chunk_id IS NULL AND item_id IN ({_ITEMS})"
    )
    count = int(execute("SELECT count(*) FROM temp.chosen").fetchone()[0])
    if count:
        _revive(connection)
    return count


def _listed(names: Sequence[str] | None) -> str | None:
    return None if names is None else json.dumps(list(names))


def _revive(connection: Connection) -> None:
    execute = connection.execute
    execute(
        f"UPDATE chunk SET {_FRESH} WHERE state = {ChunkState.DEAD} AND chunk_id IN"
        f" (SELECT chunk_id FROM dead WHERE dead_id IN ({_LETTERS}))"
    )
    # A chunk that went without a feature is done again, and writes all its letters anew.
    execute(
        f"UPDATE chunk SET {_FRESH}, {_NO_SPOOL} WHERE state = {ChunkState.DONE}"
        " AND chunk_id IN"
        f" (SELECT chunk_id FROM dead WHERE feature >= 0 AND dead_id IN ({_LETTERS}))"
    )
    # Chunks that died with their item have no letters of their own.
    execute(
        f"UPDATE chunk SET {_FRESH} FROM (SELECT first_chunk, n_chunks FROM item"
        f"  WHERE item_id IN ({_ITEMS} AND chunk_id IS NULL)) AS i"
        " WHERE chunk_id >= i.first_chunk AND chunk_id < i.first_chunk + i.n_chunks"
        f" AND state = {ChunkState.DEAD} AND chunk_id NOT IN"
        " (SELECT chunk_id FROM dead WHERE chunk_id IS NOT NULL)"
    )
    # Of a published item the spools are gone: it is made anew.
    execute(
        f"UPDATE chunk SET {_FRESH}, {_NO_SPOOL}"
        "  FROM (SELECT first_chunk, n_chunks FROM item"
        f" WHERE state = {ItemState.PUBLISHED} AND item_id IN ({_ITEMS})) AS i"
        " WHERE chunk_id >= i.first_chunk AND chunk_id < i.first_chunk + i.n_chunks"
    )
    execute(
        "DELETE FROM dead WHERE item_id IN"
        f" (SELECT item_id FROM item WHERE state = {ItemState.PUBLISHED})"
        f" AND item_id IN ({_ITEMS}) AND dead_id NOT IN ({_LETTERS})"
    )
    execute(
        f"UPDATE item SET state = {ItemState.PLANNED}, reason = 'was_failed'"
        f" WHERE state IN ({ItemState.HELD}, {ItemState.PUBLISHED}, {ItemState.DEAD})"
        f" AND item_id IN ({_ITEMS})"
    )
    execute(
        "DELETE FROM dead WHERE feature >= 0 AND chunk_id IN (SELECT chunk_id FROM dead"
        f" WHERE feature >= 0 AND dead_id IN ({_LETTERS}))"
    )
    execute(f"DELETE FROM dead WHERE dead_id IN ({_LETTERS})")


_SET: Final = """
UPDATE dead SET record = json_set(record, '$.dismissed', json(?)) WHERE dead_id = ? AND t = ?"""


_UNSET: Final = """
UPDATE dead SET record = json_remove(record, '$.dismissed') WHERE dead_id = ? AND t = ?
    AND record -> '$.dismissed' IS NOT NULL"""


def dismiss(
    connection: Connection,
    letters: Sequence[tuple[int, float]],
    note: str | None,
    by: str,
    now: float,
) -> int:
    """See ``Ledger.dismiss_dead``; the caller has begun a transaction."""
    if note is None:
        return connection.executemany(_UNSET, letters).rowcount
    mark = json.dumps({"note": note[:NOTE_LENGTH], "by": by, "t": now})
    return connection.executemany(_SET, [(mark, *letter) for letter in letters]).rowcount
