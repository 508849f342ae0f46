"""Threads behind the protocol of the pool."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pool_driver
import pytest
from pool_driver import PoolDriver

from geobatch_tui.execution.ops import registry
from geobatch_tui.orchestration.workers.thread_pool import ThreadPool
from geobatch_tui.testing import OPS


@pytest.fixture
async def driver(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    registry._entries.cache_clear()
    # GDAL's variables stay in this process for good: other tests get them back as they were.
    before = dict(os.environ)
    pool = ThreadPool()
    yield PoolDriver(pool, tmp_path)
    await pool.close(1.0)
    os.environ.clear()
    os.environ.update(before)
    registry._entries.cache_clear()


async def test_same_bytes_as_processes_would_give(driver):
    """Chunks of two threads, assembled, hold the bytes that the operation defines."""
    workers = [await driver.worker(), await driver.worker()]
    idents = [driver.chunk(workers[index % 2], index) for index in range(6)]
    segments = [(await driver.outcome(ident)).receipt.segment for ident in idents]
    assert len({segment.spool for segment in segments}) == 2
    receipt = (await driver.outcome(driver.finalise(workers[0], segments))).receipt
    assert receipt.size == len("geobatch-test " + "ab" * 16 + "\n") + 6 * 64


async def test_descriptors_do_not_leak(driver):
    """Threads come and go; the process has as many open files as before."""

    async def come_and_go():
        started = [await driver.worker() for _ in range(5)]
        idents = [driver.chunk(worker, index) for index, worker in enumerate(started)]
        for ident in idents:
            assert (await driver.outcome(ident)).failure is None
        for worker in started:
            driver.pool.retire(worker)
            await driver.loss(worker)
        return len(list(Path("/proc/self/fd").iterdir()))

    assert await come_and_go() == await come_and_go()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("sys_exit", "OperationError"),
        ("unpicklable", "OperationError"),
        ("interrupt", "OperationError"),
        ("transient", "RemoteIOError"),
    ],
)
async def test_failure_is_answered_and_the_thread_lives(driver, fault, kind):
    """What an operation raises in a thread ends its task only."""
    worker = await driver.worker()
    outcome = await driver.outcome(driver.fault(worker, fault))
    assert outcome.failure.error_class == kind
    assert (await driver.outcome(driver.chunk(worker, 1))).receipt is not None


async def test_killed_thread_is_abandoned(driver):
    """A killed thread is lost with its running task at once; its late answer is dropped."""
    worker = await driver.worker()
    culprit = driver.chunk(worker, 0, milliseconds=1000)
    behind = driver.chunk(worker, 1)
    await asyncio.sleep(0.05)
    driver.pool.kill(worker, "timeout")
    lost = await driver.loss(worker)
    assert (lost.running, lost.queued, lost.cause) == (culprit, (behind,), "timeout")
    assert lost.failure.error_class == "ChunkTimeoutError"
    await asyncio.sleep(1.1)
    assert culprit not in driver.outcomes


async def test_retire_finishes_the_queue(driver):
    """A retired thread does what it was given, then ends."""
    worker = await driver.worker()
    idents = [driver.chunk(worker, index) for index in range(5)]
    driver.pool.retire(worker)
    lost = await driver.loss(worker)
    assert all(ident in driver.outcomes for ident in idents)
    assert (lost.running, lost.queued, lost.cause) == (None, (), "retired")


async def test_close_gives_back_what_was_not_begun(driver):
    """Closing waits for the task at work; those behind it go back."""
    worker = await driver.worker()
    first = driver.chunk(worker, 0, milliseconds=1000)
    second = driver.chunk(worker, 1)
    await asyncio.sleep(0.05)
    await driver.pool.close(5.0)
    assert first in driver.outcomes
    assert driver.lost[worker].queued == (second,)


def test_thread_that_hangs_does_not_keep_the_process():
    """A process with a hanging worker thread ends when its engine does."""
    code = f"""
import asyncio, sys, tempfile
from pathlib import Path
sys.path.insert(0, {str(Path(pool_driver.__file__).parent)!r})
from pool_driver import PoolDriver
from geobatch_tui.orchestration.workers.thread_pool import ThreadPool

async def main():
    driver = PoolDriver(ThreadPool(), Path(tempfile.mkdtemp()))
    worker = await driver.worker()
    driver.fault(worker, "hang")
    await asyncio.sleep(0.1)
    await driver.pool.close(0.1)

asyncio.run(main())
"""
    env = {**os.environ, "GEOBATCH_OPS": OPS}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100, env=env)
