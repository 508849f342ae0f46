"""Statements of the ledger's writer, and the bytes of texts in them."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.schema.database import scalar
from geobatch_tui.ledger.schema.updates import ChunkState, ItemState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection

MOVE: Final = "UPDATE chunk SET state = d.column2 FROM {d} WHERE chunk_id = d.column1"
WAIT: Final = """
UPDATE chunk SET state = d.column2, attempts = d.column3, crashes = d.column4,
    strikes = d.column5, not_before = d.column6 FROM {d} WHERE chunk_id = d.column1"""
DONE: Final = f"""
UPDATE chunk SET state = {ChunkState.DONE}, attempts = d.column2, not_before = 0,
    spool_id = d.column3, spool_offset = d.column4, spool_length = d.column5, crc32 = d.column6,
    units = d.column7, bytes_in = d.column8, bytes_out = d.column9, micros = d.column10,
    nodata = d.column11, rss_kib = d.column12 FROM {{d}} WHERE chunk_id = d.column1"""
BURY: Final = f"""
UPDATE chunk SET state = {ChunkState.DEAD}, attempts = d.column2, crashes = d.column3,
    not_before = 0 FROM {{d}} WHERE chunk_id = d.column1"""
DEAD: Final = """
INSERT OR REPLACE INTO dead
        (item_id, chunk_id, t, attempts, crashes, error_class, record, feature)
    SELECT column1, column2, column3, column4, column5, CAST(column6 AS TEXT), column7, column8
    FROM {d} WHERE column1 IS NOT NULL"""
FORGET_FEATURES: Final = """
DELETE FROM dead WHERE feature >= 0 AND chunk_id IN (SELECT value FROM json_each(?))"""
ATTEMPT: Final = """
INSERT INTO attempt (chunk_id, epoch, t, attempts, crashes, strikes, error_class, message)
    SELECT column1, column2, column3, column4, column5,
        coalesce(column6, (SELECT strikes FROM chunk WHERE chunk_id = column1), 0),
        CAST(column7 AS TEXT), CAST(column8 AS TEXT)
    FROM {d} WHERE column1 IS NOT NULL"""
ITEM: Final = """
INSERT INTO item (item_id, state, first_chunk, n_chunks, key, source, src_size, src_mtime_ns,
        src_digest, params_digest, code_digest, fingerprint, params_doc, out_path, out_size,
        out_mtime_ns, out_digest, reason, plan, facts)
    SELECT column1, column2, column3, column4, CAST(column5 AS TEXT), CAST(column6 AS TEXT),
        column7, column8, column9, column10, column11, column12, column13,
        CAST(column14 AS TEXT), column15, column16, column17, CAST(column18 AS TEXT), column19,
        column20
    FROM {d} WHERE column1 IS NOT NULL"""
CHANGE: Final = """
UPDATE item SET state = d.column2, reason = CAST(d.column3 AS TEXT)
    FROM {d} WHERE item_id = d.column1"""
PUBLISH: Final = f"""
UPDATE item SET state = {ItemState.PUBLISHED}, reason = '', out_size = d.column2,
    out_mtime_ns = d.column3, out_digest = d.column4, facts = d.column5
    FROM {{d}} WHERE item_id = d.column1"""
TOUCH: Final = "UPDATE item SET src_mtime_ns = d.column2 FROM {d} WHERE item_id = d.column1"
EVENT: Final = """
INSERT INTO event (t, kind, item_id, chunk_id, data)
    SELECT column1, column2, column3, column4, column5 FROM {d} WHERE column1 IS NOT NULL"""


NOTE: Final = """
INSERT OR REPLACE INTO note (kind, epoch, t, data) VALUES (CAST(? AS TEXT), ?, ?, ?)"""


def path_text(text: str) -> bytes:
    """Return the bytes of a name; bytes of a file's name that are no UTF-8 stay as they are."""
    return text.encode("utf-8", "surrogateescape")


def prose_text(text: str) -> bytes:
    """Return the bytes of a sentence, with surrogates escaped."""
    return text.encode("utf-8", "backslashreplace")


def json_text(value: Mapping[str, object]) -> str:
    """Return ``value`` as ASCII JSON, which any name survives."""
    return json.dumps(value, separators=(",", ":"), default=dict)


class Interner:
    """Ids of texts that many rows share; a text is inserted when its id is first asked for."""

    def __init__(self, connection: Connection, table: str, key: str, column: str) -> None:
        self._connection = connection
        self._insert = (
            f"INSERT INTO {table} ({column}) VALUES (CAST(? AS TEXT)) ON CONFLICT DO NOTHING"
        )
        self._find = f"SELECT {key} FROM {table} WHERE {column} = CAST(? AS TEXT)"
        self._ids: dict[str, int] = {}

    def __getitem__(self, text: str) -> int:
        known = self._ids.get(text)
        if known is None:
            data = path_text(text)
            self._connection.execute(self._insert, (data,))
            known = int(scalar(self._connection, self._find, (data,)))
            if len(self._ids) > 4096:
                self._ids.clear()
            self._ids[text] = known
        return known

    def forget(self) -> None:
        """Forget all ids: the transaction that inserted some was rolled back."""
        self._ids.clear()
