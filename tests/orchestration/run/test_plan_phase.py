"""The plan phase of a run: decisions made durable, or nothing where it did not come to its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project
from scripted_session import logged, session_of

from geobatch_tui.errors import PreflightError, Reaction
from geobatch_tui.execution.protocol.messages import (
    ChunkGrid,
    Failure,
    ItemPlan,
    Outcome,
    ProbeTask,
)
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.plan import plan_report
from geobatch_tui.orchestration.plan.inputs import expand
from geobatch_tui.orchestration.plan.resources import Resources
from geobatch_tui.orchestration.run.monitor import Monitor
from geobatch_tui.orchestration.run.plan_phase import PlanPhase
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.testing.inline_pool import InlinePool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geobatch_tui.orchestration.state.session import Session

REFUSED = Failure("SchemaError", Reaction.PERMANENT, "no features")


def probed(task: Any) -> Outcome:
    """A plan of four chunks."""
    assert isinstance(task, ProbeTask)
    plan = ItemPlan(ChunkGrid(4, 1, 1, 1), 1, 100, {}, warnings=("it is odd",))
    return Outcome(task.task_id, plan, None, 0.0, 1, 1)


def refused(task: Any) -> Outcome:
    """A plan, but of b.tif."""
    return Outcome(task.task_id, None, REFUSED, 0.0, 1, 1) if task.key == "b.tif" else probed(task)


def phase_of(
    session: Session, project: Project, answer: Callable[[Any], Outcome | None] = probed
) -> tuple[PlanPhase, Monitor]:
    loaded = project.job()
    resources = Resources.of(loaded.job)
    monitor = Monitor(session, 0)
    scheduler = resources.scheduler(loaded.job, session.run_id, "probe")
    pool = InlinePool(answer)
    phase = PlanPhase(session, resources, monitor, pool, scheduler, outputs="adopt")
    return phase, monitor


async def run(phase: PlanPhase, project: Project) -> u.Finish:
    async with asyncio.timeout(20):
        return await phase.run(expand(project.job().job.source.inputs, project.out, "COG"))


async def test_a_plan_is_durable_and_told(tmp_path: Path) -> None:
    project = Project(tmp_path, inputs=["a.tif", "b.tif"])
    with session_of(project) as session:
        phase, monitor = phase_of(session, project)
        assert await run(phase, project) == u.Finish("complete")
        assert [row.key for row in session.reader.items()] == ["a.tif", "b.tif"]
        assert session.reader.counts()["pending"] == monitor.tally.total == 8
        assert phase.warnings == ("a.tif: it is odd", "b.tif: it is odd")
        assert [line["message"] for line in logged(session, "plan.warning")] == list(phase.warnings)
        (line,) = logged(session, "plan.done")
        assert line["message"] == "2 items, 8 chunks"
        assert (line["reasons"], line["output_bytes"], line["swept_parts"]) == ({"new": 8}, 200, 0)
        await session.flush()
        assert session.reader.last_event("run.planned") == {"current": 0, "unit_name": "px"}


async def test_parts_of_earlier_runs_are_swept_and_counted(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.out.mkdir()
    (project.out / ".a.dddddddd.0.part").write_bytes(b"half")
    with session_of(project) as session:
        phase, _ = phase_of(session, project)
        await run(phase, project)
        assert list(project.out.glob(".*.part")) == []
        assert logged(session, "plan.done")[0]["swept_parts"] == 1


async def test_an_item_without_input_is_an_orphan(tmp_path: Path) -> None:
    project = Project(tmp_path, inputs=["a.tif", "gone.tif"])
    for _ in range(2):
        with session_of(project) as session:
            phase, _ = phase_of(session, project)
            await run(phase, project)
            project.inputs = ["a.tif"]
            rows = {row.key: row.state for row in session.reader.items()}
    assert rows == {"a.tif": lu.ItemState.PLANNED, "gone.tif": lu.ItemState.ORPHAN}
    assert [text.partition(":")[0] for text in phase.warnings] == ["gone.tif"]


@pytest.mark.parametrize(("limit", "reason"), [("1", "complete"), ("0", "failures")])
async def test_too_many_refusals_end_the_run(tmp_path: Path, limit: str, reason: str) -> None:
    """The plan is durable all the same, with its letters."""
    project = Project(
        tmp_path, inputs=["a.tif", "b.tif"], values={"failures": {"max_failures": limit}}
    )
    with session_of(project) as session:
        phase, monitor = phase_of(session, project, refused)
        assert (await run(phase, project)).reason == reason
        assert session.reader.dead_by_class() == {"SchemaError": 1}
        assert monitor.tally.dead_by_class == {"SchemaError": 1}


async def test_a_plan_that_was_drained_is_not_written_as_one(tmp_path: Path) -> None:
    """What was decided is known to the next run; nothing says that the plan was done."""
    project = Project(tmp_path, inputs=["a.tif", "b.tif"])
    with session_of(project) as session:

        def drain(task: Any) -> Outcome:
            phase.dispatcher.tell(u.Command(u.Verb.DRAIN))
            return probed(task)

        phase, _ = phase_of(session, project, drain)
        assert (await run(phase, project)).reason == "drained"
        assert phase.warnings == ()
        assert logged(session, "plan.done") == []


async def test_a_plan_that_cannot_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_report, "free_disk", lambda _: 1)
    project = Project(tmp_path)
    with session_of(project) as session:
        phase, _ = phase_of(session, project)
        with pytest.raises(PreflightError, match="cannot fit on the disk"):
            await run(phase, project)


async def test_a_fatal_probe_raises_its_error(tmp_path: Path) -> None:
    project = Project(tmp_path)
    failure = Failure("PreflightError", Reaction.FATAL, "a grid is missing", hint="get it")
    with session_of(project) as session:
        phase, _ = phase_of(
            session, project, lambda task: Outcome(task.task_id, None, failure, 0.0, 1, 1)
        )
        with pytest.raises(PreflightError, match="a grid is missing") as raised:
            await run(phase, project)
        assert raised.value.hint == "get it"
