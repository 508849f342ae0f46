"""Steering a live run, from the same process and from another."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from run_project import Project

import geobatch_tui
from geobatch_tui.errors import StateError
from geobatch_tui.ledger.place.lock import RunLock, read_holder
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.run.control import Control, Steered, listening, send
from geobatch_tui.orchestration.run.monitor import Monitor
from geobatch_tui.orchestration.side_tasks.notifier import Notifier
from geobatch_tui.orchestration.state.outcome import RunResult


@asynccontextmanager
async def live(project: Project, **options: object) -> AsyncIterator[asyncio.Task[RunResult]]:
    """A run that has begun to work; drained at the end if it still runs."""
    began = asyncio.Event()

    def look(snapshot: geobatch_tui.Snapshot) -> None:
        if snapshot.counts["done"]:
            began.set()

    task = asyncio.create_task(geobatch_tui.run(project.job(), observe=look, **options))  # type: ignore[arg-type]
    waiting = asyncio.create_task(began.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    try:
        yield task
    finally:
        waiting.cancel()
        if not task.done():
            await asyncio.to_thread(send, project.out, "cancel")
            await asyncio.wait({task}, timeout=30)


def slow(tmp_path: Path, **op: object) -> Project:
    return Project(tmp_path, op={"chunks": 2000, "milliseconds": 10, **op})


async def unheard(*_: object) -> None:
    """Tell nobody of the end, for which a snapshot would be built."""


async def test_a_run_that_nobody_observes_builds_no_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console reads the ledger. Who takes snapshots later has them from then on, and the last."""
    built: list[geobatch_tui.Snapshot] = []
    snapshot = Monitor.snapshot

    def counted(monitor: Monitor) -> geobatch_tui.Snapshot:
        built.append(snapshot(monitor))
        return built[-1]

    monkeypatch.setattr(Monitor, "snapshot", counted)
    monkeypatch.setattr("geobatch_tui.orchestration.run.monitor.NOTE_PERIOD", 60.0)
    monkeypatch.setattr(Notifier, "end", unheard)
    began, taken = asyncio.Event(), asyncio.Event()
    control = Control(ready=began.set)
    task = asyncio.create_task(geobatch_tui.run(slow(tmp_path).job(), control=control))
    await asyncio.wait_for(began.wait(), 30)
    await asyncio.sleep(0.6)
    assert built == []
    seen: list[geobatch_tui.Snapshot] = []

    def take(each: geobatch_tui.Snapshot) -> None:
        seen.append(each)
        taken.set()

    control.observe = take
    await asyncio.wait_for(taken.wait(), 30)
    control.send("cancel")
    await asyncio.wait_for(task, 30)
    assert seen == built
    assert seen[-1].state == "interrupted"


async def test_a_live_run_answers_and_drains(tmp_path: Path) -> None:
    """A ping tells the state; drain ends the run in order, exit 130, resumable."""
    async with live(slow(tmp_path)) as task:
        reply = await asyncio.to_thread(send, tmp_path / "out", "ping")
        assert reply["state"] == "running"
        await asyncio.to_thread(send, tmp_path / "out", "drain")
        result = await asyncio.wait_for(task, 30)
    assert result.exit_code == 130
    assert 0 < result.counts["done"] < 2000


async def test_pause_stops_and_resume_goes_on(tmp_path: Path) -> None:
    """While paused nothing new is done, and nobody knows when it will end."""
    project = slow(tmp_path)

    async def end_is_known(*, known: bool) -> None:
        async with asyncio.timeout(20):
            while True:
                rates = geobatch_tui.open_run(project.out).status()["rates"]
                if (rates.get("eta_s") is not None) is known:
                    return
                await asyncio.sleep(0.1)

    async with live(project) as task:
        await end_is_known(known=True)
        await asyncio.to_thread(send, project.out, "pause")
        await end_is_known(known=False)
        await asyncio.sleep(0.5)
        before = geobatch_tui.open_run(project.out).status()["counts"]["done"]
        await asyncio.sleep(0.5)
        assert geobatch_tui.open_run(project.out).status()["counts"]["done"] == before
        await asyncio.to_thread(send, project.out, "resume")
        async with asyncio.timeout(20):
            while geobatch_tui.open_run(project.out).status()["counts"]["done"] <= before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert not task.done()


async def test_dead_letters_are_retried_while_the_run_goes_on(tmp_path: Path) -> None:
    """The cause was mended: retry_dead runs them in the same run, which ends with 0."""
    state = tmp_path / "state"
    state.mkdir()
    project = Project(
        tmp_path,
        op={
            "chunks": 300,
            "milliseconds": 20,
            "faults": {"raise": [0, 1]},
            "times": 2,
            "state_dir": str(state),
        },
        values={"retry": {"max_attempts": 2}},
    )
    async with live(project) as task:
        async with asyncio.timeout(20):
            while len(list(geobatch_tui.open_run(project.out).dead_letters())) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        reply = await asyncio.to_thread(send, project.out, "retry_dead", classes=["OperationError"])
        assert reply["requeued"] == 2
        result = await asyncio.wait_for(task, 60)
    assert (result.exit_code, result.counts["done"], result.counts["dead"]) == (0, 300, 0)
    assert result.items["published"] == 1


async def test_dead_letters_are_dismissed_while_the_run_goes_on(tmp_path: Path) -> None:
    """The note is in the record, and who gave it; the letter still counts."""
    faults = {"raise": [0, 1]}
    project = Project(tmp_path, op={"chunks": 300, "milliseconds": 20, "faults": faults})
    async with live(project) as task:
        with contextlib.closing(LedgerReader(StateDir.open(project.out).ledger)) as reader:
            async with asyncio.timeout(20):
                while len(reader.letters()) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            letters = [[letter.dead_id, letter.t] for letter in reader.letters()]
            told = {"letters": letters[:1], "note": "known"}
            reply = await asyncio.to_thread(send, project.out, "dismiss", **told)
            assert reply["dismissed"] == 1
            with pytest.raises(StateError, match="pair of numbers"):
                await asyncio.to_thread(send, project.out, "dismiss", letters=[7], note="x")
            result = await asyncio.wait_for(task, 60)
            first, second = reader.letters()
    assert first.record["dismissed"]["note"] == "known"
    assert first.record["dismissed"]["by"].startswith("uid ")
    assert "dismissed" not in second.record
    assert (result.exit_code, result.counts["dead"]) == (12, 2)


async def test_a_control_steers_from_a_thread(tmp_path: Path) -> None:
    """What a console in the same process uses."""
    control = Control()
    async with live(slow(tmp_path), control=control) as task:
        await asyncio.to_thread(control.send, "drain")
        assert (await asyncio.wait_for(task, 30)).exit_code == 130


async def test_a_refused_command_is_told_and_not_logged(tmp_path: Path) -> None:
    """One that does not fit, and one that comes when the run is over: who asked hears of it, and
    the loop has nothing to complain of."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    control = Control()
    async with live(slow(tmp_path), control=control) as task:
        with pytest.raises(StateError, match="workers must be 1 to"):
            await asyncio.wrap_future(control.send("set_workers", count=0))
        reply = await asyncio.wrap_future(control.send("set_workers", count=1))
        assert reply["workers"] == 1
        await asyncio.wrap_future(control.send("cancel"))
        await asyncio.wait_for(task, 30)
    with pytest.raises(StateError, match="the run refused pause: the committer is closed"):
        await asyncio.wrap_future(control.send("pause"))
    assert complaints == []


async def test_junk_on_the_socket_changes_nothing(tmp_path: Path) -> None:
    """Unknown verbs, bad JSON, half-open connections and long lines are refused."""
    project = slow(tmp_path)
    async with live(project) as task:
        holder = read_holder(project.out / ".geobatch/lock")
        assert holder is not None

        def talk(data: bytes) -> dict[str, object]:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(holder.socket)
                connection.sendall(data)
                line = connection.makefile("rb").readline()
                return json.loads(line) if line else {}

        half_open = socket.socket(socket.AF_UNIX)
        half_open.connect(holder.socket)
        deep = b"[" * 60_000 + b"\n"
        for junk in (b"no json\n", deep, b"[]\n", b'{"verb":"rm"}\n', b'{"verb":"set_workers"}\n'):
            assert (await asyncio.to_thread(talk, junk))["ok"] is False
        with contextlib.suppress(OSError):
            assert await asyncio.to_thread(talk, b"x" * 200_000 + b"\n") == {}
        assert not task.done()
        half_open.close()


async def test_nobody_listens_after_the_end(tmp_path: Path) -> None:
    """Commands to a finished run say so; the socket is gone."""
    project = Project(tmp_path)
    await project.run()
    holder = read_holder(project.out / ".geobatch/lock")
    assert holder is not None
    assert not Path(holder.socket).exists()
    with pytest.raises(StateError, match="no live run"):
        send(project.out, "ping")


async def test_sockets_of_killed_engines_are_swept(tmp_path: Path) -> None:
    """Those that somebody listens at stay, and those that may be about to be listened at."""

    def bound(name: str, *, listens: bool, age: float = 3600.0) -> tuple[Path, socket.socket]:
        path, one = tmp_path / name, socket.socket(socket.AF_UNIX)
        one.bind(str(path))
        if listens:
            one.listen()
        os.utime(path, (time.time() - age, time.time() - age))
        return path, one

    tmp_path.chmod(0o700)
    live, listener = bound("live.sock", listens=True)
    fresh, coming = bound("fresh.sock", listens=False, age=0.0)
    dead, gone = bound("dead.sock", listens=False)
    gone.close()
    async with listening(cast("Steered", None), tmp_path / "own.sock") as path:
        assert path is not None
        assert [one.exists() for one in (live, fresh, dead)] == [True, True, False]
    listener.close()
    coming.close()


async def test_two_engines_may_sweep_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that another one removed first is no reason not to listen."""
    tmp_path.chmod(0o700)
    seen = Path.glob

    def glob(directory: Path, pattern: str) -> list[Path]:
        return [*seen(directory, pattern), directory / "gone.sock"]

    monkeypatch.setattr(Path, "glob", glob)
    async with listening(cast("Steered", None), tmp_path / "own.sock") as path:
        assert path is not None


async def test_a_damaged_spool_is_computed_again(tmp_path: Path) -> None:
    """Assembly names the chunks whose bytes rotted; they are redone, the output is whole."""
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    good = Project(tmp_path / "good")
    await good.run()
    project = Project(tmp_path / "bad", op={"faults": {"raise": [9]}})
    await project.run()
    (spool, *_) = sorted((project.out / ".geobatch/work").rglob("*.spool"))
    body = bytearray(spool.read_bytes())
    body[0] ^= 1
    spool.write_bytes(body)
    project.op = {}
    result = await project.run(retry_dead=True)
    assert result.exit_code == 0
    assert result.counts["done"] + result.counts["current"] == 10
    assert project.tree() == good.tree()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_nothing_is_sent_for_another_users_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock file may name any socket of ours: what listens there gets no line."""
    state = StateDir.open(tmp_path / "out", create=True)
    with socket.socket(socket.AF_UNIX) as ours, RunLock.acquire(state.lock) as lock:
        ours.bind(str(tmp_path / "agent"))
        ours.listen()
        lock.update(socket=str(tmp_path / "agent"))
        os.chown(state.root, 4_000_000_000, 0)
        with pytest.raises(StateError, match="another user's"):
            send(tmp_path / "out", "ping")
        ours.settimeout(5)
        with ours.accept()[0] as there:
            assert there.recv(100) == b""
