"""Invariants of a ledger, checked by counting: states, counters and letters must agree."""

# ruff: noqa: S608  only constants of this package are put together here

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.schema.updates import ChunkState, ItemState

if TYPE_CHECKING:
    from enum import IntEnum
    from sqlite3 import Connection

#: Columns of counters (``n_running`` and so on), by the state that they count.
_STATES: Final = {
    "running": ChunkState.RUNNING,
    "retry": ChunkState.RETRY_WAIT,
    "done": ChunkState.DONE,
    "dead": ChunkState.DEAD,
}
_BY_ITEM: Final = ", ".join(f"sum(state = {state}) AS {name}" for name, state in _STATES.items())
_DIFFERS: Final = " OR ".join(f"c.n_{name} <> ifnull(k.{name}, 0)" for name in _STATES)


def _listed(states: type[IntEnum]) -> str:
    return ", ".join(str(int(state)) for state in states)


#: A sentence, and the query that finds ids of rows that it is true of: no such row may exist.
_NEVER: Final = {
    "item {} has not every chunk exactly once": (
        "SELECT i.item_id FROM item AS i LEFT JOIN chunk AS c"
        " ON c.chunk_id >= i.first_chunk AND c.chunk_id < i.first_chunk + i.n_chunks"
        " AND c.item_id = i.item_id GROUP BY i.item_id HAVING count(c.chunk_id) <> i.n_chunks"
    ),
    "chunk {} belongs to no item, or lies outside its item's range": (
        "SELECT chunk_id FROM chunk AS c LEFT JOIN item AS i USING (item_id)"
        " WHERE i.item_id IS NULL OR c.chunk_id < i.first_chunk"
        " OR c.chunk_id >= i.first_chunk + i.n_chunks"
    ),
    "the counters of item {} differ from its chunks": (
        f"SELECT c.item_id FROM item_count AS c LEFT JOIN"
        f" (SELECT item_id, {_BY_ITEM} FROM chunk GROUP BY item_id) AS k USING (item_id)"
        f" WHERE {_DIFFERS}"
    ),
    "item {} has no counters, or counters have no item": (
        "SELECT item_id FROM item WHERE item_id NOT IN (SELECT item_id FROM item_count)"
        " UNION ALL"
        " SELECT item_id FROM item_count WHERE item_id NOT IN (SELECT item_id FROM item)"
    ),
    "item {} is published, but not all its chunks are done or dead": (
        "SELECT item.item_id FROM item JOIN item_count USING (item_id)"
        f" WHERE item.state = {ItemState.PUBLISHED} AND n_done + n_dead <> n_chunks"
    ),
    "item {} was published, but has no digest of its output": (
        f"SELECT item_id FROM item WHERE state = {ItemState.PUBLISHED} AND out_digest = ''"
    ),
    "item {} is dead, but neither it nor all its chunks are dead letters": (
        "SELECT item.item_id FROM item JOIN item_count USING (item_id) LEFT JOIN dead"
        " ON dead.item_id = item.item_id AND dead.chunk_id IS NULL"
        f" WHERE item.state = {ItemState.DEAD} AND dead.dead_id IS NULL AND n_dead <> n_chunks"
    ),
    "item {} has a dead letter of its own, but goes on": (
        "SELECT item.item_id FROM item JOIN dead USING (item_id)"
        " WHERE dead.chunk_id IS NULL"
        f" AND item.state NOT IN ({ItemState.DEAD}, {ItemState.ORPHAN})"
    ),
    "item {} is dead, but chunks of it are still to do": (
        "SELECT item.item_id FROM item JOIN item_count USING (item_id)"
        f" WHERE item.state = {ItemState.DEAD} AND n_done + n_dead <> n_chunks"
    ),
    "chunk {} is dead, but neither it nor its item has a letter": (
        f"SELECT chunk_id FROM chunk WHERE state = {ChunkState.DEAD}"
        " AND chunk_id NOT IN"
        " (SELECT chunk_id FROM dead WHERE chunk_id IS NOT NULL AND feature < 0)"
        " AND item_id NOT IN (SELECT item_id FROM dead WHERE chunk_id IS NULL)"
    ),
    "chunk {} has a dead letter, but is not dead": (
        "SELECT dead.chunk_id FROM dead LEFT JOIN chunk USING (chunk_id)"
        " WHERE dead.chunk_id IS NOT NULL AND feature < 0"
        f" AND ifnull(chunk.state, {ChunkState.PENDING}) <> {ChunkState.DEAD}"
    ),
    "chunk {} names a spool that the ledger does not know": (
        "SELECT chunk_id FROM chunk WHERE spool_id NOT IN (SELECT spool_id FROM spool)"
    ),
    "item {} names parameters that the ledger does not know": (
        "SELECT item_id FROM item WHERE params_doc NOT IN (SELECT doc_id FROM doc)"
    ),
    "item {} has a damaged document or an unknown state": (
        "SELECT item_id FROM item LEFT JOIN doc ON doc_id = params_doc"
        " WHERE NOT json_valid(plan) OR NOT json_valid(facts) OR NOT json_valid(body)"
        f" OR state NOT IN ({_listed(ItemState)})"
    ),
    "chunk {} has an unknown state": (
        f"SELECT chunk_id FROM chunk WHERE state NOT IN ({_listed(ChunkState)})"
    ),
    "dead letter {} is damaged": "SELECT dead_id FROM dead WHERE NOT json_valid(record)",
    "id {} was given, though the ledger holds it to be free": (
        "SELECT chunk_id FROM chunk WHERE chunk_id >= (SELECT next_chunk FROM tally)"
        " UNION ALL"
        " SELECT item_id FROM item WHERE item_id >= (SELECT next_item FROM tally)"
    ),
    "run of epoch {} is open, though a later one has begun": (
        "SELECT epoch FROM run WHERE state = 'running' AND epoch < (SELECT max(epoch) FROM run)"
    ),
}


def audit(connection: Connection, most: int = 5) -> list[str]:
    """Check every invariant, with ``most`` sentences about each, in a transaction of its own."""
    connection.execute("BEGIN")
    try:
        sentences = [
            sentence.format(row[0])
            for sentence, query in _NEVER.items()
            for row in connection.execute(f"SELECT * FROM ({query}) LIMIT {most}").fetchall()
        ]
        return sentences + _tallies(connection)
    finally:
        connection.execute("ROLLBACK")


def _tallies(connection: Connection) -> list[str]:
    """Compare the ledger's own counters with the rows."""
    names = ", ".join(f"n_{name}" for name in _STATES)
    # Orphans are in no tally.
    orphans = f"SELECT item_id FROM item WHERE state = {ItemState.ORPHAN}"
    here = f"FROM chunk WHERE item_id NOT IN ({orphans})"
    tally = connection.execute(f"SELECT n_total, {names} FROM tally").fetchone()
    counted = connection.execute(f"SELECT count(*), {_BY_ITEM} {here}").fetchone()
    sentences = [
        f"the ledger counts {a} chunks {name}, but holds {b or 0}"
        for name, a, b in zip(("in all", *_STATES), tally, counted, strict=True)
        if a != (b or 0)
    ]
    rows = connection.execute(
        "SELECT t.state, t.n, count(i.item_id) FROM item_tally AS t LEFT JOIN item AS i"
        " USING (state) GROUP BY t.state HAVING t.n <> count(i.item_id)"
    ).fetchall()
    return sentences + [
        f"the ledger counts {a} items of state {state}, but holds {b}" for state, a, b in rows
    ]
