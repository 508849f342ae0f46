"""``where`` for sources that OGR does not read: SQLite decides, feature by feature."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.plan import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

CHECK_WHERE = "check where; names are in double quotes, text is in single ones"
_ROW = "__geobatch_row"
_LARGEST = 2**63 - 1


class Condition:
    """A condition in SQLite's SQL on attributes.

    Numbers and text are what they are, and compared with one another as in a GeoPackage; moments,
    days and times are text as ISO 8601 has it, lists and records are JSON. What is in double quotes
    is a name.
    """

    def __init__(self, where: str, there: Iterable[str]) -> None:
        text = where.casefold().replace('""', '"')
        #: Those attributes that are ``there`` and may be meant.
        self.names = [name for name in there if name.casefold() in text]
        places = ", ".join("?" * (len(self.names) + 1))
        self._insert = f"INSERT INTO t VALUES ({places})"  # noqa: S608 - question marks
        # On a line of its own: it may end in a comment.
        self._select = f"SELECT {_ROW} FROM t WHERE ({where}\n)"  # noqa: S608 - the user's own

    def holds(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Mark the features of a batch that satisfy it. Raises sqlite3.Error where it is no
        condition on these attributes."""
        columns = [_plain(batch.column(name)) for name in self.names]
        row = f"{_ROW} INTEGER PRIMARY KEY"
        made = [row, *(_declared(name, batch.schema.field(name).type) for name in self.names)]
        found = np.zeros(batch.num_rows, np.bool_)
        with closing(_database(text_in_double_quotes=False)) as db:
            # Without SQLite's own numbers of rows: they would be those of the batch.
            db.execute(f"CREATE TABLE t ({', '.join(made)}) WITHOUT ROWID")
            db.executemany(self._insert, zip(range(batch.num_rows), *columns, strict=True))
            found[[row[0] for row in db.execute(self._select)]] = True
        return found


def fault(where: str, names: Iterable[str]) -> str:
    """Return what SQLite says against a condition on a table of these ``names`` that OGR reads;
    empty: nothing, or OGR itself will say it.

    OGR calls a file damaged where the condition is no SQL; and takes a word in double quotes that
    is no name for text, so that one with a slip in it holds for all features, or none.
    """
    for allowed in (True, False):
        with closing(_database(text_in_double_quotes=allowed)) as db:
            try:
                db.execute(f"CREATE TABLE t ({', '.join(map(quoted, names))})")
                for end in ("\n)", ")"):  # a comment would take OGR's words behind it in, too
                    db.execute(f"SELECT 1 FROM t WHERE ({where}{end}")  # noqa: S608 - the user's own
            except sqlite3.Error as error:
                # What is not there here may be there for OGR, as functions of its own.
                unknown = allowed and str(error).startswith("no such")
                return "" if unknown else str(error)
    return ""


def _database(*, text_in_double_quotes: bool) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.setconfig(sqlite3.SQLITE_DBCONFIG_DQS_DML, text_in_double_quotes)
    return db


def _declared(name: str, kind: pa.DataType) -> str:
    """Declare a column. Without its type, SQLite would take no number for equal to any text."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    whole = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    real = pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return f"{quoted(name)} {'INTEGER' * whole}{'REAL' * real}{'TEXT' * text}"


def _plain(column: pa.Array) -> list[object]:
    kind = column.type
    if pa.types.is_duration(kind):
        return [None if value is None else str(value) for value in column.to_pylist()]
    if pa.types.is_temporal(kind):
        return [_iso(value) if value.is_valid else None for value in column]
    if pa.types.is_nested(kind):
        return [
            None if value is None else json.dumps(value, default=str)
            for value in column.to_pylist()
        ]
    if pa.types.is_decimal(kind):
        return [None if value is None else float(value) for value in column.to_pylist()]
    if pa.types.is_uint64(kind):
        # SQLite's own numbers beyond its whole ones are real, too.
        return [
            float(value) if value is not None and value > _LARGEST else value
            for value in column.to_pylist()
        ]
    return list(column.to_pylist())


def _iso(value: pa.Scalar) -> str:
    try:
        return str(value.as_py().isoformat())
    except (OverflowError, ValueError):
        # Python's years end at 9999, and Arrow's text of others is wrong.
        unit: Literal["D", "s", "ms", "us", "ns"] = (
            "D" if pa.types.is_date32(value.type) else getattr(value.type, "unit", "ms")
        )
        zone = "+00:00" if getattr(value.type, "tz", None) else ""
        return str(np.datetime64(value.value, unit)) + zone
