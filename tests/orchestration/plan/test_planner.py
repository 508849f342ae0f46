"""What the planner asks of workers."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

import pytest
from run_project import Project

import geobatch_tui
from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan, Outcome
from geobatch_tui.orchestration.plan import fingerprints
from geobatch_tui.orchestration.plan.inputs import expand
from geobatch_tui.orchestration.plan.plan_report import WORKER_BYTES, PlanReport
from geobatch_tui.orchestration.plan.planner import Planner
from geobatch_tui.orchestration.plan.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import SourceIdentity
    from geobatch_tui.orchestration.schedule import events as u


class Asked:
    """Stands for the dispatcher: keeps what is offered, and answers nothing."""

    def __init__(self) -> None:
        self.units: list[u.Unit] = []
        self.any = asyncio.Event()

    def tell(self, event: u.Offered) -> None:
        self.units += event.units
        self.any.set()


async def first_probe(root: Path, count: int) -> bytes:
    """The message that probes the first of ``count`` inputs."""
    root.mkdir()
    project = Project(root, inputs=[f"{number:04}.tif" for number in range(count)])
    job = project.job().job
    recipe = Recipe.of(job, get_operation(job.op.name), 1 << 20)
    planner = Planner(job, recipe, None, existing="adopt")
    asked = Asked()
    planner.attach(asked)
    decisions = planner.decide(expand(job.source.inputs, project.out, job.output.format))
    first = asyncio.ensure_future(anext(decisions))
    await asked.any.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    return wire.pack(1, planner.build(asked.units[0], 1, 1))


async def test_a_failing_disk_is_asked_again(tmp_path: Path, monkeypatch) -> None:
    """EIO at the first look at a source is tried again; if it stays, it is told as what it is."""
    project = Project(tmp_path, inputs=["a.tif", "b.tif", "c.tif"])
    left = {"a.tif": 2, "b.tif": 99}
    before = fingerprints.identify_file

    def failing(path: str) -> SourceIdentity:
        name = path.rpartition("/")[2]
        if left.get(name, 0):
            left[name] -= 1
            raise OSError(errno.EIO, "Input/output error", path)
        return before(path)

    monkeypatch.setattr(fingerprints, "identify_file", failing)
    report = (await geobatch_tui.plan(project.job())).to_json()
    assert report["reasons"]["new"] == 21
    assert left == {"a.tif": 0, "b.tif": 94}
    (refused,) = report["refused"]
    assert (refused["item"], refused["error_class"]) == ("b.tif", "RemoteIOError")


async def test_a_probe_is_as_long_for_one_input_as_for_hundreds(tmp_path: Path) -> None:
    alone = await first_probe(tmp_path / "1", 1)
    one_of_many = await first_probe(tmp_path / "2", 300)
    assert len(one_of_many) == len(alone)


class Answering:
    """Stands for the dispatcher: answers each probe with a plan of so many bytes, in turn."""

    def __init__(self, planner: Planner, sizes: list[int], chunk_bytes: int) -> None:
        self.planner, self.sizes, self.chunk_bytes = planner, sizes, chunk_bytes

    def tell(self, event: u.Offered) -> None:
        for unit in event.units:
            plan = ItemPlan(ChunkGrid(7, 5, 7, 5), self.chunk_bytes, self.sizes[unit.ident], {})
            outcome = Outcome(unit.ident, plan, None, 0.0, 0, 0)
            asyncio.get_running_loop().call_soon(self.planner.succeeded, unit, 0, outcome)


async def planned(
    root: Path, sizes: list[int], most_bytes: int, *, chunk_bytes: int = 1, budget: int = 0
) -> PlanReport:
    """The report of inputs whose outputs take ``sizes``."""
    project = Project(root, inputs=[f"{number}.tif" for number in range(len(sizes))])
    job = project.job().job
    recipe = Recipe.of(job, get_operation(job.op.name), 1 << 20)
    planner = Planner(job, recipe, None, existing="adopt", most_bytes=most_bytes)
    planner.attach(Answering(planner, sizes, chunk_bytes))
    report = PlanReport(1, str(root), budget=budget)
    async for decision in planner.decide(expand(job.source.inputs, project.out, job.output.format)):
        report.add(decision)
    return report


async def test_an_item_too_large_for_the_disk_is_refused_alone(tmp_path: Path) -> None:
    report = await planned(tmp_path, [500, 10**18, 500], 10**15)
    (letter,) = report.refused
    assert letter["item"] == "1.tif"
    assert letter["error_class"] == "DiskFullError"
    assert "7x5" in letter["error_message"]
    report.check_disk(compressed=True)
    assert report.output_bytes == 1000


async def test_a_job_of_which_no_item_fits_is_refused_whole(tmp_path: Path) -> None:
    report = await planned(tmp_path, [10**18], 10**15)
    with pytest.raises(PreflightError, match="cannot fit on the disk"):
        report.check_disk(compressed=True)


@pytest.mark.parametrize("room", [0, 1])
async def test_a_chunk_larger_than_the_budget_is_told_of(tmp_path: Path, room: int) -> None:
    """Before its worker is ended for it."""
    size = 700 * 2**20
    budget = size + WORKER_BYTES - 1 + room
    report = await planned(tmp_path, [1], 10**15, chunk_bytes=size, budget=budget)
    told = [one for one in report.warnings if "engine.memory_budget" in one]
    assert len(told) == 1 - room
    assert room or "700 MiB" in told[0]
