"""Chooses the chunks of an item of features: so many features that their bytes fit, and the way by
which each is reached."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.ogr import archive
from geobatch_tui.execution.vector.read import object_ranges
from geobatch_tui.execution.vector.spool.writer_options import row_group

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ProbeTask
    from geobatch_tui.execution.vector.plan import Access, VectorPlan
    from geobatch_tui.execution.vector.read.layer import Layer

#: Bytes of source of a chunk, about, where the job does not say how many features.
CHUNK_BYTES = 8 * 2**20
#: The same where a feature may take long: the cores are busy to the end, and little is done again
#: when a feature ends its worker.
_SLOW_BYTES = 2 * 2**20
_FEWEST, _MOST = 500, 50_000
#: Peak memory of a chunk: times the bytes of its features, and beside them.
_FACTOR, _BASE = 8, 96 * 2**20


def _growth(plan: VectorPlan) -> float:
    """Return by how much features grow on their way through a chain; 1: there is none."""
    if not plan.chain:
        return 1.0
    from geobatch_tui.execution.vector.steps import feature_chain

    return feature_chain.growth(plan.chain)


def with_chunks(
    task: ProbeTask, plan: VectorPlan, layer: Layer, warnings: list[str], *, divisible: bool
) -> ItemPlan:
    """Return the plan of an item with its chunks, and how each reaches its features."""
    packed = archive.is_inside(plan.place)
    size = _size(task, packed=packed)
    each = max(size / max(plan.count, 1), 64.0) * _growth(plan)
    cell = row_group(each) if plan.output.is_parquet else 0
    features = task.chunking.features
    if not features:
        size_of = _SLOW_BYTES if divisible else CHUNK_BYTES
        features = _features(each, 0 if divisible else cell, size_of, task.chunking.max_bytes)
    access: Access = "drain"
    edges: tuple[int, ...] = ()
    if layer.counted.none_left or not plan.count:
        access, features = "none", plan.count
        none = (
            f"no feature of {task.source} satisfies where" if plan.count else "it has no features"
        )
        warnings.append(f"{none}: the output will have none")
    elif not packed:
        form = format_of(plan.driver)
        access, edges = form.access(task.source, plan.reading, features, layer.stride)
    if access == "rows":
        features = max(features // layer.stride, 1) * layer.stride
        if features == layer.stride and plan.count <= layer.stride:
            features = plan.count
    # An item without features has a chunk, too, which makes the output.
    grid = ChunkGrid(max(plan.count, 1), 1, max(min(features, plan.count), 1), 1)
    outside: tuple[int, ...] = ()
    if access == "fid":
        bounds = task.params.get("bounds")
        outside = format_of(plan.driver).chunks_outside(
            task.source, plan.reading, edges, grid.chunk_width, bounds
        )
    elif access == "index":
        outside = object_ranges.chunks_outside(task, plan.count, grid.chunk_width)
    plan = replace(plan, access=access, edges=edges, cell=cell, outside=outside)
    return ItemPlan(
        grid=grid,
        chunk_bytes=int(
            _BASE
            + _FACTOR * each * (0 if access == "none" else grid.chunk_width)
            # Any chunk may start the thread that reads the whole source.
            + layer.counted.largest
        ),
        output_bytes=int(4 * size + 2**20),
        detail=plan.to_json(),
        warnings=tuple(warnings),
        notes={
            "driver": plan.driver,
            "layer": plan.layer,
            "features": plan.count,
            "geometry_type": layer.geometry_type,
            "access": access,
            **({"encoding": plan.encoding} if plan.encoding else {}),
            **({"divisible": True} if divisible else {}),
        },
    )


def _size(task: ProbeTask, *, packed: bool) -> int:
    """Return the bytes of a source, of one in an archive when it is unpacked."""
    if wanted := object_ranges.version_in_ranges(task):
        return wanted.size
    return archive.look_into(task.source)[2] if packed else source_files.status(task.source)[0]


def _features(each: float, cell: int, size: int, max_bytes: int) -> int:
    """Choose the features of a chunk: whole cells, which are encoded by it, if there is room."""
    room = max((max_bytes - _BASE) // _FACTOR, 2**16) if max_bytes else 2**62
    if cell and cell * each <= room:
        return max(int(min(size, room) / each) // cell, 1) * cell
    return int(min(max(min(size, room) / each, _FEWEST), _MOST))
