"""Updates into SQL: what commutes is gathered (`gathered.py`), and written by few statements.

A statement costs its caller at least one wait for the interpreter lock, so a batch of a thousand
updates must not become a thousand statements. Updates of different chunks commute; so do those of
new items with everything before them. The rest ends the gathering first.
"""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.schema.database import bulk
from geobatch_tui.ledger.schema.rows import Interner, json_text, path_text, prose_text
from geobatch_tui.ledger.schema.updates import (
    ChunkDone,
    ChunkReleased,
    ChunkStarted,
    ChunkState,
    ChunkWaiting,
    DeadLetter,
    ItemChanged,
    ItemPlanned,
    ItemPublished,
    ItemState,
    LettersDismissed,
    LettersRequeued,
    Noted,
    PartKept,
    RunEnded,
    SourceTouched,
    Update,
    UploadBegun,
    UploadEnded,
)
from geobatch_tui.ledger.write.gathered import Gathered
from geobatch_tui.ledger.write.requeue import dismiss, requeue

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from geobatch_tui.ledger.schema.rows import Row
    from geobatch_tui.ledger.write.publish import Publisher

_EVENT: Final = """
INSERT INTO event (t, kind, item_id, chunk_id, data)
    SELECT column1, column2, column3, column4, column5 FROM {d} WHERE column1 IS NOT NULL"""
_NOTE: Final = """
INSERT OR REPLACE INTO note (kind, epoch, t, data) VALUES (CAST(? AS TEXT), ?, ?, ?)"""

_PART: Final = """
INSERT OR REPLACE INTO part (name, epoch, body) VALUES (CAST(? AS TEXT), ?, ?)"""
_PART_USED: Final = "UPDATE part SET epoch = ? WHERE name = CAST(? AS TEXT)"

_UPLOAD: Final = """
INSERT OR REPLACE INTO upload (item_id, key, fingerprint, upload)
    VALUES (?, CAST(? AS TEXT), ?, CAST(? AS TEXT))"""
_SENT: Final = "DELETE FROM upload WHERE item_id = ?"

KEPT_RUNS: Final = 8  #: runs that a part of a source is kept for without being of use
#: Of the first chunks of an item those that are done, by their number.
_KEPT: Final = f"""
SELECT chunk_id - first_chunk, attempts, spool_id, spool_offset, spool_length, crc32, units,
    bytes_in, bytes_out, micros, nodata, rss_kib, undefined, read_micros, write_micros,
    worker, ended
    FROM item JOIN chunk ON chunk_id >= first_chunk AND chunk_id < first_chunk + ?2
    WHERE item.item_id = ?1 AND chunk.state = {ChunkState.DONE}"""

MESSAGE_LENGTH: Final = 2_000  #: characters of an attempt's message; the dead letter has it all


class Batch:
    """Writes the updates of one transaction, which the caller begins and commits.

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
        self._publisher = publisher
        self._epoch = epoch
        self._now = now
        self.last_item = last_item
        self._rows = Gathered(connection, docs, publisher, now)
        self._events: list[Row] = []
        self._notes: dict[str, Row] = {}
        self._sums: defaultdict[str, float] = defaultdict(int)
        self._handlers: dict[type, Callable[..., None]] = {
            ItemPlanned: self._planned,
            ItemChanged: self._changed,
            SourceTouched: self._touched,
            ChunkStarted: self._moved,
            ChunkDone: self._done,
            ChunkWaiting: self._waiting,
            ChunkReleased: self._moved,
            DeadLetter: self._dead,
            LettersRequeued: self._requeued,
            LettersDismissed: self._dismissed,
            ItemPublished: self._published,
            PartKept: self._part,
            RunEnded: self._ended,
            Noted: self._noted,
            UploadBegun: self._upload,
            UploadEnded: self._sent,
        }

    def add(self, update: Update) -> None:
        self._handlers[type(update)](update)

    def finish(self) -> None:
        """Write everything, and make the renames durable. What is left is to commit."""
        self._rows.write()
        self._publisher.sync(self._rows.renamed)
        self._charge()
        for kind, row in self._notes.items():
            self._connection.execute(_NOTE, (prose_text(kind), *row))
        bulk(self._connection, _EVENT, self._events)

    # --- gathering ------------------------------------------------------------------------------

    def _moved(self, update: ChunkStarted | ChunkReleased) -> None:
        chunk = update.chunk_id
        started = isinstance(update, ChunkStarted)
        state = int(ChunkState.RUNNING if started else ChunkState.PENDING)
        if chunk in self._rows.waits:
            self._rows.waits[chunk] = (chunk, state, *self._rows.waits[chunk][2:])
            return
        self._settle(chunk)
        self._rows.moves[chunk] = state

    def _settle(self, chunk: int) -> None:
        """Write first, if this chunk got something that must come before what follows."""
        if chunk in self._rows.waits or self._rows.is_over(chunk):
            self._rows.write()

    def _waiting(self, update: ChunkWaiting) -> None:
        chunk = update.chunk_id
        if self._rows.is_over(chunk):
            self._rows.write()
        self._rows.moves.pop(chunk, None)
        counts = (update.attempts, update.crashes, update.strikes)
        state = int(ChunkState.RETRY_WAIT)
        self._rows.waits[chunk] = (chunk, state, *counts, update.not_before)
        self._attempt(chunk, counts, update.error_class, update.message, update.host)
        self._sums["n_retry"] += 1
        self._event("retry", None, chunk, {"error_class": update.error_class})

    def _attempt(
        self, chunk: int, counts: tuple[int, int, int | None], error: str, message: str, host: str
    ) -> None:
        texts = (error, message[:MESSAGE_LENGTH], host)
        self._rows.attempts.append(
            (chunk, self._epoch, self._now, *counts, *map(prose_text, texts))
        )

    def _done(self, update: ChunkDone) -> None:
        chunk = update.chunk_id
        self._settle(chunk)
        self._rows.moves.pop(chunk, None)
        self._rows.dones[chunk] = (
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
            update.undefined,
            round(update.reading * 1e6),
            round(update.writing * 1e6),
            update.worker,
            update.ended,
        )
        self._rows.features += [
            self._rows.letter_row(
                update.item_id, chunk, (update.attempts, 0), error, record, feature
            )
            for feature, error, record in update.letters
        ]
        self._sums["n_done"] += 1
        self._sums["units"] += update.units
        self._sums["bytes_in"] += update.bytes_in
        self._sums["bytes_out"] += update.bytes_out
        self._sums["seconds"] += update.seconds
        self._event("done", update.item_id, chunk)

    def _dead(self, update: DeadLetter) -> None:
        chunk = update.chunk_id
        if chunk is None:
            self._rows.write()
            self._sums["n_dead"] += self._rows.bury_item(update)
        else:
            self._settle(chunk)
            self._rows.moves.pop(chunk, None)
            self._rows.deads[chunk] = update
            message = str(update.record.get("error_message", ""))
            counts = (update.attempts, update.crashes, None)
            host = str(update.record.get("host", ""))
            self._attempt(chunk, counts, update.error_class, message, host)
            self._sums["n_dead"] += 1
        self._event("dead", update.item_id, chunk, {"error_class": update.error_class})

    def _planned(self, update: ItemPlanned) -> None:
        item = update.item
        kept: list[Row] = []
        if item.item_id <= self.last_item:
            self._rows.write()
            if update.kept:
                kept = self._connection.execute(_KEPT, (item.item_id, update.kept)).fetchall()
            self._connection.execute("DELETE FROM item WHERE item_id = ?", (item.item_id,))
        self.last_item = max(self.last_item, item.item_id)
        state = ItemState.PUBLISHED if update.adopted else ItemState.PLANNED
        self._rows.items[item.item_id] = replace(item, state=state)
        kind = "adopted" if update.adopted else "planned"
        self._event(kind, item.item_id, None, {"reason": item.reason} if item.reason else None)
        if kept:
            self._rows.write()
            for index, *row in kept:
                chunk = item.first_chunk + index
                self._rows.dones[chunk] = (chunk, *row)

    def _changed(self, update: ItemChanged) -> None:
        if update.item_id in self._rows.publications:
            self._rows.write()
        self._rows.changes[update.item_id] = update
        data = {"state": update.state.name.lower(), "reason": update.reason}
        self._event("item", update.item_id, None, data)

    def _touched(self, update: SourceTouched) -> None:
        self._rows.touches[update.item_id] = update.src_mtime_ns

    def _requeued(self, update: LettersRequeued) -> None:
        self._rows.write()
        count = requeue(self._connection, update.classes, update.keys)
        self._event("requeued", None, None, {"letters": count})

    def _dismissed(self, update: LettersDismissed) -> None:
        self._rows.write()
        count = dismiss(self._connection, update.letters, update.note, update.by, self._now)
        self._event("dismissed", None, None, {"letters": count})

    def _published(self, update: ItemPublished) -> None:
        if update.item_id in self._rows.publications:
            self._rows.write()
        self._rows.changes.pop(update.item_id, None)
        self._rows.publications[update.item_id] = update
        if update.sent_ns:
            self._connection.execute(_SENT, (update.item_id,))
        self._event("published", update.item_id, None, {"size": update.out_size})

    def _upload(self, update: UploadBegun) -> None:
        names = path_text(update.key), update.fingerprint, prose_text(update.upload)
        self._connection.execute(_UPLOAD, (update.item_id, *names))

    def _sent(self, update: UploadEnded) -> None:
        self._connection.execute(_SENT, (update.item_id,))

    def _part(self, update: PartKept) -> None:
        name = prose_text(update.name)
        if update.body is None:
            self._connection.execute(_PART_USED, (self._epoch, name))
        else:
            self._connection.execute(_PART, (name, self._epoch, update.body))

    def _ended(self, update: RunEnded) -> None:
        self._rows.write()
        self._connection.execute("DELETE FROM part WHERE epoch <= ?", (self._epoch - KEPT_RUNS,))
        self._connection.execute(
            "UPDATE run SET state = ?, exit_code = ?, reason = CAST(? AS TEXT), t1 = ?"
            " WHERE epoch = ?",
            (update.state, update.exit_code, prose_text(update.reason), self._now, self._epoch),
        )
        data = {"state": update.state, "exit_code": update.exit_code, "reason": update.reason}
        self._event("run_ended", None, None, data)

    def _noted(self, update: Noted) -> None:
        lasting = {name: value for name, value in update.data.items() if name not in update.passing}
        self._event(update.kind, None, None, lasting)
        self._notes[update.kind] = (self._epoch, self._now, json_text(update.data))

    def _event(
        self,
        kind: str,
        item: int | None,
        chunk: int | None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        text = json_text(data) if data else None
        self._events.append((self._now, kind, item, chunk, text))

    def _charge(self) -> None:
        """Add this batch to the counters of the run."""
        if self._sums:
            terms = ", ".join(f"{column} = {column} + :{column}" for column in self._sums)
            self._connection.execute(
                f"UPDATE run SET {terms} WHERE epoch = :epoch",
                {**self._sums, "epoch": self._epoch},
            )
