"""The schema of the ledger, from each version to the next; they run in one transaction."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION_ID: Final = 0x47424C31


def _create(connection: sqlite3.Connection) -> None:
    script = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _letters_of_features(connection: sqlite3.Connection) -> None:
    """Let a letter be of one feature of a done chunk: its number in the item, or -1."""
    connection.execute("ALTER TABLE dead ADD COLUMN feature INTEGER NOT NULL DEFAULT -1")
    connection.execute("DROP INDEX dead_once")
    connection.execute(
        "CREATE UNIQUE INDEX dead_once ON dead (item_id, ifnull(chunk_id, -1), feature)"
    )
    connection.execute("CREATE INDEX dead_feature ON dead (chunk_id) WHERE feature >= 0")


def _parts_of_sources(connection: sqlite3.Connection) -> None:
    """Keep what workers saw of parts of large sources; ``epoch`` is the last run that used it."""
    connection.execute(
        "CREATE TABLE part (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, body BLOB NOT NULL)"
        " STRICT"
    )


def _undefined_pixels(connection: sqlite3.Connection) -> None:
    """Count the pixels of a chunk with a result that is no number."""
    connection.execute("ALTER TABLE chunk ADD COLUMN undefined INTEGER NOT NULL DEFAULT 0")


def _uploads(connection: sqlite3.Connection) -> None:
    """Keep what was begun to be sent to a store; ``upload`` is its id there, empty while it is not
    known. A row outlives that of its item: what it names is to be given up then."""
    connection.execute(
        "CREATE TABLE upload (item_id INTEGER PRIMARY KEY, key TEXT NOT NULL,"
        " fingerprint TEXT NOT NULL, upload TEXT NOT NULL) STRICT"
    )


def _stage_times(connection: sqlite3.Connection) -> None:
    """Keep when a chunk was done, by which worker, and what it spent on reading and on writing."""
    for column in ("read_micros", "write_micros", "worker"):
        connection.execute(f"ALTER TABLE chunk ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE chunk ADD COLUMN ended REAL NOT NULL DEFAULT 0")


def _hosts(connection: sqlite3.Connection) -> None:
    """Keep the host that a run's engine was on, and the host of the node of a cluster on which an
    attempt failed; empty where that is not known, or the run had no cluster."""
    for table in ("run", "attempt"):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN host TEXT NOT NULL DEFAULT ''")


#: From each version to the next.
MIGRATIONS: Final[dict[int, Callable[[sqlite3.Connection], None]]] = {
    0: _create,
    1: _letters_of_features,
    2: _parts_of_sources,
    3: _undefined_pixels,
    4: _uploads,
    5: _stage_times,
    6: _hosts,
}
