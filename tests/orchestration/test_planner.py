"""What the planner asks of workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from run_desk import Desk

from geobatch_tui.execution import wire
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.orchestration.inputs import expand
from geobatch_tui.orchestration.planner import Planner, Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.orchestration import units as u


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
    desk = Desk(root, inputs=[f"{number:04}.tif" for number in range(count)])
    job = desk.job().job
    recipe = Recipe.of(job, get_operation(job.op.name), 1 << 20)
    planner = Planner(job, recipe, lambda _: None, adopt=True)
    asked = Asked()
    planner.attach(asked)
    decisions = planner.decide(expand(job.source.inputs, desk.out, job.output.format))
    first = asyncio.ensure_future(anext(decisions))
    await asked.any.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    return wire.pack(1, planner.build(asked.units[0], 1, 1))


async def test_a_probe_is_as_long_for_one_input_as_for_hundreds(tmp_path: Path) -> None:
    alone = await first_probe(tmp_path / "1", 1)
    one_of_many = await first_probe(tmp_path / "2", 300)
    assert len(one_of_many) == len(alone)
