"""Opens GeoPackages by SQLite alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from geobatch_tui.execution.vector.ogr import errors


def open_sqlite(path: str) -> sqlite3.Connection:
    """A GeoPackage, to read from."""
    uri = Path(path).as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if errors.is_locked(error):
            raise
        # A write-ahead log on a medium that cannot be written.
        connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
    return connection
