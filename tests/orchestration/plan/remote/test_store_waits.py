"""Waiting for stores while a run is planned: whom for, and until when."""

from __future__ import annotations

import asyncio

import pytest

from geobatch_tui.errors import Reaction
from geobatch_tui.execution.protocol.messages import Failure
from geobatch_tui.orchestration.plan.remote.store_waits import StoreWaits, store_of
from geobatch_tui.orchestration.schedule import events as u

AWAY = "store s3://a"


class Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def suspended(self, reason: str, seconds: float) -> None:
        self.told.append((reason, seconds))

    def unsuspended(self, reason: str) -> None:
        self.told.append((reason, "back"))

    def progressed(self, root: str) -> None:
        self.told.append((root, "progress"))


def failure(kind: str = "RemoteIOError", store: str = "s3://a") -> Failure:
    evidence = {"store": store} if store else {}
    return Failure(kind, Reaction.TRANSIENT, "no answer", evidence=evidence, retry_after=7.0)


async def test_who_asks_of_a_store_that_is_away_goes_on_when_it_is_back():
    """All of them, and the scheduler is told once."""
    told: list[u.Event] = []
    waits = StoreWaits(told.append)
    waits.listener = listener = Listener()
    waits.answered("s3://a/b.tif")
    waits.answered("/local.tif")
    assert listener.told == [("s3://a", "progress")]
    waiting = [asyncio.ensure_future(waits.outlast(failure())) for _ in range(3)]
    await asyncio.sleep(0)
    assert told == [u.StoreAway(AWAY, 7.0)]
    waits.suspended(AWAY, 7.0)
    waits.unsuspended("space")
    await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    waits.unsuspended(AWAY)
    assert await asyncio.gather(*waiting) == [True] * 3
    assert listener.told[1:] == [(AWAY, 7.0), ("space", "back"), (AWAY, "back")]


@pytest.mark.parametrize(
    ("known", "listens", "failed"),
    [
        ("s3://b/c.tif", True, failure()),  # its name may be wrong
        ("s3://a/c.tif", True, failure(store="")),  # an object that cannot be read
        ("s3://a/c.tif", False, failure()),  # a plan that no run follows
    ],
)
async def test_nobody_waits_for_others(known, listens, failed):
    told: list[u.Event] = []
    waits = StoreWaits(told.append)
    waits.listener = Listener() if listens else None
    waits.answered(known)
    assert not await waits.outlast(failed)
    assert not told


async def test_who_asks_to_slow_down_is_there():
    waits = StoreWaits(lambda event: None)
    waits.listener = Listener()
    waiting = asyncio.ensure_future(waits.outlast(failure("ThrottledError")))
    await asyncio.sleep(0)
    assert not waiting.done()
    waits.unsuspended(AWAY)
    assert await waiting


def test_the_store_of_a_source():
    assert store_of("HTTPS://Host:8/a/b.tif") == "https://host:8"
    assert store_of("s3://a/b.tif") == "s3://a"
    assert store_of("/local.tif") == ""
