"""Updates of a batch that commute, by chunk and by item, and the few statements that write them."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.schema.database import bulk, scalar
from geobatch_tui.ledger.schema.rows import ITEM_FIELDS, json_text, path_text, prose_text
from geobatch_tui.ledger.schema.updates import (
    ChunkState,
    DeadLetter,
    ItemChanged,
    ItemPublished,
    ItemRow,
    ItemState,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.schema.rows import Interner, Row
    from geobatch_tui.ledger.write.publish import Publisher


#: Parameters are a document that items share, and counts are kept by triggers.
_ITEM_COLUMNS: Final = [name for name in ITEM_FIELDS if name not in {"params", "n_done", "n_dead"}]
#: How the database takes a value of an item that it does not take as it is.
_BOUND: Final[Mapping[str, Callable[[Any], object]]] = {
    "state": int,
    "plan": json_text,
    "facts": json_text,
    "reason": prose_text,
    **dict.fromkeys(("key", "source", "out_path"), path_text),
}


def _selected(number: int, column: str) -> str:
    """Name a value of a row of ``{d}`` (see ``bulk``) by its number; texts are bound as bytes."""
    is_text = _BOUND.get(column) in {path_text, prose_text}
    return f"CAST(column{number} AS TEXT)" if is_text else f"column{number}"


_MOVE: Final = "UPDATE chunk SET state = d.column2 FROM {d} WHERE chunk_id = d.column1"
_WAIT: Final = """
UPDATE chunk SET state = d.column2, attempts = d.column3, crashes = d.column4,
    strikes = d.column5, not_before = d.column6 FROM {d} WHERE chunk_id = d.column1"""
_DONE: Final = f"""
UPDATE chunk SET state = {ChunkState.DONE}, attempts = d.column2, not_before = 0,
    spool_id = d.column3, spool_offset = d.column4, spool_length = d.column5, crc32 = d.column6,
    units = d.column7, bytes_in = d.column8, bytes_out = d.column9, micros = d.column10,
    nodata = d.column11, rss_kib = d.column12, undefined = d.column13,
    read_micros = d.column14, write_micros = d.column15, worker = d.column16, ended = d.column17
    FROM {{d}} WHERE chunk_id = d.column1"""
_BURY: Final = f"""
UPDATE chunk SET state = {ChunkState.DEAD}, attempts = d.column2, crashes = d.column3,
    not_before = 0 FROM {{d}} WHERE chunk_id = d.column1"""
_DEAD: Final = """
INSERT OR REPLACE INTO dead
        (item_id, chunk_id, t, attempts, crashes, error_class, record, feature)
    SELECT column1, column2, column3, column4, column5, CAST(column6 AS TEXT), column7, column8
    FROM {d} WHERE column1 IS NOT NULL"""
_FORGET_FEATURES: Final = """
DELETE FROM dead WHERE feature >= 0 AND chunk_id IN (SELECT value FROM json_each(?))"""
_ATTEMPT: Final = """
INSERT INTO attempt (chunk_id, epoch, t, attempts, crashes, strikes, error_class, message, host)
    SELECT column1, column2, column3, column4, column5,
        coalesce(column6, (SELECT strikes FROM chunk WHERE chunk_id = column1), 0),
        CAST(column7 AS TEXT), CAST(column8 AS TEXT), CAST(column9 AS TEXT)
    FROM {d} WHERE column1 IS NOT NULL"""
_ITEM: Final = f"""
INSERT INTO item ({", ".join(_ITEM_COLUMNS)}, params_doc)
    SELECT {", ".join(map(_selected, count(1), (*_ITEM_COLUMNS, "params_doc")))}
    FROM {{d}} WHERE column1 IS NOT NULL"""
_CHANGE: Final = """
UPDATE item SET state = d.column2, reason = CAST(d.column3 AS TEXT)
    FROM {d} WHERE item_id = d.column1"""
_PUBLISH: Final = f"""
UPDATE item SET state = {ItemState.PUBLISHED}, reason = '', out_size = d.column2,
    out_mtime_ns = d.column3, out_digest = d.column4, facts = d.column5
    FROM {{d}} WHERE item_id = d.column1"""
#: What publications need to know of their items.
_PUBLISHED: Final = """
SELECT item_id, key, (SELECT sum(undefined) FROM chunk
        WHERE chunk_id >= first_chunk AND chunk_id < first_chunk + n_chunks)
    FROM item WHERE item_id IN (SELECT value FROM json_each(?))"""
_TOUCH: Final = "UPDATE item SET src_mtime_ns = d.column2 FROM {d} WHERE item_id = d.column1"


def _item_row(item: ItemRow, docs: Interner) -> Row:
    values = [(name, getattr(item, name)) for name in _ITEM_COLUMNS]
    bound = [_BOUND[name](value) if name in _BOUND else value for name, value in values]
    return (*bound, docs[json_text(item.params)])


class Gathered:
    """Updates that may be written in any order among those of other chunks and items.

    Args:
        connection: in a transaction.
        docs: shared texts.
        publisher: renames finished files.
        now: UNIX time of the commit.
    """

    def __init__(
        self, connection: sqlite3.Connection, docs: Interner, publisher: Publisher, now: float
    ) -> None:
        self._connection = connection
        self._docs = docs
        self._publisher = publisher
        self._now = now
        #: Outputs that took their names, which the publisher has yet to make durable.
        self.renamed: list[str] = []
        self.clear()

    def clear(self) -> None:
        self.items: dict[int, ItemRow] = {}
        self.moves: dict[int, int] = {}
        self.waits: dict[int, Row] = {}
        self.dones: dict[int, Row] = {}
        self.features: list[Row] = []
        self.deads: dict[int, DeadLetter] = {}
        self.attempts: list[Row] = []
        self.changes: dict[int, ItemChanged] = {}
        self.touches: dict[int, int] = {}
        self.publications: dict[int, ItemPublished] = {}

    def is_over(self, chunk: int) -> bool:
        """Whether ``chunk`` is done or dead by a gathered update."""
        return chunk in self.dones or chunk in self.deads

    def write(self) -> None:
        """Write what was gathered: new items, then chunks, then what happens to items."""
        new = [_item_row(item, self._docs) for item in self.items.values()]
        bulk(self._connection, _ITEM, new)
        self._update("chunk", _MOVE, list(self.moves.items()))
        self._update("chunk", _WAIT, list(self.waits.values()))
        self._update("chunk", _DONE, list(self.dones.values()))
        self._set_aside()
        self._bury_chunks(list(self.deads.values()))
        bulk(self._connection, _ATTEMPT, self.attempts)
        self._update("item", _TOUCH, list(self.touches.items()))
        self._change_items(list(self.changes.values()))
        if self.publications:
            self._publish(list(self.publications.values()))
        self.clear()

    def _update(self, noun: str, sql: str, rows: Sequence[Row]) -> None:
        """Update rows by id; each must exist, or something that happened would be lost."""
        if bulk(self._connection, sql, rows) != len(rows):
            raise StateError(f"an update names a {noun} that the ledger does not know: {rows[:3]}")

    def _change_items(self, updates: Sequence[ItemChanged]) -> None:
        rows = [(c.item_id, int(c.state), prose_text(c.reason)) for c in updates]
        self._update("item", _CHANGE, rows)
        planned = [c.item_id for c in updates if c.state is ItemState.PLANNED]
        if planned:
            # An orphan that died before it became one is not planned by coming back.
            self._connection.execute(
                f"UPDATE item SET state = {ItemState.DEAD}"
                " WHERE item_id IN (SELECT value FROM json_each(?))"
                " AND EXISTS (SELECT 1 FROM dead"
                " WHERE dead.item_id = item.item_id AND dead.chunk_id IS NULL)",
                (json.dumps(planned),),
            )
        back = [c.item_id for c in updates if c.state is ItemState.PUBLISHED]
        if back:
            never = scalar(
                self._connection,
                "SELECT item_id FROM item WHERE out_digest = ''"
                " AND item_id IN (SELECT value FROM json_each(?))",
                (json.dumps(back),),
            )
            if never is not None:
                raise StateError(f"item {never} has no output that could be published again")

    def _set_aside(self) -> None:
        """Replace the letters of features of the chunks that are done."""
        if self.dones:
            chunks = json.dumps(list(self.dones))
            self._connection.execute(_FORGET_FEATURES, (chunks,))
        bulk(self._connection, _DEAD, self.features)

    def _bury_chunks(self, letters: Sequence[DeadLetter]) -> None:
        rows: list[Row] = [(d.chunk_id, d.attempts, d.crashes) for d in letters]
        self._update("chunk", _BURY, rows)
        bulk(self._connection, _DEAD, [self._letter(letter) for letter in letters])

    def bury_item(self, letter: DeadLetter) -> int:
        """Write the letter of a whole item, and return how many chunks died with it."""
        item = letter.item_id
        row: Row = (item, int(ItemState.DEAD), prose_text(letter.error_class))
        self._update("item", _CHANGE, [row])
        cursor = self._connection.execute(
            f"UPDATE chunk SET state = {ChunkState.DEAD}, not_before = 0 WHERE state NOT IN"
            f" ({ChunkState.DONE}, {ChunkState.DEAD})"
            " AND chunk_id >= (SELECT first_chunk FROM item WHERE item_id = ?1)"
            " AND chunk_id < (SELECT first_chunk + n_chunks FROM item WHERE item_id = ?1)",
            (item,),
        )
        bulk(self._connection, _DEAD, [self._letter(letter)])
        return int(cursor.rowcount)

    def _letter(self, letter: DeadLetter) -> Row:
        counts = (letter.attempts, letter.crashes)
        of = (letter.item_id, letter.chunk_id)
        return self.letter_row(*of, counts, letter.error_class, letter.record)

    def letter_row(
        self,
        item: int,
        chunk: int | None,
        counts: tuple[int, int],
        error: str,
        record: Json,
        feature: int = -1,
    ) -> Row:
        """Make a row of the table of dead letters; ``counts`` are attempts and crashes."""
        return (item, chunk, self._now, *counts, prose_text(error), json_text(record), feature)

    def _publish(self, updates: Sequence[ItemPublished]) -> None:
        ids = json.dumps([update.item_id for update in updates])
        found = self._connection.execute(_PUBLISHED, (ids,)).fetchall()
        keys, undefined = {row[0]: row[1] for row in found}, {row[0]: row[2] for row in found}
        if len(keys) != len(updates):
            raise StateError(f"a publication names an item that the ledger does not know: {ids}")
        rows: list[Row] = []
        for update in updates:
            key = keys[update.item_id]
            if not update.sent_ns:
                self.renamed.append(key)
            mtime_ns = update.sent_ns or self._publisher.rename(update, key)
            count = undefined[update.item_id]
            facts = json_text(
                {**update.facts, "undefined_pixels": count} if count else update.facts
            )
            rows.append((update.item_id, update.out_size, mtime_ns, update.out_digest, facts))
        self._update("item", _PUBLISH, rows)
