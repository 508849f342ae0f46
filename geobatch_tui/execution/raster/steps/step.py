"""What a step of a chain is: planned once for an item, then asked for windows.

Two laws hold for every step, and a test tries them on all. *Cut*: a window has the pixels that any
larger window has in its place. *Store*: between two steps lies what a lossless file would hold, in
the declared type and with the declared nodata, so that a step may be stored or not without a
changed byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.raster.steps.survey import Surveys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import Raster, StepPlan
    from geobatch_tui.execution.raster.source_facts import PixelSource
    from geobatch_tui.execution.raster.steps.survey import Survey
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Sides of the blocks by which a raster between two steps is read, in pixels.
BLOCK = 256
#: GDAL's warper reads files. What the steps before give is put into one in memory if it has no more
#: pixels than this, and is stored else.
MOST_IN_MEMORY = 2**22
#: The note that a function of the user takes memory that nobody knows yet.
UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels (bands, h, w) of a window in the type of their raster, in one piece; ``mask`` (h, w)
    says which are valid where its validity is "mask", and is None elsewhere. ``undefined`` (h, w):
    where a step has a result that is no number, though what it comes from is; None: nowhere."""

    pixels: Pixels
    mask: Valid | None = None
    undefined: Valid | None = None


class Upstream(Protocol):
    """The raster before a step, by windows."""

    @property
    def raster(self) -> Raster: ...

    @property
    def source(self) -> PixelSource:
        """The same as a file would be read, for a warp."""
        ...

    @property
    def built(self) -> dict[str, object]:
        """What steps keep from one window to the next, by name; belongs to one thread."""
        ...

    def block(self, window: Window) -> Block:
        """Return the pixels of ``window``, which lies in the raster."""
        ...

    def side(self, side: Json, window: Window) -> Block:
        """Return ``window`` of the second raster that a step was planned with."""
        ...

    def windows(self) -> Iterator[Window]:
        """Cut all of the raster into windows that begin at a multiple of ``BLOCK`` and may be in
        memory."""
        ...

    def parts(self, windows: Sequence[Window]) -> Iterator[tuple[Window, Block]]:
        """Yield the pixels of ``windows``. Raises CorruptSourceError if they cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """The file before the first step."""

    dataset: DatasetReader
    facts: Facts
    placed: PixelGrid


@dataclass(frozen=True, slots=True)
class Side:
    """A second raster as it was planned: the values that read it, JSON-ready, and the bytes
    that a pixel of a window takes."""

    values: dict[str, Any]
    raster: Raster
    pixel_bytes: int


@dataclass(slots=True)
class Planning:
    """The planning of a chain for one item.

    Attributes:
        warnings: sentences for the operator.
        notes: facts for ``plan --json``.
        source: the file, as long as no step has changed it.
        step: which step is planned, as messages name it.
        upstream: opens what the step gets, for one that has to look at its pixels.
        surveys: those of the chain, for steps that look at all pixels.
        beside: plans a second raster of the step, by the name of its parameter, what that asks
            for, and the state of its file.
        item: key of the item.
        alone: whether a step looked at pixels, at another file or at the item's key, so that no
            other item can have its plan.
        position: which step of the chain gives what the one that is planned gets.
        stages: what asks that what a step of the chain gives is stored, by its position, and
            whether it cannot do without.
    """

    warnings: list[str] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    source: Source | None = None
    step: str = ""
    upstream: Callable[[], Upstream] | None = None
    surveys: Surveys = field(default_factory=Surveys)
    beside: Callable[[str, str | Json, str], Side] | None = None
    item: str = ""
    position: int = 0
    stages: dict[int, tuple[str, bool]] = field(default_factory=dict)
    alone: bool = False

    def store(self, why: str, *, needed: bool) -> None:
        """Have what the step gets stored before the step computes anything. Nothing is in a chain
        beside another: raises SchemaError there if it is ``needed``."""
        if self.beside is not None:
            self.stages[self.position] = f"{self.step} {why}", needed
        elif needed:
            raise SchemaError(
                f"{self.step} {why}, and nothing is stored in a chain beside another",
                hint="run that chain as a job of its own, and name its output here",
            )
        else:
            self.warn("nothing is stored in a chain beside another")

    def survey[Found](self, survey: Survey[Block, Found], what: str, more: str = "") -> Found:
        """Make a survey of what the step gets, and say that ``what`` needs it, and ``more``.

        Raises:
            SchemaError: there are no pixels.
            CorruptSourceError: they cannot be read.
        """
        self.alone = True
        if self.upstream is None:
            raise SchemaError(f"{what} only where the pixels are")
        up = self.upstream()
        found, seconds = self.surveys.take(survey, up)
        size = up.raster.whole.size
        self.warn(f"{what} by a look at all {size} pixels before the first chunk{more}")
        took = {"pixels": size, "seconds": round(seconds, 3)}
        self.notes[f"first pass of {self.step}"] = took
        return found

    def side(self, name: str, asked: str | Json, state: str) -> Side:
        """Plan a second raster beside what the step gets. Raises SchemaError in a chain that is one
        itself."""
        self.alone = True
        if self.beside is None:
            raise SchemaError(f"{name}: a chain beside another has none beside itself")
        return self.beside(name, asked, state)

    def warn(self, text: str) -> None:
        """Add a warning about the step that is planned."""
        self.warnings.append(f"{self.step}: {text}")


class Step(Protocol):
    """A step. ``version`` is raised whenever the same values give other pixels."""

    name: str
    version: int

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        """Plan the step on ``up``. Raises InvalidInputError and its kin if it cannot work."""
        ...

    def need(self, step: StepPlan, up: Raster, window: Window) -> Window:
        """Return the pixels of ``up`` that ``window`` is computed from, as far as there are any."""
        ...

    def compute(self, step: StepPlan, up: Upstream, window: Window) -> Block:
        """Return exactly ``window`` of ``step.raster``."""
        ...

    def scratch(self, step: StepPlan, up: Raster) -> int:
        """Return the bytes a pixel of a window that it takes beside what it reads and gives."""
        ...


class LocalStep:
    """A step that keeps the grid: a pixel comes from those up to ``halo`` pixels around it."""

    name: str
    version = 1

    def halo(self, step: StepPlan) -> int:
        """Return how many pixels beyond a window it reads, on each side."""
        del step
        return 0

    def need(self, step: StepPlan, up: Raster, window: Window) -> Window:
        return window.pad(self.halo(step)).clip(up.whole)

    def compute(self, step: StepPlan, up: Upstream, window: Window) -> Block:
        part = self.need(step, up.raster, window)
        return self.apply(step, up.raster, up.block(part), part, window)

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        """Return ``window`` of the step's raster; ``given`` holds ``part`` of ``up``."""
        raise NotImplementedError

    def scratch(self, step: StepPlan, up: Raster) -> int:
        del step
        return 8 * up.count


def grid_of(raster: Raster) -> PixelGrid:
    """Return the grid of a raster."""
    crs = crs_lookup.crs_of(raster.crs)
    return PixelGrid(crs, raster.transform, raster.width, raster.height)


def facts_of(raster: Raster) -> Facts:
    """Return the facts that a lossless file of ``raster`` would have."""
    nodata = None if raster.validity == "alpha" else raster.nodata
    return Facts(
        driver="GTiff",
        width=raster.width,
        height=raster.height,
        count=raster.count,
        dtype=raster.dtype,
        transform=raster.transform,
        block=(BLOCK, BLOCK),
        alpha=raster.validity == "alpha",
        mask=raster.validity == "mask",
        nodatavals=(nodata,) * raster.count,
    )
