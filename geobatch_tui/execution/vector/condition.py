"""``where`` for sources that OGR does not read: SQLite decides, feature by feature."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


_ROW = "__geobatch_row"


class Condition:
    """A condition in SQLite's SQL on attributes.

    Numbers and text are what they are; moments, days and times are text as ISO 8601 has it, lists
    and records are JSON.
    """

    def __init__(self, where: str, there: Iterable[str]) -> None:
        text = where.casefold().replace('""', '"')
        #: Those attributes that are ``there`` and may be meant.
        self.names = [name for name in there if name.casefold() in text]
        columns = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in self.names]
        places = ", ".join("?" * (len(columns) + 1))
        self._create = f"CREATE TABLE t ({', '.join([_ROW, *columns])})"
        self._insert = f"INSERT INTO t VALUES ({places})"  # noqa: S608 - question marks
        # On a line of its own: it may end in a comment.
        self._select = f"SELECT {_ROW} FROM t WHERE ({where}\n)"  # noqa: S608 - the user's own

    def holds(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """For which features of a batch it does.

        Raises:
            sqlite3.Error: it is no condition on these attributes.
        """
        columns = [_plain(batch.column(name)) for name in self.names]
        found = np.zeros(batch.num_rows, np.bool_)
        with closing(sqlite3.connect(":memory:")) as db:
            db.execute(self._create)
            db.executemany(self._insert, zip(range(batch.num_rows), *columns, strict=True))
            found[[row[0] for row in db.execute(self._select)]] = True
        return found


def _plain(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_duration(kind):
        return [None if value is None else str(value) for value in column.to_pylist()]
    if pa.types.is_temporal(kind):
        return [None if value is None else value.isoformat() for value in column.to_pylist()]
    if pa.types.is_nested(kind):
        return [
            None if value is None else json.dumps(value, default=str)
            for value in column.to_pylist()
        ]
    if pa.types.is_decimal(kind):
        return [None if value is None else float(value) for value in column.to_pylist()]
    return list(column.to_pylist())
