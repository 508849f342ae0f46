"""Columns of many chunks, and outlines of items, for pictures of a whole run."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import LedgerCorruptError
from geobatch_tui.ledger.schema.database import scalar
from geobatch_tui.ledger.schema.rows import NO_ORPHAN, Row, document
from geobatch_tui.ledger.schema.updates import ItemState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from sqlite3 import Connection

    from geobatch_tui.execution.protocol.messages import Json

_PAGE: Final = 65_536

#: SQL of each figure of a chunk. ``spool`` numbers the worker process that wrote the chunk.
FIGURES: Final[Mapping[str, str]] = {
    "seconds": "micros / 1e6",
    "attempts": "attempts",
    "rss_bytes": "rss_kib * 1024.0",
    "nodata": "nodata",
    "spool": "spool_id",
    "bytes_out": "bytes_out",
}

_OUTLINE: Final = """
SELECT item_id, state, first_chunk, n_chunks, key, source, out_path,
    plan ->> '$.grid.width', plan ->> '$.grid.height',
    plan ->> '$.grid.chunk_width', plan ->> '$.grid.chunk_height',
    plan -> '$.bounds_lonlat'
    FROM item WHERE item_id > ? ORDER BY item_id LIMIT ?"""


@dataclass(frozen=True, slots=True)
class ItemOutline:
    """An item without its documents. The grid is 0 where the item was never planned; ``bounds``
    are west, south, east, north in degrees, or None."""

    item_id: int
    state: ItemState
    first_chunk: int
    n_chunks: int
    key: str
    source: str
    out_path: str
    width: int
    height: int
    chunk_width: int
    chunk_height: int
    bounds: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter; ``chunk_id`` is None where the whole item was given up. ``t`` is UNIX time.
    ``feature``: the number in the item of the one feature that it is of, or -1."""

    dead_id: int
    item_id: int
    chunk_id: int | None
    t: float
    attempts: int
    crashes: int
    error_class: str
    record: Json
    feature: int = -1


def states(connection: Connection, first: int, count: int) -> bytearray:
    """Read the states of ``count`` chunks from id ``first``, a byte each; 0 for no chunk."""
    column = bytearray(count)
    for start in range(first, first + count, _PAGE):
        end = min(start + _PAGE, first + count)
        rows = connection.execute(
            "SELECT chunk_id, state FROM chunk WHERE chunk_id >= ? AND chunk_id < ?", (start, end)
        ).fetchall()
        if len(rows) == end - start:
            column[start - first : end - first] = bytes(state for _, state in rows)
        else:
            for chunk_id, state in rows:
                column[chunk_id - first] = state
    return column


def figures(connection: Connection, name: str, first: int, count: int) -> array[float]:
    """Read one of ``FIGURES`` for ``count`` chunks from id ``first``; 0 for no chunk."""
    column = array("f", bytes(4 * count))
    for start in range(first, first + count, _PAGE):
        end = min(start + _PAGE, first + count)
        for chunk_id, value in connection.execute(
            f"SELECT chunk_id, {FIGURES[name]} FROM chunk WHERE chunk_id >= ? AND chunk_id < ?",
            (start, end),
        ).fetchall():
            column[chunk_id - first] = value
    return column


def states_of(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Read the states of chunks, by id; unknown ids are left out."""
    rows = connection.execute(
        "SELECT chunk_id, state FROM chunk WHERE chunk_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return dict(rows.fetchall())


def outlines(connection: Connection, after: int, limit: int) -> list[ItemOutline]:
    """Read up to ``limit`` items with ids above ``after``, in order.

    Raises:
        LedgerCorruptError: a row is damaged.
    """
    try:
        return [_outline(row) for row in connection.execute(_OUTLINE, (after, limit)).fetchall()]
    except ValueError as error:
        raise LedgerCorruptError(f"the ledger is damaged: {error}") from error


def _outline(row: Row) -> ItemOutline:
    item_id, state, first, count, key, source, out_path, *grid, bounds = row
    width, height, chunk_width, chunk_height = (int(value or 0) for value in grid)
    return ItemOutline(
        item_id,
        ItemState(state),
        first,
        count,
        key,
        source,
        out_path,
        width,
        height,
        chunk_width,
        chunk_height,
        _bounds(bounds),
    )


def _bounds(text: str | None) -> tuple[float, float, float, float] | None:
    values = json.loads(text) if text else None
    if not values:
        return None
    west, south, east, north = (float(value) for value in values)
    return west, south, east, north


def letters(connection: Connection, after: int, limit: int) -> list[Letter]:
    """Read up to ``limit`` dead letters with ids above ``after``, in order."""
    # A ledger of schema 1, which a reader does not migrate, has no letters of features.
    feature = "feature" if int(scalar(connection, "PRAGMA user_version")) > 1 else "-1"
    rows = connection.execute(
        "SELECT dead_id, dead.item_id, chunk_id, t, attempts, crashes, error_class, record,"
        f" {feature}"
        f" FROM dead JOIN item USING (item_id) WHERE dead_id > ? AND {NO_ORPHAN}"
        " ORDER BY dead_id LIMIT ?",
        (after, limit),
    ).fetchall()
    return [
        Letter(dead_id, item_id, chunk_id, t, attempts, crashes, error_class, document(text), of)
        for dead_id, item_id, chunk_id, t, attempts, crashes, error_class, text, of in rows
    ]
