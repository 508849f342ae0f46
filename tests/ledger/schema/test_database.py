"""How the ledger's file is opened, and which files are refused."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from geobatch_tui.errors import (
    DiskFullError,
    ExitCode,
    LedgerCorruptError,
    LedgerTooNewError,
    OutputGoneError,
    StateError,
)
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema import database
from geobatch_tui.ledger.schema.database import open_reader, open_writer, scalar
from geobatch_tui.ledger.schema.updates import ItemPlanned
from geobatch_tui.ledger.write.writer import Ledger


def raw(path, *statements):
    """Run statements on the file behind the ledger's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return [connection.execute(statement).fetchone() for statement in statements]


def test_a_ledger_is_durable_and_private(state, ledger):
    """WAL, synchronous FULL, mode 0600 for the file and its companions."""
    assert ledger._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    for path in state.root.glob("ledger.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_newer_schema_is_refused(state, ledger):
    """A ledger of a newer geobatch is neither read nor written, and not called damaged."""
    ledger.close()
    raw(state.ledger, f"PRAGMA user_version = {database.VERSION + 1}")
    before = state.ledger.read_bytes()
    for opening in (Ledger.open, LedgerReader):
        with pytest.raises(LedgerTooNewError, match=f"schema {database.VERSION + 1}") as caught:
            opening(state.ledger)
        assert caught.value.exit_code == ExitCode.ENVIRONMENT
    assert state.ledger.read_bytes() == before


def test_a_ledger_of_schema_1_is_read_and_brought_up_to_date(state):
    """Letters of an older geobatch are read as they are, and kept when a run migrates the file."""
    with closing(sqlite3.connect(state.ledger, isolation_level=None)) as old:
        database.MIGRATIONS[0](old)
        old.execute("PRAGMA user_version = 1")
        old.execute(
            "INSERT INTO item VALUES (1, 3, 1, 1, 'k', 's', 1, 1, 'd', 'd', 'd', 'f', 1, 'o', 0, 0,"
            " '', '', '{}', '{}')"
        )
        old.execute("UPDATE chunk SET state = 5")
        old.execute(
            "INSERT INTO dead (item_id, chunk_id, t, attempts, crashes, error_class, record)"
            " VALUES (1, 1, 0, 1, 0, 'E', '{}')"
        )
        old.execute(
            "INSERT INTO attempt (chunk_id, epoch, t, attempts, crashes, strikes, error_class,"
            " message) VALUES (1, 1, 0, 1, 0, 0, 'E', 'm')"
        )
        old.execute(
            "INSERT INTO run (epoch, run_id, state, t0, job, versions)"
            " VALUES (1, 'r', 'done', 0, '{}', '{}')"
        )
    with LedgerReader(state.ledger) as reader:
        assert [letter.feature for letter in reader.letters()] == [-1]
        assert list(reader.figures("undefined", 1, 1)) == [0]  # not counted then
        assert reader.table_of(("reading", "ended"), [1, 2]) == {1: (0, 0)}
        assert [(run.run_id, run.host) for run in reader.runs()] == [("r", "")]
        assert [(attempt.message, attempt.host) for attempt in reader.attempts(1)] == [("m", "")]
    ledger = Ledger.open(state.ledger, state.output_dir)
    ledger.begin_run("s", {}, {})
    with LedgerReader(state.ledger) as reader:
        assert [(letter.chunk_id, letter.feature) for letter in reader.letters()] == [(1, -1)]
        hosts = [(run.run_id, run.host) for run in reader.runs()]
        assert hosts == [("s", os.uname().nodename), ("r", "")]
        assert [(attempt.message, attempt.host) for attempt in reader.attempts(1)] == [("m", "")]
    ledger.close()
    assert raw(state.ledger, "PRAGMA user_version") == [(database.VERSION,)]


@pytest.mark.parametrize(
    "content",
    [b"not a database, but long enough to be looked at " * 100, b"\0" * 8192],
    ids=["text", "zeros"],
)
def test_garbage_is_refused_and_kept(state, content):
    """A file that is no database is not overwritten."""
    state.ledger.write_bytes(content)
    for opening in (Ledger.open, LedgerReader):
        with pytest.raises(LedgerCorruptError):
            opening(state.ledger)
    assert state.ledger.read_bytes() == content


def test_a_foreign_database_is_refused(state):
    """Another program's database is no ledger."""
    raw(state.ledger, "CREATE TABLE t (x)")
    for opening in (Ledger.open, LedgerReader):
        with pytest.raises(LedgerCorruptError, match="not a ledger"):
            opening(state.ledger)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_a_truncated_ledger_is_refused(state, ledger, item, share):
    """A ledger that lost its tail is damaged, whatever is left of it."""
    ledger.apply([ItemPlanned(item(1, 1, 5000))])
    ledger.close()
    data = state.ledger.read_bytes()
    state.ledger.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(LedgerCorruptError) as caught:
        Ledger.open(state.ledger)
    assert "repair" in caught.value.hint


@pytest.mark.parametrize(
    ("offset", "data"),
    [(4096 * 60, b"\0" * 4096), (36, b"\0\0\0\7")],
    ids=["page of zeros", "count of free pages"],
)
def test_damage_is_noticed_at_once(state, ledger, item, offset, data):
    """Damage in the middle is found on opening, not at the chunk that lies there."""
    ledger.apply([ItemPlanned(item(1, 1, 5000))])
    ledger.close()
    with state.ledger.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    with pytest.raises(LedgerCorruptError, match="damaged"):
        Ledger.open(state.ledger)


def test_an_empty_file_is_a_new_ledger(state):
    """A crash between making the file and filling it leaves an empty one: begin there."""
    state.ledger.touch()
    with Ledger.open(state.ledger) as opened:
        assert opened.begin_run("r", {}, {}) == 1


def test_a_failed_migration_changes_nothing(state, monkeypatch):
    """A ledger is made whole or not at all, and brought up to date in one transaction."""

    def broken(connection):
        connection.execute("CREATE TABLE half (x)")
        raise sqlite3.OperationalError("interrupted")

    with monkeypatch.context() as patched:
        database._model.cache_clear()
        patched.setattr(database, "MIGRATIONS", {0: broken})
        with pytest.raises(StateError, match="interrupted"):
            Ledger.open(state.ledger)
    assert not state.ledger.exists()
    Ledger.open(state.ledger).close()
    count = "SELECT count(*) FROM sqlite_schema"
    before = raw(state.ledger, count)
    raw(state.ledger, "PRAGMA user_version = 3")
    monkeypatch.setattr(database, "MIGRATIONS", {3: broken})
    with pytest.raises(StateError, match="interrupted"):
        Ledger.open(state.ledger)
    assert raw(state.ledger, count) == before


@pytest.mark.parametrize("kind", ["wal", "journal", "shm"])
def test_a_log_of_a_ledger_that_is_gone_is_not_played_back(state, kind):
    """What lies beside a new ledger belongs to none, or to another one."""
    beside = state.ledger.with_name(f"{state.ledger.name}-{kind}")
    beside.write_bytes(b"\x37\x7f\x06\x82" * 1000)
    with Ledger.open(state.ledger) as opened:
        assert opened.begin_run("r", {}, {}) == 1
    assert not beside.exists()


def test_no_ledger_to_read(state):
    """Reading makes no ledger."""
    with pytest.raises(StateError, match="no ledger"):
        LedgerReader(state.ledger)
    assert not state.ledger.exists()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, DiskFullError),
        (sqlite3.SQLITE_CORRUPT, LedgerCorruptError),
        (sqlite3.SQLITE_NOTADB, LedgerCorruptError),
        (sqlite3.SQLITE_READONLY, OutputGoneError),
        (sqlite3.SQLITE_CANTOPEN, OutputGoneError),
        (sqlite3.SQLITE_BUSY, StateError),
        (sqlite3.SQLITE_IOERR | 3 << 8, StateError),
        (sqlite3.SQLITE_CONSTRAINT, StateError),
    ],
)
def test_errors_of_sqlite_are_classified(state, code, kind):
    """Each primary code has its class; extended codes count as their primary one."""
    state.ledger.touch()
    error = sqlite3.OperationalError("text")
    error.sqlite_errorcode = code
    assert type(database.translate(error, state.ledger)) is kind


def test_io_error_on_a_full_disk_is_a_full_disk(state, monkeypatch):
    """SQLite reports a quota as 'disk I/O error'; a probe tells."""
    state.ledger.touch()
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR

    def over_quota(_fd):
        raise OSError(errno.EDQUOT, "over quota")

    monkeypatch.setattr(os, "fsync", over_quota)
    assert type(database.translate(error, state.ledger)) is DiskFullError


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1023, 1024, 1025, 3000])
def test_bulk_writes_each_row_once(count):
    """Padding and paging of a bulk statement neither lose nor double a row."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        insert = "INSERT INTO t SELECT column1, column2 FROM {d} WHERE column1 IS NOT NULL"
        assert database.bulk(connection, insert, [(n, -n) for n in range(count)]) == count
        update = "UPDATE t SET b = d.column2 FROM {d} WHERE a = d.column1"
        rows = [(n, n * 2) for n in range(count + 1)]
        assert database.bulk(connection, update, rows) == count
        found = connection.execute("SELECT a, b FROM t ORDER BY a").fetchall()
    assert found == [(n, n * 2) for n in range(count)]


def test_flipped_bytes_never_surprise(state, ledger, item):
    """With any bytes flipped, the ledger opens and reads, or is called damaged: no other error."""
    ledger.apply([ItemPlanned(item(n, n * 100, 50)) for n in range(1, 20)])
    ledger.close()
    sound = state.ledger.read_bytes()
    found = set()
    for seed in range(60):
        chance = random.Random(seed)
        data = bytearray(sound)
        # The first pages hold the schema, whose damage SQLite reports in the oddest ways.
        for _ in range(chance.choice([1, 5, 100])):
            data[chance.randrange(chance.choice([len(data), 16_384]))] ^= chance.randrange(1, 256)
        for path in state.root.glob("ledger.db*"):
            path.unlink()
        state.ledger.write_bytes(data)
        try:
            with LedgerReader(state.ledger) as reader:
                list(reader.items())
                list(reader.chunks(1))
                found.add("sound" if not reader.audit() else "audit")
            Ledger.open(state.ledger).close()
        except (LedgerCorruptError, LedgerTooNewError) as error:
            found.add(type(error).__name__)
    assert {"sound", "LedgerCorruptError"} <= found


def test_a_changed_schema_is_damage(state, ledger):
    """A letter changed in a declaration is found, though SQLite takes it."""
    ledger.close()
    data = state.ledger.read_bytes()
    state.ledger.write_bytes(data.replace(b"new.n_chunks", b"old.n_chunks", 1))
    for opening in (Ledger.open, LedgerReader):
        with pytest.raises(LedgerCorruptError, match="schema"):
            opening(state.ledger)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("ext4", "wal"), ("", "wal"), ("nfs4", "truncate"), ("lustre", "truncate"),
     ("gpfs", "truncate"), ("fuse.sshfs", "truncate")],
)  # fmt: skip
def test_a_network_filesystem_gets_a_rollback_journal(tmp_path, monkeypatch, kind, mode):
    """WAL needs shared memory, which machines do not share."""
    monkeypatch.setattr(database, "type_of", lambda _path: kind)
    path = tmp_path / "ledger.db"
    with closing(open_writer(path)) as writer:
        assert scalar(writer, "PRAGMA journal_mode") == mode
        assert scalar(writer, "PRAGMA synchronous") == 2
        with closing(open_reader(path)) as reader:
            assert scalar(reader, "SELECT count(*) FROM run") == 0


def test_what_a_writer_had_begun_is_taken_back_for_a_reader(tmp_path, monkeypatch):
    """A writer died with pages in the file that it never committed. A reader rolls them back; where the
    disk cannot be written, it says so."""
    monkeypatch.setattr(database, "type_of", lambda _path: "nfs4")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    path, copy = tmp_path / "a" / "ledger.db", tmp_path / "b" / "ledger.db"
    with closing(open_writer(path)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN IMMEDIATE")
        for n in range(300):
            writer.execute("INSERT INTO doc (body) VALUES (?)", (str(n) * 2000,))
        for suffix in ("", "-journal"):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
        writer.execute("ROLLBACK")
    assert Path(f"{copy}-journal").stat().st_size > 0
    connect = sqlite3.connect

    def read_only(place, **options):
        if place.endswith("mode=rw"):
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return connect(place, **options)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", read_only)
        with pytest.raises(StateError, match="did not end well"):
            open_reader(copy)
    with closing(open_reader(copy)) as reader:
        assert scalar(reader, "SELECT count(*) FROM doc") == 0
        assert scalar(reader, "PRAGMA integrity_check") == "ok"
