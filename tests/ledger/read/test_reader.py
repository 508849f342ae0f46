"""Reading beside a writer, after a crash, and from media that can't be written."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.rows import BUSY_CHUNK, OPEN_CHUNK, OPEN_ITEM
from geobatch_tui.ledger.schema.updates import ChunkStarted, ItemPlanned, ItemState
from geobatch_tui.ledger.write.committer import Committer

POLL = """
import sys, time
from pathlib import Path
from geobatch_tui.ledger.read.reader import LedgerReader
with LedgerReader(Path(sys.argv[1])) as reader:
    print("ready", flush=True)
    seq, polls, last = 0, 0, -1
    while True:
        counts = reader.counts()
        assert sum(v for k, v in counts.items() if k != "total") == counts["total"], counts
        assert counts["done"] >= last
        last = counts["done"]
        for event in reader.events(seq, 5000):
            assert event.seq == seq + 1, (event.seq, seq)
            seq = event.seq
        polls += 1
        if counts["done"] == counts["total"] > 0:
            break
        time.sleep(0.002)
    print(polls, flush=True)
"""


def test_readers_and_writer_do_not_meet(ledger, item, done):
    """Two processes poll while thousands of chunks are written: no BUSY on either side, each
    state read is one that was committed, no event is missed."""
    errors = []
    committer = Committer(ledger, lambda batch: None, lambda *failure: errors.append(failure))
    command = [sys.executable, "-c", textwrap.dedent(POLL), str(ledger.path)]
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    committer.put(ItemPlanned(item(1, 1, 8000)))
    for n in range(1, 8001):
        committer.put(ChunkStarted(n))
        committer.put(done(n, 1))
        if n % 500 == 0:
            committer.flush().result(20)
    committer.close()
    assert errors == []
    for reader in readers:
        out, err = reader.communicate(timeout=30)
        assert reader.returncode == 0, err
        assert int(out) > 3


def test_a_reader_cannot_write(ledger, reader):
    """The connection is read-only by construction."""
    import sqlite3

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM run")


def test_a_crashed_run_can_be_read(state, ledger, item, done):
    """A write-ahead log that nobody folded in is part of what is read."""
    ledger.apply([ItemPlanned(item(1, 1, 2)), done(1, 1)])
    copy = state.root.with_name("copy")
    copy.mkdir()
    for path in state.root.glob("ledger.db*"):
        if not path.name.endswith("-shm"):
            (copy / path.name).write_bytes(path.read_bytes())
    with LedgerReader(copy / "ledger.db") as reader:
        assert reader.counts()["done"] == 1
        assert reader.audit() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_media(state, ledger, item):
    """An archived ledger is read from a directory that can't be written."""
    ledger.apply([ItemPlanned(item(1, 1, 2))])
    ledger.close()
    state.ledger.chmod(0o400)
    state.root.chmod(0o500)
    try:
        with LedgerReader(state.ledger) as reader:
            assert reader.counts()["total"] == 2
    finally:
        state.root.chmod(0o700)


def test_media_that_refuse_the_log(state, ledger, item, monkeypatch):
    """Where WAL can't be opened, an archived ledger is immutable; a crashed one is refused with
    advice, since what its log holds would be missed."""
    import sqlite3

    ledger.apply([ItemPlanned(item(1, 1, 2))])
    connect = sqlite3.connect

    def refuse(place, **options):
        if "immutable" not in place:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return connect(place, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(StateError, match="did not end well"):
        LedgerReader(state.ledger)
    ledger.close()
    with LedgerReader(state.ledger) as reader:
        assert reader.counts()["total"] == 2


def test_pages_survive_writes_between_them(ledger, reader, item):
    """A slow walk through all items sees each once, though others are added meanwhile."""
    ledger.apply([ItemPlanned(item(n, n)) for n in range(1, 1201)])
    seen = []
    for row in reader.items():
        seen.append(row.item_id)
        if row.item_id == 600:
            ledger.apply([ItemPlanned(item(5000, 5000))])
    assert seen == [*range(1, 1201), 5000]
    assert [row.item_id for row in reader.items(after=1199, limit=1)] == [1200]
    assert len(list(reader.items(limit=700))) == 700


def test_names_are_read_without_documents(ledger, reader, item):
    """Names take several pages; a damaged document does not stop them."""
    ledger.apply([ItemPlanned(item(n, n)) for n in range(1, 5001)])
    ledger._connection.execute("UPDATE item SET plan = 'no JSON' WHERE item_id = 7")
    rows = list(reader.names())
    assert [number for number, _, _ in rows] == list(range(1, 5001))
    assert rows[6][1] == item(7, 7).key
    assert {state for _, _, state in rows} == {ItemState.PLANNED}


@pytest.mark.parametrize(
    ("table", "condition", "index"),
    [
        ("chunk", OPEN_CHUNK, "chunk_open"),
        ("chunk", BUSY_CHUNK, "chunk_busy"),
        ("item", OPEN_ITEM, "item_open"),
    ],
)
def test_conditions_on_states_go_by_their_indexes(reader, table, condition, index):
    """A condition that differs from its index by a letter would read the whole table."""
    steps = reader._rows(f"EXPLAIN QUERY PLAN SELECT rowid FROM {table} WHERE {condition}")  # noqa: S608
    assert [index in step[-1] for step in steps] == [True]


def test_a_reader_may_live_in_another_thread(ledger, reader, item):
    """A reader belongs to one thread at a time, not to the one that made it."""
    ledger.apply([ItemPlanned(item(1, 1, 7))])
    found = []
    thread = threading.Thread(target=lambda: found.append(reader.counts()["total"]))
    thread.start()
    thread.join()
    assert found == [7]
