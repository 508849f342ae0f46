"""What `plan` says, `run` does: both refuse the same jobs, and warn of the same things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project

import geobatch_tui
from geobatch_tui.errors import OperationError, PreflightError
from geobatch_tui.orchestration.plan import plan_report
from geobatch_tui.testing.ops import FAULTY

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path


THREADS = {"engine": {"executor": "thread", "max_workers": 2}}


async def refusal(work: Awaitable[Any]) -> str:
    """The message of the error that the work is refused with; empty: it is not."""
    try:
        await work
    except PreflightError as error:
        return error.message
    return ""


@pytest.mark.parametrize("compress", ["none", "NONE", "deflate", None])
@pytest.mark.parametrize("inputs", [["a.tif"], ["a.tif", "b.tif", "c.tif", "d.tif"]])
async def test_both_count_on_the_same_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: str | None, inputs: list[str]
) -> None:
    """An item (or four) larger than the disk fits if, and only if, it is compressed."""
    creation = {} if compress is None else {"compress": compress}
    project = Project(tmp_path, inputs=inputs, values=THREADS | {"output": {"creation": creation}})
    free = 300 if len(inputs) == 1 else 1000  # an item is 384 bytes
    monkeypatch.setattr(plan_report, "free_disk", lambda _: free)
    planned = await refusal(geobatch_tui.plan(project.job()))
    ran = await refusal(geobatch_tui.run(project.job()))
    assert planned == ran
    assert bool(planned) is (compress in {"none", "NONE"})


async def test_both_refuse_a_log_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("of somebody\n")
    project = Project(tmp_path, values=THREADS | {"log": {"file": str(tmp_path / "notes")}})
    planned = await refusal(geobatch_tui.plan(project.job()))
    assert "log.file" in planned
    assert planned == await refusal(geobatch_tui.run(project.job()))


async def test_both_tell_of_outputs_that_lost_their_input(tmp_path: Path) -> None:
    project = Project(tmp_path, inputs=["a.tif", "b.tif"], values=THREADS)
    await project.run()
    project.inputs.remove("b.tif")
    planned = (await geobatch_tui.plan(project.job())).warnings
    assert [text.partition(":")[0] for text in planned] == ["b.tif"]
    assert planned == list((await project.run()).warnings)


async def test_a_plan_that_ends_early_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each probe fails the run stops; a report of some of the inputs would look whole."""

    def fail(*_: object) -> None:
        raise OperationError("no library")

    monkeypatch.setattr(type(FAULTY), "probe", fail)
    project = Project(tmp_path, inputs=[f"{number}.tif" for number in range(40)], values=THREADS)
    with pytest.raises(OperationError, match=r"ended early \(systemic\): .*no library"):
        await geobatch_tui.plan(project.job())
    assert (await project.run()).state == "stopped"


async def test_both_warn_of_more_failures_than_are_allowed(tmp_path: Path) -> None:
    values = THREADS | {"failures": {"max_failures": "1"}}
    project = Project(tmp_path, inputs=["a.tif", "b.tif", "c.tif"], values=values)
    job = project.job()
    for name in ("b.tif", "c.tif"):
        project.source(name).unlink()
    report = await geobatch_tui.plan(job)
    assert ["failures.max_failures" in text for text in report.warnings] == [True]
    result = await geobatch_tui.run(job)
    assert (result.state, list(result.warnings)) == ("stopped", report.warnings)
