"""Updates into SQL: what commutes is gathered, and written by few statements.

A statement costs its caller at least one wait for the interpreter lock, so a batch of a thousand
updates must not become a thousand statements. Updates of different chunks commute; so do those of
new items with everything before them. The rest ends the gathering first.
"""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from geobatch_tui.errors import StateError
from geobatch_tui.ledger import statements
from geobatch_tui.ledger.database import bulk, scalar
from geobatch_tui.ledger.dismiss import dismiss
from geobatch_tui.ledger.requeue import requeue
from geobatch_tui.ledger.statements import Interner, json_text, path_text, prose_text
from geobatch_tui.ledger.updates import (
    ChunkDone,
    ChunkReleased,
    ChunkStarted,
    ChunkState,
    ChunkWaiting,
    DeadLetter,
    ItemAdopted,
    ItemChanged,
    ItemPlanned,
    ItemPublished,
    ItemRow,
    ItemState,
    LettersDismissed,
    LettersRequeued,
    Noted,
    RunEnded,
    SourceTouched,
    Update,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from geobatch_tui.ledger.publish import Published, Publisher

Row = tuple[object, ...]

MESSAGE_LENGTH: Final = 2_000  #: characters of an attempt's message; the dead letter has it all


class Batch:
    """One transaction's worth of updates. The caller begins and commits.

    Args:
        connection: in a transaction.
        spools, docs: shared texts.
        publisher: renames finished files.
        epoch: of the run that writes.
        last_item: the highest item id in the database; a higher one is new.
        now: UNIX time of the commit.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        spools: Interner,
        docs: Interner,
        publisher: Publisher,
        epoch: int,
        last_item: int,
        now: float,
    ) -> None:
        self._connection = connection
        self._spools = spools
        self._docs = docs
        self._publisher = publisher
        self._epoch = epoch
        self._now = now
        self.last_item = last_item
        self._renamed: list[str] = []
        self._events: list[Row] = []
        self._notes: dict[str, Row] = {}
        self._sums: dict[str, float] = {}
        self._handlers: dict[type, Callable[..., None]] = {
            ItemPlanned: self._planned,
            ItemAdopted: self._adopted,
            ItemChanged: self._changed,
            SourceTouched: self._touched,
            ChunkStarted: self._started,
            ChunkDone: self._done,
            ChunkWaiting: self._waiting,
            ChunkReleased: self._released,
            DeadLetter: self._dead,
            LettersRequeued: self._requeued,
            LettersDismissed: self._dismissed,
            ItemPublished: self._published,
            RunEnded: self._ended,
            Noted: self._noted,
        }
        self._clear()

    def _clear(self) -> None:
        self._new: dict[int, ItemRow] = {}
        self._new_states: dict[int, int] = {}
        self._moves: dict[int, int] = {}
        self._waits: dict[int, Row] = {}
        self._dones: dict[int, Row] = {}
        self._features: list[Row] = []
        self._deads: dict[int, DeadLetter] = {}
        self._attempts: list[Row] = []
        self._changes: dict[int, ItemChanged] = {}
        self._touches: dict[int, int] = {}
        self._publications: dict[int, ItemPublished] = {}

    def add(self, update: Update) -> None:
        """Take in one update, in order."""
        self._handlers[type(update)](update)

    def finish(self) -> None:
        """Write everything, and make the renames durable. What is left is to commit."""
        self._write()
        self._publisher.sync(self._renamed)
        self._charge()
        for kind, row in self._notes.items():
            self._connection.execute(statements.NOTE, (prose_text(kind), *row))
        bulk(self._connection, statements.EVENT, self._events)

    # --- gathering ------------------------------------------------------------------------------

    def _started(self, update: ChunkStarted) -> None:
        self._move(update.chunk_id, ChunkState.RUNNING)

    def _released(self, update: ChunkReleased) -> None:
        self._move(update.chunk_id, ChunkState.PENDING)

    def _move(self, chunk: int, state: ChunkState) -> None:
        if chunk in self._waits:
            self._waits[chunk] = (chunk, int(state), *self._waits[chunk][2:])
            return
        self._settle(chunk)
        self._moves[chunk] = int(state)

    def _settle(self, chunk: int) -> None:
        """Write first, if this chunk got something that must come before what follows."""
        if chunk in self._waits or chunk in self._dones or chunk in self._deads:
            self._write()

    def _waiting(self, update: ChunkWaiting) -> None:
        chunk = update.chunk_id
        if chunk in self._dones or chunk in self._deads:
            self._write()
        self._moves.pop(chunk, None)
        counts = (update.attempts, update.crashes, update.strikes)
        self._waits[chunk] = (chunk, int(ChunkState.RETRY_WAIT), *counts, update.not_before)
        self._attempt(chunk, counts, update.error_class, update.message)
        self._sum("n_retry", 1)
        self._event("retry", None, chunk, {"error_class": update.error_class})

    def _attempt(
        self, chunk: int, counts: tuple[int, int, int | None], error: str, message: str
    ) -> None:
        text = prose_text(message[:MESSAGE_LENGTH])
        self._attempts.append((chunk, self._epoch, self._now, *counts, prose_text(error), text))

    def _done(self, update: ChunkDone) -> None:
        chunk = update.chunk_id
        self._settle(chunk)
        self._moves.pop(chunk, None)
        self._dones[chunk] = (
            chunk,
            update.attempts,
            self._spools[update.spool],
            update.offset,
            update.length,
            update.crc32,
            update.units,
            update.bytes_in,
            update.bytes_out,
            round(update.seconds * 1e6),
            update.nodata,
            update.rss_peak >> 10,
        )
        self._features += [
            self._letter_row(update.item_id, chunk, (update.attempts, 0), error, record, feature)
            for feature, error, record in update.letters
        ]
        self._sum("n_done", 1)
        self._sum("units", update.units)
        self._sum("bytes_in", update.bytes_in)
        self._sum("bytes_out", update.bytes_out)
        self._sum("seconds", update.seconds)
        self._event("done", update.item_id, chunk)

    def _dead(self, update: DeadLetter) -> None:
        chunk = update.chunk_id
        if chunk is None:
            self._write()
            self._bury_item(update)
        else:
            self._settle(chunk)
            self._moves.pop(chunk, None)
            self._deads[chunk] = update
            message = str(update.record.get("error_message", ""))
            counts = (update.attempts, update.crashes, None)
            self._attempt(chunk, counts, update.error_class, message)
            self._sum("n_dead", 1)
        self._event("dead", update.item_id, chunk, {"error_class": update.error_class})

    def _planned(self, update: ItemPlanned) -> None:
        self._add_item(update.item, "planned")

    def _adopted(self, update: ItemAdopted) -> None:
        self._add_item(update.item, "adopted")

    def _add_item(self, item: ItemRow, kind: str) -> None:
        state = ItemState.PUBLISHED if kind == "adopted" else ItemState.PLANNED
        if item.item_id <= self.last_item:
            self._write()
            self._connection.execute("DELETE FROM item WHERE item_id = ?", (item.item_id,))
        self.last_item = max(self.last_item, item.item_id)
        self._new[item.item_id] = item
        self._new_states[item.item_id] = int(state)
        self._event(kind, item.item_id, None, {"reason": item.reason} if item.reason else None)

    def _changed(self, update: ItemChanged) -> None:
        if update.item_id in self._publications:
            self._write()
        self._changes[update.item_id] = update
        data = {"state": update.state.name.lower(), "reason": update.reason}
        self._event("item", update.item_id, None, data)

    def _touched(self, update: SourceTouched) -> None:
        self._touches[update.item_id] = update.src_mtime_ns

    def _requeued(self, update: LettersRequeued) -> None:
        self._write()
        count = requeue(self._connection, update.classes, update.keys)
        self._event("requeued", None, None, {"letters": count})

    def _dismissed(self, update: LettersDismissed) -> None:
        self._write()
        count = dismiss(self._connection, update.letters, update.note, update.by, self._now)
        self._event("dismissed", None, None, {"letters": count})

    def _published(self, update: ItemPublished) -> None:
        if update.item_id in self._publications:
            self._write()
        self._changes.pop(update.item_id, None)
        self._publications[update.item_id] = update
        self._event("published", update.item_id, None, {"size": update.out_size})

    def _ended(self, update: RunEnded) -> None:
        self._write()
        self._connection.execute(
            "UPDATE run SET state = ?, exit_code = ?, reason = CAST(? AS TEXT), t1 = ?"
            " WHERE epoch = ?",
            (update.state, update.exit_code, prose_text(update.reason), self._now, self._epoch),
        )
        data = {"state": update.state, "exit_code": update.exit_code, "reason": update.reason}
        self._event("run_ended", None, None, data)

    def _noted(self, update: Noted) -> None:
        self._event(update.kind, None, None, update.data)
        self._notes[update.kind] = (self._epoch, self._now, json_text(update.data))

    def _event(
        self,
        kind: str,
        item: int | None,
        chunk: int | None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        text = json_text(data) if data else None
        self._events.append((self._now, kind, item, chunk, text))

    def _sum(self, column: str, value: float) -> None:
        self._sums[column] = self._sums.get(column, 0) + value

    # --- writing --------------------------------------------------------------------------------

    def _write(self) -> None:
        """Write what was gathered: new items, then chunks, then what happens to items."""
        if self._new:
            self._insert_items(list(self._new.values()))
        self._change("chunk", statements.MOVE, list(self._moves.items()))
        self._change("chunk", statements.WAIT, list(self._waits.values()))
        self._change("chunk", statements.DONE, list(self._dones.values()))
        self._set_aside()
        if self._deads:
            self._bury_chunks(list(self._deads.values()))
        if self._attempts:
            bulk(self._connection, statements.ATTEMPT, self._attempts)
        self._change("item", statements.TOUCH, list(self._touches.items()))
        self._change_items(list(self._changes.values()))
        if self._publications:
            self._publish(list(self._publications.values()))
        self._clear()

    def _change(self, noun: str, sql: str, rows: Sequence[Row]) -> None:
        """Update rows by id; each must exist, or something that happened would be lost."""
        if rows and bulk(self._connection, sql, rows) != len(rows):
            raise StateError(f"an update names a {noun} that the ledger does not know: {rows[:3]}")

    def _change_items(self, updates: Sequence[ItemChanged]) -> None:
        rows = [(c.item_id, int(c.state), prose_text(c.reason)) for c in updates]
        self._change("item", statements.CHANGE, rows)
        planned = [c.item_id for c in updates if c.state is ItemState.PLANNED]
        if planned:
            # An orphan that died before it became one is not planned by coming back.
            self._connection.execute(
                "UPDATE item SET state = 5 WHERE item_id IN (SELECT value FROM json_each(?))"
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

    def _insert_items(self, items: Sequence[ItemRow]) -> None:
        rows: list[Row] = [
            (
                item.item_id,
                self._new_states.pop(item.item_id),
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
            for item in items
        ]
        bulk(self._connection, statements.ITEM, rows)

    def _set_aside(self) -> None:
        """Replace the letters of features of the chunks that are done."""
        if self._dones:
            chunks = json.dumps(list(self._dones))
            self._connection.execute(statements.FORGET_FEATURES, (chunks,))
        if self._features:
            bulk(self._connection, statements.DEAD, self._features)

    def _bury_chunks(self, letters: Sequence[DeadLetter]) -> None:
        rows: list[Row] = [(d.chunk_id, d.attempts, d.crashes) for d in letters]
        self._change("chunk", statements.BURY, rows)
        bulk(self._connection, statements.DEAD, [self._letter(letter) for letter in letters])

    def _bury_item(self, letter: DeadLetter) -> None:
        item = letter.item_id
        row: Row = (item, int(ItemState.DEAD), prose_text(letter.error_class))
        self._change("item", statements.CHANGE, [row])
        cursor = self._connection.execute(
            "UPDATE chunk SET state = 5, not_before = 0 WHERE state NOT IN (4, 5, 6)"
            " AND chunk_id >= (SELECT first_chunk FROM item WHERE item_id = ?1)"
            " AND chunk_id < (SELECT first_chunk + n_chunks FROM item WHERE item_id = ?1)",
            (item,),
        )
        self._sum("n_dead", cursor.rowcount)
        bulk(self._connection, statements.DEAD, [self._letter(letter)])

    def _letter(self, letter: DeadLetter) -> Row:
        counts = (letter.attempts, letter.crashes)
        return self._letter_row(
            letter.item_id, letter.chunk_id, counts, letter.error_class, letter.record
        )

    def _letter_row(
        self,
        item: int,
        chunk: int | None,
        counts: tuple[int, int],
        error: str,
        record: Mapping[str, Any],
        feature: int = -1,
    ) -> Row:
        return (item, chunk, self._now, *counts, prose_text(error), json_text(record), feature)

    def _publish(self, updates: Sequence[ItemPublished]) -> None:
        ids = json.dumps([update.item_id for update in updates])
        found = dict(
            self._connection.execute(
                "SELECT item_id, out_path FROM item"
                " WHERE item_id IN (SELECT value FROM json_each(?))",
                (ids,),
            ).fetchall()
        )
        if len(found) != len(updates):
            raise StateError(f"a publication names an item that the ledger does not know: {ids}")
        done = self._publisher.rename([(update, found[update.item_id]) for update in updates])
        self._renamed += found.values()
        self._change("item", statements.PUBLISH, [_publication(published) for published in done])

    def _charge(self) -> None:
        """Add this batch to the counters of the run."""
        if self._sums:
            terms = ", ".join(f"{column} = {column} + :{column}" for column in self._sums)
            self._connection.execute(
                f"UPDATE run SET {terms} WHERE epoch = :epoch",
                {**self._sums, "epoch": self._epoch},
            )


def _publication(published: Published) -> Row:
    update = published.update
    return (
        update.item_id,
        update.out_size,
        published.mtime_ns,
        update.out_digest,
        json_text(update.facts),
    )
