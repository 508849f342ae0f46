"""The ledger's single writer: one connection, used by one thread at a time."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.place.durable import Reserve, failpoint
from geobatch_tui.ledger.schema.database import open_writer, scalar, translated
from geobatch_tui.ledger.schema.rows import (
    BUSY_CHUNK,
    ITEM,
    Interner,
    item_of,
    iter_items,
    json_text,
    path_text,
)
from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.ledger.write.batch import Batch
from geobatch_tui.ledger.write.publish import Publisher
from geobatch_tui.ledger.write.requeue import dismiss, requeue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.schema.updates import ItemRow, Update

EVENTS: Final = 200_000  #: the ring: older events are dropped
_SLACK: Final = 4_096  #: how far the ring may overflow before it is trimmed


@dataclass(frozen=True, slots=True)
class Recovery:
    """The leavings of an earlier run: chunks that were ``running`` (each got a strike), chunks that
    were ``waiting`` for a retry; ``crashed`` names the runs that never ended."""

    running: int = 0
    waiting: int = 0
    crashed: tuple[str, ...] = ()


class Ledger:
    """The durable truth of an output directory. The caller holds the run's lock.

    Open it, ``recover``, ``begin_run``, ``apply`` updates, ``close``. Everything is synchronous
    and may block on the disk; ``Committer`` takes it to a thread of its own.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, root: Path, *, ring: int
    ) -> None:
        self.path = path
        self.reserve = Reserve(path.with_name("reserve"))
        self.epoch = 0
        self._connection = connection
        self._ring = ring
        self._publisher = Publisher(root)
        self._spools = Interner(connection, "spool", "spool_id", "name")
        self._docs = Interner(connection, "doc", "doc_id", "body")
        status = path.stat()
        self._inode = (status.st_dev, status.st_ino)

    @classmethod
    def open(cls, path: Path, output_dir: Path | None = None, *, ring: int = EVENTS) -> Self:
        """Open the ledger; make it if it is missing. Raises as ``open_writer``.

        The outputs are in ``output_dir``, by default the parent of the directory of ``path``; so
        many events as ``ring`` says are kept.
        """
        connection = open_writer(path)
        try:
            return cls(connection, path, output_dir or path.parent.parent, ring=ring)
        except BaseException:
            connection.close()
            raise

    def begin_run(self, run_id: str, job: Json, versions: Json) -> int:
        """Start a run and return its epoch, one above all earlier ones. Updates are accepted from
        here on, and until a later run begins.

        Also sets aside the reserve, where there is space for it.
        """
        self.reserve.ensure()
        host = os.uname().nodename
        with self._transaction():
            epoch = 1 + int(scalar(self._connection, "SELECT ifnull(max(epoch), 0) FROM run"))
            self._connection.execute(
                "INSERT INTO run (epoch, run_id, state, t0, job, versions, host)"
                " VALUES (?, ?, 'running', ?, ?, ?, ?)",
                (epoch, run_id, time.time(), json_text(job), json_text(versions), host),
            )
            self._note("run_started", {"run_id": run_id, "epoch": epoch})
        self.epoch = epoch
        return epoch

    def recover(self) -> Recovery:
        """Settle what an earlier run left open. Call it before ``begin_run``.

        Running chunks become pending with one more strike, since each of them may have killed
        that run. Waiting chunks become pending and keep their attempts.
        """
        execute = self._connection.execute
        with self._transaction():
            crashed = execute("SELECT run_id FROM run WHERE state = 'running'").fetchall()
            execute("UPDATE run SET state = 'crashed' WHERE state = 'running'")
            running = execute(
                f"UPDATE chunk SET state = {ChunkState.PENDING}, strikes = strikes + 1"
                f" WHERE {BUSY_CHUNK} AND state = {ChunkState.RUNNING}"
            ).rowcount
            waiting = execute(
                f"UPDATE chunk SET state = {ChunkState.PENDING}, not_before = 0"
                f" WHERE {BUSY_CHUNK} AND state = {ChunkState.RETRY_WAIT}"
            ).rowcount
            names = tuple(str(row[0]) for row in crashed)
            if names or running or waiting:
                self._note("recovered", {"running": running, "waiting": waiting, "runs": names})
        return Recovery(running, waiting, names)

    def next_item_id(self) -> int:
        """Return the lowest item id that was never used."""
        return int(scalar(self._connection, "SELECT next_item FROM tally"))

    def next_chunk_id(self) -> int:
        """Return the lowest chunk id from which on none was ever used."""
        return int(scalar(self._connection, "SELECT next_chunk FROM tally"))

    def items(self) -> Iterator[ItemRow]:
        """Read every item in order of ids, a page at a time."""
        return iter_items(self._connection)

    def item_by_key(self, key: str) -> ItemRow | None:
        sql = ITEM + "key = CAST(? AS TEXT)"
        row = self._connection.execute(sql, (path_text(key),)).fetchone()
        return None if row is None else item_of(row)

    def apply(self, updates: Sequence[Update]) -> None:
        """Write updates in one transaction, in order; durable when this returns.

        Publications rename first, sync each directory once, and only then is anything committed.
        On an error nothing is committed. Names given by then are harmless: the same updates can
        be applied again.

        Raises:
            ItemPublishError: one publication is impossible; the others are not to blame.
            DiskFullError, OutputGoneError: of the ledger, or of the output directory.
            StateError: another run took over, an update contradicts the ledger, or it is damaged.
        """
        if not self.epoch:
            raise StateError("no run has begun on this ledger")
        if not updates:
            return
        try:
            with self._transaction():
                batch = Batch(
                    self._connection,
                    spools=self._spools,
                    docs=self._docs,
                    publisher=self._publisher,
                    epoch=self.epoch,
                    last_item=self.next_item_id() - 1,
                    now=time.time(),
                )
                for update in updates:
                    batch.add(update)
                batch.finish()
                self._trim()
        except BaseException:
            self._spools.forget()
            self._docs.forget()
            raise

    def make_room(self) -> bool:
        """Free the reserve and fold the write-ahead log in, on a full disk. False if neither gave
        space."""
        spared = self.reserve.release()
        log = self.path.with_name(self.path.name + "-wal")
        before = log.stat().st_size if log.exists() else 0
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        after = log.stat().st_size if log.exists() else 0
        return spared or after < before

    def requeue_dead(
        self,
        classes: Sequence[str] | None = None,
        chunk_keys: Sequence[str] | None = None,
    ) -> int:
        """Give dead letters another chance, and return how many: those of error ``classes``, and
        those whose record names one of ``chunk_keys`` as ``chunk`` or as ``item``.

        Their chunks become pending with fresh counts, their items planned. An item that was
        published with holes loses all its chunks' results, since its spools are gone.
        """
        with self._transaction():
            count = requeue(self._connection, classes, chunk_keys)
            if count:
                self._note("requeued", {"letters": count})
        return count

    def dismiss_dead(self, letters: Sequence[tuple[int, float]], note: str | None, by: str) -> int:
        """Note that an operator knows of dead letters, and return how many got the note.

        Their chunks stay without a result. The note is their record's ``dismissed`` (``note``,
        ``by``, ``t``), until they are tried again or it is taken back.

        Args:
            letters: their ids and times; ids are used again, so one alone could mean another.
            note: what the operator knows of them; None takes an earlier note back.
            by: the operator.
        """
        with self._transaction():
            count = dismiss(self._connection, letters, note, by, time.time())
            if count:
                self._note("dismissed", {"letters": count})
        return count

    def drop_items(self, ids: Sequence[int]) -> None:
        """Forget items, their chunks and their dead letters. Files are left alone."""
        with self._transaction():
            self._connection.execute(
                "DELETE FROM item WHERE item_id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(ids)),),
            )

    def close(self, archive: bool = True) -> None:  # noqa: FBT001, FBT002
        """Close the database; ``archive`` folds the write-ahead log in, unless others read, so that
        the ledger is one file and can be read from read-only media."""
        if archive:
            with suppress(sqlite3.OperationalError):
                failpoint("before_archive")
                self._connection.execute("PRAGMA busy_timeout = 200")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._connection.execute("PRAGMA journal_mode = DELETE")
                failpoint("after_archive")
            self.reserve.release()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(archive=kind is None)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run a durable transaction, unless a later run or another file took this one's place."""
        with translated(self.path):
            failpoint("before_begin")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._fence()
                yield
                failpoint("before_commit")
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            failpoint("after_commit")

    def _fence(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            raise StateError(f"the ledger {self.path} was removed while the run used it") from None
        if (status.st_dev, status.st_ino) != self._inode:
            raise StateError(f"the ledger {self.path} was replaced while the run used it")
        newest = scalar(self._connection, "SELECT max(epoch) FROM run")
        if self.epoch and newest != self.epoch:
            raise StateError(
                f"a later run (epoch {newest}) took over {self.path}; this one (epoch "
                f"{self.epoch}) may not write any more"
            )

    def _note(self, kind: str, data: Json) -> None:
        self._connection.execute(
            "INSERT INTO event (t, kind, data) VALUES (?, ?, ?)",
            (time.time(), kind, json_text(data)),
        )

    def _trim(self) -> None:
        """Keep the newest events, and a little more: trimming at each commit would be slow."""
        last = int(scalar(self._connection, "SELECT ifnull(max(seq), 0) FROM event"))
        first = int(scalar(self._connection, "SELECT ifnull(min(seq), 1) FROM event"))
        if last - first + 1 > self._ring + _SLACK:
            self._connection.execute("DELETE FROM event WHERE seq <= ?", (last - self._ring,))
