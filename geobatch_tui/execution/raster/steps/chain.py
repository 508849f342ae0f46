"""Plans a chain for one item, and computes its windows.

The last step asks the one before it for pixels, and so on to the source.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from geobatch_tui.errors import (
    CorruptSourceError,
    GeobatchError,
    SchemaError,
    SourceChangedError,
    SourceNotFoundError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.params.frozen import COMBINING, given
from geobatch_tui.execution.raster.source import source_pixels
from geobatch_tui.execution.raster.steps import mosaic_step
from geobatch_tui.execution.raster.steps.second import side_chain
from geobatch_tui.execution.raster.steps.step import BLOCK, MOST_IN_MEMORY, Block, facts_of
from geobatch_tui.execution.raster.steps.step_table import BESIDE, READ, STEP, STEPS, pixel_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import Raster, StepPlan
    from geobatch_tui.execution.raster.source.checksums import Checksums
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.source_facts import Facts, PixelSource
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Bytes that a pass over all pixels may take at a time.
_PART_BYTES = 48 * 2**20
#: Errors that the source is to blame for, whatever step reads it.
_OF_SOURCE = (CorruptSourceError, SourceChangedError, SourceNotFoundError, UnsupportedFormatError)


@dataclass(slots=True)
class Opener:
    """Opens the files of an item that is planned, for steps that look at all their pixels; they are
    opened once."""

    make: Callable[[], OpenSource]
    stage: Stage
    _opened: OpenSource | None = None

    def stream(self, chain: tuple[StepPlan, ...]) -> Stream:
        """Return the raster that ``chain`` gives."""
        if self._opened is None:
            self._opened = self.make()
        return Stream(self._opened, chain, self.stage)


def plan_chain(
    first: StepPlan, steps: Sequence[Json], planning: Planning, opener: Opener, *, before: int = 0
) -> tuple[StepPlan, ...]:
    """Plan ``steps``, each with its name and parameters, behind the ``first``, which reads files;
    ``before``: how many steps of the job stand before them.

    Raises:
        InvalidInputError and its kin: a step cannot work on what it gets; the message names it.
    """
    chain = [first]

    planner = side_chain.SidePlanner(
        planning, chain, opener, lambda make: Opener(make, opener.stage), _plan_steps
    )
    planning.beside = planner.plan
    return _plan_steps(chain, steps, planning, opener, before=before)


def _plan_steps(
    chain: list[StepPlan],
    steps: Sequence[Json],
    planning: Planning,
    opener: Opener,
    *,
    before: int = 0,
    within: str = "",
) -> tuple[StepPlan, ...]:
    """Plan ``steps`` behind ``chain``; ``within`` stands before their numbers in messages."""
    planning.upstream = lambda: opener.stream(tuple(chain))
    for number, params in enumerate(steps, before + 1):
        name = str(params["name"])
        if not within:
            planning.surveys.step = number
        planning.step = f"{within}step {number} ({params.get('use', name)})"
        planning.position = len(chain) - 1
        try:
            chain.append(STEPS[name].plan(chain[-1].raster, given(params), planning))
        except GeobatchError as error:
            if len(steps) + before > 1 and not within:
                error.args = (f"{planning.step}: {error.message}",)
            raise
        planning.source = None
    return tuple(chain)


def of(opened: OpenSource, chain: tuple[StepPlan, ...], stage: Stage) -> Stream:
    """Return the raster that ``chain`` gives, kept with the open source; each step is a stage."""
    known = opened.built.get("chain")
    if not (isinstance(known, Stream) and known.chain == chain and known.stage == stage):
        known = opened.built["chain"] = Stream(opened, chain, stage)
    return known


@dataclass(slots=True)
class Undefined:
    """Counts the pixels with a result that is undefined, on the way to those of ``window``: each of
    the window once; those on other grids, ``elsewhere``, as often as they are computed."""

    window: Window | None = None
    found: Valid | None = None
    elsewhere: int = 0

    @property
    def pixels(self) -> int:
        return self.elsewhere + (0 if self.found is None else int(np.count_nonzero(self.found)))

    def begin(self, window: Window) -> None:
        self.window, self.found, self.elsewhere = window, None, 0

    def add(self, undefined: Valid, window: Window, *, here: bool) -> None:
        """Note those of ``window``; ``here``: they lie on the grid that is asked for, so that what
        lies beyond its window is another's to count."""
        if not here or self.window is None:
            self.elsewhere += int(np.count_nonzero(undefined))
            return
        common = window.clip(self.window)
        if common.size:
            if self.found is None:
                self.found = np.zeros(self.window.shape, bool)
            self.found[common.slices_in(self.window)] |= undefined[common.slices_in(window)]


@dataclass(slots=True)
class Stream:
    """What the last step of ``chain`` gives from an open source; belongs to one thread.

    To a step behind it, it is an ``Upstream``; to a warp, a ``PixelSource``. ``undefined`` is one
    for all streams on the way; ``here``: the grid is that of the last of them; ``beside``: the
    chain makes a second raster of a step.
    """

    opened: OpenSource
    chain: tuple[StepPlan, ...]
    stage: Stage
    undefined: Undefined = field(default_factory=Undefined, compare=False)
    here: bool = True
    beside: bool = False
    built: dict[str, object] = field(default_factory=dict)
    _before: Stream | None = None
    #: The last window that a warp read: it asks for pixels first, then for their mask.
    _last: tuple[Window, Block] | None = None
    _dataset: DatasetReader | None = None

    @property
    def step(self) -> StepPlan:
        return self.chain[-1]

    @property
    def raster(self) -> Raster:
        return self.step.raster

    @property
    def before(self) -> Stream:
        """The stream that the last step reads."""
        if self._before is None:
            chain = self.chain[:-1]
            here = self.here and _is_same_grid(self.raster, chain[-1].raster)
            known = self.opened, chain, self.stage, self.undefined, here
            self._before = Stream(*known, beside=self.beside)
        return self._before

    @property
    def source(self) -> PixelSource:
        """The file itself where nothing was done to it, as ``raster.reproject`` reads it."""
        return self.opened if self.step.name == READ else self

    def block(self, window: Window) -> Block:
        """Return the pixels of ``window``.

        Raises:
            CorruptSourceError, RasterioError: the source cannot be read.
            OperationError: a step gave what it did not declare.
        """
        with self.stage(self.step.values.get("use", self.step.name)), self._blaming_the_step():
            if self.step.name in COMBINING:
                return mosaic_step.compose(self.step, self.opened, window)
            if len(self.chain) == 1:
                return Block(*source_pixels.copy_window(self.opened, self.raster, window, {}))
            block = STEPS[self.step.name].compute(self.step, self.before, window)
        if block.undefined is not None:
            self.undefined.add(block.undefined, window, here=self.here)
        return block

    @contextlib.contextmanager
    def _blaming_the_step(self) -> Iterator[None]:
        """Put the number of the step of the job, from 1, into the evidence of an error that has
        none; 0: the source is to blame. An error of a chain beside another is that of the step
        which that belongs to."""
        try:
            yield
        except GeobatchError as error:
            if not self.beside and STEP not in error.evidence:
                number = len(self.chain) - 1 + (self.chain[0].name in COMBINING)
                of_source = isinstance(error, _OF_SOURCE) and BESIDE not in error.evidence
                error.evidence = {**error.evidence, STEP: 0 if of_source else number}
            raise

    def counted(self, window: Window) -> tuple[Block, int]:
        """Return the pixels of ``window``, and how many have a result on the way that is undefined.
        In front of a step that changes the grid they count as often as they are computed. Raises as
        :meth:`block`."""
        self.undefined.begin(window)
        return self.block(window), self.undefined.pixels

    def side(self, side: Json, window: Window) -> Block:
        """Raises as :meth:`block`, and SourceChangedError if its file is another."""
        with side_chain.reading(side):
            return self.stream_of(side).block(window)

    def stream_of(self, side: Json) -> Stream:
        """Return the second raster that the step behind was planned with; who asks it for pixels
        does so within :func:`side_chain.reading`."""
        key = f"side {side['name']}"
        known = self.built.get(key)
        if not isinstance(known, Stream):
            opened, chain = side_chain.open_side(side, self.opened)
            here = self.here and _is_same_grid(self.raster, chain[-1].raster)
            known = Stream(opened, chain, self.stage, self.undefined, here, beside=True)
            self.built[key] = known
        return known

    def windows(self) -> Iterator[Window]:
        pixels = _PART_BYTES // pixel_bytes(self.chain)
        across = min(self.raster.width, max(pixels // BLOCK**2, 1) * BLOCK)
        down = max(pixels // across // BLOCK, 1) * BLOCK
        return self.raster.whole.parts(across, down)

    def parts(self, windows: Sequence[Window]) -> Iterator[tuple[Window, Block]]:
        for window in windows:
            try:
                yield window, self.block(window)
            except RasterioError as error:
                raise CorruptSourceError(
                    f"{self.opened.path}: pixels cannot be read before the first chunk: {error}"
                ) from error

    # --- as a warp reads a file ----------------------------------------------------------------

    @property
    def facts(self) -> Facts:
        return facts_of(self.raster)

    @property
    def stack(self) -> contextlib.ExitStack:
        return self.opened.stack

    @property
    def checksums(self) -> Checksums | None:
        """None: what was computed is not damaged."""
        return None

    def read_window(self, window: Window) -> Pixels:
        return self._read(window).pixels

    def read_mask(self, window: Window) -> Valid:
        mask = self._read(window).mask
        return np.ones(window.shape, bool) if mask is None else mask

    def _read(self, window: Window) -> Block:
        if self._last is None or self._last[0] != window:
            self._last = None  # before the next is made: they are not in memory together
            self._last = window, self.block(window)
        return self._last[1]

    @property
    def dataset(self) -> DatasetReader:
        """All of it as a file in memory, for GDAL's warper. Larger ones are stored before, unless
        a step looks at all pixels while it is planned. Raises SchemaError for those."""
        if self._dataset is None:
            if self.raster.whole.size > MOST_IN_MEMORY:
                raise SchemaError(
                    f"GDAL's warper reads files, and the steps before it give {self.raster.width}x"
                    f"{self.raster.height} pixels, which are stored only in a run",
                    hint="a scale behind it needs its input_min and input_max; `geobatch step` "
                    "computes chunks of smaller rasters",
                )
            self._dataset = _in_memory(self.raster, self.block(self.raster.whole), self.stack)
        return self._dataset


def _is_same_grid(one: Raster, other: Raster) -> bool:
    return (one.width, one.height, one.transform) == (other.width, other.height, other.transform)


def _in_memory(raster: Raster, block: Block, stack: contextlib.ExitStack) -> DatasetReader:
    memory = stack.enter_context(MemoryFile())
    profile = {
        "driver": "GTiff", "width": raster.width, "height": raster.height, "count": raster.count,
        "dtype": raster.dtype, "crs": raster.crs, "transform": rasterio.Affine(*raster.transform),
        "nodata": facts_of(raster).nodatavals[0], "tiled": True, "photometric": "minisblack",
    }  # fmt: skip
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), memory.open(**profile) as dataset:
        if raster.validity == "alpha":
            last = (*[ColorInterp.undefined] * raster.bands, ColorInterp.alpha)
            dataset.colorinterp = last
        dataset.write(block.pixels)
        if block.mask is not None:
            dataset.write_mask(block.mask)
    return stack.enter_context(memory.open())
