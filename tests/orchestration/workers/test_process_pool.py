"""Workers die in every way known; the pool blames the right task, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pool_driver
import pytest
from pool_driver import PoolDriver

from geobatch_tui.errors import Reaction
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.looking import InspectTask
from geobatch_tui.execution.protocol.messages import ChunkReceipt, ProbeTask
from geobatch_tui.execution.runtime.sandbox import landlock
from geobatch_tui.execution.worker.process import RUNNING
from geobatch_tui.orchestration.workers import process_pool, procfs, spare
from geobatch_tui.orchestration.workers.pool import Answered, Lost
from geobatch_tui.orchestration.workers.process_pool import ProcessPool
from geobatch_tui.testing import OPS

pytestmark = [
    pytest.mark.disk,
    pytest.mark.skipif(
        not Path("/proc/self/statm").exists(), reason="reads /proc, as the pool does on Linux"
    ),
]


@pytest.fixture
async def driver(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    pool = ProcessPool(tmp_path / "state", kill_after=0.5)
    driver = PoolDriver(pool, tmp_path)
    yield driver
    await pool.close(2.0)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(pid: int, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    return not alive(pid)


async def begun(driver, worker, ident):
    """Wait until a worker has taken up a task."""
    async with asyncio.timeout(30):
        while driver.pool._workers[worker].cells[RUNNING] != ident + 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_worker_that_was_asked_for_ahead_is_the_first(driver):
    """It is told who it is, and works like any other."""
    with spare.asked_ahead(1):
        asked = spare._spares[0][1]
        worker = await driver.worker()
        assert spare.take_spare() is None
    process = driver.pool._workers[worker].process
    assert process.sentinel == asked._sentinel
    ident = driver.chunk(worker, 7)
    assert (await driver.outcome(ident)).receipt.index == 7


async def test_tasks_are_answered_in_order(driver):
    """A worker works through its queue in order, and each task gets its own receipt."""
    worker = await driver.worker()
    idents = [driver.chunk(worker, index) for index in range(40)]
    await driver.outcome(idents[-1])
    answered = [e.outcome.task_id for e in driver.events if isinstance(e, Answered)]
    assert answered == idents
    receipts = [driver.outcomes[ident].receipt for ident in idents]
    assert [receipt.index for receipt in receipts] == list(range(40))
    assert all(set(receipt.seconds) == {"compute", "spool"} for receipt in receipts)


async def test_whole_life_of_an_item(driver):
    """Probe, chunks on two workers, finalise, inspect: the part holds the chunks in order."""
    first, second = await driver.worker(), await driver.worker()
    params = {"chunks": 6}
    driver.pool.submit(
        first,
        ProbeTask(900, "a.txt", str(driver.root / "source"), {}, "test.faulty", params, {}, None),
    )
    plan = (await driver.outcome(900)).receipt
    assert len(plan.grid) == 6
    idents = [driver.chunk((first, second)[index % 2], index) for index in range(6)]
    segments = [(await driver.outcome(ident)).receipt.segment for ident in idents]
    assert len({segment.spool for segment in segments}) == 2
    receipt = (await driver.outcome(driver.finalise(second, reversed(segments)))).receipt
    again = (await driver.outcome(driver.finalise(first, segments))).receipt
    assert receipt == again
    driver.pool.submit(first, InspectTask(901, "test.faulty", receipt.part_path))
    seen = (await driver.outcome(901)).receipt
    assert (seen.fingerprint, seen.size, seen.digest) == (
        "ab" * 16,
        receipt.size,
        receipt.digest,
    )


CRASHES = [
    ("segfault", "signal", "SIGSEGV"),
    ("abort", "signal", "SIGABRT"),
    ("sigkill", "signal", "SIGKILL"),
    ("exit", "exit", None),
]


@pytest.mark.parametrize(("fault", "cause", "name"), CRASHES)
async def test_crash_is_blamed_on_the_running_task_alone(driver, fault, cause, name):
    """A worker that dies is lost with the task it worked on; the rest of its queue goes back."""
    worker, other = await driver.worker(), await driver.worker()
    before = driver.chunk(worker)
    culprit = driver.fault(worker, fault)
    behind = tuple(driver.chunk(worker, index) for index in range(3))
    bystander = driver.chunk(other, 7)
    lost = await driver.loss(worker)
    assert (lost.running, lost.queued, lost.cause) == (culprit, behind, cause)
    assert lost.failure.error_class == "WorkerCrashError"
    assert lost.failure.reaction is Reaction.POISON
    assert lost.failure.evidence.get("signal") == name
    assert driver.outcomes[before].receipt is not None
    assert (await driver.outcome(bystander)).receipt is not None


async def test_crash_leaves_its_stack_as_evidence(driver):
    """The stack that faulthandler wrote is in the failure's evidence."""
    worker = await driver.worker()
    driver.fault(worker, "segfault")
    stderr = (await driver.loss(worker)).failure.evidence["stderr"]
    assert "Segmentation fault" in stderr
    assert "_segfault" in stderr


RAISES = [
    ("sys_exit", "OperationError", Reaction.UNKNOWN),
    ("interrupt", "OperationError", Reaction.UNKNOWN),
    ("unpicklable", "OperationError", Reaction.UNKNOWN),
    ("raise", "OperationError", Reaction.UNKNOWN),
    ("recursion", "OperationError", Reaction.UNKNOWN),
    ("memory_error", "MemoryBudgetError", Reaction.RESOURCE),
    ("transient", "RemoteIOError", Reaction.TRANSIENT),
    ("disk_full", "DiskFullError", Reaction.SPACE),
    ("file_limit", "DiskFullError", Reaction.SPACE),
    ("flood", "OperationError", Reaction.UNKNOWN),
]


@pytest.mark.parametrize(("fault", "kind", "reaction"), RAISES)
async def test_failure_is_answered_and_the_worker_lives(driver, fault, kind, reaction):
    """Whatever an operation raises comes back as a failure; the same worker takes the next task."""
    worker = await driver.worker()
    outcome = await driver.outcome(driver.fault(worker, fault))
    assert outcome.receipt is None
    assert (outcome.failure.error_class, outcome.failure.reaction) == (kind, reaction)
    after = await driver.outcome(driver.chunk(worker, 1))
    assert after.receipt.index == 1
    assert after.evidence == {}


async def test_binary_on_fd_2_is_evidence_and_no_failure(driver):
    """Bytes that are no text do no harm, and are kept escaped."""
    worker = await driver.worker()
    outcome = await driver.outcome(driver.fault(worker, "binary"))
    assert outcome.failure is None
    assert "\\xff" in outcome.evidence["stderr"]


async def test_warning_on_fd_2_is_evidence_and_no_failure(driver):
    """A warning spares the task, and is kept."""
    outcome = await driver.outcome(driver.fault(await driver.worker(), "warn"))
    assert outcome.failure is None
    assert "42112" in outcome.evidence["stderr"]


async def test_who_compiles_is_known(driver, monkeypatch):
    """From here, while it does; not of one that has been at it for too long."""
    worker, other = await driver.worker(), await driver.worker()
    assert driver.pool.compiling() == frozenset()
    driver.fault(worker, "compile")
    driver.fault(other, "hang")
    async with asyncio.timeout(20):
        while driver.pool.compiling() != {worker}:  # noqa: ASYNC110 - a page tells nobody
            await asyncio.sleep(0.02)
    monkeypatch.setattr(process_pool, "COMPILING_SECONDS", 0.0)
    assert driver.pool.compiling() == frozenset()
    for number in (worker, other):
        driver.pool.kill(number, "timeout")
        await driver.loss(number)


@pytest.mark.parametrize("fault", ["hang", "busy", "deaf", "stop", "child"])
async def test_hanging_task_is_killed(driver, fault):
    """A task that sleeps, holds the GIL, ignores SIGTERM, is stopped, or waits for a child ends."""
    worker = await driver.worker()
    culprit = driver.fault(worker, fault)
    behind = driver.chunk(worker, 1)
    await begun(driver, worker, culprit)
    await asyncio.sleep(0.1)
    pid = driver.ready[worker].pid
    if fault == "child":
        async with asyncio.timeout(20):
            while not procfs.children(pid):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
    children = procfs.children(pid)
    assert len(children) == (1 if fault == "child" else 0)
    driver.pool.kill(worker, "timeout")
    lost = await driver.loss(worker)
    assert (lost.running, lost.queued, lost.cause) == (culprit, (behind,), "timeout")
    assert lost.failure.error_class == "ChunkTimeoutError"
    for process in (pid, *children):
        assert await gone(process)


async def test_task_that_cannot_be_pickled_fails_alone(driver):
    """A task with a foreign object in it is answered with a failure and breaks nothing."""
    worker = await driver.worker()
    bad = driver.chunk(worker, 0, thing=lambda: 1)
    good = driver.chunk(worker, 1)
    assert (await driver.outcome(bad)).failure.stage == "send"
    assert (await driver.outcome(good)).receipt is not None


async def test_task_that_cannot_be_unpickled_fails_alone(driver):
    """A task whose params hold a class that is no message is answered by the worker."""
    worker = await driver.worker()
    bad = driver.chunk(worker, 0, thing=Path("x"))
    good = driver.chunk(worker, 1)
    failure = (await driver.outcome(bad)).failure
    assert failure.stage == "receive"
    assert "is not a message type" in failure.message
    assert (await driver.outcome(good)).receipt is not None


async def test_foreign_class_in_a_receipt_is_never_unpickled(driver):
    """A receipt with an object that is no message fails its task, not the engine."""
    worker = await driver.worker()
    bad = driver.chunk(worker, 0, op="test.foreign")
    # No such operation: the failure comes back like any other.
    failure = (await driver.outcome(bad)).failure
    assert failure.error_class == "ConfigError"
    state = driver.pool._workers[worker]
    ident = driver.chunk(worker, 1, milliseconds=300)
    driver.pool._message(state, ident, b"cos\nsystem\n(S'true'\ntR.")
    failure = (await driver.outcome(ident)).failure
    assert "is not plain data" in failure.message
    assert "system is not a message type" in failure.message


async def test_answer_sent_before_death_counts(driver):
    """A worker that dies right after its answer loses nothing and leaves nobody to blame."""
    worker = await driver.worker()
    ident = driver.chunk(worker)
    state = driver.pool._workers[worker]
    # The loop does not look at the pipe until the worker is dead.
    asyncio.get_running_loop().remove_reader(state.pipe._end.fileno())
    async with asyncio.timeout(20):
        while not select.select([state.pipe._end], [], [], 0)[0]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    os.kill(driver.ready[worker].pid, signal.SIGKILL)
    lost = await driver.loss(worker)
    assert driver.outcomes[ident].receipt is not None
    assert (lost.running, lost.queued) == (None, ())


async def test_worker_killed_while_idle_blames_nobody(driver):
    """SIGKILL from outside at an idle worker: no task is to blame, the words say who did it."""
    worker = await driver.worker()
    os.kill(driver.ready[worker].pid, signal.SIGKILL)
    lost = await driver.loss(worker)
    assert (lost.running, lost.queued, lost.cause) == (None, (), "signal")
    assert "somebody killed it" in lost.failure.message


async def test_task_that_was_not_begun_is_not_blamed(driver):
    """A worker that dies before it takes up its queue leaves nobody to blame."""
    worker = await driver.worker()
    os.kill(driver.ready[worker].pid, signal.SIGSTOP)
    queued = (driver.chunk(worker, 0), driver.chunk(worker, 1))
    await asyncio.sleep(0.1)
    os.kill(driver.ready[worker].pid, signal.SIGKILL)
    lost = await driver.loss(worker)
    assert (lost.running, lost.queued) == (None, queued)


async def test_worker_that_dies_before_it_is_ready(driver):
    """Tasks given to a worker that never came up go back, and nobody is to blame."""
    # A directory where its file should be.
    (driver.root / "state").mkdir(exist_ok=True)
    (driver.root / "state" / "worker-1.err").mkdir()
    worker = driver.pool.spawn()
    ident = driver.chunk(worker)
    lost = await driver.loss(worker)
    assert (lost.running, lost.queued, lost.cause) == (None, (ident,), "exit")
    (driver.root / "state" / "worker-1.err").rmdir()


async def test_kill_before_start(driver):
    """A worker may be killed before it has a pid."""
    worker = driver.pool.spawn()
    driver.pool.kill(worker, "memory")
    lost = await driver.loss(worker)
    assert lost.cause == "memory"
    assert lost.failure.error_class == "MemoryBudgetError"


async def test_retire_finishes_the_queue(driver):
    """A retired worker does all that it was given, then ends without a failure."""
    worker = await driver.worker()
    idents = [driver.chunk(worker, index) for index in range(5)]
    driver.pool.retire(worker)
    late = driver.chunk(worker, 6)
    lost = await driver.loss(worker)
    assert all(driver.outcomes[ident].receipt for ident in idents)
    assert (lost.running, lost.queued, lost.cause, lost.failure) == (None, (late,), "retired", None)


async def test_close_lets_the_running_task_finish_only(driver):
    """Closing waits for the task at work; those behind it go back."""
    worker = await driver.worker()
    first = driver.chunk(worker, 0, milliseconds=400)
    second = driver.chunk(worker, 1, milliseconds=400)
    await begun(driver, worker, first)
    await driver.pool.close(20.0)
    lost = driver.lost[worker]
    assert first in driver.outcomes
    assert (lost.running, lost.queued, lost.cause) == (None, (second,), "retired")


async def test_close_ends_what_does_not_finish_in_time(driver):
    """Past its grace a hanging worker is ended; its task goes back without a failure."""
    worker = await driver.worker()
    ident = driver.fault(worker, "deaf")
    await begun(driver, worker, ident)
    async with asyncio.timeout(30):
        await driver.pool.close(0.2)
    lost = driver.lost[worker]
    assert (lost.running, lost.cause, lost.failure) == (ident, "retired", None)


async def test_grown_worker_is_replaced(tmp_path, monkeypatch):
    """A worker that stays large after a task ends by itself after what it was given."""
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    driver = PoolDriver(ProcessPool(tmp_path / "state", growth=64 << 20), tmp_path)
    worker = await driver.worker()
    leaky = driver.fault(worker, "leak", megabytes=100)
    behind = driver.chunk(worker, 1)
    lost = await driver.loss(worker)
    assert driver.outcomes[leaky].receipt is not None
    assert driver.outcomes[behind].receipt is not None
    assert (lost.cause, lost.failure) == ("retired", None)
    await driver.pool.close(1.0)


async def test_peak_of_memory_is_that_of_the_task(driver):
    """rss_peak shows what a task held, and the next task starts from nothing."""
    worker = await driver.worker()
    big = await driver.outcome(driver.fault(worker, "allocate", megabytes=128))
    small = await driver.outcome(driver.chunk(worker, 1, milliseconds=20))
    assert big.rss_peak - big.rss > 100 << 20
    assert small.rss_peak - small.rss < 50 << 20


async def test_rss_counts_children(driver):
    """The resident size of a worker includes the processes that it started."""
    worker = await driver.worker()
    alone = driver.pool.rss()[worker]
    driver.fault(worker, "child")
    async with asyncio.timeout(20):
        while driver.pool.rss()[worker] <= alone + (4 << 20):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    driver.pool.kill(worker, "timeout")
    await driver.loss(worker)


async def test_flood_is_cut_while_it_runs(driver):
    """A file that a task floods without end stays small, though the worker cannot look."""
    worker = await driver.worker()
    ident = driver.fault(worker, "hang")
    await begun(driver, worker, ident)
    path = driver.root / "state" / f"worker-{worker}.err"
    with path.open("ab") as file:
        file.write(b"y" * (17 << 20))
    driver.pool._watch_floods()
    assert path.stat().st_size < 1 << 16
    driver.pool.kill(worker, "timeout")
    lost = await driver.loss(worker)
    assert lost.running == ident
    assert "floods fd 2" in lost.failure.evidence["stderr"]


async def test_large_message_does_not_block_the_loop(driver):
    """Megabytes to a busy worker are written as it reads them; the loop turns meanwhile."""
    worker = await driver.worker()
    pid = driver.ready[worker].pid
    os.kill(pid, signal.SIGSTOP)
    goes_on = threading.Timer(20, os.kill, (pid, signal.SIGCONT))  # else a loop that waits hangs
    goes_on.start()
    try:
        big = driver.chunk(worker, 0, text="x" * (8 << 20))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert driver.pool._workers[worker].pipe._writing
    finally:
        goes_on.cancel()
        os.kill(pid, signal.SIGCONT)
    assert (await driver.outcome(big)).receipt is not None
    assert not driver.pool._workers[worker].pipe._writing


async def test_closed_descriptors_end_the_worker_not_the_pool(driver):
    """A task that closes the worker's own pipe is blamed; the pool goes on."""
    worker = await driver.worker()
    ident = driver.fault(worker, "close_pipe")
    lost = await driver.loss(worker)
    assert lost.running == ident
    assert (await driver.outcome(driver.chunk(await driver.worker()))).receipt is not None


async def test_poison_and_random_kills(driver):
    """10 poison tasks among 200 and kills from outside: each found, no innocent blamed."""
    todo = [(index, index % 20 == 7) for index in range(200)]
    owner: dict[int, tuple[int, bool]] = {}
    workers: set[int] = set()
    blamed: list[tuple[tuple[int, bool], Lost]] = []
    done: set[int] = set()
    killed: set[int] = set()

    def feed(worker: int) -> None:
        while todo and sum(1 for w, _ in owner_of.values() if w == worker) < 4:
            index, poison = todo.pop()
            faults = {"segfault": [index]} if poison else {}
            ident = driver.chunk(worker, index, faults=faults, milliseconds=1, op="test.faulty")
            owner[ident] = (index, poison)
            owner_of[ident] = (worker, index)

    owner_of: dict[int, tuple[int, int]] = {}
    workers = {await driver.worker(), await driver.worker()}
    seen = len(driver.events)
    for worker in workers:
        feed(worker)
    strikes = 0
    while len(done) + len({entry[0][0] for entry in blamed if entry[0][1]}) < 200:
        await driver.until(lambda count=seen: len(driver.events) > count)
        event = driver.events[seen]
        seen += 1
        if isinstance(event, Answered):
            done.add(owner[event.outcome.task_id][0])
            owner_of.pop(event.outcome.task_id)
            if len(done) % 40 == 0 and strikes < 4:
                strikes += 1
                killed.add(event.worker)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(driver.ready[event.worker].pid, signal.SIGKILL)
            elif event.worker not in driver.lost:
                feed(event.worker)
        elif isinstance(event, Lost):
            for ident in (event.running, *event.queued):
                if ident is not None:
                    owner_of.pop(ident)
            todo += [owner[ident] for ident in event.queued]
            if event.running is not None:
                blamed.append((owner[event.running], event))
                if event.worker in killed and not owner[event.running][1]:
                    todo.append(owner[event.running])
            feed(await driver.worker())
    convicted = {entry[0] for entry, lost in blamed if lost.worker not in killed}
    assert convicted <= {index for index in range(200) if index % 20 == 7}
    assert done == {index for index in range(200) if index % 20 != 7}
    assert strikes == 4


async def test_descriptors_do_not_leak(driver):
    """60 workers come and go, some by force; the engine has as many open files as before."""

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    first = await driver.worker()
    driver.pool.retire(first)
    await driver.loss(first)
    before = descriptors()
    for base in range(0, 60, 10):
        started = [driver.pool.spawn() for _ in range(10)]
        for offset, worker in enumerate(started):
            if (base + offset) % 3 == 0:
                driver.pool.kill(worker, "timeout")
            else:
                driver.pool.retire(worker)
        for worker in started:
            await driver.loss(worker)
    assert descriptors() == before
    assert list((driver.root / "state").iterdir()) == []


ENGINE = """
import asyncio, os, sys
from pathlib import Path
from geobatch_tui.orchestration.workers.process_pool import ProcessPool
sys.path.insert(0, {tests!r})
from pool_driver import PoolDriver

async def main():
    root = Path({root!r})
    driver = PoolDriver(ProcessPool(root / "state"), root)
    for fault in ("busy", "hang", "stop", "child", None):
        worker = await driver.worker()
        if fault:
            driver.fault(worker, fault)
    workers = [ready.pid for ready in driver.ready.values()]
    from geobatch_tui.execution.worker.process import RUNNING
    from geobatch_tui.orchestration.workers import procfs as proc
    children = []
    while not children or sum(one.cells[RUNNING] > 0 for one in driver.pool._workers.values()) < 4:
        await asyncio.sleep(0.01)
        children = [child for pid in workers for child in proc.children(pid)]
    pids = workers + children
    print(*pids, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_no_worker_outlives_its_engine(tmp_path, number):
    """Soon after the engine died no worker is left: not one that holds the GIL, is stopped, or
    has a child."""
    code = textwrap.dedent(ENGINE).format(
        tests=str(Path(pool_driver.__file__).parent), root=str(tmp_path)
    )
    engine = subprocess.Popen(  # noqa: ASYNC220 - the test waits for it
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GEOBATCH_OPS": OPS},
    )
    with engine:
        pids = [int(word) for word in engine.stdout.readline().split()]
        assert len(pids) == 6
        assert all(alive(pid) for pid in pids)
        engine.send_signal(number)
        engine.wait()
        for pid in pids:
            assert await gone(pid)


async def test_workers_are_in_no_terminal_group(driver):
    """A worker leads a process group of its own and ignores SIGINT and SIGHUP."""
    worker = await driver.worker()
    pid = driver.ready[worker].pid
    assert os.getpgid(pid) == pid
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGHUP)
    assert (await driver.outcome(driver.chunk(worker))).receipt is not None


async def test_engine_environment_is_untouched(driver, monkeypatch):
    """Starting the fork server leaves the engine's own environment as it was."""
    # Workers that were threads of this process have set it.
    monkeypatch.delenv("GDAL_VRT_ENABLE_RAWRASTERBAND", raising=False)
    await driver.worker()
    assert "GDAL_VRT_ENABLE_RAWRASTERBAND" not in os.environ


def test_frames_survive_any_cut():
    """Messages come out whole wherever the stream is cut."""
    receipt = ChunkReceipt(0, None, 1, 2, 3, 0.0, {})
    stream = b"".join(wire.pack(ident, replace(receipt, index=ident)) for ident in range(5))
    for step in (1, 7, 64, len(stream)):
        frames = wire.Frames()
        out = [
            (ident, wire.unpack(body).index)
            for start in range(0, len(stream), step)
            for ident, body in frames.feed(stream[start : start + step])
        ]
        assert out == [(index, index) for index in range(5)]


def test_lost_framing_is_an_error():
    """A stream that is no frames is refused rather than waited for."""
    with pytest.raises(ValueError, match="a frame of"):
        list(wire.Frames().feed(b"\xff" * 64))


@pytest.mark.skipif(not landlock(), reason="this kernel has no Landlock")
async def test_a_confined_worker_writes_where_it_may(tmp_path, monkeypatch):
    """The spool of a chunk lies in a folder that it was given, or not; both are answered."""
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    (tmp_path / "work").mkdir()
    for write, failed in ([str(tmp_path / "work")], False), ([], True):
        pool = ProcessPool(tmp_path / "state", kill_after=0.5, write=write)
        driver = PoolDriver(pool, tmp_path)
        outcome = await driver.outcome(driver.chunk(await driver.worker()))
        assert (outcome.failure is not None) == failed
        if outcome.failure is not None:
            assert outcome.failure.error_class == "OperationError"
            assert "work" in outcome.failure.message
            assert "engine.sandbox" in outcome.failure.hint
        temporary = Path(pool._temporary.name)
        assert temporary.is_dir()
        await pool.close(2.0)
        assert not temporary.exists()
