"""A trial: a few chunks of a plan, run by the engine itself, and nothing else touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked_command
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_project import Project

import geobatch_tui
from geobatch_tui.config.schema import dump_job
from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.ledger.schema.updates import ChunkRow, ChunkState
from geobatch_tui.orchestration.dry_run import CHUNKS, WORKERS, Trial, TriedChunk, choose, run_trial
from geobatch_tui.orchestration.plan.plan_report import ItemReason, PlanReport
from geobatch_tui.orchestration.plan.resources import Resources
from geobatch_tui.orchestration.run.control import Control
from geobatch_tui.orchestration.state import run_index

if TYPE_CHECKING:
    from collections.abc import Sequence


def report_of(*entries: ItemReason) -> PlanReport:
    return PlanReport(2, "out", entries=list(entries))


def entry(key: str, chunks: int, reason: str = "new", **more: Any) -> ItemReason:
    return ItemReason(key, (ChunkGrid(chunks, 1, 1, 1),), reason, "", **more)


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from(["new", "current", "param_changed"])),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 12),
)
def test_chunks_are_spread_over_what_is_to_be_done(items: Sequence[Any], count: int) -> None:
    """As many as asked for, each once, of open items only, and nowhere far from all of them."""
    report = report_of(*(entry(str(at), size, reason) for at, (size, reason) in enumerate(items)))
    chosen, total = choose(report, count)
    open_ = [
        (str(at), index)
        for at, (size, reason) in enumerate(items)
        if reason != "current"
        for index in range(size)
    ]
    assert total == len(open_)
    found = [(key, index) for key, indexes in chosen.items() for index in indexes]
    assert len(set(found)) == len(found) == min(count, len(open_))
    places = [open_.index(one) for one in found]
    edges = [-1, *places, len(open_)]
    step = -(-len(open_) // max(1, len(found)))
    assert all(b - a <= 2 * step for a, b in pairwise(edges)) or not found


def test_the_first_chunk_of_a_worker_counts_little() -> None:
    """It compiles and opens what the next ones find; what is left out is as much at both ends."""

    def mean(*seconds: float) -> float | None:
        chunks = [TriedChunk("a", n, "a", s, 1, 1) for n, s in enumerate(seconds)]
        return Trial(chunks, 100, 8, "success", 0).seconds

    assert mean(0.2, 0.15, 0.01, 0.02, 0.03, 0.01, 0.02, 0.03, 0.02) == pytest.approx(0.024)
    assert mean(5.0, 1.0, 2.0) == 2.0
    assert mean(5.0, 1.0) == 3.0
    assert mean(5.0) == 5.0
    assert mean() is None


def test_chunks_of_an_unfinished_item_are_looked_up() -> None:
    """Those that are done or given up already are not tried; nor is what was refused."""
    states = [ChunkState.DONE, ChunkState.PENDING, ChunkState.DEAD, ChunkState.PENDING]
    rows = [ChunkRow(n + 1, 7, state, 0, 0, 0, 0.0) for n, state in enumerate(states)]
    report = report_of(
        entry("a.tif", 4, "was_interrupted", item_id=7), entry("b.tif", 1, refused=True)
    )
    report.chunk_rows = lambda item_id: rows if item_id == 7 else []
    assert choose(report) == ({"a.tif": [1, 3]}, 2)


def test_what_is_behind_a_stage_is_not_tried_but_counted() -> None:
    stage, output = ChunkGrid(3, 1, 1, 1), ChunkGrid(5, 1, 1, 1)
    report = report_of(ItemReason("a.tif", (stage, output), "new", ""))
    assert choose(report) == ({"a.tif": [0, 1, 2]}, 8)


def test_the_whole_is_estimated_from_what_was_done() -> None:
    """Chunks that died say nothing of time; without any that was done there is no estimate."""
    done = [TriedChunk("a", n, f"a@0,{n}", s, 100 + n, 50) for n, s in enumerate((1.0, 3.0))]
    dead = TriedChunk("a", 9, "a@0,9", None, None, 0, "CorruptSourceError: cut off")
    trial = Trial((*done, dead), todo=100, workers=4, state="partial", exit_code=12)
    assert (trial.seconds, trial.estimate_s, trial.output_bytes) == (2.0, 50.0, 5000.0)
    assert trial.peak_bytes == 101
    assert Trial.from_json(json.loads(json.dumps(trial.to_json()))) == trial
    assert Trial((dead,), 100, 4, "failed", 1).estimate_s is None


async def test_a_trial_leaves_run_and_index_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a directory with an earlier run no byte changes; what is tried is what was chosen."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    log = tmp_path / "mine.jsonl"
    project = Project(tmp_path, inputs=["a.tif", "b.tif"], values={"log": {"file": str(log)}})
    await project.run()
    before = everything(project.out), log.read_bytes(), run_index.known()
    changed = project.job(bytes=65, faults={"raise": [3]})
    report = await geobatch_tui.plan(changed)
    chosen, total = choose(report)
    assert sum(len(indexes) for indexes in chosen.values()) == CHUNKS
    chosen["a.tif"] = [3, 5]
    (tmp_path / "scratch").mkdir()
    trial = await run_trial(changed, chosen, tmp_path / "scratch", open_chunks=total)
    assert [chunk.label for chunk in trial.chunks if chunk.item == "a.tif"] == [
        "a.tif@0,3",
        "a.tif@0,5",
    ]
    dead = [chunk for chunk in trial.chunks if chunk.seconds is None]
    assert {chunk.index for chunk in dead} <= {3}
    assert all(chunk.error for chunk in dead)
    assert all(chunk.bytes_out for chunk in trial.chunks if chunk.seconds is not None)
    assert trial.todo == 20
    assert (everything(project.out), log.read_bytes(), run_index.known()) == before


def everything(root: Path) -> dict[str, bytes]:
    """All files, but those that SQLite makes for any reader."""
    return {
        str(path): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


async def test_whole_items_end_a_trial_too(tmp_path: Path) -> None:
    """Where all chunks of an item are chosen it is assembled; one of a single chunk is, always."""
    project = Project(tmp_path, op={"chunks": 2}, inputs=["a.tif", "b.tif"])
    trial = await run_trial(
        project.job(), {"a.tif": [0, 1], "b.tif": [1]}, tmp_path / "one", open_chunks=4
    )
    assert [chunk.seconds is not None for chunk in trial.chunks] == [True] * 3
    assert (tmp_path / "one" / "out" / "a.tif").exists()
    assert not (tmp_path / "one" / "out" / "b.tif").exists()
    single = Project(tmp_path, op={"chunks": 1})
    trial = await run_trial(single.job(), {"a.tif": [0]}, tmp_path / "two", open_chunks=1)
    assert trial.state == "success"
    assert not project.out.exists()


async def test_a_trial_has_the_chunks_of_the_whole_job(tmp_path: Path) -> None:
    """It takes few workers, but the size of a chunk is that which the job's own workers leave."""
    project = Project(tmp_path, values={"engine": {"max_workers": 6}})
    snapshots: list[Any] = []
    sizes: list[int] = []
    resources = Resources.of(project.job().job)
    recipe = resources.recipe(project.job().job, get_operation("test.faulty"))
    with pytest.MonkeyPatch.context() as patch:
        whole = Resources.recipe

        def spied(self: Resources, job: Any, operation: Any) -> Any:
            found = whole(self, job, operation)
            sizes.append(found.chunking.max_bytes)
            return found

        patch.setattr(Resources, "recipe", spied)
        trial = await run_trial(
            project.job(milliseconds=50),
            {"a.tif": list(range(10))},
            tmp_path / "scratch",
            open_chunks=10,
            observe=snapshots.append,
        )
    assert sizes == [recipe.chunking.max_bytes]
    assert trial.workers == resources.workers
    assert max(snapshot.workers for snapshot in snapshots) <= WORKERS


async def test_a_trial_can_be_ended(tmp_path: Path) -> None:
    """What was in flight is not counted as dead."""
    project = Project(tmp_path, op={"milliseconds": 60_000})
    control = Control()

    def cancel(snapshot: Any) -> None:
        if snapshot.counts["running"]:
            control.send("cancel")

    trial = await run_trial(
        project.job(),
        {"a.tif": [0, 5, 9]},
        tmp_path / "scratch",
        open_chunks=10,
        observe=cancel,
        control=control,
    )
    assert trial.state == "interrupted"
    assert [(chunk.seconds, chunk.error) for chunk in trial.chunks] == [(None, "")] * 3


async def test_nothing_to_try_is_refused(tmp_path: Path) -> None:
    """An item that is no part of the job is none to try."""
    with pytest.raises(PreflightError, match="nothing to try"):
        await run_trial(Project(tmp_path).job(), {"z.tif": [0]}, tmp_path / "s", open_chunks=0)


def test_a_trial_by_hand_is_told_the_way(tmp_path: Path) -> None:
    """The command is for the console; a person is shown the one for people."""
    done = subprocess.run(
        [sys.executable, "-m", "geobatch_tui", "trial"],
        env={**os.environ, "GEOBATCH_ENGINE__EXECUTOR": "thread"},
        input=b"\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"plan JOB.toml --try" in done.stderr


@pytest.mark.parametrize("stays", [True, False])
def test_the_process_of_a_trial(tmp_path: Path, stays: bool) -> None:
    """It tells what it found; if nobody waits for it any more it ends, and removes its scratch."""
    slow = {} if stays else {"milliseconds": 60_000}
    job = Project(tmp_path, op={**slow, "chunks": 4}).job()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    wanted = {
        "job": dump_job(job.job),
        "chunks": {"a.tif": [0, 2]},
        "todo": 4,
        "scratch": str(scratch),
    }
    asks, tells = os.pipe()
    hears, says = os.pipe()
    with (
        os.fdopen(asks, "rb") as stdin,
        os.fdopen(says, "wb") as stdout,
        (tmp_path / "errors").open("wb") as stderr,
    ):
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        child = forked_command.begin(["trial"], env=dict(os.environ), **streams)
    with os.fdopen(tells, "wb", buffering=0) as to, os.fdopen(hears, "rb") as heard:
        to.write(json.dumps(wanted).encode() + b"\n")
        said = [json.loads(heard.readline())]
        if not stays:
            to.close()
        said += [json.loads(line) for line in heard]
        assert child.wait(30) == 0
    assert "done" in said[0]
    assert said[-1]["trial"]["state"] == ("success" if stays else "interrupted")
    assert not scratch.exists()
