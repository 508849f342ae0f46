"""Updates of a batch that commute, by chunk and by item, and the few statements that write them."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.schema import statements
from geobatch_tui.ledger.schema.database import bulk, scalar
from geobatch_tui.ledger.schema.statements import Interner, json_text, path_text, prose_text
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
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.write.publish import Published, Publisher

Row = tuple[object, ...]  #: parameters of a statement


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
        """Forget what was gathered."""
        self.items: dict[int, tuple[ItemRow, ItemState]] = {}
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
        if self.items:
            self._insert_items(list(self.items.values()))
        self._update("chunk", statements.MOVE, list(self.moves.items()))
        self._update("chunk", statements.WAIT, list(self.waits.values()))
        self._update("chunk", statements.DONE, list(self.dones.values()))
        self._set_aside()
        if self.deads:
            self._bury_chunks(list(self.deads.values()))
        if self.attempts:
            bulk(self._connection, statements.ATTEMPT, self.attempts)
        self._update("item", statements.TOUCH, list(self.touches.items()))
        self._change_items(list(self.changes.values()))
        if self.publications:
            self._publish(list(self.publications.values()))
        self.clear()

    def _update(self, noun: str, sql: str, rows: Sequence[Row]) -> None:
        """Update rows by id; each must exist, or something that happened would be lost."""
        if rows and bulk(self._connection, sql, rows) != len(rows):
            raise StateError(f"an update names a {noun} that the ledger does not know: {rows[:3]}")

    def _change_items(self, updates: Sequence[ItemChanged]) -> None:
        rows = [(c.item_id, int(c.state), prose_text(c.reason)) for c in updates]
        self._update("item", statements.CHANGE, rows)
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

    def _insert_items(self, items: Sequence[tuple[ItemRow, ItemState]]) -> None:
        rows: list[Row] = [
            (
                item.item_id,
                int(state),
                item.first_chunk,
                item.n_chunks,
                path_text(item.key),
                path_text(item.source),
                item.src_size,
                item.src_mtime_ns,
                item.src_digest,
                item.params_digest,
                item.code_digest,
                item.fingerprint,
                self._docs[json_text(item.params)],
                path_text(item.out_path),
                item.out_size,
                item.out_mtime_ns,
                item.out_digest,
                prose_text(item.reason),
                json_text(item.plan),
                json_text(item.facts),
            )
            for item, state in items
        ]
        bulk(self._connection, statements.ITEM, rows)

    def _set_aside(self) -> None:
        """Replace the letters of features of the chunks that are done."""
        if self.dones:
            chunks = json.dumps(list(self.dones))
            self._connection.execute(statements.FORGET_FEATURES, (chunks,))
        if self.features:
            bulk(self._connection, statements.DEAD, self.features)

    def _bury_chunks(self, letters: Sequence[DeadLetter]) -> None:
        rows: list[Row] = [(d.chunk_id, d.attempts, d.crashes) for d in letters]
        self._update("chunk", statements.BURY, rows)
        bulk(self._connection, statements.DEAD, [self._letter(letter) for letter in letters])

    def bury_item(self, letter: DeadLetter) -> int:
        """Write the letter of a whole item, and return how many chunks died with it."""
        item = letter.item_id
        row: Row = (item, int(ItemState.DEAD), prose_text(letter.error_class))
        self._update("item", statements.CHANGE, [row])
        cursor = self._connection.execute(
            f"UPDATE chunk SET state = {ChunkState.DEAD}, not_before = 0 WHERE state NOT IN"
            f" ({ChunkState.DONE}, {ChunkState.DEAD})"
            " AND chunk_id >= (SELECT first_chunk FROM item WHERE item_id = ?1)"
            " AND chunk_id < (SELECT first_chunk + n_chunks FROM item WHERE item_id = ?1)",
            (item,),
        )
        bulk(self._connection, statements.DEAD, [self._letter(letter)])
        return int(cursor.rowcount)

    def _letter(self, letter: DeadLetter) -> Row:
        counts = (letter.attempts, letter.crashes)
        return self.letter_row(
            letter.item_id, letter.chunk_id, counts, letter.error_class, letter.record
        )

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
        keys = dict(
            self._connection.execute(
                "SELECT item_id, key FROM item WHERE item_id IN (SELECT value FROM json_each(?))",
                (ids,),
            ).fetchall()
        )
        if len(keys) != len(updates):
            raise StateError(f"a publication names an item that the ledger does not know: {ids}")
        done = self._publisher.rename([(update, keys[update.item_id]) for update in updates])
        self.renamed += keys.values()
        self._update("item", statements.PUBLISH, [_publication(published) for published in done])


def _publication(published: Published) -> Row:
    update = published.update
    return (
        update.item_id,
        update.out_size,
        published.mtime_ns,
        update.out_digest,
        json_text(update.facts),
    )
