"""A ledger that found no space is tried again."""

from __future__ import annotations

import asyncio

import pytest

from geobatch_tui.errors import DiskFullError, GeobatchError, StateError
from geobatch_tui.orchestration.side_tasks import watchdogs
from geobatch_tui.orchestration.side_tasks.watchdogs import LedgerWatch


class Desk:
    """A ledger that fails with each of ``errors`` in turn, then writes; and what was told."""

    def __init__(self, errors: list[GeobatchError], patience: float) -> None:
        self.errors = errors
        self.tries = 0
        self.fatal: list[GeobatchError] = []
        self.watch = LedgerWatch(self.flush, patience, self.fatal.append)

    async def flush(self) -> None:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)

    async def ends(self) -> None:
        assert self.watch._waiting is not None
        async with asyncio.timeout(60):
            await self.watch._waiting


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdogs, "LEDGER_RETRY", 0.001)


async def test_it_is_tried_until_there_is_space() -> None:
    desk = Desk([DiskFullError("full"), DiskFullError("full")], 60.0)
    desk.watch.suspended()
    desk.watch.suspended()  # told twice, tried by one task
    await desk.ends()
    assert (desk.tries, desk.fatal) == (3, [])


async def test_patience_ends() -> None:
    last = DiskFullError("still full")
    desk = Desk([last], 0.0)
    desk.watch.suspended()
    await desk.ends()
    assert desk.fatal == [last]


async def test_another_error_is_fatal_at_once() -> None:
    error = StateError("the ledger is damaged")
    desk = Desk([error], 60.0)
    desk.watch.suspended()
    await desk.ends()
    assert desk.fatal == [error]


async def test_it_waits_again_when_space_runs_out_again() -> None:
    desk = Desk([], 60.0)
    desk.watch.suspended()
    await desk.ends()
    desk.errors.append(DiskFullError("full"))
    desk.watch.suspended()
    await desk.ends()
    assert (desk.tries, desk.fatal) == (3, [])
