"""One chunk of a job, computed in this process: to see a function of one's own at work, or fail.

Nothing is written: neither the state nor the outputs of the job are touched.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import (
    ChunkTask,
    ItemContext,
    ItemPlan,
    ProbeTask,
    SourceIdentity,
)
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.fingerprints import identify
from geobatch_tui.orchestration.plan.inputs import expand
from geobatch_tui.orchestration.plan.resources import Resources
from geobatch_tui.orchestration.state.session import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.config.schema import Job
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.plan.recipe import Recipe

_CHUNK = re.compile(r"(?s)(.+)@(\d+),(\d+)")


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


def compute(loaded: LoadedJob, chunk: str, *, debug: bool = False) -> ComputedChunk:
    """Compute one chunk, ``item@row,col`` as dead letters name it.

    Args:
        loaded: a job on rasters.
        chunk: its key.
        debug: open Python's debugger at the first line of each function of the user, and where it
            raises an error. Without it, functions are tried for seams as well.

    Raises:
        ConfigError: there is no such chunk, or the job is about features.
        StepError: a function of the user failed; ``own`` is the error that it raised.
    """
    job = loaded.job
    if get_operation(job.op.name).data != "raster":
        raise ConfigError(f"{job.op.name} has no chunks of pixels to compute")
    match = _CHUNK.fullmatch(chunk)
    if match is None:
        raise ConfigError(
            f"{safe(chunk)} is no chunk",
            hint="name it as `geobatch dead-letters` does: item@row,col",
        )
    entry = _input(job, match[1])
    _become_worker()
    item = _item(job, entry)
    row, col, grid = int(match[2]), int(match[3]), item.plan.grid
    if row >= grid.rows or col >= grid.columns:
        raise ConfigError(
            f"{safe(match[1])} has {grid.rows} rows and {grid.columns} columns of chunks, counted "
            f"from 0; there is no {row},{col}"
        )
    task = ChunkTask(0, item, row * grid.columns + col, 1, 0, proves=not debug)
    return _computed(task, chunk, debug=debug)


def _input(job: Job, key: str) -> Input:
    inputs = expand(job.source.inputs, Path(job.output.dir), job.output.format)
    for entry in inputs:
        if entry.key == key:
            return entry
    raise ConfigError(f"the job has no item {safe(key)}")


def _become_worker() -> None:
    """Load what a worker loads, as workers that are threads do."""
    from geobatch_tui.execution.runtime import environment

    environment.complete()
    from geobatch_tui.execution.worker import tasks, warmup

    warmup.warm_up_raster()
    tasks.enter_gdal()


def _item(job: Job, entry: Input) -> ItemContext:
    """Return the item as the last run planned it, if that was of this job; else plan it."""
    operation = get_operation(job.op.name)
    recipe = Resources.of(job).recipe(job, operation)
    params, output = job.op.params.model_dump(mode="json"), job.output.model_dump(mode="json")
    identity = identify(entry.path)
    plan = _known_plan(job, entry.key, recipe, identity)
    if plan is None:
        source = job.source.model_dump(mode="json", exclude={"inputs"})
        plan = operation.probe(
            ProbeTask(
                0, entry.key, entry.path, source, operation.name, params, output, recipe.chunking
            ),
            _no_stage,
        )
    return ItemContext(
        item_id=0,
        key=entry.key,
        source=entry.path,
        source_id=identity,
        fingerprint="",
        op=operation.name,
        params=params,
        output=output,
        out_path=str(recipe.output_dir / entry.key),
        work_dir="",
        plan=plan,
    )


def _known_plan(job: Job, key: str, recipe: Recipe, identity: SourceIdentity) -> ItemPlan | None:
    with reading(Path(job.output.dir)) as reader:
        row = None if reader is None else reader.item_by_key(key)
    if row is None or not row.plan or row.src_digest != identity.digest:
        return None
    is_same = (row.params_digest, row.code_digest) == (recipe.params_digest, recipe.code_digest)
    return ItemPlan.from_json(row.plan) if is_same else None


def _computed(task: ChunkTask, chunk: str, *, debug: bool) -> ComputedChunk:
    from geobatch_tui.execution.raster.chunk import pixels_of
    from geobatch_tui.execution.runtime import own_module

    before = own_module.calling.by
    if debug:
        own_module.calling.by = _at_prompt
    since = time.perf_counter()
    try:
        pixels, valid = pixels_of(task, _no_stage)
    finally:
        own_module.calling.by = before
    seconds = time.perf_counter() - since
    figures = [_range(band) for band in pixels]
    window = task.item.plan.grid.window(task.index)
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
