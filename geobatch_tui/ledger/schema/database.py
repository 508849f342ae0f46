"""The SQLite file: opens, checks, makes and migrates it, and translates its errors.

Never ``open()`` the database file in a process that has it open through SQLite: closing that
descriptor drops SQLite's POSIX locks.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import tempfile
from contextlib import closing, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from geobatch_tui.errors import (
    DISK_FULL,
    DiskFullError,
    LedgerCorruptError,
    LedgerEmptyError,
    LedgerTooNewError,
    OutputGoneError,
    StateError,
)
from geobatch_tui.execution.io.disk import replacing, sync_directory
from geobatch_tui.ledger.place.filesystem import holds_wal, type_of
from geobatch_tui.ledger.place.regular_file import open_read
from geobatch_tui.ledger.schema.migrations import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

VERSION: Final = 7
_HEAD: Final = 100  #: bytes of the header of an SQLite database
_JOURNALS: Final = slice(18, 20)  #: in it, whether it is written and read by a write-ahead log: 2
_BUSY_MS: Final = 5_000
_PATIENT_MS: Final = 60_000
_PROBE: Final = 65_536
_DENIED: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
_ROWS: Final = 1024  #: rows of one bulk statement; 1024 x 21 stays below SQLite's 32,766 variables


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the ledger to write it; make it if it is missing; migrate it if it is older.

    ``synchronous = FULL`` puts on the disk what is committed. In WAL mode readers and the writer do
    not wait for each other; a network filesystem has no shared memory for that, and gets a rollback
    journal.

    Raises:
        LedgerTooNewError: a newer geobatch wrote it.
        LedgerCorruptError: it is damaged, or no ledger.
        StateError, DiskFullError, OutputGoneError: it can't be opened, made or written.
    """
    with translated(path):
        _refuse_odd(path)
        mode = journal_mode(path)
        if not _has_content(path):
            _create(path, wal=mode == "WAL")
        connection = _connect(path, "rw")
        try:
            _check(connection, path)
            connection.execute(f"PRAGMA journal_mode = {mode}")
            if mode != "WAL":  # every reader holds the writer up
                connection.execute(f"PRAGMA busy_timeout = {_PATIENT_MS}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA cache_size = -16000")
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def journal_mode(path: Path) -> str:
    """Choose the journal of the ledger at ``path``: ``WAL``, or ``TRUNCATE`` (rollback)."""
    return "WAL" if holds_wal(type_of(path.parent)) else "TRUNCATE"


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the ledger read-only. Nothing that the caller does can change it.

    On media that cannot be written, a ledger that was closed well is opened as immutable. A
    transaction of a writer that died is rolled back first, by its journal.

    Raises:
        LedgerEmptyError: there is none, or no run has begun in it.
        LedgerTooNewError, LedgerCorruptError, StateError: as ``open_writer``.
    """
    if not path.is_file():
        raise LedgerEmptyError(f"there is no ledger at {path}")
    _refuse_odd(path)
    with translated(path):
        try:
            return _opened(path, "ro")
        except sqlite3.OperationalError as error:
            if _code(error) not in _DENIED:
                raise
        journal = path.with_name(path.name + "-journal")
        if _has_content(journal) and _rolled_back(path):
            return _opened(path, "ro")
        if _has_content(journal) or _has_content(path.with_name(path.name + "-wal")):
            raise StateError(
                f"{path} belongs to a run that did not end well, and its directory is read-only",
                hint="copy the directory .geobatch to a place that can be written",
            )
        return _opened(path, "ro&immutable=1")


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def _rolled_back(path: Path) -> bool:
    """Whether SQLite could roll back by its journal, which it does only once the writer is dead."""
    try:
        with closing(_connect(path, "rw")) as connection:
            scalar(connection, "SELECT count(*) FROM sqlite_schema")
    except sqlite3.OperationalError:
        return False
    return True


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    connection = _connect(path, mode)
    try:
        connection.execute("PRAGMA query_only = ON")
        _refuse_empty(connection, path)
        check_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode={mode}",
        uri=True,
        timeout=_BUSY_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    # Names of files are bytes: those that are not UTF-8 come back as they went in.
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _create(path: Path, *, wal: bool) -> None:
    """Make an empty ledger of mode 0600, whole or not at all; SQLite gives its -wal and -shm the
    same mode. To let SQLite make it takes nine writes to the disk, one after the other."""
    for suffix in ("-wal", "-shm", "-journal"):  # of a file that is gone: they would be played back
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    image = bytearray(_model()[0])
    if wal:
        image[_JOURNALS] = b"\2\2"
    with replacing(path, 0o600) as file:
        file.write(image)
    sync_directory(path.parent)


def _refuse_odd(path: Path) -> None:
    """Refuse links, which SQLite follows, and pipes named as its journal, for which it waits."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            file = path.with_name(path.name + suffix)
            if not stat.S_ISREG(file.lstat().st_mode):
                raise StateError(f"{file} is not a regular file", hint="move it away")


def refuse_to_remove(path: Path, root: Path) -> None:
    """Refuse to remove or rename a file that bears a ledger's name and is none.

    In the state directory ``root`` it may be so damaged that it is no database any more.

    Raises:
        StateError: it is another program's, or cannot be read.
    """
    try:
        with open_read(path) as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}", hint="move it away") from error
    database = head.startswith(b"SQLite format 3\0")
    if database and int.from_bytes(head[68:72]) == APPLICATION_ID:
        return
    if database or path.parent != root:
        raise StateError(f"{path} is not a ledger of geobatch", hint="move it away yourself")


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema's version. Raises LedgerTooNewError if it is newer than ours,
    LedgerCorruptError if the file is no ledger."""
    application = scalar(connection, "PRAGMA application_id")
    version = int(scalar(connection, "PRAGMA user_version"))
    if application != APPLICATION_ID:
        raise LedgerCorruptError(f"{path} is not a ledger of geobatch")
    if version > VERSION:
        raise LedgerTooNewError(
            f"{path} has schema {version}; this geobatch knows schemas up to {VERSION}"
        )
    if version == VERSION and _schema_of(connection) != _model()[1]:
        raise LedgerCorruptError(f"{path} is damaged: its schema is not that of version {version}")
    return version


def _schema_of(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    return connection.execute(sql).fetchall()


@cache
def _model() -> tuple[bytes, list[tuple[object, ...]]]:
    """Return the bytes of an empty ledger, and what a sound one declares, by going through all
    migrations in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _migrate(connection)
        return connection.serialize(), _schema_of(connection)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not scalar(connection, "SELECT count(*) FROM sqlite_schema")


def _refuse_empty(connection: sqlite3.Connection, path: Path) -> None:
    if _is_empty(connection):
        raise LedgerEmptyError(f"{path} is empty: no run has begun in it")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if _is_empty(connection):
        return
    check_version(connection, path)
    report = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    if report != ["ok"]:
        raise LedgerCorruptError(f"{path} is damaged: {'; '.join(report)}")


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(scalar(connection, "PRAGMA user_version"))
        for step in range(version, VERSION):
            MIGRATIONS[step](connection)
        if version != VERSION:
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def scalar(connection: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> Any:
    """Return the first column of the first row; None without one."""
    row = connection.execute(sql, values).fetchone()
    return None if row is None else row[0]


def bulk(connection: sqlite3.Connection, sql: str, rows: Sequence[Sequence[object]]) -> int:
    """Run one statement over many rows, and return how many it changed.

    ``executemany`` steps once a row, and after each step it waits for the interpreter lock: 5 ms
    a row when the main thread is busy. Here the rows are one VALUES list, and the lock is let go
    of once.

    Args:
        connection: in a transaction.
        sql: an UPDATE or INSERT that reads its rows from ``{d}``, a table ``d`` with columns
            ``column1``, ``column2`` and so on. Lists are padded to powers of two with rows of
            NULL, which it must ignore.
        rows: of equal length.
    """
    changed = 0
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        width = len(part[0])
        count = 1 << (len(part) - 1).bit_length()
        values = [value for row in part for value in row]
        values += [None] * (width * (count - len(part)))
        group = "(" + ",".join("?" * width) + ")"
        listed = ",".join([group] * count)
        statement = sql.replace("{d}", f"(VALUES {listed}) AS d")
        changed += connection.execute(statement, values).rowcount
    return changed


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the system into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except UnicodeDecodeError as error:
        # SQLite quotes a damaged schema in its message, and that is no text any more.
        raise LedgerCorruptError(f"the ledger {path} is damaged: {error}") from error
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DiskFullError(f"no space left for the ledger {path}") from error
        reason = error.strerror or error
        raise OutputGoneError(f"cannot open the ledger {path}: {reason}") from error


def translate(error: sqlite3.Error, path: Path) -> StateError | DiskFullError:
    """Make our error for one of SQLite's."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        return DiskFullError(f"no space left for the ledger {path}")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LedgerCorruptError(f"the ledger {path} is damaged: {error}")
    if not path.exists():
        return OutputGoneError(f"the ledger {path} is gone: {error}")
    if code in _DENIED:
        return OutputGoneError(f"the ledger {path} cannot be opened or written: {error}")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateError(f"another program keeps the ledger {path} locked: {error}")
    return StateError(f"the ledger {path} failed: {error}")


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary code of an error; 0 for one of the module's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_full(path: Path) -> bool:
    """Whether files can't grow there: SQLite calls a quota or a limit a 'disk I/O error'."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    for file in (path, path.with_name(path.name + "-wal")):
        with suppress(OSError):
            if limit != resource.RLIM_INFINITY and file.stat().st_size + _PROBE > limit:
                return True
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(b"\1" * _PROBE)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno in DISK_FULL
    return False
