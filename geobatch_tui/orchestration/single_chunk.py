"""One chunk of a job, computed outside of a run: to see a function of one's own at work, or fail.

Neither the state nor the outputs of the job are touched.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.params.frozen import COMBINING
from geobatch_tui.execution.protocol.messages import (
    ChunkGrid,
    ChunkTask,
    ItemContext,
    ItemPlan,
    ProbeTask,
    ResultTask,
    SourceIdentity,
    chunk_place,
)
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.fingerprints import identify
from geobatch_tui.orchestration.plan.groups import combined, inputs_of
from geobatch_tui.orchestration.plan.resources import Resources
from geobatch_tui.orchestration.state.session import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.config.schema import Job
    from geobatch_tui.execution.protocol.preview_messages import FeaturesReceipt
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.plan.recipe import Recipe

_CHUNK = re.compile(r"(?s)(.+)@(\d+),(\d+)")
_STAGED = re.compile(r"(?s)(.+)@stage(\d+):(\d+),(\d+)")
_FEATURE = re.compile(r"(?s)(.+)@(\d+)")


@dataclass(frozen=True, slots=True)
class ComputedChunk:
    """A chunk of pixels in few figures. ``low`` and ``high`` of each band are over all pixels but
    NaN; ``valid`` is their share, 0 to 1."""

    chunk: str
    window: tuple[int, int, int, int]
    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    valid: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ComputedFeatures:
    """The features of a chunk, or one of them. ``aside``: positions of those that are set aside,
    with classes of errors and reasons; ``fields``: types by names."""

    chunk: str
    read: int
    made: int
    aside: tuple[tuple[int, str, str], ...]
    fields: dict[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class StepPixels:
    """What a step gives for a chunk of pixels: step 0 is the source. ``window`` is the part of its
    raster, of ``size``, that the chunk is made of; ``ranges`` are the least and the greatest valid
    value of each band, or None; ``missing`` the share that is not valid, 0 to 1."""

    step: int
    name: str
    window: tuple[int, int, int, int]
    size: tuple[int, int]
    dtype: str
    ranges: tuple[tuple[float, float] | None, ...]
    missing: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StepFeatures:
    """What a step gives for a chunk of features, or for one of them: step 0 is the source."""

    step: int
    name: str
    found: FeaturesReceipt


@dataclass(frozen=True, slots=True)
class LoneItem:
    """An item of a job that is looked at outside of a run.

    Attributes:
        source: its file, or the list of those that are combined in it.
        identity: of the source, as it is now.
    """

    job: Job
    source: Input
    identity: SourceIdentity

    @classmethod
    def of(cls, job: Job, key: str, directory: Path) -> LoneItem:
        """Find the item of a key, or (empty) the first one of a job. The list of the files of a
        group is written to ``directory``, where it has to stay. Blocks.

        Raises:
            ConfigError: there is no such item.
            PreflightError: no input matches, or outputs would replace inputs.
        """
        inputs = combined(job, inputs_of(job), directory)
        found = next((entry for entry in inputs if not key or entry.key == key), None)
        if found is None:
            raise ConfigError(f"the job has no item {safe(key)}")
        return cls(job, found, identify(found.path))

    def probe(self, steps: int | None = None) -> ProbeTask:
        """Return the task to plan it; ``steps``: with so many steps of its chain only."""
        job, recipe = self.job, self._recipe
        return ProbeTask(
            task_id=0,
            key=self.source.key,
            source=self.source.path,
            source_options=job.source.model_dump(mode="json", exclude={"inputs"}),
            op=job.op.name,
            params=self._params(steps),
            output=job.output.model_dump(mode="json"),
            chunking=recipe.chunking,
            source_id=self.identity,
        )

    def context(self, plan: ItemPlan, steps: int | None = None) -> ItemContext:
        """Return what a worker is told of it."""
        return ItemContext(
            item_id=0,
            key=self.source.key,
            source=self.source.path,
            source_id=self.identity,
            fingerprint="",
            op=self.job.op.name,
            params=self._params(steps),
            output=self.job.output.model_dump(mode="json"),
            out_path=str(self._recipe.output_dir / self.source.key),
            work_dir="",
            plan=plan,
        )

    def known_plan(self) -> ItemPlan | None:
        """Return its plan as of the last run, if that was of this job and source."""
        recipe = self._recipe
        with reading(local_place(self.job.output.dir)) as reader:
            row = None if reader is None else reader.item_by_key(self.source.key)
        if row is None or not row.plan or row.src_digest != self.identity.digest:
            return None
        is_same = (row.params_digest, row.code_digest) == (recipe.params_digest, recipe.code_digest)
        return ItemPlan.from_json(row.plan) if is_same else None

    @property
    def _recipe(self) -> Recipe:
        return Resources.of(self.job).recipe(self.job, get_operation(self.job.op.name))

    def _params(self, steps: int | None) -> dict[str, Any]:
        params = self.job.op.params.model_dump(mode="json")
        return params if steps is None else {**params, "steps": params["steps"][:steps]}


def place_of(chunk: str) -> tuple[str, int, int]:
    """Return item, row and column of ``item@row,col``. Raises ConfigError if it is no chunk."""
    match = _CHUNK.fullmatch(chunk)
    if match is None:
        raise ConfigError(
            f"{safe(chunk)} is no chunk",
            hint="name it as `geobatch dead-letters` does: item@row,col",
        )
    return match[1], int(match[2]), int(match[3])


def index_in(grid: ChunkGrid, key: str, row: int, col: int) -> int:
    """Return the number of a chunk. Raises ConfigError if the item has none in this place."""
    if row >= grid.rows or col >= grid.columns:
        raise ConfigError(
            f"{safe(key)} has {grid.rows} rows and {grid.columns} columns of chunks, counted "
            f"from 0; there is no {row},{col}"
        )
    return row * grid.columns + col


def compute(
    loaded: LoadedJob, chunk: str, *, debug: bool = False
) -> ComputedChunk | ComputedFeatures:
    """Compute one chunk, ``item@row,col`` as dead letters name it, or ``item@position``, one
    feature.

    Args:
        loaded: a job on rasters, or a chain of steps on features.
        chunk: its key; of one that is stored on the way, ``item@stage1:row,col``.
        debug: open Python's debugger at the first line of each function of the user, and where it
            raises an error. Without it, functions are tried for seams as well.

    Raises:
        ConfigError: there is no such chunk, or the job has none to compute.
        StepError: a function of the user failed; ``own`` is the error that it raised.
    """
    with _debugged(debug=debug), _one_task(loaded, chunk, proves=not debug) as (task, position):
        if get_operation(task.item.op).data == "vector":
            return _computed_features(task, chunk, position)
        return _computed(task, chunk)


def each_step(loaded: LoadedJob, chunk: str) -> Iterator[StepPixels | StepFeatures]:
    """Yield what each step gives for one chunk, the source first; each is computed from the source
    on. Arguments and errors are those of :func:`compute`; an error comes after the steps before the
    one that fails."""
    if not getattr(loaded.job.op.params, "steps", ()):
        raise ConfigError(f"{loaded.job.op.name} is no chain of steps")
    with _one_task(loaded, chunk) as (task, position):
        item = task.item
        stages, number = item.plan.stages, chunk_place(item.plan.grids, task.index)[0]
        steps = item.params["steps"]
        if number < len(stages):
            steps = steps[: stages[number].steps]
        names = ["read", *(str(step.get("use") or step["name"]) for step in steps)]
        combines = len(names) > 1 and names[1] in COMBINING
        for step, name in enumerate(names[combines:], int(combines)):
            yield _shown(ResultTask(0, item, task.index, step, (1, 1), position), safe(name))


def _shown(task: ResultTask, name: str) -> StepPixels | StepFeatures:
    if get_operation(task.item.op).data == "vector":
        from geobatch_tui.execution.vector.step_features import step_features

        return StepFeatures(task.step, name, step_features(task, _no_stage))
    from geobatch_tui.execution.raster.pictures.step_result import step_result

    facts = step_result(task, _no_stage).facts
    ranges = tuple(None if one is None else (one[0], one[1]) for one in facts["ranges"])
    col, row, width, height = facts["window"]
    columns, rows = facts["size"]
    missing = tuple(facts["missing"])
    window = col, row, width, height
    return StepPixels(task.step, name, window, (columns, rows), facts["dtype"], ranges, missing)


@contextmanager
def _one_task(
    loaded: LoadedJob, chunk: str, *, proves: bool = False
) -> Iterator[tuple[ChunkTask, int | None]]:
    """Plan the item of a chunk; yield the task to compute it, and the position of the one feature
    that is asked for. Raises as :func:`compute`."""
    job = loaded.job
    operation = get_operation(job.op.name)
    of_features = operation.data == "vector"
    if of_features and not getattr(job.op.params, "steps", ()):
        raise ConfigError(f"{job.op.name} has no steps to compute")
    feature = _FEATURE.fullmatch(chunk) if of_features else None
    staged = None if of_features else _STAGED.fullmatch(chunk)
    if staged is not None:
        key, row, col = staged[1], int(staged[3]), int(staged[4])
    else:
        key, row, col = (feature[1], 0, 0) if feature else place_of(chunk)
    position = int(feature[2]) if feature else None
    with tempfile.TemporaryDirectory(prefix="geobatch-step-") as scratch:
        lone = LoneItem.of(job, key, Path(scratch))
        _become_worker(operation.data)
        plan = lone.known_plan() or operation.probe(lone.probe(), _no_stage)
        if position is not None:
            col = _chunk_of(plan.grid, key, position)
        index = _index_of(plan, None if staged is None else int(staged[2]), key, row, col)
        # Some formats are read through parts on disk.
        item = replace(lone.context(plan), work_dir=scratch)
        yield ChunkTask(0, item, index, 1, 0, proves=proves), position


def _index_of(plan: ItemPlan, stage: int | None, key: str, row: int, col: int) -> int:
    """Return the number of a chunk in its item; ``stage``: the one that it is of, from 1. Raises
    ConfigError if there is none."""
    grids, count = plan.grids, len(plan.stages)
    if stage is not None and not 1 <= stage <= count:
        raise ConfigError(f"{safe(key)} has {count} stages, counted from 1; there is no {stage}")
    number = count if stage is None else stage - 1
    return sum(map(len, grids[:number])) + index_in(grids[number], key, row, col)


def _chunk_of(grid: ChunkGrid, key: str, position: int) -> int:
    """Return the chunk of a feature. Raises ConfigError if the item has none in this place."""
    if position >= grid.width:
        raise ConfigError(
            f"{safe(key)} has {grid.width} features, counted from 0; there is no {position}"
        )
    return position // grid.chunk_width


@contextmanager
def _debugged(*, debug: bool) -> Iterator[None]:
    """Call functions of the user in the debugger, if asked for."""
    from geobatch_tui.execution.runtime import own_module

    before = own_module.calling.by
    if debug:
        own_module.calling.by = _at_prompt
    try:
        yield
    finally:
        own_module.calling.by = before


def _become_worker(data: str) -> None:
    """Load what a worker loads, as workers that are threads do."""
    from geobatch_tui.execution.runtime import environment

    environment.complete()
    from geobatch_tui.execution.worker import tasks, warmup

    if data == "vector":
        warmup.warm_up_vector()
        return
    warmup.warm_up_raster()
    tasks.enter_gdal()


def _computed_features(task: ChunkTask, chunk: str, position: int | None) -> ComputedFeatures:
    from geobatch_tui.execution.vector.chunk import figures_of
    from geobatch_tui.execution.vector.steps.feature_chain import run

    since = time.perf_counter()
    made = figures_of(task, run, _no_stage, position)
    aside = tuple((place, name, safe(reason)) for place, name, reason in made.aside)
    seconds = round(time.perf_counter() - since, 3)
    return ComputedFeatures(safe(chunk), made.read, made.made, aside, made.fields, seconds)


def _computed(task: ChunkTask, chunk: str) -> ComputedChunk:
    from geobatch_tui.execution.raster.chunk import pixels_of

    since = time.perf_counter()
    pixels, valid = pixels_of(task, _no_stage)
    seconds = time.perf_counter() - since
    figures = [_range(band) for band in pixels]
    _, grid, local = chunk_place(task.item.plan.grids, task.index)
    window = grid.window(local)
    return ComputedChunk(
        safe(chunk),
        window.srcwin,
        pixels.shape,
        str(pixels.dtype),
        tuple(low for low, _ in figures),
        tuple(high for _, high in figures),
        round(valid, 6),
        round(seconds, 3),
    )


def _at_prompt(
    function: Callable[..., Any], arguments: Sequence[object], given: Mapping[str, object]
) -> Any:
    """Call a function in the debugger, from its first line on, and where it raises an error."""
    import pdb  # noqa: T100 - asked for

    # What numba compiled cannot be stepped through.
    plain = getattr(function, "py_func", function)
    try:
        return pdb.Pdb(nosigint=True).runcall(plain, *arguments, **given)
    except Exception as error:
        sys.stderr.write("".join(traceback.format_exception_only(error)))
        pdb.post_mortem(error.__traceback__)
        raise


def _range(band: Any) -> tuple[float, float]:
    known = band[band == band]  # noqa: PLR0124 - not NaN
    return (known.min().item(), known.max().item()) if known.size else (0.0, 0.0)


def _no_stage(_name: str) -> nullcontext[None]:
    return nullcontext()
