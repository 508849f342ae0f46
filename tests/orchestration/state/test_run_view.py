"""A run seen from outside: its status, its rates, its end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from run_project import Project

import geobatch_tui
from geobatch_tui.errors import GeobatchError, StateError
from geobatch_tui.ledger.place.lock import RunLock
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.orchestration.run.control import Control
from geobatch_tui.orchestration.state.run_view import exit_code_of, is_live, state_now

JOB = {"job": {"op": {"name": "vector.filter"}}}


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir.open(tmp_path / "out", create=True)


async def test_an_ended_run_has_the_rates_of_its_result(tmp_path: Path) -> None:
    """The same names and figures, over the time in which chunks were worked at; the path is
    absolute."""
    project = Project(tmp_path)
    result = await project.run()
    status = geobatch_tui.open_run(project.out).status()
    assert status["rates"].keys() == result.rates.keys()
    assert "mpx_per_s" in result.rates
    assert status["rates"]["chunks_per_s"] == pytest.approx(result.rates["chunks_per_s"], rel=0.5)
    assert result.rates["chunks_per_s"] * result.duration_s > 10  # to plan is no work at chunks


def test_rates_name_what_is_counted(tmp_path: Path, state: StateDir) -> None:
    """Features a second where features are counted, and the path of a status is absolute however
    the directory was given."""
    with Ledger.open(state.ledger, tmp_path / "out") as ledger:
        ledger.begin_run("r1", JOB, {})
        ledger.apply([lu.Noted("run.planned", {"current": 0, "unit_name": "features"})])
        ledger.apply([lu.RunEnded("success", 0, "complete")])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        status = geobatch_tui.open_run("out").status()
    assert "features_per_s" in status["rates"]
    assert status["output_dir"] == str(tmp_path / "out")


def has_begun(out: Path) -> bool:
    """Whether a run is recorded in the ledger of a directory."""
    try:
        return geobatch_tui.open_run(out).status()["state"] == "running"
    except GeobatchError:
        return False


async def test_a_live_run_is_waited_for(tmp_path: Path) -> None:
    """Until it has let go of its lock; the status has its code."""
    project, control = Project(tmp_path, op={"milliseconds": 20, "chunks": 1000}), Control()
    task = asyncio.create_task(geobatch_tui.run(project.job(), control=control))
    async with asyncio.timeout(30):
        while not has_begun(project.out):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    waiting = asyncio.create_task(asyncio.to_thread(geobatch_tui.open_run(project.out).wait, 0.02))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    control.send("drain")
    status = await asyncio.wait_for(waiting, 30)
    result = await task
    assert (status["run_id"], status["state"]) == (result.run_id, "interrupted")
    assert exit_code_of(status) == result.exit_code == 130


def test_a_run_that_began_again_is_another(tmp_path: Path, state: StateDir) -> None:
    """Who waits for the run that holds the directory does not get the end of the one before, nor
    of the one behind."""
    with Ledger.open(state.ledger, tmp_path / "out") as ledger:
        ledger.begin_run("r1", JOB, {})
        ledger.apply([lu.RunEnded("success", 0, "complete")])
        view = geobatch_tui.open_run(tmp_path / "out")
        assert view.wait(0.01)["exit_code"] == 0
        with RunLock.acquire(state.lock, run_id="r2") as lock:
            looks = 0

            def sleep(_: float) -> None:
                nonlocal looks
                looks += 1
                if looks == 2:
                    ledger.begin_run("r2", JOB, {})
                    ledger.apply([lu.RunEnded("partial", 12, "complete")])
                    ledger.begin_run("r3", JOB, {})
                    lock.update(run_id="r3")

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("geobatch_tui.orchestration.state.run_view.time.sleep", sleep)
                status = view.wait()
    assert (status["run_id"], exit_code_of(status)) == ("r2", 12)


def test_a_run_whose_process_died(tmp_path: Path, state: StateDir) -> None:
    """It is not waited for; its code is 17, and its time ends with its last sign of life."""
    with Ledger.open(state.ledger, tmp_path / "out") as ledger:
        ledger.begin_run("r1", JOB, {})
        ledger.apply([lu.Noted("progress", {"units_per_s": 1.0})])
    with pytest.MonkeyPatch.context() as patch:
        later = time.time() + 3600
        patch.setattr("geobatch_tui.orchestration.state.run_view.time.time", lambda: later)
        status = geobatch_tui.open_run(tmp_path / "out").wait()
    assert (status["state"], status["exit_code"], exit_code_of(status)) == ("crashed", None, 17)
    assert status["duration_s"] < 60


def test_a_run_that_never_began(tmp_path: Path, state: StateDir) -> None:
    """It held the directory and was refused: its end is nobody else's."""
    with Ledger.open(state.ledger, tmp_path / "out") as ledger:
        ledger.begin_run("r1", JOB, {})
        ledger.apply([lu.RunEnded("success", 0, "complete")])
    lock = RunLock.acquire(state.lock, run_id="r2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "geobatch_tui.orchestration.state.run_view.time.sleep", lambda _: lock.release()
        )
        with pytest.raises(StateError, match="r2 never began"):
            geobatch_tui.open_run(tmp_path / "out").wait()


@pytest.mark.parametrize("ended", [False, True])
def test_a_run_is_live_while_it_has_no_end_and_its_lock_is_held(
    state: StateDir, *, ended: bool
) -> None:
    """A lock that is held after its end is another's."""
    with Ledger.open(state.ledger) as ledger:
        ledger.begin_run("r1", JOB, {})
        if ended:
            ledger.apply([lu.RunEnded("partial", 12, "complete")])
    with LedgerReader(state.ledger) as reader:
        run = reader.run()
    assert run is not None
    assert not is_live(run, state.lock)
    assert state_now(run, live=False) == ("partial" if ended else "crashed")
    with RunLock.acquire(state.lock):
        assert is_live(run, state.lock) is not ended
        assert not is_live(None, state.lock)
    assert state_now(run, live=True) == ("partial" if ended else "running")
