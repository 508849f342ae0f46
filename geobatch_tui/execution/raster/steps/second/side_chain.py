"""A second raster beside what comes into a step: a file, or what a chain of steps makes of one.

It is planned with the step, and read in its chunks; it has the grid of what comes in. The chain is
computed as the one that the step is in, window by window. Its file is a source like any other: the
drivers of sources open it, if it is a regular file, and a chunk that finds another file in its
place fails.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.errors import RasterioError

from geobatch_tui.errors import (
    CorruptSourceError,
    GeobatchError,
    SchemaError,
    SourceChangedError,
    SourceNotFoundError,
)
from geobatch_tui.execution.io.digest import state_of
from geobatch_tui.execution.params.frozen import COMBINING, OWN_SOURCE
from geobatch_tui.execution.proj import assigned_crs, crs_lookup
from geobatch_tui.execution.raster import source_raster, validity
from geobatch_tui.execution.raster.grid import georeference, projection
from geobatch_tui.execution.raster.plan import StepPlan, pack_chain, sides_of, unpack_chain
from geobatch_tui.execution.raster.source import opened_source, size_checks
from geobatch_tui.execution.raster.source.opened_source import OpenSource
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.raster.steps.step import UNMEASURED, Planning, Side, Source, grid_of
from geobatch_tui.execution.raster.steps.step_table import BESIDE, READ, READ_VERSION, pixel_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.raster.plan import Raster, RasterPlan

    #: Plans steps behind the first of a chain.
    type PlanSteps = Callable[..., tuple[StepPlan, ...]]

#: Part of a pixel by which corners of the same grid may lie apart.
_ALIGNED = 1e-3
#: Bytes that a file may claim for a block.
_MOST_BLOCK = 256 * 2**20


@dataclass(frozen=True, slots=True)
class SidePlanner:
    """Plans second rasters of the steps of a chain.

    Attributes:
        planning: of the chain; gets the warnings.
        chain: as far as it is planned, the source first.
        own: opens the item's own source; ``opener`` makes what opens another.
        plan_steps: plans steps behind a chain.
    """

    planning: Planning
    chain: list[StepPlan]
    own: Any
    opener: Callable[[Callable[[], OpenSource]], Any]
    plan_steps: PlanSteps

    def plan(self, name: str, asked: str | Json, state: str) -> Side:
        """Plan the raster that parameter ``name`` asks for: by a path whose file has ``state``, or
        by ``input`` with its state and ``steps`` behind it.

        Raises:
            InvalidInputError and its kin: it cannot be read, or has another grid.
        """
        if isinstance(asked, str):
            asked = {"input": asked, "input_state": state, "steps": ()}
        with _named(name), contextlib.ExitStack() as stack:
            if asked["input"] == OWN_SOURCE:
                planned, values = self._on_own(name, asked["steps"]), {}
            else:
                planned, facts = self._on_file(name, asked, stack)
                values = {"facts": facts.to_notes(), "state": asked["input_state"]}
            _check_grid(self.chain[-1].raster, planned[-1].raster)
        values = {**values, "name": name, "chain": pack_chain(planned)}
        return Side(values, planned[-1].raster, pixel_bytes(planned))

    def _on_own(self, name: str, steps: Sequence[Json]) -> tuple[StepPlan, ...]:
        if self.chain[0].name in COMBINING:
            raise SchemaError(f"an item of many files has no one {OWN_SOURCE}; name a file")
        within, below = f"{self.planning.step}: {name}: ", self._below()
        planned = self.plan_steps([self.chain[0]], steps, below, self.own, within=within)
        self._keep(below)
        return planned

    def _on_file(
        self, name: str, asked: Json, stack: contextlib.ExitStack
    ) -> tuple[tuple[StepPlan, ...], Facts]:
        path, within = str(asked["input"]), f"{self.planning.step}: {name}: "
        check_state(path, str(asked["input_state"]))
        stack.enter_context(opened_source.gdal_options())
        dataset = stack.enter_context(opened_source.open_source(path))
        source_raster.check_types(path, dataset)
        size_checks.refuse_bomb(path, dataset, _MOST_BLOCK)
        if dataset.driver == "GTiff":
            size_checks.refuse_missing_blocks(path)
        facts, notices = source_raster.facts_of_source(dataset)
        placed, _ = georeference.place(dataset, assigned_crs.Assigned("", "", name), notices)
        choice = validity.choose(
            facts, src_nodata=None, dst_nodata=None, add_alpha=False, outside=False
        )
        notices += choice.warnings
        raster = source_raster.raster_of(dataset, choice, placed, notices, moved=False)
        self.planning.warnings.extend(f"{within}{text}" for text in notices)
        below = self._below()
        below.source = Source(dataset, facts, placed)
        opener = self.opener(partial(OpenSource.of, path, facts, stack, dataset))
        first = StepPlan(READ, READ_VERSION, {}, raster)
        planned = self.plan_steps([first], asked["steps"], below, opener, within=within)
        self._keep(below)
        return planned, facts

    def _keep(self, below: Planning) -> None:
        """Note that a function in the chain beside takes memory that nobody knows yet."""
        if below.notes.get(UNMEASURED):
            self.planning.notes[UNMEASURED] = True

    def _below(self) -> Planning:
        """Return the planning of the chain beside; its notes are not those of the item."""
        above = self.planning
        return Planning(above.warnings, step=above.step, item=above.item, surveys=above.surveys)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of the parameter before what is wrong with its raster."""
    try:
        yield
    except GeobatchError as error:
        error.args = (f"{name}: {error.message}",)
        raise
    except OSError as error:
        raise SourceNotFoundError(f"{name}: {error.filename}: {error.strerror}") from error


def check_state(path: str, state: str) -> None:
    """Raise SourceChangedError unless a file has the size and the time that it had; OSError if it
    cannot be read."""
    if state_of(path) != state:
        raise SourceChangedError(f"{path} is not the file that it was when the job was read")


def _check_grid(up: Raster, side: Raster) -> None:
    """Raise SchemaError unless both rasters have the same pixels in the same places."""
    if (up.width, up.height) != (side.width, side.height):
        raise SchemaError(
            f"it has {side.width}x{side.height} pixels, and what comes in {up.width}x{up.height}",
            hint="bring it to the same grid first, by clip, resize or reproject",
        )
    if not crs_lookup.same(grid_of(up).crs, grid_of(side).crs):
        named = [crs_lookup.named(grid_of(raster).crs) for raster in (side, up)]
        raise SchemaError(
            f"it is in {named[0]}, and what comes in is in {named[1]}", hint="reproject it first"
        )
    corners = projection.corners(up.width, up.height)
    x, y = projection.invert(side.transform, *projection.apply(up.transform, *corners))
    apart = max(np.abs(x - corners[0]).max(), np.abs(y - corners[1]).max())
    if not apart <= _ALIGNED:
        raise SchemaError(
            f"its pixels lie elsewhere: corners are up to {apart:.3g} pixels apart",
            hint="bring it to the same grid first, by clip, resize or reproject",
        )


def at_home(plan: RasterPlan, steps: Sequence[Json]) -> RasterPlan:
    """Return ``plan`` with the files of second rasters where ``steps``, those of the job, have
    them: no plan that was kept says what is read."""
    if not any(sides_of(step) for step in plan.chain):
        return plan
    behind = plan.chain[1:]
    chain = [plan.chain[0]]
    for step, params in zip(behind, steps[len(steps) - len(behind) :], strict=True):
        sides = [_at_home(side, params) for side in sides_of(step)]
        values = {**step.values, "beside": sides} if sides else step.values
        chain.append(replace(step, values=values))
    return replace(plan, chain=tuple(chain))


def _at_home(side: Json, params: Json) -> Json:
    """Return a second raster, ``overlay`` or ``inputs.B``, with the file and the functions that
    parameters have for it."""
    asked: Any = params
    for key in side["name"].split("."):
        asked = asked[key]
    if isinstance(asked, str):
        return {**side, "path": asked}
    first, *behind = side["chain"]
    chain = [
        {**step, "values": {**step["values"], "file": own["function"]["file"]}}
        if "use" in own
        else step
        for step, own in zip(behind, asked["steps"], strict=True)
    ]
    return {**side, "path": str(asked["input"]), "chain": [first, *chain]}


def open_side(values: Json, opened: OpenSource) -> tuple[OpenSource, tuple[StepPlan, ...]]:
    """Return the source and the chain of a second raster; ``opened`` is the item's own source, and
    closes it."""
    chain = unpack_chain(values["chain"])
    if "facts" not in values:
        return opened, chain
    facts = Facts.from_notes(values["facts"])
    if facts is None:
        raise SourceChangedError(f"{values['name']}: it was planned by another version")
    return OpenSource.of(values["path"], facts, opened.stack), chain


@contextlib.contextmanager
def reading(values: Json) -> Iterator[None]:
    """Check the file of a second raster before it is read and after, and say what is wrong with it
    by its name.

    Raises:
        SourceChangedError: it is not the file that was planned.
        CorruptSourceError: it cannot be read.
    """
    if "facts" not in values:
        yield
        return
    path = values["path"]
    try:
        with _named(values["name"]):
            check_state(path, values["state"])
            try:
                yield
            except RasterioError as error:
                raise CorruptSourceError(f"{path} cannot be read: {error}") from error
            check_state(path, values["state"])
    except GeobatchError as error:
        error.evidence = {**error.evidence, BESIDE: values["name"]}
        raise
