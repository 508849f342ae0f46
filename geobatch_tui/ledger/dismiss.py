"""Dead letters that an operator knows of: a note in their record, beside the evidence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

NOTE_LENGTH: Final = 500

_SET: Final = """
UPDATE dead SET record = json_set(record, '$.dismissed', json(?)) WHERE dead_id = ? AND t = ?"""
_UNSET: Final = """
UPDATE dead SET record = json_remove(record, '$.dismissed') WHERE dead_id = ? AND t = ?
    AND record -> '$.dismissed' IS NOT NULL"""


def dismiss(
    connection: Connection,
    letters: Sequence[tuple[int, float]],
    note: str | None,
    by: str,
    now: float,
) -> int:
    """See ``Ledger.dismiss_dead``; the caller has begun a transaction."""
    if note is None:
        return connection.executemany(_UNSET, letters).rowcount
    mark = json.dumps({"note": note[:NOTE_LENGTH], "by": by, "t": now})
    return connection.executemany(_SET, [(mark, *letter) for letter in letters]).rowcount
