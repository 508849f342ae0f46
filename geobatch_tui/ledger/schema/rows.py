"""Rows of the database as values, and texts as the database takes them."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from geobatch_tui.errors import LedgerCorruptError
from geobatch_tui.ledger.schema.database import scalar
from geobatch_tui.ledger.schema.updates import ChunkState, ItemRow, ItemState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from sqlite3 import Connection

    from geobatch_tui.execution.protocol.messages import Json

#: A row as SQLite gives it, or as a statement takes it.
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


UPLOADS: Final = "SELECT item_id, key, fingerprint, upload FROM upload"


def path_text(text: str) -> bytes:
    """Return the bytes of a name; bytes of a file's name that are no UTF-8 stay as they are."""
    return text.encode("utf-8", "surrogateescape")


def prose_text(text: str) -> bytes:
    """Return the bytes of a sentence, with surrogates escaped."""
    return text.encode("utf-8", "backslashreplace")


def json_text(value: Mapping[str, object]) -> str:
    """Return ``value`` as ASCII JSON, which any name survives."""
    return json.dumps(value, separators=(",", ":"), default=dict)


def document(text: object) -> Json:
    """Parse a JSON object of the database. Raises LedgerCorruptError if it is none: a byte was
    changed where SQLite can't notice it."""
    try:
        value = json.loads(str(text))
        if isinstance(value, dict):
            return value
    except ValueError as error:
        raise LedgerCorruptError(f"the ledger is damaged: {error}") from error
    raise LedgerCorruptError("the ledger is damaged: a document in it is no object")


class Interner:
    """Ids of texts that many rows share; a text is inserted when its id is first asked for."""

    def __init__(self, connection: Connection, table: str, key: str, column: str) -> None:
        self._connection = connection
        self._insert = (
            f"INSERT INTO {table} ({column}) VALUES (CAST(? AS TEXT)) ON CONFLICT DO NOTHING"
        )
        self._find = f"SELECT {key} FROM {table} WHERE {column} = CAST(? AS TEXT)"
        self._ids: dict[str, int] = {}

    def __getitem__(self, text: str) -> int:
        known = self._ids.get(text)
        if known is None:
            data = path_text(text)
            self._connection.execute(self._insert, (data,))
            known = int(scalar(self._connection, self._find, (data,)))
            if len(self._ids) > 4096:
                self._ids.clear()
            self._ids[text] = known
        return known

    def forget(self) -> None:
        """Forget all ids: the transaction that inserted some was rolled back."""
        self._ids.clear()


ITEM_FIELDS: Final = tuple(field.name for field in fields(ItemRow))
_ELSEWHERE: Final = {"item_id": "i.item_id", "params": "doc.body"}
#: Selects items; a condition follows.
ITEM: Final = f"""
SELECT {", ".join(_ELSEWHERE.get(name, name) for name in ITEM_FIELDS)}
FROM item AS i LEFT JOIN item_count USING (item_id) LEFT JOIN doc ON doc_id = params_doc WHERE """


def item_of(row: Row) -> ItemRow:
    """Make an item of a row of ``ITEM``."""
    values = dict(zip(ITEM_FIELDS, row, strict=True))
    for name in ("params", "plan", "facts"):
        values[name] = document(values[name])
    return ItemRow(**{**values, "state": state_of(values["state"])})


def state_of(value: int) -> ItemState:
    """Read the state of an item. Raises LedgerCorruptError if it is none."""
    try:
        return ItemState(value)
    except ValueError as error:
        raise LedgerCorruptError(f"the ledger is damaged: {error}") from error


def iter_items(
    connection: Connection, after: int = 0, limit: int | None = None
) -> Iterator[ItemRow]:
    """Read items with ids above ``after``; no statement stays open between pages."""
    sql = ITEM + "i.item_id > ? ORDER BY i.item_id LIMIT ?"
    left = math.inf if limit is None else limit
    while left > 0 and (rows := connection.execute(sql, (after, min(_PAGE, left))).fetchall()):
        yield from map(item_of, rows)
        after = rows[-1][0]
        left -= len(rows)
