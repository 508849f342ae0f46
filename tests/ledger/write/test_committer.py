"""Updates reach the disk in order, in groups, once; errors lose none of them."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

import pytest

from geobatch_tui.errors import DiskFullError, GeobatchError, LedgerCorruptError, StateError
from geobatch_tui.ledger.schema.updates import (
    ChunkStarted,
    ItemPlanned,
    ItemPublished,
    ItemState,
    Noted,
    RunEnded,
)
from geobatch_tui.ledger.write.committer import Committer
from geobatch_tui.ledger.write.publish import ItemPublishError


class Reports:
    """Keeps what a committer reports."""

    def __init__(self):
        self.batches = []
        self.errors = []
        self.threads = set()

    def committed(self, batch):
        self.batches.append(batch)
        self.threads.add(threading.current_thread().name)

    def failed(self, error, updates):
        self.errors.append((error, updates))

    @property
    def updates(self):
        return [update for batch in self.batches for update in batch]


@pytest.fixture
def reports():
    return Reports()


@pytest.fixture
def committer(ledger, reports):
    opened = Committer(ledger, reports.committed, reports.failed)
    yield opened
    with suppress(GeobatchError):
        opened.close()


def fail_once(monkeypatch, ledger, *errors):
    """``apply`` raises these errors in turn, then works again."""
    left = list(errors)
    apply = ledger.apply

    def failing(updates):
        if left:
            raise left.pop(0)
        apply(updates)

    monkeypatch.setattr(ledger, "apply", failing)
    return left


def test_everything_is_committed_in_order(ledger, reader, reports, committer, item, done):
    """What was put comes out once, in order, on the committer's thread."""
    updates = [ItemPlanned(item(1, 1, 2000))]
    for n in range(1, 2001):
        updates += [ChunkStarted(n), done(n, 1)]
    for update in updates:
        committer.put(update)
    committer.flush().result(10)
    assert reports.updates == updates
    assert reports.threads == {"committer"}
    assert reader.counts()["done"] == 2000
    assert committer.backlog == 0
    assert reports.errors == []


def test_updates_are_grouped(reports, committer):
    """A burst is a few commits, not one each."""
    for n in range(1000):
        committer.put(Noted("n", {"n": n}))
    committer.flush().result(10)
    assert len(reports.batches) < 200
    assert len(reports.updates) == 1000


def test_a_single_update_needs_no_flush(reports, committer, reader):
    """A lone update is committed by itself, once nothing follows."""
    committer.put(Noted("alone", {}))
    limit = time.monotonic() + 10
    while not reports.batches and time.monotonic() < limit:
        time.sleep(0.002)
    assert reader.last_event("alone") == {}


def test_batches_are_bounded(ledger, reports):
    """However much waits, one commit takes no more than ``most``."""
    committer = Committer(ledger, reports.committed, reports.failed, most=100)
    for n in range(1050):
        committer.put(Noted("n", {"n": n}))
    committer.close()
    assert max(map(len, reports.batches)) <= 100
    assert [update.data["n"] for update in reports.updates] == list(range(1050))


def test_many_threads_may_put(reports, committer):
    """No update is lost whoever puts it, and each thread's own order holds."""

    def work(name):
        for n in range(500):
            committer.put(Noted(name, {"n": n}))

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    committer.flush().result(10)
    for name in ("t0", "t1", "t2", "t3"):
        assert [u.data["n"] for u in reports.updates if u.kind == name] == list(range(500))


def test_close_commits_the_rest(ledger, reports, reader):
    """The last updates are durable when ``close`` returns, and nothing is taken after it."""
    committer = Committer(ledger, reports.committed, reports.failed)
    committer.put(RunEnded("complete", 0, "complete"))
    committer.close()
    run = reader.run()
    assert run is not None
    assert run.state == "complete"
    with pytest.raises(StateError, match="closed"):
        committer.put(Noted("late", {}))
    with pytest.raises(StateError, match="closed"):
        committer.flush().result(1)
    committer.close()


async def test_a_cancelled_wait_does_not_stop_it(reports, committer):
    """Who waits for a flush may be cancelled; the committer goes on."""
    committer.put(Noted("a", {}))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.wrap_future(committer.flush()), 0)
    committer.put(Noted("b", {}))
    await asyncio.wait_for(asyncio.wrap_future(committer.flush()), 10)
    assert [update.kind for update in reports.updates] == ["a", "b"]


def test_a_full_disk_spends_the_reserve(ledger, reports, committer, reader, monkeypatch):
    """On a full disk the reserve is given back and the batch written, without a report."""
    fail_once(monkeypatch, ledger, DiskFullError("full"))
    monkeypatch.setattr(type(ledger.reserve), "has_room", lambda self: False)
    assert ledger.reserve.path.exists()
    committer.put(Noted("a", {}))
    committer.flush().result(10)
    assert not ledger.reserve.path.exists()
    assert reports.errors == []
    assert reader.last_event("a") == {}


def test_the_reserve_is_made_again_when_there_is_room(ledger, reports, committer, monkeypatch):
    """After space came back, the next full disk finds a reserve."""
    fail_once(monkeypatch, ledger, DiskFullError("full"))
    committer.put(Noted("a", {}))
    committer.flush().result(10)
    assert ledger.reserve.path.exists()


def test_a_full_disk_without_reserve_loses_nothing(ledger, reports, committer, reader, monkeypatch):
    """The error is reported, the updates are kept, and a later flush writes them in order."""
    left = fail_once(monkeypatch, ledger, *[DiskFullError("full")] * 3)
    committer.put(Noted("a", {}))
    with pytest.raises(DiskFullError):
        committer.flush().result(10)
    assert isinstance(committer.failure, DiskFullError)
    committer.put(Noted("b", {}))
    time.sleep(0.1)
    assert len(left) == 1, "it tried again without being asked"
    with pytest.raises(DiskFullError):
        committer.flush().result(10)
    assert [type(error) for error, _ in reports.errors] == [DiskFullError] * 2
    assert [update.kind for update in reports.errors[-1][1]] == ["a", "b"]
    committer.flush().result(10)
    assert committer.failure is None
    assert [update.kind for update in reports.updates] == ["a", "b"]
    assert reader.last_event("b") == {}


def test_close_says_what_could_not_be_written(ledger, reports, monkeypatch):
    """A ledger that stays unusable ends the thread and raises."""
    committer = Committer(ledger, reports.committed, reports.failed)
    fail_once(monkeypatch, ledger, *[LedgerCorruptError("broken")] * 5)
    committer.put(Noted("a", {}))
    with pytest.raises(LedgerCorruptError):
        committer.close()
    assert not committer._thread.is_alive()


def test_one_bad_publication_spares_the_others(ledger, reports, committer, reader, item, part):
    """It is reported alone and left out; the rest of its batch is committed."""
    for n in (1, 2, 3):
        committer.put(ItemPlanned(item(n, n)))
    bad = ItemPublished(2, "/missing.part", 5, "e" * 32, {})
    committer.put(ItemPublished(1, part("1"), 5, "e" * 32, {}))
    committer.put(bad)
    committer.put(ItemPublished(3, part("3"), 5, "e" * 32, {}))
    committer.flush().result(10)
    assert [(type(error), updates) for error, updates in reports.errors] == [
        (ItemPublishError, (bad,))
    ]
    assert bad not in reports.updates
    states = [row.state for row in reader.items()]
    assert states == [ItemState.PUBLISHED, ItemState.PLANNED, ItemState.PUBLISHED]


def test_an_update_that_can_not_be_written_is_reported(ledger, reports, committer):
    """Whatever goes wrong inside becomes a typed error, never a silent thread."""
    committer.put(Noted("a", {"x": object()}))
    with pytest.raises(StateError, match="cannot take in"):
        committer.flush().result(10)
    assert len(reports.errors) == 1


def test_a_failing_callback_ends_it_loudly(ledger, reports):
    """If ``on_commit`` raises, those who wait learn it, now and later."""

    def broken(batch):
        raise RuntimeError("loop is closed")

    committer = Committer(ledger, broken, reports.failed)
    committer.put(Noted("a", {}))
    with pytest.raises(StateError, match="loop is closed"):
        committer.flush().result(10)
    with pytest.raises(StateError, match="loop is closed"):
        committer.flush().result(10)
    with pytest.raises(StateError, match="loop is closed"):
        committer.close()
